//! Scripted endpoints and what the checker makes of them.

mod history;

use std::collections::BTreeMap;

use super::*;

/// A checker, and the answers that its endpoints give.
struct World {
    checker: ThreeState,
    now: Instant,
    /// Probes sent: when, to whom.
    sent: Vec<(u64, usize)>,
    /// Verdicts: when, on whom, what.
    verdicts: Vec<(u64, usize, Health)>,
    /// Answers on their way.
    answers: BTreeMap<(Instant, Probe), bool>,
}

/// What an endpoint does with a probe.
#[derive(Clone, Copy)]
enum Reply {
    /// Answers after this long, in milliseconds.
    After(u64, bool),
    /// Says nothing.
    Silence,
}

const MS: u64 = 1_000_000;

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * MS)
}

fn endpoint(slot: u32) -> EndpointId {
    EndpointId::new(slot, 0)
}

impl World {
    fn new(config: &Config, endpoints: u32) -> World {
        let mut checker = config.build(&Seed::new(7));
        let joined: Vec<EndpointId> = (0..endpoints).map(endpoint).collect();
        checker.on_endpoints(Instant::ZERO, &joined, &[]);
        World { checker, now: Instant::ZERO, sent: vec![], verdicts: vec![], answers: BTreeMap::new() }
    }

    /// One endpoint whose beats are 0, 5, 10 … s.
    fn lone(config: &Config) -> World {
        let mut world = World::new(config, 1);
        world.checker.watches[0].beat = Instant::ZERO;
        world.checker.agenda.set(0, Instant::ZERO);
        world
    }

    /// Lets time pass until `end`, in milliseconds; `reply` answers probes by (now in milliseconds, slot).
    fn run(&mut self, end: u64, mut reply: impl FnMut(u64, usize) -> Reply) {
        self.drain(&mut reply);
        while let Some(next) = self.next_event().filter(|next| *next <= at(end)) {
            self.now = next;
            match self.answers.first_key_value().filter(|((when, _), _)| *when <= next) {
                Some((&(when, probe), &ok)) => {
                    self.answers.remove(&(when, probe));
                    self.checker.on_probed(next, probe, ok);
                }
                None => self.checker.on_timeout(next),
            }
            self.drain(&mut reply);
        }
        self.now = at(end);
    }

    fn next_event(&self) -> Option<Instant> {
        let answer = self.answers.first_key_value().map(|((when, _), _)| *when);
        [answer, self.checker.next_timeout()].into_iter().flatten().min()
    }

    fn drain(&mut self, reply: &mut impl FnMut(u64, usize) -> Reply) {
        let ms = self.now.as_nanos() / MS;
        while let Some(probe) = self.checker.poll_probe() {
            self.sent.push((ms, probe.endpoint.slot()));
            if let Reply::After(delay, ok) = reply(ms, probe.endpoint.slot()) {
                self.answers.insert((self.now + Duration::from_millis(delay), probe), ok);
            }
        }
        while let Some((id, health)) = self.checker.poll_verdict() {
            self.verdicts.push((ms, id.slot(), health));
        }
    }

    fn sent_at(&self) -> Vec<u64> {
        self.sent.iter().map(|sent| sent.0).collect()
    }

    fn verdicts_at(&self) -> Vec<(u64, Health)> {
        self.verdicts.iter().map(|(ms, _, health)| (*ms, *health)).collect()
    }
}

/// Serves in every stretch `from..to` of milliseconds, silent elsewhere.
fn serving(stretches: &'static [(u64, u64)]) -> impl FnMut(u64, usize) -> Reply {
    move |ms, _| match stretches.iter().any(|(from, to)| (*from..*to).contains(&ms)) {
        true => Reply::After(1, true),
        false => Reply::Silence,
    }
}

use Health::{Failed, Healthy, Suspect};

#[test]
fn dies_just_after_a_probe() {
    let mut world = World::lone(&Config::default());
    world.run(26_000, serving(&[(0, 1)]));
    assert_eq!(world.verdicts_at(), [(8_000, Suspect), (14_000, Failed)]);
    assert_eq!(world.sent_at(), [0, 5_000, 8_000, 11_000, 15_000, 20_000, 25_000], "then back to the beat");
}

#[test]
fn detection_takes_three_timeouts_and_at_most_an_interval_more() {
    for death in (0..5_000).step_by(50) {
        let mut world = World::lone(&Config::default());
        world.run(40_000, |ms, _| if ms < 10_000 + death { Reply::After(0, true) } else { Reply::Silence });
        let (failed, _) = *world.verdicts_at().last().unwrap();
        let took = failed - (10_000 + death);
        assert!((9_000..=14_000).contains(&took), "dead at +{death} ms, failed after {took} ms");
    }
}

#[test]
fn one_answer_clears_a_suspect() {
    let mut world = World::lone(&Config::default());
    world.run(22_000, serving(&[(0, 1), (11_000, 60_000)]));
    assert_eq!(world.verdicts_at(), [(8_000, Suspect), (11_001, Healthy)]);
    assert_eq!(world.sent_at(), [0, 5_000, 8_000, 11_000, 15_000, 20_000]);
    assert_eq!(world.checker.watches[0].misses, 0, "misses are counted from scratch");
}

#[test]
fn recovery_takes_one_further_answer() {
    let mut world = World::lone(&Config::default());
    world.run(31_000, serving(&[(0, 1), (20_000, 60_000)]));
    assert_eq!(world.verdicts_at(), [(8_000, Suspect), (14_000, Failed), (20_002, Healthy)]);
    assert_eq!(world.sent_at()[4..], [15_000, 20_000, 20_001, 25_000, 30_000]);
}

#[test]
fn recovery_starts_over_after_a_miss() {
    let config = Config { recover_successes: 2, ..Config::default() };
    let mut world = World::lone(&config);
    // Answers twice at 20 s, misses the third question; at 25 s it is asked three times again.
    world.run(31_000, serving(&[(0, 1), (20_000, 20_002), (25_000, 60_000)]));
    assert_eq!(world.verdicts_at(), [(8_000, Suspect), (14_000, Failed), (25_003, Healthy)]);
    assert_eq!(world.sent_at()[5..], [20_000, 20_001, 20_002, 25_000, 25_001, 25_002, 30_000]);
}

#[test]
fn without_further_answers_the_first_is_enough() {
    let mut world = World::lone(&Config { recover_successes: 0, ..Config::default() });
    world.run(21_000, serving(&[(0, 1), (20_000, 60_000)]));
    assert_eq!(world.verdicts_at().last(), Some(&(20_001, Healthy)));
}

#[test]
fn a_refusal_is_a_miss_at_once() {
    let mut world = World::lone(&Config::default());
    world.run(11_000, |ms, _| Reply::After(1, ms < 5_000));
    assert_eq!(world.verdicts_at(), [(5_001, Suspect), (5_003, Failed)]);
    assert_eq!(world.sent_at(), [0, 5_000, 5_001, 5_002, 10_000]);
}

#[test]
fn one_miss_is_enough_when_so_configured() {
    let mut world = World::lone(&Config { misses: 1, ..Config::default() });
    world.run(9_000, serving(&[(0, 1)]));
    assert_eq!(world.verdicts_at(), [(8_000, Failed)], "without a stop at suspect");
}

#[test]
fn a_flapping_endpoint_flaps() {
    let mut world = World::lone(&Config::default());
    // Every other regular probe is lost.
    world.run(60_000, |ms, _| if ms % 10_000 == 5_000 { Reply::Silence } else { Reply::After(1, true) });
    let expected: Vec<(u64, Health)> =
        (0..6).flat_map(|k| [(k * 10_000 + 8_000, Suspect), (k * 10_000 + 8_001, Healthy)]).collect();
    assert_eq!(world.verdicts_at(), expected);
}

#[test]
fn beats_that_fall_into_an_open_probe_are_skipped() {
    let config =
        Config { interval: Duration::from_secs(2), timeout: Duration::from_secs(5), misses: 1, ..Config::default() };
    let mut world = World::lone(&config);
    world.run(19_000, |_, _| Reply::Silence);
    assert_eq!(world.sent_at(), [0, 6_000, 12_000, 18_000]);
    // An interval that equals the timeout wastes no beat.
    let mut world = World::lone(&Config { interval: Duration::from_secs(5), ..config });
    world.run(11_000, |_, _| Reply::Silence);
    assert_eq!(world.sent_at(), [0, 5_000, 10_000]);
}

#[test]
fn an_answer_to_a_probe_that_was_given_up_is_ignored() {
    let mut world = World::lone(&Config::default());
    // The probe at 5 s is answered after 4 s: too late, and its answer must not stand for the probe at 8 s.
    world.run(30_000, |ms, _| match ms {
        0 => Reply::After(1, true),
        5_000 => Reply::After(4_000, true),
        _ => Reply::Silence,
    });
    assert_eq!(world.verdicts_at(), [(8_000, Suspect), (14_000, Failed)]);
}

#[test]
fn an_answer_counts_once() {
    let mut world = World::lone(&Config::default());
    let mut checker = world.checker;
    checker.on_timeout(at(0));
    let probe = checker.poll_probe().unwrap();
    checker.on_probed(at(1), probe, true);
    checker.on_probed(at(2), probe, false);
    assert_eq!((checker.poll_verdict(), checker.health(endpoint(0))), (None, Some(Healthy)));
    world = World::lone(&Config::default());
    world.checker.on_probed(at(2), Probe { endpoint: endpoint(9), number: 1 }, true);
    assert_eq!(world.checker.poll_verdict(), None);
}

#[test]
fn whoever_leaves_is_forgotten() {
    let mut checker = World::lone(&Config::default()).checker;
    checker.on_timeout(at(0));
    let probe = checker.poll_probe().unwrap();
    checker.on_probed(at(1), probe, false);
    // A verdict and a probe wait to be taken when it leaves.
    checker.on_endpoints(at(1), &[], &[endpoint(0)]);
    assert_eq!((checker.poll_probe(), checker.poll_verdict(), checker.next_timeout()), (None, None, None));
    checker.on_probed(at(2), probe, true);
    // Its place is given to another, who is healthy whatever the first one did.
    let other = EndpointId::new(0, 1);
    checker.on_endpoints(at(3), &[other], &[endpoint(0)]);
    checker.on_probed(at(4), probe, false);
    checker.on_probed(at(4), Probe { endpoint: endpoint(0), number: 2 }, false);
    assert_eq!((checker.poll_verdict(), checker.health(other)), (None, Some(Healthy)));
    assert_eq!(checker.health(endpoint(0)), None);
}

#[test]
fn beats_are_spread_over_the_interval() {
    let mut world = World::new(&Config::default(), 200);
    world.run(4_999, |_, _| Reply::After(1, true));
    assert_eq!(world.sent.len(), 200, "each once an interval");
    for second in 0..5 {
        let probes = world.sent.iter().filter(|sent| sent.0 / 1_000 == second).count();
        assert!((20..=60).contains(&probes), "{probes} of 200 probes in second {second}");
    }
}

#[test]
fn a_joining_endpoint_takes_one_draw() {
    let config = Config::default();
    let mut checker = config.build(&Seed::new(3));
    checker.on_endpoints(at(0), &[endpoint(0), endpoint(1)], &[]);
    checker.on_endpoints(at(0), &[endpoint(1)], &[]);
    checker.on_timeout(at(60_000));
    checker.on_endpoints(at(60_000), &[endpoint(2)], &[]);
    let mut rand = Seed::new(3).stream("three_state");
    let drawn: Vec<u64> = (0..3).map(|_| rand.below(config.interval.as_nanos())).collect();
    assert_eq!(checker.watches[2].beat, at(60_000) + Duration::from_nanos(drawn[2]));
}

#[test]
fn waking_early_or_twice_changes_nothing() {
    let quiet = history(false);
    assert!(quiet.1.len() > 50, "{} verdicts", quiet.1.len());
    assert_eq!(history(true), quiet);
}

/// What eight endpoints with moods of their own do in ten minutes.
type History = (Vec<(u64, usize)>, Vec<(u64, usize, Health)>);

fn history(restless: bool) -> History {
    let mut world = World::new(&Config::default(), 8);
    let mut rand = Seed::new(5).stream("moods");
    for step in 1..=600 {
        if restless {
            world.checker.on_timeout(world.now);
            world.checker.on_timeout(world.now);
        }
        world.run(step * 1_000, |_, _| match rand.below(4) {
            0 => Reply::After(5, false),
            1 => Reply::Silence,
            _ => Reply::After(20, true),
        });
    }
    (world.sent, world.verdicts)
}

#[test]
fn parameters_without_sense_are_refused() {
    for wrong in [r#"{ "interval": "0s" }"#, r#"{ "timeout": "0s" }"#, r#"{ "misses": 0 }"#] {
        serde_json::from_str::<Config>(wrong).expect_err(wrong);
    }
    let one = serde_json::from_str::<Config>(r#"{ "misses": 1 }"#).unwrap();
    assert_eq!(one, Config { misses: 1, ..Config::default() });
}
