//! Which keys moved when the members changed: of those seen both before and after a change, the ones whose first
//! attempt went elsewhere.

use std::collections::BTreeMap;

use crate::base::id::BackendId;

#[derive(Debug, Default)]
pub(super) struct Fold {
    /// By key: where it went last, and in which epoch.
    last: BTreeMap<u64, (u32, u32)>,
    /// Counts the changes of membership.
    epoch: u32,
    moved: u64,
    compared: u64,
}

impl Fold {
    #[inline]
    pub(super) fn on_sent(&mut self, key: u64, backend: BackendId) {
        let (before, epoch) = self.last.insert(key, (backend.0, self.epoch)).unwrap_or((backend.0, self.epoch));
        if epoch != self.epoch {
            self.compared += 1;
            self.moved += u64::from(before != backend.0);
        }
    }

    pub(super) fn on_member(&mut self) {
        self.epoch += 1;
    }

    pub(super) fn moved(&self) -> (u64, u64) {
        (self.moved, self.compared)
    }
}
