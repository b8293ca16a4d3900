//! A small fleet, and effects as short text, for the tests of this room.

use super::effect::{Effect, ErrorLaw, Side};
use super::{Fault, TargetBackend, Targets, When};
use crate::base::id::{BackendId, RegionId, ZoneId};
use crate::base::quantity::Factor;
use crate::base::rand::Seed;
use crate::base::time::{Duration, Instant};
use crate::fault::effect::Cause;

/// Eight backends in two groups: 0 to 4, of which three are there from the start, and 5, 6, 7, of which two are.
/// Zones: 0, 1, 2 in north/a; 3, 4 in south/a; 5, 6, 7 in south/b.
pub fn fleet() -> Vec<TargetBackend> {
    let zones = [0, 0, 0, 1, 1, 2, 2, 2];
    let backend = |(id, zone): (u32, u16)| TargetBackend {
        id: BackendId(id),
        group: u32::from(id > 4),
        zone: ZoneId(zone),
        region: RegionId(zone.min(1)),
        initial: ![3, 4, 7].contains(&id),
    };
    (0..8).zip(zones).map(backend).collect()
}

/// The zones of that fleet by name.
pub fn zone(name: &str) -> Option<Side> {
    match name {
        "north" => Some(Side::Region(RegionId(0))),
        "south" => Some(Side::Region(RegionId(1))),
        "north/a" => Some(Side::Zone(ZoneId(0))),
        "south/a" => Some(Side::Zone(ZoneId(1))),
        "south/b" => Some(Side::Zone(ZoneId(2))),
        _ => None,
    }
}

/// The regions of its zones.
pub const REGIONS: [RegionId; 3] = [RegionId(0), RegionId(1), RegionId(1)];

/// What one occurrence unfolds into. `spec` is `at until | targets` in seconds, `-` for no end; the horizon is far.
pub fn unfolded(fault: &dyn Fault, spec: &str) -> Vec<(Instant, Effect)> {
    let (times, targets) = spec.split_once('|').unwrap();
    let mut times =
        times.split_whitespace().map(|text| text.parse().ok().map(|s| Instant::ZERO + Duration::from_secs(s)));
    let when = When {
        at: times.next().unwrap().unwrap(),
        until: times.next().unwrap(),
        horizon: Instant::ZERO + Duration::from_secs(1_000_000),
        cause: Cause(0),
    };
    let chosen: Vec<BackendId> = targets.split_whitespace().map(|id| BackendId(id.parse().unwrap())).collect();
    let targets = Targets { all: &fleet(), chosen: &chosen, sizes: &[3, 2], zone: &zone, regions: &REGIONS };
    fault.effects(&when, &targets, &Seed::new(1))
}

/// The backends that an occurrence aimed at these is about.
pub fn affected(fault: &dyn Fault, chosen: &[u32]) -> Vec<BackendId> {
    let chosen: Vec<BackendId> = chosen.iter().map(|id| BackendId(*id)).collect();
    fault.affected(&Targets { all: &fleet(), chosen: &chosen, sizes: &[3, 2], zone: &zone, regions: &REGIONS })
}

/// Checks what one occurrence unfolds into, as [`told`].
#[track_caller]
pub fn check(fault: &dyn Fault, spec: &str, expected: &str) {
    assert_eq!(told(&unfolded(fault, spec)), expected);
}

/// Effects as text: `10 down 0 loud, 20 up 0`, times in seconds.
pub fn told(effects: &[(Instant, Effect)]) -> String {
    let one =
        |(at, effect): &(Instant, Effect)| format!("{} {}", at.since(Instant::ZERO).as_secs_f64(), told_effect(effect));
    effects.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn told_effect(effect: &Effect) -> String {
    let off_or = |value: Option<String>| value.unwrap_or_else(|| "off".to_owned());
    match effect {
        Effect::Down { backend, loud } => format!("down {} {}", backend.0, if *loud { "loud" } else { "silent" }),
        Effect::Up { backend } => format!("up {}", backend.0),
        Effect::Drain { backend, grace } => format!("drain {} in {grace}", backend.0),
        Effect::Slow { backend, factor, .. } => {
            format!("slow {} {}", backend.0, off_or(factor.map(|factor| format!("×{}", Factor::of(factor)))))
        }
        Effect::Capacity { backend, fraction, .. } => {
            format!("capacity {} {}", backend.0, off_or(fraction.map(|fraction| fraction.to_string())))
        }
        Effect::Freeze { backend, on, .. } => format!("{} {}", if *on { "freeze" } else { "thaw" }, backend.0),
        Effect::Errors { backend, law, .. } => format!("errors {} {}", backend.0, off_or(law.as_ref().map(told_law))),
        Effect::Cut { side, mode, .. } => {
            format!("cut {} {}", told_side(side), off_or(mode.map(|mode| format!("{mode:?}"))))
        }
        Effect::Loss { side, probability, .. } => {
            format!("loss {} {}", told_side(side), off_or(probability.map(|probability| probability.to_string())))
        }
        Effect::Surge { factor, .. } => {
            format!("surge {}", off_or(factor.map(|factor| format!("×{}", Factor::of(factor)))))
        }
        Effect::MoveHotKeys { top } => format!("move {top} keys"),
        Effect::DiscoveryOutage { on, .. } => format!("discovery {}", if *on { "off" } else { "on" }),
        Effect::Announce { backends, what, .. } => {
            format!("announce {} {}", told_ids(backends), off_or(what.map(|what| format!("{what:?}"))))
        }
    }
}

fn told_law(law: &ErrorLaw) -> String {
    let latency = law.latency.map_or(String::new(), |latency| format!(" in {latency}"));
    format!("{} {:?}{latency}", law.probability, law.status)
}

fn told_side(side: &Side) -> String {
    match side {
        Side::Region(region) => format!("region {}", region.0),
        Side::Zone(zone) => format!("zone {}", zone.0),
        Side::Backends(ids) => format!("backends {}", told_ids(ids)),
        Side::All => "all".to_owned(),
    }
}

fn told_ids(ids: &[BackendId]) -> String {
    ids.iter().map(|id| id.0.to_string()).collect::<Vec<_>>().join(" ")
}
