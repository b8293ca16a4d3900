//! Shapes that several faults have: held from beginning to end, or coming and going.

use super::effect::{Announcement, Effect};
use super::{When, later};
use crate::base::id::BackendId;
use crate::base::math::ln;
use crate::base::quantity::Factor;
use crate::base::rand::{Bits, Rand, Seed};
use crate::base::time::{Duration, Instant};

/// `begin` on each backend when the occurrence begins, `end` on each when it ends, if it does.
pub fn held(
    when: &When,
    backends: &[BackendId],
    begin: impl Fn(BackendId) -> Effect,
    end: impl Fn(BackendId) -> Effect,
) -> Vec<(Instant, Effect)> {
    let begins = backends.iter().map(|id| (when.at, begin(*id)));
    let ends = when.until.into_iter().flat_map(|until| backends.iter().map(move |id| (until, *id)));
    begins.chain(ends.map(|(until, id)| (until, end(id)))).collect()
}

/// Like [`held`], for a change to the world as a whole.
pub fn held_once(when: &When, begin: Effect, end: Effect) -> Vec<(Instant, Effect)> {
    let end = when.until.map(|until| (until, end));
    [(when.at, begin)].into_iter().chain(end).collect()
}

/// Like [`held_once`], for what discovery says of backends. Nothing where there is nobody to speak of.
pub fn announced(when: &When, backends: &[BackendId], what: Announcement) -> Vec<(Instant, Effect)> {
    if backends.is_empty() {
        return Vec::new();
    }
    let say = |what| Effect::Announce { cause: when.cause, backends: backends.to_vec(), what };
    held_once(when, say(Some(what)), say(None))
}

/// Stretches of trouble within an occurrence: calm for an exponential time of mean `calm`, then troubled for one
/// of mean `trouble`, and so on. The last one is cut off where the occurrence ends.
pub fn alternate(when: &When, calm: Duration, trouble: Duration, rand: &mut Rand) -> Vec<(Instant, Instant)> {
    let mut stretches = Vec::new();
    let mut from = later(when.at, exponential(rand, calm));
    while from < when.end() {
        let to = later(from, exponential(rand, trouble));
        stretches.push((from, when.cut(to)));
        from = later(to, exponential(rand, calm));
    }
    stretches
}

/// The stream that belongs to a backend within an occurrence.
pub fn own_stream(seed: &Seed, id: BackendId) -> Rand {
    seed.stream(&format!("backend/{}", id.0))
}

/// An exponential time. One draw.
fn exponential(rand: &mut Rand, mean: Duration) -> Duration {
    mean.scale(-ln(rand.unit()))
}

/// `×10` in labels.
pub fn times(factor: Factor) -> String {
    format!("×{factor}")
}

/// Refuses times that are so short that a timeline would consist of nothing else.
///
/// # Errors
/// When one is below a millisecond; each comes with its name.
pub fn not_too_short<const N: usize>(times: [(&str, Option<Duration>); N]) -> Result<(), String> {
    for (name, time) in times {
        if time.is_some_and(|time| time < SHORTEST) {
            return Err(format!("`{name}` must be 1ms or more: shorter ones would make the timeline endless"));
        }
    }
    Ok(())
}

const SHORTEST: Duration = Duration::from_millis(1);
