//! The facts.

use crate::base::id::{BackendId, CallId, ClientId};
use crate::base::status::Outcome;
use crate::base::time::{Duration, Instant};

/// One fact. Its time is given beside it.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// A call was born: its intended start is the record's time.
    Born {
        /// Which.
        call: CallId,
        /// Whose.
        client: ClientId,
        /// Its class in the mix.
        class: u16,
        /// Its key, if it has one.
        key: Option<u64>,
        /// Work it carries.
        demand: f64,
        /// Its deadline, if it has one.
        deadline: Option<Duration>,
    },
    /// An attempt was sent.
    Sent {
        /// Of which call.
        call: CallId,
        /// 0 for the first.
        attempt: u32,
        /// From where.
        client: ClientId,
        /// Where to.
        backend: BackendId,
        /// The key of the call.
        key: Option<u64>,
        /// True if it leaves the client's region.
        leaves_region: bool,
        /// True if the backend cannot answer: it is down, cut off or frozen.
        dead: bool,
    },
    /// An attempt reached its backend and went in.
    Arrived {
        /// Where.
        backend: BackendId,
        /// Attempts waiting there now, this one included if it waits.
        waiting: u32,
        /// Attempts inside now.
        inside: u32,
    },
    /// A worker was done with an attempt.
    Served {
        /// Where.
        backend: BackendId,
        /// How long it held the worker.
        busy: Duration,
        /// True if the client had gone.
        wasted: bool,
    },
    /// A cache was asked.
    Looked {
        /// Where.
        backend: BackendId,
        /// Whether it had the key.
        hit: bool,
    },
    /// An attempt ended for the client.
    Done {
        /// Of which call.
        call: CallId,
        /// 0 for the first.
        attempt: u32,
        /// Where it was.
        backend: BackendId,
        /// From send to end.
        took: Duration,
        /// How.
        outcome: Outcome,
    },
    /// A call ended.
    Ended {
        /// Which.
        call: CallId,
        /// Whose.
        client: ClientId,
        /// Its class in the mix.
        class: u16,
        /// Its intended start.
        born: Instant,
        /// How.
        outcome: Outcome,
        /// Attempts made.
        attempts: u32,
        /// The backend of the last attempt.
        backend: Option<BackendId>,
    },
    /// A backend came or went, in truth.
    Member {
        /// Which.
        backend: BackendId,
        /// Whether it can answer now.
        up: bool,
    },
    /// Discovery announces another weight of a backend.
    Weighed {
        /// Whose.
        backend: BackendId,
        /// From now on.
        weight: u32,
    },
    /// A fault changed something.
    Effect {
        /// Its number in the timeline.
        number: u32,
    },
    /// How many clients are connected to a backend when the run is over. A world that does not know says nothing.
    Connected {
        /// Which.
        backend: BackendId,
        /// Clients with a connection to it.
        clients: u32,
    },
    /// The run is over: nothing comes after this.
    Over {
        /// Calls that are still open.
        unfinished: u64,
    },
}
