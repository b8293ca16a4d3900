//! Balancers: which endpoint takes a call. One trait, one file a new idea, one row in the catalogue each.
//!
//! A balancer decides over the endpoints that it is shown and nothing else. It may draw only from the stream
//! that it was built with, and draws nothing when there is nothing to choose. It keeps state per endpoint id;
//! open attempts it may read from the view, which counts them for every balancer alike.

pub mod catalog;
#[cfg(test)]
mod contract;
pub mod guide;
pub mod hash;
pub mod learn;
pub mod members;
pub mod nest;
pub mod own;
pub mod presets;
pub mod probe;
pub mod read;
pub mod rotate;
pub mod sample;
pub mod scan;
pub mod score;
#[cfg(test)]
pub mod testing;
pub mod weigh;
pub mod weights;

use crate::base::id::EndpointId;
pub use crate::base::load::LoadReport;
use crate::base::status::{Cause, Outcome};
use crate::base::time::{Duration, Instant};

pub use super::endpoints::Endpoints;
pub use super::request::Request;

/// A balancer's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// Send it there.
    To(EndpointId),
    /// Connect this endpoint, which is not ready, and send it there once it is; if that fails, so does the attempt
    /// (a pending request of Envoy's connection pools).
    Pend {
        /// Which.
        on: EndpointId,
        /// Whether the attempt counts as open already while it waits.
        counts: bool,
    },
    /// Wait until something changes: an endpoint is connecting, say, or the balancer wants to
    /// [be asked again](Want::PickAgain).
    Queue,
    /// Fail the attempt; a call that waits for ready is queued instead.
    Fail(Cause),
    /// Fail the call, always: it is never retried.
    Drop(Cause),
}

impl Pick {
    /// The answer when nobody is ready (gRPC: queue while connecting, fail in transient failure).
    #[cold]
    #[inline(never)]
    pub fn nobody(endpoints: &Endpoints<'_>) -> Pick {
        if endpoints.any_connecting() || endpoints.any_idle() { Pick::Queue } else { Pick::Fail(Cause::NoEndpoint) }
    }
}

/// What a balancer is told about attempts and probes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Feedback<'a> {
    /// An attempt was sent. The view already counts it.
    Sent {
        /// Where to.
        endpoint: EndpointId,
    },
    /// An attempt ended, well or not, exactly once for each that was sent. The view no longer counts it.
    Done {
        /// Where it was.
        endpoint: EndpointId,
        /// From send to end.
        took: Duration,
        /// How it ended.
        outcome: Outcome,
        /// Attempts that its call had made before it.
        retried: u32,
        /// The load report on the reply.
        load: Option<&'a LoadReport>,
    },
    /// A probe was answered, or not.
    Probed {
        /// Which endpoint.
        endpoint: EndpointId,
        /// Round trip.
        took: Duration,
        /// Whether it was answered well.
        ok: bool,
        /// What it answered.
        load: Option<&'a LoadReport>,
    },
    /// A load report came out of band, from an endpoint that is [watched](Want::Watch).
    Reported {
        /// Whose.
        endpoint: EndpointId,
        /// The report.
        load: &'a LoadReport,
    },
    /// A watched endpoint says that it has nothing left to do. It tells one of those who watch it, drawn at random.
    Idle {
        /// Which.
        endpoint: EndpointId,
    },
}

impl Feedback<'_> {
    /// Whom it is about.
    #[inline(always)]
    pub fn endpoint(&self) -> EndpointId {
        match *self {
            Feedback::Sent { endpoint }
            | Feedback::Done { endpoint, .. }
            | Feedback::Probed { endpoint, .. }
            | Feedback::Reported { endpoint, .. }
            | Feedback::Idle { endpoint } => endpoint,
        }
    }
}

/// What a balancer wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Connect this endpoint.
    Connect(EndpointId),
    /// Ask it how loaded it is.
    Probe(EndpointId),
    /// Hear what it says by itself, for as long as the connection holds: load reports out of band, where it makes
    /// them, and that it is idle.
    Watch(EndpointId),
    /// Be asked again for the calls that [wait](Pick::Queue).
    PickAgain,
    /// Resolve the name again.
    Resolve,
}

/// A load-balancing policy.
pub trait Balancer: Send {
    /// Who is listed or ready, a weight or zone, or how a connection fares has changed. Also the first thing that
    /// a balancer hears.
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>);

    /// Chooses for one attempt. `endpoints` is what the last `on_endpoints` showed, with counts of now.
    fn pick(&mut self, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick;

    /// Something was learned about an endpoint.
    fn on_feedback(&mut self, _now: Instant, _feedback: &Feedback<'_>, _endpoints: &Endpoints<'_>) {}

    /// What it wants done; asked until `None`.
    fn poll_want(&mut self) -> Option<Want> {
        None
    }

    /// When it wants to be woken.
    fn next_timeout(&self) -> Option<Instant> {
        None
    }

    /// Its time has come. Waking early or twice changes nothing.
    fn on_timeout(&mut self, _now: Instant, _endpoints: &Endpoints<'_>) {}

    /// True if it does nothing but pick: it has no use for feedback, never wants anything and never asks to be
    /// woken, so that on the way of every call nobody needs to ask. False is always right.
    fn only_picks(&self) -> bool {
        false
    }

    /// Two endpoints, one of which it will pick next if nothing changes until then. For whoever wants to have at hand
    /// what that pick needs; `None` if it cannot tell cheaply.
    fn likely_next(&self, _endpoints: &Endpoints<'_>) -> Option<[EndpointId; 2]> {
        None
    }

    /// True if the channel connects every listed endpoint by itself; a balancer that says false asks for
    /// connections through [`Want::Connect`].
    fn connects_all(&self) -> bool {
        true
    }

    /// True if it looks at the health of endpoints that are not ready: it is then told of every verdict of a health
    /// checker, and not only of those that change who is ready.
    fn heeds_health(&self) -> bool {
        false
    }

    /// Whether it keeps to a part of the endpoints for long and wants nobody else connected: a client that has been up
    /// for long is then connected to that part and not to all.
    fn keeps_to_some(&self) -> bool {
        false
    }

    /// Weights, scores and the like, for charts only.
    fn gauges(&self, _visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {}
}

/// How loaded an endpoint looks: one half of many strategies.
pub trait Score: Send {
    /// Who is listed or ready has changed.
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>);

    /// Something was learned about an endpoint.
    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>);

    /// False if it has no use for feedback.
    fn learns(&self) -> bool {
        true
    }

    /// The load, lower is better. Some published algorithms change their state by looking (Finagle's and
    /// tower's peak EWMA), so it is `&mut self`; the others promise not to.
    fn load(&mut self, now: Instant, endpoint: EndpointId, endpoints: &Endpoints<'_>) -> f64;

    /// True if the load of the second is lower than that of the first, which is looked at first.
    #[inline]
    fn is_second_lower(
        &mut self,
        now: Instant,
        first: EndpointId,
        second: EndpointId,
        endpoints: &Endpoints<'_>,
    ) -> bool {
        let first = self.load(now, first, endpoints);
        self.load(now, second, endpoints) < first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pick_is_small() {
        assert_eq!(size_of::<Pick>(), 8, "it is handed back in a register");
    }
}
