//! What a channel is told, and what it wants done: the whole of what passes between it and a world.

use std::collections::VecDeque;
use std::sync::Arc;

use super::balancer::LoadReport;
use super::endpoints::Listing;
use super::health::Probe;
use crate::base::id::{Address, AttemptId, CallId};
use crate::base::status::Outcome;
use crate::base::time::Duration;

/// A call, as the application asks for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Start {
    /// Its number, from the world.
    pub call: CallId,
    /// The world's own handle for it, handed back with every action that concerns the call.
    pub tag: u32,
    /// Hash of its key, if it has one.
    pub hash: Option<u64>,
    /// A number of its own, for hashing balancers where there is no key.
    pub random: u64,
    /// Its class.
    pub class: u16,
    /// When the application stops waiting: so long after the start.
    pub deadline: Option<Duration>,
}

/// What happens to a channel.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The channel begins with this list, resolved and connected: it has been up for long.
    Begin(Arc<[Listing]>),
    /// The resolver answered.
    Resolved(Arc<[Listing]>),
    /// The same, sent again by a registry that does so from time to time. It is news to the balancer even if nothing
    /// changed, as in grpc-go, where each answer makes a new picker.
    Refreshed(Arc<[Listing]>),
    /// A connection that was asked for is there.
    Connected(Address),
    /// A connection that was asked for could not be made.
    ConnectFailed(Address),
    /// A connection broke.
    Disconnected(Address),
    /// The application calls.
    Start(Start),
    /// An attempt was answered, or its connection broke under it.
    Replied {
        /// Which.
        attempt: AttemptId,
        /// How.
        outcome: Outcome,
        /// The load report on the reply.
        load: Option<LoadReport>,
    },
    /// A probe was answered.
    Probed {
        /// Which.
        probe: Probe,
        /// Round trip.
        took: Duration,
        /// Whether it says it serves.
        ok: bool,
        /// What else it says.
        load: Option<LoadReport>,
    },
    /// A watched endpoint sent a load report out of band.
    Reported {
        /// Where it is.
        address: Address,
        /// The report.
        load: LoadReport,
    },
    /// A watched endpoint says that it has nothing to do.
    Idle(Address),
    /// The application gives a call up.
    Abandon(CallId),
}

/// What a channel wants done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Action {
    /// Resolve the name again.
    Resolve,
    /// Make a connection.
    Connect(Address),
    /// Probe an endpoint.
    Probe {
        /// Which.
        probe: Probe,
        /// Where it goes.
        address: Address,
    },
    /// Hear what an endpoint says by itself, over the connection that is there.
    Watch(Address),
    /// Send an attempt.
    Send {
        /// Which.
        attempt: AttemptId,
        /// Of which call.
        call: CallId,
        /// The world's handle of that call.
        tag: u32,
        /// Where to.
        address: Address,
    },
    /// Tell the server that nobody waits for this attempt any more.
    Cancel {
        /// Which.
        attempt: AttemptId,
        /// Of which call.
        call: CallId,
        /// The world's handle of that call.
        tag: u32,
    },
    /// Tell the application how its call ended.
    Complete {
        /// Which.
        call: CallId,
        /// The world's handle of it.
        tag: u32,
        /// How.
        outcome: Outcome,
        /// Attempts that were sent, or waited for a connection of their own in vain.
        attempts: u32,
        /// Where the last one went.
        address: Option<Address>,
    },
}

/// Actions that wait to be taken, the oldest first. Nearly always there is one at most, and it stands apart.
#[derive(Debug, Default)]
pub(super) struct Actions {
    first: Option<Action>,
    more: VecDeque<Action>,
}

impl Actions {
    #[inline(always)]
    pub(super) fn push(&mut self, action: Action) {
        if self.first.is_none() {
            self.first = Some(action);
        } else {
            self.more.push_back(action);
        }
    }

    #[inline(always)]
    pub(super) fn peek(&self) -> Option<&Action> {
        self.first.as_ref()
    }

    /// Lets the oldest go. True if there are more.
    #[inline(always)]
    pub(super) fn pop(&mut self) -> bool {
        if self.more.is_empty() {
            self.first = None;
            return false;
        }
        self.move_up();
        true
    }

    #[cold]
    fn move_up(&mut self) {
        self.first = self.more.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_come_out_in_the_order_they_went_in() {
        let mut actions = Actions::default();
        let (mut pushed, mut popped) = (0, 0);
        for step in 0..100u32 {
            for _ in 0..step % 4 {
                actions.push(Action::Connect(Address(pushed)));
                pushed += 1;
            }
            for _ in 0..step % 3 {
                if let Some(action) = actions.peek() {
                    assert_eq!(*action, Action::Connect(Address(popped)));
                    actions.pop();
                    popped += 1;
                }
            }
        }
        assert!(popped > 50 && pushed > popped, "both ways were walked");
        while actions.peek().is_some() {
            actions.pop();
            popped += 1;
        }
        assert_eq!(pushed, popped);
    }
}
