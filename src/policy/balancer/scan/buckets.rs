//! Endpoints of a few classes, those of each class in order of a small count, such as open calls: who of a class has the
//! least, in O(1), while counts move by one.

use crate::base::id::EndpointId;

/// Classes of endpoints, each sorted by count. Those of one class and count, a bucket, stand together, in an order that
/// follows from how their counts moved: it has no meaning, but a draw among them depends on it.
#[derive(Debug, Default)]
pub struct Buckets {
    /// By slot.
    rows: Vec<Row>,
    /// All endpoints, class after class.
    sorted: Vec<EndpointId>,
    /// By class: where its first stands; then how many there are in all.
    firsts: Vec<u32>,
    /// By count, then by class: where those of the class with at least this count begin. As long as the largest count
    /// seen asks for; above it there is nobody.
    starts: Vec<u32>,
}

/// All that a change of a count asks of an endpoint, side by side.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// Of its id: what is late names an endpoint that is gone, whoever has the slot now.
    generation: u32,
    class: u32,
    count: u32,
    /// Its place in `sorted`.
    at: u32,
}

/// A slot of nobody: no generation is that high.
const NOBODY: Row = Row { generation: u32::MAX, class: 0, count: 0, at: 0 };

/// The least loaded of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Least {
    /// Their count.
    pub count: u32,
    /// The place of the first of them.
    pub first: u32,
    /// How many they are: places are in a row.
    pub len: u32,
}

/// A count that went up or down by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The endpoint's class.
    pub class: u32,
    /// The lower of its counts before and after.
    pub lower: u32,
}

impl Buckets {
    /// These endpoints with their counts, by class. No class is empty.
    pub fn new(classes: Vec<Vec<(EndpointId, u32)>>) -> Buckets {
        let slots = classes.iter().flatten().map(|(id, _)| id.slot() + 1).max().unwrap_or(0);
        let counts = classes.iter().flatten().map(|(_, count)| *count as usize + 1).max().unwrap_or(0);
        let mut buckets = Buckets { rows: vec![NOBODY; slots], firsts: vec![0], ..Buckets::default() };
        for (class, endpoints) in (0..).zip(&classes) {
            buckets.push(class, endpoints.clone());
        }
        buckets.starts = buckets.firsts[1..].repeat(counts);
        for class in 0..classes.len() {
            let mut counts = 0;
            for place in buckets.firsts[class]..buckets.firsts[class + 1] {
                let row = buckets.rows[buckets.sorted[place as usize].slot()];
                for count in counts..=row.count {
                    buckets.starts[count as usize * classes.len() + class] = place;
                }
                counts = row.count + 1;
            }
        }
        buckets
    }

    fn push(&mut self, class: u32, mut endpoints: Vec<(EndpointId, u32)>) {
        endpoints.sort_by_key(|(_, count)| *count);
        for (id, count) in endpoints {
            let at = self.sorted.len() as u32;
            self.rows[id.slot()] = Row { generation: id.generation(), class, count, at };
            self.sorted.push(id);
        }
        self.firsts.push(self.sorted.len() as u32);
    }

    /// The least count of a class.
    pub fn least_count(&self, class: usize) -> u32 {
        self.rows[self.sorted[self.firsts[class] as usize].slot()].count
    }

    /// Those of a class with the least count, which is this.
    #[inline(always)]
    pub fn least(&self, class: usize, count: u32) -> Least {
        let (first, end) = (self.firsts[class], self.firsts[class + 1]);
        let end = *self.starts.get(self.cell(count + 1, class as u32)).unwrap_or(&end);
        Least { count, first, len: end - first }
    }

    /// The endpoint at a place.
    #[inline(always)]
    pub fn at(&self, place: u32) -> EndpointId {
        self.sorted[place as usize]
    }

    /// The count of an endpoint; `None` if it is none of these.
    #[inline(always)]
    pub fn count(&self, id: EndpointId) -> Option<u32> {
        self.rows.get(id.slot()).filter(|row| row.generation == id.generation()).map(|row| row.count)
    }

    /// Counts one more or one less on an endpoint, which must be one of these. O(1).
    ///
    /// One more: the last of its bucket takes its place, and the bucket above begins one earlier, with it. One less: the
    /// first of its bucket takes its place, and its bucket begins one later. Nothing branches on which it is, because
    /// calls begin and end in any order.
    #[inline(always)]
    pub fn step(&mut self, id: EndpointId, is_up: bool) -> Step {
        let up = u32::from(is_up);
        let Row { class, count, at, .. } = self.rows[id.slot()];
        let cell = self.cell(count + up, class);
        if cell >= self.starts.len() {
            self.reach_further();
        }
        let start = &mut self.starts[cell];
        let place = *start - up;
        *start = place + 1 - up;
        let other = self.sorted[place as usize];
        self.sorted[at as usize] = other;
        self.rows[other.slot()].at = at;
        self.sorted[place as usize] = id;
        let lower = count + up - 1;
        let row = &mut self.rows[id.slot()];
        (row.count, row.at) = (lower + up, place);
        Step { class, lower }
    }

    /// Where in `starts` those of the class with at least this count have theirs.
    #[inline(always)]
    fn cell(&self, count: u32, class: u32) -> usize {
        count as usize * (self.firsts.len() - 1) + class as usize
    }

    /// One count more.
    #[cold]
    #[inline(never)]
    fn reach_further(&mut self) {
        self.starts.extend_from_slice(&self.firsts[1..]);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::base::rand::{Bits, Seed};

    /// The plain definition: by class, endpoints with their counts in order of these, and who moves changes places with
    /// the last of its bucket or the first.
    pub struct Plain(pub Vec<Vec<(EndpointId, u32)>>);

    impl Plain {
        pub fn new(mut classes: Vec<Vec<(EndpointId, u32)>>) -> Plain {
            classes.iter_mut().for_each(|class| class.sort_by_key(|(_, count)| *count));
            Plain(classes)
        }

        pub fn set(&mut self, id: EndpointId, count: u32) {
            for class in &mut self.0 {
                while let Some(at) = class.iter().position(|(of, now)| *of == id && *now != count) {
                    let now = class[at].1;
                    let is_up = now < count;
                    let mut bucket = class.iter().map(|(_, count)| *count);
                    let other = if is_up { bucket.rposition(|of| of == now) } else { bucket.position(|of| of == now) };
                    class.swap(at, other.unwrap());
                    class[other.unwrap()].1 = if is_up { now + 1 } else { now - 1 };
                }
            }
        }

        pub fn least(&self, class: usize) -> Vec<EndpointId> {
            let least = self.0[class][0].1;
            self.0[class].iter().filter(|(_, count)| *count == least).map(|(id, _)| *id).collect()
        }
    }

    #[test]
    fn keeps_the_order_of_the_plain_definition() {
        let mut rand = Seed::new(1).stream("buckets");
        let id = |slot: usize| EndpointId::new(slot as u32, 7);
        for sizes in [&[1][..], &[9], &[2, 1], &[4, 9, 1, 3], &[1; 16]] {
            let mut slot = 0;
            let mut endpoint = || {
                slot += 1;
                (id(2 * slot), rand.below(4) as u32)
            };
            let classes: Vec<Vec<_>> = sizes.iter().map(|n| (0..*n).map(|_| endpoint()).collect()).collect();
            let all: Vec<EndpointId> = classes.iter().flatten().map(|(id, _)| *id).collect();
            let (mut buckets, mut plain) = (Buckets::new(classes.clone()), Plain::new(classes));
            for _ in 0..2_000 {
                let order: Vec<EndpointId> = plain.0.iter().flatten().map(|(id, _)| *id).collect();
                assert_eq!((0..all.len() as u32).map(|place| buckets.at(place)).collect::<Vec<_>>(), order);
                for class in 0..sizes.len() {
                    let Least { count, first, len } = buckets.least(class, buckets.least_count(class));
                    let least: Vec<EndpointId> = (first..first + len).map(|place| buckets.at(place)).collect();
                    assert_eq!((least, count), (plain.least(class), plain.0[class][0].1));
                }
                let moved = all[rand.below(all.len() as u64) as usize];
                let count = buckets.count(moved).unwrap();
                let is_up = count == 0 || rand.below(100) < 52;
                let step = buckets.step(moved, is_up);
                plain.set(moved, if is_up { count + 1 } else { count - 1 });
                assert_eq!(step.lower, if is_up { count } else { count - 1 });
                assert!(plain.0[step.class as usize].iter().any(|(id, _)| *id == moved));
            }
            for nobody in [id(0), id(1), id(1_000), EndpointId::new(2, 6), EndpointId::new(2, 8)] {
                assert_eq!(buckets.count(nobody), None);
            }
        }
    }
}
