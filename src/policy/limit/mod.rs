//! Guards that say no before anything is sent.

use serde::{Deserialize, Serialize};

use super::balancer::Feedback;
use crate::base::bounds::one_or_more;
use crate::base::choice::choice;
use crate::base::id::EndpointId;
use crate::base::status::Cause;
use crate::base::time::Instant;

/// A guard's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admit {
    /// Send it.
    Go,
    /// Send it: it is a trial, and its outcome decides about the next.
    Trial,
    /// Do not send it.
    No(Cause),
}

/// Says whether an attempt may go to the endpoint that was picked.
pub trait Guard: Send {
    /// May it go?
    fn admit(&mut self, now: Instant, endpoint: EndpointId) -> Admit;

    /// Something was learned about an endpoint.
    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>);

    /// When it wants to be woken.
    fn next_timeout(&self) -> Option<Instant> {
        None
    }

    /// Its time has come.
    fn on_timeout(&mut self, _now: Instant) {}
}

choice! {
    /// A limit as a scenario file asks for it.
    pub enum Spec as "limit" {
        /// At most so many attempts open at once in one client.
        InFlight = "in_flight" => InFlight,
    }
}

impl Spec {
    /// The guard of one client.
    pub fn build(&self) -> Box<dyn Guard> {
        match self {
            Spec::InFlight(config) => Box::new(InFlightLimit { max: config.max, open: 0 }),
        }
    }
}

/// A cap on open attempts (Envoy's `max_requests`, gRFC A32): above it a call is dropped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InFlight {
    /// Attempts open at once in one client, 1 or more.
    #[serde(deserialize_with = "one_or_more")]
    pub max: u32,
}

impl Default for InFlight {
    fn default() -> Self {
        // Envoy's default and gRFC A32's.
        InFlight { max: 1024 }
    }
}

struct InFlightLimit {
    max: u32,
    open: u32,
}

impl Guard for InFlightLimit {
    fn admit(&mut self, _now: Instant, _endpoint: EndpointId) -> Admit {
        // gRFC A32: a call over the limit is dropped, which no retry undoes.
        if self.open < self.max { Admit::Go } else { Admit::No(Cause::Dropped) }
    }

    fn on_feedback(&mut self, _now: Instant, feedback: &Feedback<'_>) {
        match feedback {
            Feedback::Sent { .. } => self.open += 1,
            Feedback::Done { .. } => self.open = self.open.saturating_sub(1),
            Feedback::Probed { .. } | Feedback::Reported { .. } | Feedback::Idle { .. } => {}
        }
    }
}
