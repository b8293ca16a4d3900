//! What oracles see of the servers. It stands in the table of what servers say, which other runs do not have, and
//! is written whenever something changes in a server or on the way to it.

use super::engine::World;
use crate::backend::server::Arrival;
use crate::base::id::{Address, BackendId};
use crate::base::time::Duration;
use crate::policy::truth::{Seen, Truth};
use crate::record::Sink;

/// Who tells the truth.
#[derive(Debug)]
pub(super) struct Witness {
    truth: Truth,
    /// By backend: calls on their way to it, and the work that they bring.
    coming: Vec<(u32, Duration)>,
    /// By flight: the work that it brings.
    brings: Vec<Duration>,
}

impl Witness {
    /// One for a truth that somebody sees.
    pub(super) fn of(truth: &Truth, backends: usize) -> Option<Witness> {
        let coming = vec![(0, Duration::ZERO); backends];
        (!truth.is_blind()).then(|| Witness { truth: truth.clone(), coming, brings: Vec::new() })
    }
}

impl<S: Sink> World<'_, S> {
    fn witness(&mut self) -> Option<&mut Witness> {
        self.reports.as_mut().and_then(|reports| reports.witness.as_mut())
    }

    /// An attempt sets out.
    #[cold]
    pub(super) fn testify_coming(&mut self, flight: u32) {
        if self.witness().is_none() {
            return;
        }
        let entry = self.flights.at(flight);
        let (backend, attempt, open) = (entry.backend, entry.attempt.number, self.calls.at(entry.call));
        let arrival = Arrival { job: flight, draw_key: open.draw_key, attempt, key: open.key(), demand: open.demand };
        let need = self.backends[backend.index()].server.need_of(&arrival);
        if let Some(witness) = self.witness() {
            if witness.brings.len() <= flight as usize {
                witness.brings.resize(flight as usize + 1, Duration::ZERO);
            }
            witness.brings[flight as usize] = need;
            let (calls, work) = &mut witness.coming[backend.index()];
            (*calls, *work) = (*calls + 1, *work + need);
        }
        self.testify(backend);
    }

    /// It is no longer on its way, whatever becomes of it.
    #[cold]
    pub(super) fn testify_come(&mut self, flight: u32) {
        let backend = self.flights.at(flight).backend;
        let Some(witness) = self.witness() else { return };
        let need = witness.brings[flight as usize];
        let (calls, work) = &mut witness.coming[backend.index()];
        (*calls, *work) = (*calls - 1, work.saturating_sub(need));
        self.testify(backend);
    }

    /// Something has changed in a server.
    pub(super) fn testify(&mut self, backend: BackendId) {
        let Some(witness) = self.reports.as_ref().and_then(|reports| reports.witness.as_ref()) else { return };
        let entry = &self.backends[backend.index()];
        let (coming_calls, coming) = witness.coming[backend.index()];
        let seen = Seen {
            at: self.now,
            calls: entry.server.inside() + coming_calls,
            workers: entry.server.workers(),
            busy: entry.server.busy(),
            inside: entry.server.work_left(self.now),
            coming,
            answers: entry.answers(),
        };
        witness.truth.note(Address(backend.0), seen);
    }

    /// Anything may have changed: a fault begins or ends, or the run begins.
    #[cold]
    pub(super) fn testify_all(&mut self) {
        if self.witness().is_some() {
            (0..self.backends.len() as u32).for_each(|backend| self.testify(BackendId(backend)));
        }
    }
}
