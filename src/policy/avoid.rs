//! Where a further attempt may not go if it can help it.

use super::balancer::{Endpoints, Pick};
use super::request::Request;

/// A retry goes to an endpoint that the call has not tried, while one is ready: the balancer is asked again a few
/// times, as Envoy's previous-hosts predicate does; if it insists, the next untried one in the list takes the call.
pub(super) fn avoid_tried(
    first: Pick,
    request: &Request<'_>,
    view: &Endpoints<'_>,
    mut again: impl FnMut() -> Pick,
) -> Pick {
    const ASK_AGAIN: u32 = 3;
    let mut pick = first;
    for _ in 0..ASK_AGAIN {
        match pick {
            Pick::To(id) | Pick::Pend { on: id, .. } if request.tried.contains(&id) => pick = again(),
            _ => return pick,
        }
    }
    let (Pick::To(insisted) | Pick::Pend { on: insisted, .. }) = pick else { return pick };
    if !request.tried.contains(&insisted) {
        return pick;
    }
    let from = view.ready.iter().position(|id| *id == insisted).unwrap_or(0);
    let n = view.ready.len();
    let untried = (0..n).map(|step| view.ready[(from + step) % n]).find(|id| !request.tried.contains(id));
    untried.map_or(pick, Pick::To)
}
