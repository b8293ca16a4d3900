//! Attempts that this client has open on an endpoint.

use crate::base::id::EndpointId;
use crate::base::time::Instant;
use crate::policy::balancer::{Endpoints, Feedback, Score};

/// The count itself. It has no state of its own: the view counts.
#[derive(Debug, Clone, Copy, Default)]
pub struct InFlight;

impl Score for InFlight {
    fn on_endpoints(&mut self, _now: Instant, _endpoints: &Endpoints<'_>) {}

    fn on_feedback(&mut self, _now: Instant, _feedback: &Feedback<'_>) {}

    fn learns(&self) -> bool {
        false
    }

    #[inline]
    fn load(&mut self, _now: Instant, endpoint: EndpointId, endpoints: &Endpoints<'_>) -> f64 {
        f64::from(endpoints.in_flight(endpoint))
    }

    /// As of the loads, which are whole numbers.
    #[inline]
    fn is_second_lower(
        &mut self,
        _now: Instant,
        first: EndpointId,
        second: EndpointId,
        endpoints: &Endpoints<'_>,
    ) -> bool {
        endpoints.in_flight(second) < endpoints.in_flight(first)
    }
}
