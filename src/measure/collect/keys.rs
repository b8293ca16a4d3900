//! What became of keys: which of them moved when the members changed, and how often a key's calls stay together.
//!
//! Of the keys seen both before and after a change, those moved whose first attempt went elsewhere. A key whose
//! backend left must move, and one that goes to a newcomer may have to; any other move is collateral.

use std::collections::BTreeMap;

use super::Frame;
use crate::base::id::BackendId;
use crate::measure::summary::Work;

#[derive(Debug)]
pub(super) struct Fold {
    /// By key: where it went last, and in which epoch.
    last: BTreeMap<u64, (u32, u32)>,
    /// Counts the changes of membership.
    epoch: u32,
    /// By backend: the epoch in which it came; `None` while it is away.
    up_since: Vec<Option<u32>>,
    moved: u64,
    collateral: u64,
    compared: u64,
    repeated: u64,
    stayed: u64,
}

impl Fold {
    pub(super) fn new(frame: &Frame) -> Fold {
        Fold {
            last: BTreeMap::new(),
            epoch: 0,
            up_since: frame.backends.iter().map(|(_, up)| up.then_some(0)).collect(),
            moved: 0,
            collateral: 0,
            compared: 0,
            repeated: 0,
            stayed: 0,
        }
    }

    /// The first attempt of a call with a key; `counts` if the call is in the measured stretch.
    #[inline]
    pub(super) fn on_sent(&mut self, key: u64, backend: BackendId, counts: bool) {
        let Some((before, epoch)) = self.last.insert(key, (backend.0, self.epoch)) else { return };
        let moved = before != backend.0;
        if counts {
            self.repeated += 1;
            self.stayed += u64::from(!moved);
        }
        if epoch != self.epoch {
            self.compared += 1;
            self.moved += u64::from(moved);
            let was_there = |id: u32| self.up_since[id as usize].is_some_and(|since| since <= epoch);
            self.collateral += u64::from(moved && was_there(before) && was_there(backend.0));
        }
    }

    pub(super) fn on_member(&mut self, backend: BackendId, up: bool) {
        self.epoch += 1;
        self.up_since[backend.index()] = up.then_some(self.epoch);
    }

    /// Enters what was found.
    pub(super) fn finish(&self, work: &mut Work) {
        (work.keys_moved, work.keys_compared, work.keys_collateral) = (self.moved, self.compared, self.collateral);
        (work.keys_repeated, work.keys_stayed) = (self.repeated, self.stayed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::collect::testing::frame;

    fn fold() -> Fold {
        Fold::new(&frame(&[true, true, true, false]))
    }

    fn work(fold: &Fold) -> Work {
        let mut work = Work::default();
        fold.finish(&mut work);
        work
    }

    fn send(fold: &mut Fold, calls: &[(u64, u32)]) {
        calls.iter().for_each(|(key, backend)| fold.on_sent(*key, BackendId(*backend), true));
    }

    #[test]
    fn who_must_move_is_no_collateral() {
        let mut fold = fold();
        send(&mut fold, &[(1, 0), (2, 1), (3, 2), (4, 2)]);
        fold.on_member(BackendId(0), false);
        // Key 1 has lost its backend, 2 stays, 3 moves for nothing; 4 is not seen again.
        send(&mut fold, &[(1, 1), (2, 1), (3, 1), (3, 2)]);
        assert_eq!((work(&fold).keys_moved, work(&fold).keys_collateral, work(&fold).keys_compared), (2, 1, 3));
        fold.on_member(BackendId(3), true);
        // 1 goes to the newcomer, 2 between those that stayed.
        send(&mut fold, &[(1, 3), (2, 2)]);
        assert_eq!((work(&fold).keys_moved, work(&fold).keys_collateral, work(&fold).keys_compared), (4, 2, 5));
    }

    #[test]
    fn who_left_and_came_back_lost_its_keys_rightly() {
        let mut fold = fold();
        send(&mut fold, &[(1, 0)]);
        fold.on_member(BackendId(0), false);
        fold.on_member(BackendId(0), true);
        send(&mut fold, &[(1, 1)]);
        assert_eq!((work(&fold).keys_moved, work(&fold).keys_collateral), (1, 0));
    }

    #[test]
    fn affinity_is_counted_where_calls_are() {
        let mut fold = fold();
        fold.on_sent(1, BackendId(0), false);
        fold.on_sent(1, BackendId(1), false);
        send(&mut fold, &[(1, 1), (1, 1), (1, 2), (2, 0)]);
        assert_eq!((work(&fold).keys_stayed, work(&fold).keys_repeated), (2, 3));
    }
}
