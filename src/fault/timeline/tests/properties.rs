//! What holds for every plan: some hundreds of them, drawn at random.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::base::rand::Rand;
use crate::fault::{Resizing, capacities};

const SPECS: &[&str] = &[
    r#""crash""#,
    r#""kill""#,
    r#"{"restart": {"down": "7s", "stagger": "2s"}}"#,
    r#"{"restart": {"drain": true, "down": "7s"}}"#,
    r#"{"churn": {"interval": "3s", "down": "5s"}}"#,
    r#"{"churn": {"mode": "random", "up": "15s", "down": "4s", "graceful": true}}"#,
    r#"{"partition": {"zone": "south", "mode": "refuse"}}"#,
    r#""partition""#,
    r#"{"slow": {"factor": 3}}"#,
    r#"{"errors": {"rate": "20%"}}"#,
    r#""hang""#,
    r#"{"pause": {"length": {"exponential": {"mean": "2s"}}, "every": "3s"}}"#,
    r#"{"pause": {"length": "2s"}}"#,
    r#""pause""#,
    r#"{"brownout": {"slow": 2, "errors": "1%"}}"#,
    r#"{"noisy_neighbour": {"quiet": "4s", "noisy": "2s"}}"#,
    r#"{"scale": {"add": 1}}"#,
    r#"{"scale": {"remove": 2, "grace": "3s"}}"#,
    r#"{"scale": {"to": 4}}"#,
    r#"{"rolling_deploy": {"batch": 2, "down": "4s", "pause": "1s"}}"#,
    r#"{"surge": {"factor": 5}}"#,
    r#"{"move_hot_keys": {"top": 3}}"#,
    r#""discovery_outage""#,
    r#"{"packet_loss": {"rate": "5%"}}"#,
    r#"{"reweight": {"weight": 0}}"#,
    r#"{"relabel": {"zone": "south/b"}}"#,
    r#""announce_health""#,
];

fn plan(rand: &mut Rand) -> Vec<Row> {
    let faults = 1 + rand.below(5);
    (0..faults)
        .map(|_| {
            let spec = SPECS[rand.below(SPECS.len() as u64) as usize];
            let or_none = |value: u64, rand: &mut Rand| if rand.below(3) == 0 { 0 } else { value };
            let (at, lasts, every) = (rand.below(100), 1 + rand.below(40), 5 + rand.below(40));
            let (lasts, every) = (or_none(lasts, rand), or_none(every, rand));
            let candidates: Vec<u32> = (0..8).filter(|_| rand.below(3) > 0).collect();
            let pick = match rand.below(3) {
                0 => Pick::All,
                1 => Pick::Count(rand.below(5) as u32),
                _ => Pick::Random(rand.below(5) as u32),
            };
            row(spec, at, lasts, every).on(&candidates).pick(pick)
        })
        .collect()
}

/// Calls `check` with some hundreds of plans, unfolded until 120 s.
fn each(mut check: impl FnMut(&[Row], &Timeline)) {
    let mut rand = Seed::new(1).stream("plans");
    for seed in 0..400 {
        let rows = plan(&mut rand);
        check(&rows, &unfold_rows(&rows, 120, seed));
    }
}

#[test]
fn sorted_and_within_the_horizon() {
    each(|_, timeline| {
        assert!(timeline.effects.is_sorted_by_key(|(at, _)| *at));
        assert!(timeline.spans.is_sorted_by_key(|span| span.from));
        assert!(timeline.effects.iter().all(|(at, _)| *at <= Instant::ZERO + Duration::from_secs(120)));
    });
}

/// The name of a lasting change, and whether it begins or ends.
fn lasting(effect: &Effect) -> Option<(Cause, String, bool)> {
    let (cause, key, on) = match effect {
        Effect::Slow { backend, cause, factor } => (cause, format!("slow {backend:?}"), factor.is_some()),
        Effect::Capacity { backend, cause, fraction } => (cause, format!("capacity {backend:?}"), fraction.is_some()),
        Effect::Freeze { backend, cause, on } => (cause, format!("freeze {backend:?}"), *on),
        Effect::Errors { backend, cause, law } => (cause, format!("errors {backend:?}"), law.is_some()),
        Effect::Cut { cause, side, mode } => (cause, format!("cut {side:?}"), mode.is_some()),
        Effect::Loss { cause, side, probability } => (cause, format!("loss {side:?}"), probability.is_some()),
        Effect::Surge { cause, factor } => (cause, "surge".to_owned(), factor.is_some()),
        Effect::DiscoveryOutage { cause, on } => (cause, "discovery".to_owned(), *on),
        Effect::Announce { cause, backends, what } => (cause, format!("announce {backends:?}"), what.is_some()),
        Effect::Down { .. } | Effect::Up { .. } | Effect::Drain { .. } | Effect::MoveHotKeys { .. } => return None,
    };
    Some((*cause, key, on))
}

#[test]
fn what_lasts_begins_once_and_ends_in_time() {
    each(|_, timeline| {
        let mut open: BTreeSet<(Cause, String)> = BTreeSet::new();
        for (at, effect) in &timeline.effects {
            let Some((cause, key, on)) = lasting(effect) else { continue };
            let span = &timeline.spans[cause.0 as usize];
            assert_eq!(span.cause, cause);
            assert!(*at >= span.from && span.until.is_none_or(|until| *at <= until), "{effect:?} at {at:?}: {span:?}");
            match on {
                true => assert!(open.insert((cause, key)), "{effect:?} begins twice"),
                false => assert!(open.remove(&(cause, key)), "{effect:?} ends what never began"),
            }
        }
        for (cause, key) in open {
            let span = &timeline.spans[cause.0 as usize];
            assert_eq!(span.until, None, "{key} never ends, but its fault does: {span:?}");
        }
    });
}

#[test]
fn departures_and_returns_alternate() {
    #[derive(Debug, PartialEq)]
    enum Life {
        Up,
        Draining(Instant),
        Down,
    }
    each(|_, timeline| {
        let mut lives: BTreeMap<BackendId, Life> = BTreeMap::new();
        for backend in fleet() {
            lives.insert(backend.id, if backend.initial { Life::Up } else { Life::Down });
        }
        for (at, effect) in &timeline.effects {
            let (backend, next) = match effect {
                Effect::Down { backend, .. } => (backend, Life::Down),
                Effect::Drain { backend, grace } => (backend, Life::Draining(later(*at, *grace))),
                Effect::Up { backend } => (backend, Life::Up),
                _ => continue,
            };
            let life = lives.get_mut(backend).unwrap();
            let allowed = match (&life, &next) {
                (Life::Up, Life::Up) | (Life::Down, Life::Down) => false,
                (Life::Up, _) => true,
                (Life::Draining(until), Life::Down) => at < until,
                (_, next) => *next == Life::Up,
            };
            assert!(allowed, "{effect:?} at {at:?} while {life:?}: {}", told(&timeline.effects));
            *life = next;
        }
    });
}

#[test]
fn whoever_goes_away_for_a_while_comes_back() {
    each(|rows, timeline| {
        // Without sizes that change and without faults for ever, all are there in the end.
        let for_ever = |row: &Row| row.schedule.lasts.is_none() && !row.spec.fault().ends_by_itself();
        let past = |span: &Span| span.until.is_none();
        if rows.iter().any(|row| for_ever(row) || resizes(row.spec.fault())) || timeline.spans.iter().any(past) {
            return;
        }
        let mut away = BTreeSet::new();
        for (_, effect) in &timeline.effects {
            match effect {
                Effect::Down { backend, .. } | Effect::Drain { backend, .. } => _ = away.insert(*backend),
                Effect::Up { backend } => _ = away.remove(backend),
                _ => {}
            }
        }
        assert_eq!(away, BTreeSet::new(), "{}", told(&timeline.effects));
    });
}

#[test]
fn the_same_seed_gives_the_same_timeline() {
    let mut rand = Seed::new(2).stream("plans");
    let mut differ = 0;
    for seed in 0..200 {
        let rows = plan(&mut rand);
        assert_eq!(unfold_rows(&rows, 120, seed), unfold_rows(&rows, 120, seed));
        differ += u32::from(unfold_rows(&rows, 120, seed) != unfold_rows(&rows, 120, seed + 1));
    }
    assert!(differ > 50, "{differ} of 200 plans draw something");
}

#[test]
fn a_longer_run_changes_nothing_before() {
    let mut rand = Seed::new(3).stream("plans");
    for seed in 0..200 {
        let rows = plan(&mut rand);
        let (short, mut long) = (unfold_rows(&rows, 90, seed), unfold_rows(&rows, 120, seed));
        // An occurrence that begins at the horizon is one of the longer run only.
        let end = Instant::ZERO + Duration::from_secs(90);
        long.effects.retain(|(at, _)| *at < end);
        let short: Vec<_> = short.effects.into_iter().filter(|(at, _)| *at < end).collect();
        assert_eq!(told(&short), told(&long.effects));
    }
}

#[test]
fn a_further_fault_moves_no_other() {
    let mut rand = Seed::new(4).stream("plans");
    for seed in 0..200 {
        let mut rows = plan(&mut rand);
        let before = unfold_rows(&rows, 120, seed);
        // It begins first, so that it comes before all others in every list.
        rows.push(row(r#"{"noisy_neighbour": {"quiet": "1s"}}"#, 0, 0, 0).pick(Pick::Random(3)));
        let mut after = unfold_rows(&rows, 120, seed);
        let own = |cause: Cause| after.spans[cause.0 as usize].fault == rows.len() - 1;
        after.effects.retain(|(_, effect)| lasting(effect).is_none_or(|(cause, ..)| !own(cause)));
        assert_eq!(told(&after.effects), told(&before.effects));
    }
}

/// A lone group of three, with a reserve.
fn lone_group(capacity: u32) -> Vec<TargetBackend> {
    let like = &fleet()[0];
    (0..capacity).map(|id| TargetBackend { id: BackendId(id), initial: id < 3, ..like.clone() }).collect()
}

fn resizing(row: &Row) -> Resizing<'_> {
    let groups: &[u32] = if row.candidates.is_empty() { &[] } else { &[0] };
    Resizing { fault: row.spec.fault(), schedule: row.schedule, groups }
}

#[test]
fn the_reserve_that_capacities_names_is_enough_and_needed() {
    let mut grown = 0;
    each(|rows, _| {
        let aimed = |row: &Row| {
            let candidates: Vec<BackendId> = row.candidates.iter().copied().filter(|id| id.0 < 3).collect();
            Row { spec: row.spec.clone(), candidates, ..*row }
        };
        let rows: Vec<Row> = rows.iter().map(aimed).collect();
        let faults: Vec<Resizing<'_>> = rows.iter().map(resizing).collect();
        let peak = capacities(&faults, &[3], Instant::ZERO + Duration::from_secs(120))[0];
        let with = |capacity| told(&unfold_over(&lone_group(capacity), &rows, 120, 1).effects);
        assert_eq!(with(peak), with(peak + 9));
        if peak > 3 {
            assert_ne!(with(peak - 1), with(peak));
            grown += 1;
        }
    });
    assert!(grown > 20, "{grown} plans that grow");
}
