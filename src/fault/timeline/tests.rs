//! Whole plans, and what becomes of them.

mod properties;

use super::*;
use crate::fault::catalog::Spec;
use crate::fault::testing::{REGIONS, fleet, told, zone};

/// A fault of a test plan: what stands in the file, and the schedule in seconds.
pub struct Row {
    pub spec: Spec,
    pub schedule: Schedule,
    pub candidates: Vec<BackendId>,
    pub pick: Pick,
}

/// `at`, `for` and `every` in seconds, 0 for none; aimed at all of the fleet.
pub fn row(json: &str, at: u64, lasts: u64, every: u64) -> Row {
    let seconds = |s: u64| (s > 0).then(|| Duration::from_secs(s));
    Row {
        spec: serde_json::from_str(json).unwrap(),
        schedule: Schedule { at: Duration::from_secs(at), lasts: seconds(lasts), every: seconds(every) },
        candidates: (0..8).map(BackendId).collect(),
        pick: Pick::All,
    }
}

impl Row {
    fn planned(&self) -> Planned<'_> {
        let Row { spec, schedule, candidates, pick } = self;
        Planned { fault: spec.fault(), schedule: *schedule, candidates, pick: *pick }
    }

    /// Aimed at these.
    fn on(self, candidates: &[u32]) -> Row {
        Row { candidates: candidates.iter().map(|id| BackendId(*id)).collect(), ..self }
    }

    fn pick(self, pick: Pick) -> Row {
        Row { pick, ..self }
    }
}

/// Unfolds a plan over the test fleet until `horizon`, in seconds.
pub fn unfold_rows(rows: &[Row], horizon: u64, seed: u64) -> Timeline {
    unfold_over(&fleet(), rows, horizon, seed)
}

/// Unfolds a plan over a fleet.
pub fn unfold_over(all: &[TargetBackend], rows: &[Row], horizon: u64, seed: u64) -> Timeline {
    let faults: Vec<Planned<'_>> = rows.iter().map(Row::planned).collect();
    let horizon = Instant::ZERO + Duration::from_secs(horizon);
    unfold(&faults, &Fleet { all, zone: &zone, regions: &REGIONS, horizon }, &Seed::new(seed))
}

#[track_caller]
fn check(rows: &[Row], horizon: u64, expected: &str) {
    assert_eq!(told(&unfold_rows(rows, horizon, 1).effects), expected);
}

#[test]
fn occurrences_come_again_and_stack() {
    let slow = row(r#"{"slow": {"factor": 2}}"#, 10, 15, 10).on(&[1]);
    check(&[slow], 40, "10 slow 1 ×2, 20 slow 1 ×2, 25 slow 1 off, 30 slow 1 ×2, 35 slow 1 off");
    let timeline = unfold_rows(&[row(r#"{"slow": {"factor": 2}}"#, 10, 15, 10).on(&[1])], 40, 1);
    let causes: Vec<u32> = timeline
        .effects
        .iter()
        .map(|(_, effect)| match effect {
            Effect::Slow { cause, .. } => cause.0,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(causes, [0, 1, 0, 2, 1], "each ends what it began");
}

#[test]
fn nothing_happens_after_the_horizon() {
    let crash = |at, lasts| row(r#""crash""#, at, lasts, 0).on(&[0]);
    check(&[crash(10, 10)], 20, "10 down 0 loud, 20 up 0");
    check(&[crash(10, 11)], 20, "10 down 0 loud");
    check(&[crash(20, 5)], 20, "");
}

#[test]
fn absences_that_overlap_are_one() {
    let crash = |at, lasts| row(r#""crash""#, at, lasts, 0).on(&[0]);
    check(&[crash(10, 30), crash(20, 5)], 60, "10 down 0 loud, 40 up 0");
    check(&[crash(10, 20), crash(20, 20)], 60, "10 down 0 loud, 40 up 0");
    check(&[crash(10, 0), crash(20, 5)], 60, "10 down 0 loud");
    check(&[crash(10, 10), crash(20, 10)], 60, "10 down 0 loud, 20 up 0, 20 down 0 loud, 30 up 0");
}

#[test]
fn whoever_says_goodbye_can_still_die() {
    let restart = || row(r#"{"restart": {"drain": true, "down": "20s", "grace": "8s"}}"#, 10, 0, 0).on(&[0]);
    let kill = |at| row(r#""kill""#, at, 30, 0).on(&[0]);
    check(&[restart(), kill(15)], 60, "10 drain 0 in 8s, 15 down 0 silent, 45 up 0");
    check(&[restart(), kill(18)], 60, "10 drain 0 in 8s, 48 up 0");
    check(&[kill(5), restart()], 60, "5 down 0 silent, 35 up 0");
    // Counted out, taken away, counted in again: it is still in its first goodbye when it is killed.
    let remove = row(r#"{"scale": {"remove": 1}}"#, 10, 5, 0).on(&[0]);
    let restart = row(r#"{"restart": {"drain": true, "down": "20s", "stagger": "3s"}}"#, 9, 0, 0).on(&[1, 2]);
    let kill = row(r#""kill""#, 20, 30, 0).on(&[2]);
    check(&[remove, restart, kill], 60, "9 drain 1 in 20s, 10 drain 2 in 30s, 20 down 2 silent, 29 up 1, 50 up 2");
}

#[test]
fn sizes_and_absences_are_apart() {
    let add = || row(r#"{"scale": {"add": 1}}"#, 10, 30, 0).on(&[0]);
    let crash = |at, lasts, id| row(r#""crash""#, at, lasts, 0).on(&[id]);
    check(&[add()], 60, "10 up 3, 40 drain 3 in 30s");
    check(&[add(), crash(35, 10, 3)], 60, "10 up 3, 35 down 3 loud");
    check(&[add(), crash(20, 10, 3)], 60, "10 up 3, 20 down 3 loud, 30 up 3, 40 drain 3 in 30s");
    check(&[crash(5, 10, 3)], 60, "");
    let remove = row(r#"{"scale": {"remove": 1, "grace": "1s"}}"#, 10, 30, 0).on(&[0]);
    check(&[remove, crash(5, 10, 2)], 60, "5 down 2 loud, 40 up 2");
}

#[test]
fn sizes_add_up() {
    let scale = |json: &str, at, lasts| row(json, at, lasts, 0).on(&[0]);
    let add = scale(r#"{"scale": {"add": 2}}"#, 10, 30);
    let to = scale(r#"{"scale": {"to": 4}}"#, 20, 0);
    check(&[add, to], 60, "10 up 3, 10 up 4, 20 drain 4 in 30s, 40 drain 3 in 30s, 40 drain 2 in 30s");
    let add = |at| scale(r#"{"scale": {"add": 1}}"#, at, 0);
    check(&[add(10), add(20), add(30)], 60, "10 up 3, 20 up 4");
    // What the reserve does not have is not counted either.
    let to = scale(r#"{"scale": {"to": 9}}"#, 10, 0);
    let remove = scale(r#"{"scale": {"remove": 2}}"#, 20, 0);
    let kill = row(r#""kill""#, 30, 0, 0).on(&[2, 3, 4]);
    check(&[to, remove, kill], 60, "10 up 3, 10 up 4, 20 drain 4 in 30s, 20 drain 3 in 30s, 30 down 2 silent");
}

#[test]
fn targets_are_those_that_the_sizes_count_in() {
    let crash = || row(r#""crash""#, 20, 0, 0);
    check(&[crash()], 60, "20 down 0 loud, 20 down 1 loud, 20 down 2 loud, 20 down 5 loud, 20 down 6 loud");
    let add = row(r#"{"scale": {"to": 4}}"#, 20, 0, 0).on(&[0]);
    check(&[add, crash().on(&[2, 3, 4])], 60, "20 up 3, 20 down 2 loud, 20 down 3 loud");
}

#[test]
fn a_count_is_the_first_of_the_list() {
    check(&[row(r#""kill""#, 20, 0, 0).on(&[1, 2, 5]).pick(Pick::Count(2))], 60, "20 down 1 silent, 20 down 2 silent");
    let targets =
        |count| unfold_rows(&[row(r#""hang""#, 20, 0, 0).pick(Pick::Count(count))], 60, 1).spans[0].backends.len();
    assert_eq!([targets(0), targets(5), targets(99)], [0, 5, 5]);
}

#[test]
fn a_share_is_drawn_anew_each_time() {
    let rows = [row(r#""crash""#, 10, 5, 10).pick(Pick::Random(2))];
    let timeline = unfold_rows(&rows, 2_000, 3);
    let mut hits = [0; 8];
    for span in &timeline.spans {
        let [a, b] = span.backends[..] else { panic!("{span:?}") };
        assert!(a < b);
        hits[a.index()] += 1;
        hits[b.index()] += 1;
    }
    assert_eq!(timeline.spans.len(), 199);
    assert_eq!([hits[3], hits[4], hits[7]], [0; 3], "those in reserve are not there");
    // 398 hits over five: 80 each, give or take 4 standard deviations.
    assert!([0, 1, 2, 5, 6].iter().all(|id| (52..=108).contains(&hits[*id])), "{hits:?}");
}

#[test]
fn spans_tell_what_a_reader_asks() {
    let rows = [
        row(r#"{"partition": {"zone": "north"}}"#, 30, 10, 0),
        row(r#"{"restart": {"down": "5s", "stagger": "1s"}}"#, 10, 99, 0).on(&[0, 5]),
        row(r#"{"surge": {"factor": 5}}"#, 20, 99, 0),
        row(r#""move_hot_keys""#, 40, 0, 0),
    ];
    let spans = unfold_rows(&rows, 60, 1).spans;
    let told: Vec<String> = spans
        .iter()
        .map(|span| {
            let ids: Vec<u32> = span.backends.iter().map(|id| id.0).collect();
            let until = span.until.map(|until| until.since(Instant::ZERO).to_string());
            let from = span.from.since(Instant::ZERO);
            format!(
                "{} {from}-{} {} {ids:?} {}",
                span.fault,
                until.unwrap_or_default(),
                span.label,
                span.affects_backends
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "1 10s-16s staggered restart [0, 5] false",
            "2 20s- surge ×5 [] false",
            "0 30s-40s partition north [0, 1, 2] true",
            "3 40s-40s 10 hottest keys move [] false",
        ]
    );
}

#[test]
fn what_ends_by_itself_takes_no_for() {
    let restart = |lasts| unfold_rows(&[row(r#""restart""#, 10, lasts, 0)], 60, 1);
    assert_eq!(restart(2), restart(0));
    check(&[row(r#"{"pause": {"length": "5s"}}"#, 10, 2, 0).on(&[0])], 60, "10 freeze 0, 15 thaw 0");
}
