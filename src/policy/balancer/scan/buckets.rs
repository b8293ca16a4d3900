//! Endpoints in order of a small count, such as open calls: who has the least, in O(1), while counts move by one.

use crate::base::id::EndpointId;

/// Where an endpoint stands. One list of these, by slot, serves all [`Buckets`] that share the endpoints.
#[derive(Debug, Default, Clone, Copy)]
pub struct Place {
    /// In which of the buckets: the number that they were built with.
    pub of: u32,
    /// Place in `sorted`, plus 1; 0 for none.
    at: u32,
}

/// Endpoints sorted by count. Those of one count stand together; within a bucket the order is of no meaning.
#[derive(Debug, Default)]
pub struct Buckets {
    number: u32,
    sorted: Vec<(EndpointId, u32)>,
    /// By count: where those with at least this count begin. One entry more than the largest count seen.
    starts: Vec<u32>,
}

impl Buckets {
    /// These endpoints with their counts. Their places are noted; there must be room for every slot.
    pub fn new(number: u32, endpoints: impl Iterator<Item = (EndpointId, u32)>, places: &mut [Place]) -> Buckets {
        let mut sorted: Vec<(EndpointId, u32)> = endpoints.collect();
        sorted.sort_by_key(|(_, count)| *count);
        let mut starts = vec![];
        for (place, (id, count)) in sorted.iter().enumerate() {
            places[id.slot()] = Place { of: number, at: place as u32 + 1 };
            starts.resize((*count as usize + 1).max(starts.len()), place as u32);
        }
        starts.push(sorted.len() as u32);
        Buckets { number, sorted, starts }
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
    pub fn set(&mut self, id: EndpointId, count: u32, places: &mut [Place]) {
        let Some(mut place) = self.place(id, places) else { return };
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
            self.swap(place, last, places);
            place = last;
            now += 1;
        }
        while now > count {
            let start = &mut self.starts[now as usize];
            let first = *start as usize;
            *start += 1;
            self.swap(place, first, places);
            place = first;
            now -= 1;
        }
        self.sorted[place].1 = count;
    }

    fn place(&self, id: EndpointId, places: &[Place]) -> Option<usize> {
        let place = (places.get(id.slot()).filter(|place| place.of == self.number)?.at as usize).checked_sub(1)?;
        (self.sorted[place].0 == id).then_some(place)
    }

    #[inline]
    fn swap(&mut self, a: usize, b: usize, places: &mut [Place]) {
        let (one, other) = (self.sorted[a], self.sorted[b]);
        self.sorted[a] = other;
        self.sorted[b] = one;
        places[other.0.slot()].at = a as u32 + 1;
        places[one.0.slot()].at = b as u32 + 1;
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
        for n in [0, 1, 2, 9, 4] {
            let mut places = vec![Place::default(); n as usize];
            let mut counts: Vec<u32> = (0..n).map(|_| rand.below(4) as u32).collect();
            let rows = counts.iter().enumerate().map(|(slot, count)| (id(slot), *count));
            let mut buckets = Buckets::new(3, rows, &mut places);
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
                buckets.set(id(slot), counts[slot], &mut places);
                buckets.set(EndpointId::new(slot as u32, 6), 99, &mut places);
                buckets.set(id(1_000), 99, &mut places);
            }
        }
    }
}
