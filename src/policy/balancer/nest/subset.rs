//! A child that sees part of the endpoints, and the connections that it needs: what all ways to choose a subset share.

use std::collections::VecDeque;

use super::children::Child;
use super::weighted_target;
use crate::base::id::EndpointId;
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request, Want};
use crate::policy::endpoints::Connectivity;

/// A child over a subset. Nobody outside of it is connected.
#[derive(Debug)]
pub struct Subset {
    child: Child,
    /// Sorted.
    chosen: Vec<EndpointId>,
    wants: VecDeque<EndpointId>,
}

impl Subset {
    /// Over nobody.
    pub fn new(child: &weighted_target::Child, context: &Context) -> Subset {
        let child = Child::new(child.spec().build(&context.child("child")));
        Subset { child, chosen: vec![], wants: VecDeque::new() }
    }

    /// Makes these the subset, and tells the child if that changed anything for it. The child sees them in the order
    /// of the list.
    pub fn show(&mut self, now: Instant, endpoints: &Endpoints<'_>, chosen: impl Iterator<Item = EndpointId>) {
        self.chosen.clear();
        self.chosen.extend(chosen);
        self.chosen.sort_unstable();
        let is_chosen = |id: EndpointId| self.chosen.binary_search(&id).is_ok();
        self.child.show(now, endpoints, is_chosen);
        self.wants.clear();
        if self.child.balancer().connects_all() {
            let is_idle = |id: &&EndpointId| endpoints.get(**id).is_some_and(|e| e.connectivity == Connectivity::Idle);
            self.wants.extend(self.child.members().iter().filter(is_idle));
        }
    }

    /// Who is in it, in the order of the list.
    pub fn members(&self) -> &[EndpointId] {
        self.child.members()
    }
}

impl Balancer for Subset {
    /// Shows the same subset.
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        let chosen = std::mem::take(&mut self.chosen);
        self.show(now, endpoints, chosen.into_iter());
    }

    fn pick(&mut self, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        self.child.pick(now, request, endpoints)
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, endpoints: &Endpoints<'_>) {
        self.child.on_feedback(now, feedback, endpoints);
    }

    fn poll_want(&mut self) -> Option<Want> {
        self.wants.pop_front().map(Want::Connect).or_else(|| self.child.poll_want())
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.child.balancer().next_timeout()
    }

    fn on_timeout(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.child.on_timeout(now, endpoints);
    }

    fn connects_all(&self) -> bool {
        false
    }

    fn heeds_health(&self) -> bool {
        self.child.balancer().heeds_health()
    }

    fn keeps_to_some(&self) -> bool {
        true
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        self.child.balancer().gauges(visit);
    }
}
