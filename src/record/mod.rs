//! What both worlds leave behind: facts with a time. Everything after a run reads these and nothing else.

pub mod digest;
pub mod event;

use crate::base::id::BackendId;
use crate::base::time::Instant;
use event::Record;

/// Takes records as they happen.
pub trait Sink {
    /// Something happened at `at`. Times never run backwards.
    ///
    /// On the way of every call, so implementations are inlined where a record is made: what is not looked at is
    /// then never written down.
    fn put(&mut self, at: Instant, record: &Record);

    /// Records about a backend are soon to come: what is kept about it may be fetched into the processor's caches.
    #[inline(always)]
    fn prefetch(&self, _backend: BackendId) {}
}

/// Keeps nothing: what a run costs without measuring.
#[derive(Debug, Default)]
pub struct Nothing;

impl Sink for Nothing {
    #[inline(always)]
    fn put(&mut self, _at: Instant, _record: &Record) {}
}

/// Keeps everything, for tests.
impl Sink for Vec<(Instant, Record)> {
    fn put(&mut self, at: Instant, record: &Record) {
        self.push((at, record.clone()));
    }
}

impl<A: Sink, B: Sink> Sink for (A, B) {
    fn put(&mut self, at: Instant, record: &Record) {
        self.0.put(at, record);
        self.1.put(at, record);
    }
}
