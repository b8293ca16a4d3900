//! Active health checks: who is probed when, and what the answers mean. A checker observes nothing but the
//! answers to its own probes: what calls tell belongs to outlier detection, and what to do about a verdict to
//! the table of endpoints.
//!
//! A checker is one machine for all endpoints of a client. It asks for probes, is told of answers, counts a
//! probe without an answer itself, and hands out a verdict whenever one changes. Every endpoint begins healthy.

mod agenda;
pub mod three_state;

use crate::base::choice::choice;
use crate::base::id::EndpointId;
use crate::base::rand::Seed;
use crate::base::time::Instant;
use crate::policy::endpoints::{Health, SuspectRule};

/// One question to one endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Probe {
    /// Who is asked.
    pub endpoint: EndpointId,
    /// Tells the probes of an endpoint apart: an answer that comes after its probe was given up finds nothing.
    pub number: u32,
}

/// Asks endpoints how they are.
pub trait HealthCheck: Send {
    /// The list of endpoints changed. Those that joined count as healthy; those that left are forgotten, with
    /// all that was on its way to them.
    fn on_endpoints(&mut self, now: Instant, joined: &[EndpointId], left: &[EndpointId]);

    /// The next probe to send, now.
    fn poll_probe(&mut self) -> Option<Probe>;

    /// A probe was answered, `ok` if the endpoint serves. A connection that fails is an answer too. Probes that
    /// were given up are ignored.
    fn on_probed(&mut self, now: Instant, probe: Probe, ok: bool);

    /// The next verdict that differs from the one before.
    fn poll_verdict(&mut self) -> Option<(EndpointId, Health)>;

    /// When it wants to be woken.
    fn next_timeout(&self) -> Option<Instant>;

    /// Its time has come, or not yet.
    fn on_timeout(&mut self, now: Instant);
}

choice! {
    /// Health checking as a scenario file asks for it.
    pub enum Spec as "health check" {
        /// Healthy, suspect, failed.
        ThreeState = "three_state" ["three_state_health"] => three_state::Config,
    }
}

impl Spec {
    /// The checker of one client.
    pub fn build(&self, seed: &Seed) -> Box<dyn HealthCheck> {
        match self {
            Spec::ThreeState(config) => Box::new(config.build(seed)),
        }
    }

    /// What becomes of suspects: a matter of the table of endpoints.
    pub fn suspects(&self) -> SuspectRule {
        match self {
            Spec::ThreeState(config) => config.suspect,
        }
    }
}
