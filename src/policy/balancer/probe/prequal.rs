//! Probes sent with earlier calls tell how many are in flight at a few servers and how long a call takes there; of those
//! that are not crowded the fastest takes the call.
//!
//! Origin: Wydrowski, Kleinberg, Rumble, Archer, *Load is not what you should balance: Introducing Prequal*, NSDI 2024,
//! §4 (arXiv 2312.10172): hot-cold lexicographic rule, asynchronous probes with a pool, and the synchronous mode.
//! Observes: requests in flight and estimated latency from answers to its own probes; outcomes, against servers that
//! fail fast. Not weights, not its own open calls.
//! Cost: O(pool) a pick, and `probes` messages a call.
//! Draws: one for each probe and one for each answer; one more a pick while the pool is too small.
//! Fails when: a probe's way takes as long as a call; answering costs what it saves; calls are so rare that the pool is
//! always old; many clients learn of one idle server at the same time.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::base::bounds::above_zero as some_time;
use crate::base::id::EndpointId;
use crate::base::quantity::Ratio;
use crate::base::rand::{Bits, Chance, Rand};
use crate::base::slots::Slots;
use crate::base::status::{Cause, Outcome};
use crate::base::time::{Duration, Instant};
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::members::follow;
use crate::policy::balancer::read::{above_zero, one_or_more, share};
use crate::policy::balancer::{Balancer, Endpoints, Feedback, LoadReport, Pick, Request, Want};

/// Parameters of `prequal`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// When the probes that decide about a call are sent.
    pub mode: Mode,
    /// Answers that are kept, 1 or more.
    #[serde(deserialize_with = "one_or_more")]
    pub pool: u32,
    /// Probes sent with each call; 1.5 is one and two by turns.
    #[serde(deserialize_with = "above_zero")]
    pub probes: f64,
    /// Answers dropped with each call, by turns the oldest and the worst.
    #[serde(deserialize_with = "not_negative")]
    pub removals: f64,
    /// How much faster than it is used up the pool is filled, 0 and above: with it grows how often an answer is used.
    #[serde(deserialize_with = "not_negative")]
    pub delta: f64,
    /// Answers older than this are dropped.
    #[serde(deserialize_with = "some_time")]
    pub probe_age: Duration,
    /// A server with more calls in flight than this share of the answers of late is hot, 0 to 1.
    #[serde(deserialize_with = "share")]
    #[schemars(with = "Ratio")]
    pub q_rif: f64,
    /// An answer that takes longer is not used.
    #[serde(deserialize_with = "some_time")]
    pub probe_timeout: Duration,
    /// With fewer answers in the pool a call goes to any.
    pub min_pool: u32,
    /// A client without calls probes this often.
    #[serde(deserialize_with = "some_time")]
    pub max_idle: Duration,
    /// How much a server that fails is avoided: what it says counts `1 / success^aversion` times. 0: not at all.
    #[serde(deserialize_with = "not_negative")]
    pub error_aversion: f64,
    /// Synchronous mode: probes for each call, 2 or more; the call waits for all but one.
    #[serde(deserialize_with = "two_or_more")]
    pub sync_probes: u32,
}

/// When probes are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// With earlier calls: no call waits for an answer.
    #[default]
    Async,
    /// With the call itself, which waits for their answers, `probe_timeout` at most.
    Sync,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            mode: Mode::Async,
            pool: 16,
            probes: 3.0,
            removals: 1.0,
            delta: 1.0,
            probe_age: Duration::from_secs(1),
            // 2^-0.25.
            q_rif: 0.840_896_415_253_714_5,
            probe_timeout: Duration::from_millis(3),
            min_pool: 2,
            max_idle: Duration::from_secs(1),
            error_aversion: 1.0,
            sync_probes: 3,
        }
    }
}

fn not_negative<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let number = f64::deserialize(deserializer)?;
    if number >= 0.0 && number.is_finite() {
        return Ok(number);
    }
    Err(serde::de::Error::custom(format_args!("a number of 0 or more is needed, not {number}")))
}

fn two_or_more<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let number = u32::deserialize(deserializer)?;
    if (2..=64).contains(&number) {
        return Ok(number);
    }
    Err(serde::de::Error::custom(format_args!("2 to 64 probes are needed, not {number}")))
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        Box::new(Prequal {
            config: self.clone(),
            rand: context.seed.stream("prequal"),
            pool: VecDeque::new(),
            seen: VecDeque::new(),
            sorted: vec![],
            asked: vec![],
            success: Slots::new(),
            probes_owed: 0.0,
            removals_owed: 0.0,
            oldest_next: true,
            wants: VecDeque::new(),
            idle_at: None,
            asking: VecDeque::new(),
        })
    }

    /// How often an answer is used among `n` servers, before it is rounded (§4, "probe reuse").
    fn reuse(&self, n: usize) -> f64 {
        let pool = f64::from(self.pool);
        let surplus = (1.0 - pool / n as f64) * self.probes - self.removals;
        // A small fleet is asked less than the formula expects. The paper leaves it open; more often than the pool is
        // large an answer is never used.
        if surplus <= 0.0 { pool } else { ((1.0 + self.delta) / surplus).clamp(1.0, pool) }
    }
}

/// What a server answered.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Answer {
    endpoint: EndpointId,
    /// Requests in flight, with those that were sent since.
    rif: f64,
    /// Nanoseconds; 0 where the server does not know.
    latency: f64,
    at: Instant,
    uses: u32,
}

/// A call that waits for the answers to its own probes.
#[derive(Debug)]
struct Asking {
    call: (u64, u32),
    asked: Vec<EndpointId>,
    answers: Vec<Answer>,
    /// It waits until here, and no longer once this has passed.
    until: Instant,
    due: bool,
}

#[derive(Debug)]
struct Prequal {
    config: Config,
    rand: Rand,
    /// The oldest first.
    pool: VecDeque<Answer>,
    /// Requests in flight of late, from all answers.
    seen: VecDeque<u32>,
    /// The same in order, and who is asked by one call: kept for their memory.
    sorted: Vec<u32>,
    asked: Vec<EndpointId>,
    /// Share of good answers, an average.
    success: Slots<f64>,
    probes_owed: f64,
    removals_owed: f64,
    /// Whether the next removal takes the oldest or the worst.
    oldest_next: bool,
    wants: VecDeque<Want>,
    /// When it probes although nobody calls.
    idle_at: Option<Instant>,
    /// Calls of the synchronous mode, the oldest first.
    asking: VecDeque<Asking>,
}

impl Prequal {
    /// Asks so many of those that are ready, each once, and notes whom.
    fn probe(&mut self, n: usize, endpoints: &Endpoints<'_>) {
        let ready = endpoints.ready;
        self.asked.clear();
        while self.asked.len() < n.min(ready.len()) {
            // One draw for each: whoever was asked already passes the probe on to the next in the list.
            let mut at = self.rand.below(ready.len() as u64) as usize;
            while self.asked.contains(&ready[at]) {
                at = (at + 1) % ready.len();
            }
            self.asked.push(ready[at]);
        }
        self.wants.extend(self.asked.iter().map(|id| Want::Probe(*id)));
    }

    /// The boundary between cold and hot: a quantile of the requests in flight seen of late.
    fn threshold(&mut self) -> f64 {
        self.sorted.clear();
        self.sorted.extend(&self.seen);
        self.sorted.sort_unstable();
        let rank = (self.config.q_rif * self.sorted.len() as f64).ceil().max(1.0) as usize - 1;
        self.sorted.get(rank).map_or(f64::INFINITY, |rif| f64::from(*rif))
    }

    /// How many times what a server says counts, because it fails (§4, "sinkholing").
    fn aversion(&self, endpoint: EndpointId) -> f64 {
        let success = self.success.get(endpoint).copied().unwrap_or(1.0);
        if success == 1.0 || self.config.error_aversion == 0.0 {
            return 1.0;
        }
        crate::base::math::pow(success.max(LEAST_SUCCESS), -self.config.error_aversion)
    }

    fn answer(&mut self, now: Instant, endpoint: EndpointId, load: &LoadReport, endpoints: &Endpoints<'_>) -> Answer {
        let latency = load.latency.map_or(0.0, |latency| latency.as_nanos() as f64);
        self.seen.push_back(load.in_flight);
        if self.seen.len() > SEEN {
            self.seen.pop_front();
        }
        let reuse = self.config.reuse(endpoints.ready.len());
        let more = self.rand.chance(Chance::new(reuse.fract()));
        Answer { endpoint, rif: f64::from(load.in_flight), latency, at: now, uses: reuse as u32 + u32::from(more) }
    }

    fn keep(&mut self, answer: Answer) {
        // Of one server the newest counts.
        self.pool.retain(|other| other.endpoint != answer.endpoint);
        self.pool.push_back(answer);
        if self.pool.len() > self.config.pool as usize {
            self.pool.pop_front();
        }
    }

    fn take(&mut self, now: Instant, endpoints: &Endpoints<'_>) -> EndpointId {
        let age = self.config.probe_age;
        self.pool.retain(|answer| now.since(answer.at) <= age && endpoints.is_ready(answer.endpoint));
        if self.pool.len() < (self.config.min_pool as usize).max(1) {
            return endpoints.ready[self.rand.below(endpoints.ready.len() as u64) as usize];
        }
        let threshold = self.threshold();
        let place = best(self.pool.iter(), threshold, |id| self.aversion(id)).unwrap_or(0);
        let answer = &mut self.pool[place];
        let chosen = answer.endpoint;
        answer.rif += 1.0;
        answer.uses -= 1;
        if answer.uses == 0 {
            self.pool.remove(place);
        }
        chosen
    }

    fn remove_some(&mut self) {
        self.removals_owed += self.config.removals;
        while self.removals_owed >= 1.0 {
            self.removals_owed -= 1.0;
            if self.oldest_next {
                self.pool.pop_front();
            } else {
                let threshold = self.threshold();
                if let Some(place) = worst(self.pool.iter(), threshold) {
                    self.pool.remove(place);
                }
            }
            self.oldest_next = !self.oldest_next;
        }
    }

    fn pick_async(&mut self, now: Instant, endpoints: &Endpoints<'_>) -> Pick {
        self.idle_at = Some(now + self.config.max_idle);
        self.probes_owed += self.config.probes;
        let n = self.probes_owed as usize;
        self.probes_owed -= n as f64;
        self.probe(n, endpoints);
        let chosen = self.take(now, endpoints);
        self.remove_some();
        Pick::To(chosen)
    }

    fn pick_sync(&mut self, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        let call = (request.random, request.attempt);
        let Some(place) = self.asking.iter().position(|asking| asking.call == call) else {
            self.probe(self.config.sync_probes as usize, endpoints);
            let asked = self.asked.clone();
            let until = now + self.config.probe_timeout;
            self.asking.push_back(Asking { call, asked, answers: vec![], until, due: false });
            return Pick::Queue;
        };
        let asking = &self.asking[place];
        if asking.answers.len() + 1 < asking.asked.len() && !asking.due {
            return Pick::Queue;
        }
        let threshold = self.threshold();
        let ready = self.asking[place].answers.iter().filter(|answer| endpoints.is_ready(answer.endpoint));
        let ready: Vec<Answer> = ready.copied().collect();
        let chosen = best(ready.iter(), threshold, |id| self.aversion(id)).map(|place| ready[place].endpoint);
        self.asking.remove(place);
        Pick::To(match chosen {
            Some(chosen) => chosen,
            None => endpoints.ready[self.rand.below(endpoints.ready.len() as u64) as usize],
        })
    }

    fn on_answer(&mut self, answer: Answer) {
        if self.config.mode == Mode::Async {
            return self.keep(answer);
        }
        let has_asked = |asking: &&mut Asking| {
            asking.asked.contains(&answer.endpoint)
                && asking.answers.iter().all(|other| other.endpoint != answer.endpoint)
        };
        if let Some(asking) = self.asking.iter_mut().find(has_asked) {
            asking.answers.push(answer);
            if asking.answers.len() + 1 == asking.asked.len() {
                self.wants.push_back(Want::PickAgain);
            }
        }
    }

    fn note(&mut self, endpoint: EndpointId, outcome: Outcome) {
        let good = match outcome {
            Ok(()) => 1.0,
            Err(failure) if failure.cause == Cause::Cancelled => return,
            Err(_) => 0.0,
        };
        if let Some(success) = self.success.get_mut(endpoint) {
            *success = if good == 1.0 && *success > ALL_GOOD { 1.0 } else { *success + STEP * (good - *success) };
        }
    }
}

/// The hot-cold lexicographic rule: of those with no more in flight than `threshold` the fastest, or if all have more the
/// one with the fewest. The first among equals.
fn best<'a>(
    answers: impl Iterator<Item = &'a Answer>,
    threshold: f64,
    aversion: impl Fn(EndpointId) -> f64,
) -> Option<usize> {
    let key = |answer: &Answer| {
        let aversion = aversion(answer.endpoint);
        let rif = if aversion > 1.0 { (answer.rif + 1.0) * aversion } else { answer.rif };
        // One that fails without ever taking time must not look fastest of all.
        let latency = if aversion > 1.0 { answer.latency.max(1e6) * aversion } else { answer.latency };
        if rif > threshold { (true, rif) } else { (false, latency) }
    };
    let keyed = answers.map(key).enumerate();
    keyed.min_by(|(_, a), (_, b)| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))).map(|(place, _)| place)
}

/// If any is hot the one with the most in flight, else the slowest.
fn worst<'a>(answers: impl Iterator<Item = &'a Answer>, threshold: f64) -> Option<usize> {
    let key = |answer: &Answer| {
        if answer.rif > threshold { (true, answer.rif) } else { (false, answer.latency) }
    };
    let keyed = answers.map(key).enumerate();
    keyed.max_by(|(_, a), (_, b)| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))).map(|(place, _)| place)
}

impl Balancer for Prequal {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        follow(&mut self.success, endpoints, |_| 1.0);
        self.pool.retain(|answer| endpoints.is_ready(answer.endpoint));
        self.wants.retain(|want| !matches!(want, Want::Probe(id) if !endpoints.is_ready(*id)));
        self.idle_at = match self.idle_at {
            _ if endpoints.ready.len() < 2 || self.config.mode == Mode::Sync => None,
            Some(at) => Some(at),
            None => Some(now + self.config.max_idle),
        };
    }

    fn pick(&mut self, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match endpoints.ready {
            [] => Pick::nobody(endpoints),
            [only] => Pick::To(*only),
            _ if self.config.mode == Mode::Sync => self.pick_sync(now, request, endpoints),
            _ => self.pick_async(now, endpoints),
        }
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, endpoints: &Endpoints<'_>) {
        match *feedback {
            Feedback::Done { endpoint, outcome, .. } => self.note(endpoint, outcome),
            Feedback::Probed { endpoint, took, ok: true, load: Some(load) }
                if took <= self.config.probe_timeout && endpoints.is_ready(endpoint) =>
            {
                let answer = self.answer(now, endpoint, load, endpoints);
                self.on_answer(answer);
            }
            _ => {}
        }
    }

    fn poll_want(&mut self) -> Option<Want> {
        self.wants.pop_front()
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.asking.iter().map(|asking| asking.until).chain(self.idle_at).min()
    }

    fn on_timeout(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        if self.idle_at.is_some_and(|at| at <= now) {
            self.idle_at = Some(now + self.config.max_idle);
            self.probe(self.config.probes.ceil() as usize, endpoints);
        }
        // Whoever still waits is asked for now and decides with what has come. A call that has ended meanwhile is never
        // asked for again, and forgotten after as long once more.
        self.asking.retain(|asking| !asking.due || asking.until > now);
        for asking in self.asking.iter_mut().filter(|asking| asking.until <= now) {
            asking.due = true;
            asking.until = now + self.config.probe_timeout;
            self.wants.push_back(Want::PickAgain);
        }
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        self.pool.iter().for_each(|answer| visit("rif", answer.endpoint, answer.rif));
    }
}

/// Answers that the boundary between cold and hot is drawn from. The paper leaves it open.
const SEEN: usize = 128;
/// How much one outcome moves the share of good ones.
const STEP: f64 = 0.1;
/// Above this share a good answer clears a server's name.
const ALL_GOOD: f64 = 0.999;
/// A share below this counts as this.
const LEAST_SUCCESS: f64 = 0.01;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::status::Failure;
    use crate::policy::balancer::testing::World;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn answers_are_used_as_often_as_the_formula_says() {
        let reuse = |probes, n| format!("{:.6}", Config { probes, ..Config::default() }.reuse(n));
        assert_eq!([3.0, 2.0, 1.5].map(|probes| reuse(probes, 100)), ["1.315789", "2.941176", "7.692308"]);
        assert_eq!((reuse(3.0, 24), reuse(3.0, 10)), ("16.000000".into(), "16.000000".into()), "n <= m r / (r - 1)");
        assert_eq!(reuse(100.0, 100), "1.000000");
    }

    fn answers(all: &[(u32, u32)]) -> Vec<Answer> {
        let answer = |(slot, (rif, latency)): (usize, &(u32, u32))| Answer {
            endpoint: EndpointId::new(slot as u32, 0),
            rif: f64::from(*rif),
            latency: f64::from(*latency),
            at: Instant::ZERO,
            uses: 1,
        };
        all.iter().enumerate().map(answer).collect()
    }

    #[test]
    fn the_fastest_of_the_cold_or_the_emptiest_of_the_hot() {
        let pool = answers(&[(1, 9), (2, 4), (9, 1)]);
        let best = |threshold| best(pool.iter(), threshold, |_| 1.0).map(|place| pool[place].rif);
        assert_eq!((best(5.0), best(0.5), best(f64::INFINITY)), (Some(2.0), Some(1.0), Some(9.0)));
        let worst = |threshold| worst(pool.iter(), threshold).map(|place| pool[place].rif);
        assert_eq!((worst(5.0), worst(1.5), worst(20.0)), (Some(9.0), Some(9.0), Some(1.0)));
        assert_eq!(super::best([].iter(), 1.0, |_| 1.0), None);
    }

    fn probed(world: &mut World, place: usize, rif: u32, latency: u64, took: Duration) {
        let load = LoadReport { in_flight: rif, latency: Some(MS.saturating_mul(latency)), ..LoadReport::default() };
        let feedback = Feedback::Probed { endpoint: world.id(place), took, ok: true, load: Some(&load) };
        world.balancer.on_feedback(world.now, &feedback, &world.table.view());
    }

    fn wants(world: &mut World) -> Vec<Want> {
        std::iter::from_fn(|| world.balancer.poll_want()).collect()
    }

    /// Nothing is dropped with a call.
    fn keeping() -> Config {
        Config { removals: 0.0, ..Config::default() }
    }

    #[test]
    fn each_call_asks_three_others() {
        let mut world = World::equal(8, &Config::default());
        for _ in 0..50 {
            world.send();
            let asked = wants(&mut world);
            let distinct: std::collections::BTreeSet<String> = asked.iter().map(|want| format!("{want:?}")).collect();
            assert_eq!((asked.len(), distinct.len()), (3, 3), "{asked:?}");
        }
        let mut world = World::equal(8, &Config { probes: 1.5, ..Config::default() });
        let asked: Vec<usize> = (0..4).map(|_| (world.send(), wants(&mut world).len()).1).collect();
        assert_eq!(asked, [1, 2, 1, 2]);
    }

    #[test]
    fn what_was_sent_counts_until_the_next_answer() {
        let mut world = World::equal(6, &keeping());
        probed(&mut world, 4, 0, 9, MS);
        let any: std::collections::BTreeSet<usize> = (0..60).map(|_| world.send()).collect();
        assert_eq!(any.len(), 6, "one answer is too few");
        probed(&mut world, 2, 1, 5, MS);
        probed(&mut world, 4, 0, 9, MS);
        // The boundary is the greatest of 0, 1 and 0 that were seen: a second call makes either server hot.
        assert_eq!((0..5).map(|_| world.send()).collect::<Vec<_>>(), [2, 4, 4, 2, 4]);
    }

    #[test]
    fn late_and_old_answers_are_not_used() {
        let mut world = World::equal(6, &keeping());
        probed(&mut world, 0, 0, 1, MS.saturating_mul(4));
        probed(&mut world, 2, 7, 5, MS);
        probed(&mut world, 4, 9, 9, MS);
        assert_eq!(world.send(), 2, "the best answer came too late");
        world.advance(Duration::from_millis(1_001));
        let any: std::collections::BTreeSet<usize> = (0..60).map(|_| world.send()).collect();
        assert_eq!(any.len(), 6);
    }

    #[test]
    fn removals_take_the_oldest_and_the_worst_by_turns() {
        let config = Config { min_pool: 1, ..Config::default() };
        let mut world = World::equal(30, &config);
        for (place, rif, latency) in [(0, 0, 50), (1, 0, 40), (2, 0, 90), (3, 0, 10)] {
            probed(&mut world, place, rif, latency, MS);
        }
        let mut left = vec![];
        for _ in 0..2 {
            world.send();
            let mut pool = vec![];
            world.balancer.gauges(&mut |_, id, _| pool.push(id));
            left.push(pool.into_iter().map(|id| world.place(id)).collect::<Vec<_>>());
        }
        assert_eq!(left, [vec![1, 2, 3], vec![1, 2]], "first the oldest, then what is hot by our own calls");
    }

    #[test]
    fn an_idle_client_goes_on_asking() {
        let mut world = World::equal(5, &Config::default());
        world.send();
        wants(&mut world);
        world.advance(Duration::from_millis(999));
        assert_eq!(wants(&mut world).len(), 0);
        world.advance(Duration::from_millis(1_001));
        assert_eq!(wants(&mut world).len(), 6, "once a second");
    }

    #[test]
    fn who_fails_fast_does_not_look_fastest() {
        for (aversion, share) in [(0.0, 1.0), (1.0, 0.0)] {
            let mut world = World::equal(4, &Config { error_aversion: aversion, ..keeping() });
            for _ in 0..30 {
                world.sent(world.id(0));
                world.done(0, MS, Err(Failure::of(Cause::Backend)));
            }
            let mut sunk = 0;
            for _ in 0..20 {
                probed(&mut world, 1, 3, 20, MS);
                probed(&mut world, 0, 0, 1, MS);
                let place = world.send();
                sunk += u32::from(place == 0);
                world.done(place, MS, Err(Failure::of(Cause::Cancelled)));
            }
            assert_eq!(f64::from(sunk) / 20.0, share, "aversion {aversion}");
        }
    }

    #[test]
    fn without_a_quantile_it_is_the_fewest_in_flight() {
        let mut world = World::equal(6, &Config { q_rif: 0.0, ..keeping() });
        for (place, rif, latency) in [(0, 3, 1), (1, 2, 90), (2, 4, 2), (3, 0, 99), (4, 1, 3)] {
            probed(&mut world, place, rif, latency, MS);
        }
        assert_eq!((0..3).map(|_| world.send()).collect::<Vec<_>>(), [3, 3, 4], "ties go to the older answer");
    }

    #[test]
    fn in_synchronous_mode_a_call_waits_for_all_answers_but_one() {
        let mut world = World::equal(8, &Config { mode: Mode::Sync, ..Config::default() });
        let request = Request { random: 77, ..Request::plain() };
        assert_eq!(world.pick(&request), Pick::Queue);
        let asked: Vec<usize> = wants(&mut world)
            .into_iter()
            .map(|want| match want {
                Want::Probe(id) => world.place(id),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(asked.len(), 3);
        probed(&mut world, asked[0], 0, 8, MS);
        assert_eq!((world.pick(&request), wants(&mut world)), (Pick::Queue, vec![]));
        probed(&mut world, asked[2], 0, 5, MS);
        assert_eq!(wants(&mut world), [Want::PickAgain]);
        assert_eq!(world.pick(&request), Pick::To(world.id(asked[2])));
        // Without answers it goes anywhere in the end.
        assert_eq!(world.pick(&request), Pick::Queue);
        wants(&mut world);
        world.advance(MS.saturating_mul(3));
        assert_eq!(wants(&mut world), [Want::PickAgain]);
        assert!(matches!(world.pick(&request), Pick::To(_)));
        assert_eq!(world.balancer.next_timeout(), None);
        // Who never comes back is forgotten.
        assert_eq!(world.pick(&request), Pick::Queue);
        world.advance(MS.saturating_mul(10));
        assert_eq!(world.balancer.next_timeout(), None);
    }
}
