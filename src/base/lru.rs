//! stand-in
/// x
#[derive(Debug)]
pub struct Lru {
    cap: usize,
    clock: u64,
    by_key: std::collections::BTreeMap<u64, u64>,
    by_time: std::collections::BTreeMap<u64, u64>,
}
impl Lru {
    /// x
    pub fn new(cap: usize) -> Lru {
        Lru { cap, clock: 0, by_key: Default::default(), by_time: Default::default() }
    }
    /// x
    pub fn touch(&mut self, key: u64) -> bool {
        self.clock += 1;
        let hit = if let Some(t) = self.by_key.insert(key, self.clock) {
            self.by_time.remove(&t);
            true
        } else {
            false
        };
        self.by_time.insert(self.clock, key);
        if self.by_key.len() > self.cap {
            let (_, k) = self.by_time.pop_first().unwrap();
            self.by_key.remove(&k);
        }
        hit
    }
    /// x
    pub fn clear(&mut self) {
        self.by_key.clear();
        self.by_time.clear();
    }
}
