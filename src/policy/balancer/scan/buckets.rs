//! Endpoints in order of a small count, such as open calls: who has the least, in O(1), while counts move by one.

use crate::base::id::EndpointId;

/// Endpoints sorted by count. Those of one count stand together; within a bucket the order is of no meaning.
#[derive(Debug, Default)]
pub struct Buckets {
    sorted: Vec<(EndpointId, u32)>,
    /// By count: where those with at least this count begin. One entry more than the largest count seen.
    starts: Vec<u32>,
    /// By slot: place in `sorted`, plus 1; 0 for none.
    places: Vec<u32>,
}

impl Buckets {
    /// Takes over a new set of endpoints with their counts.
    pub fn rebuild(&mut self, endpoints: impl Iterator<Item = (EndpointId, u32)>) {
        self.sorted.clear();
        self.sorted.extend(endpoints);
        self.sorted.sort_by_key(|(_, count)| *count);
        self.places.fill(0);
        let slots = self.sorted.iter().map(|(id, _)| id.slot() + 1).max().unwrap_or(0);
        self.places.resize(slots.max(self.places.len()), 0);
        self.starts.clear();
        for (place, (id, count)) in self.sorted.iter().enumerate() {
            self.places[id.slot()] = place as u32 + 1;
            self.starts.resize((*count as usize + 1).max(self.starts.len()), place as u32);
        }
        self.starts.push(self.sorted.len() as u32);
    }

    /// Those with the least count.
    #[inline]
    pub fn least(&self) -> &[(EndpointId, u32)] {
        match self.sorted.first() {
            None => &[],
            Some((_, count)) => &self.sorted[..self.starts[*count as usize + 1] as usize],
        }
    }

    /// Notes a count; O(1) for each step up or down. Endpoints outside the set are ignored.
    #[inline]
    pub fn set(&mut self, id: EndpointId, count: u32) {
        let Some(mut place) = self.place(id) else { return };
        let mut now = self.sorted[place].1;
        let needed = count as usize + 2;
        if self.starts.len() < needed {
            self.starts.resize(needed, self.sorted.len() as u32);
        }
        while now < count {
            // Its bucket's last takes its place, and the bucket above begins one earlier.
            let start = &mut self.starts[now as usize + 1];
            *start -= 1;
            let last = *start as usize;
            self.swap(place, last);
            place = last;
            now += 1;
        }
        while now > count {
            let start = &mut self.starts[now as usize];
            let first = *start as usize;
            *start += 1;
            self.swap(place, first);
            place = first;
            now -= 1;
        }
        self.sorted[place].1 = count;
    }

    fn place(&self, id: EndpointId) -> Option<usize> {
        let place = (*self.places.get(id.slot())? as usize).checked_sub(1)?;
        (self.sorted[place].0 == id).then_some(place)
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.sorted.swap(a, b);
        self.places[self.sorted[a].0.slot()] = a as u32 + 1;
        self.places[self.sorted[b].0.slot()] = b as u32 + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::{Bits, Seed};

    #[test]
    fn agrees_with_a_scan() {
        let mut rand = Seed::new(1).stream("buckets");
        let id = |slot: usize| EndpointId::new(slot as u32, 7);
        let mut buckets = Buckets::default();
        for n in [0, 1, 2, 9, 4] {
            let mut counts: Vec<u32> = (0..n).map(|_| rand.below(4) as u32).collect();
            buckets.rebuild(counts.iter().enumerate().map(|(slot, count)| (id(slot), *count)));
            for _ in 0..2_000 {
                let mut least: Vec<(EndpointId, u32)> = buckets.least().to_vec();
                least.sort();
                let min = counts.iter().min().copied();
                let scan = counts.iter().enumerate().filter(|(_, count)| Some(**count) == min);
                assert_eq!(least, scan.map(|(slot, count)| (id(slot), *count)).collect::<Vec<_>>());
                if n == 0 {
                    break;
                }
                let slot = rand.below(n) as usize;
                counts[slot] = match rand.below(10) {
                    0 => rand.below(20) as u32,
                    below if below < 5 => counts[slot] + 1,
                    _ => counts[slot].saturating_sub(1),
                };
                buckets.set(id(slot), counts[slot]);
                buckets.set(EndpointId::new(slot as u32, 6), 99);
                buckets.set(id(1_000), 99);
            }
        }
    }
}
