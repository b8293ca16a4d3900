//! Weighted turns, the weights from load reports: calls answered per second over utilization.
//!
//! Origin: gRFC A58 `weighted_round_robin` with A51 and A114; grpc-go `balancer/weightedroundrobin`; Envoy
//! `client_side_weighted_round_robin_lb.cc` with `variant = "envoy"`.
//! Observes: utilization, rate and errors in load reports, on replies or with `oob` out of band; since when an
//! endpoint is ready. Weights that the list gives only for new endpoints of `envoy`.
//! Cost: that of static stride a pick, or O(log n) with `envoy`; O(n) an update.
//! Draws: none a pick; one for the first rotation, with `envoy` one an update.
//! Fails when: nobody reports, because it then is round robin; servers fail fast and the penalty is low, because what
//! fails without work looks idle; clients see subsets, because a report tells the load of all clients; load moves
//! faster than reports, their windows and the update period together.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::base::id::EndpointId;
use crate::base::rand::{Bits, Rand};
use crate::base::slots::Slots;
use crate::base::time::{Duration, Instant};
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::members::follow;
use crate::policy::balancer::rotate::edf::{Edf, Refresh};
use crate::policy::balancer::rotate::stride::Stride;
use crate::policy::balancer::rotate::turn::{OnUpdate, Start, Turn};
use crate::policy::balancer::rotate::wrr_edf;
use crate::policy::balancer::{Balancer, Endpoints, Feedback, LoadReport, Pick, Request, Want};

/// Parameters of `orca_wrr`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Whose rules are followed where the implementations differ.
    pub variant: Variant,
    /// Reports count from this long after the first on.
    pub blackout: Duration,
    /// A report older than this counts no more, and the next begins a new blackout.
    pub expiration: Duration,
    /// How often new weights are taken over; at least 100 ms.
    #[serde(deserialize_with = "update_period")]
    pub update_period: Duration,
    /// How much the share of errors adds to the utilization, 0 and above.
    #[serde(deserialize_with = "not_negative")]
    pub error_utilization_penalty: f64,
    /// Reports out of band count instead of those on replies. How often they come is up to the backends.
    pub oob: bool,
    /// Utilizations of which the greatest counts; by default the application's, and that of the CPU where there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metric>,
}

/// Whose rules are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// A report without utilization is ignored; whose weight is unknown gets the mean; turns by static stride.
    #[default]
    Grpc,
    /// Errors count before a report is ignored; weights are whole numbers; whose weight is unknown gets the median,
    /// and that of the list until the next update; turns by earliest deadline.
    Envoy,
}

/// A utilization in a report (gRFC A114).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// That of the CPU.
    CpuUtilization,
    /// The application's own.
    ApplicationUtilization,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            variant: Variant::Grpc,
            blackout: Duration::from_secs(10),
            expiration: Duration::from_secs(180),
            update_period: Duration::from_secs(1),
            error_utilization_penalty: 1.0,
            oob: false,
            metrics: vec![],
        }
    }
}

/// A58: an update period is at least 100 ms.
fn update_period<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Duration::deserialize(deserializer).map(|period| period.max(Duration::from_millis(100)))
}

fn not_negative<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let number = f64::deserialize(deserializer)?;
    if number >= 0.0 && number.is_finite() {
        return Ok(number);
    }
    Err(serde::de::Error::custom(format_args!("a number of 0 or more is needed, not {number}")))
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, context: &Context) -> Box<dyn Balancer> {
        Box::new(OrcaWrr {
            config: self.clone(),
            rand: context.seed.stream("orca_wrr"),
            turn: Turn::new(Start::Random, OnUpdate::Restart, context.seed.stream("orca_wrr/turn")),
            known: Slots::new(),
            weights: vec![],
            sequence: None,
            schedule: None,
            next: None,
            unasked: VecDeque::new(),
        })
    }

    /// The weight that a report gives; `None` if it is ignored.
    fn weight(&self, load: &LoadReport) -> Option<f64> {
        let utilization = self.utilization(load);
        let penalty = self.error_utilization_penalty * load.eps / load.qps;
        let whole = match self.variant {
            // A58: a report without rate or utilization says nothing.
            Variant::Grpc if utilization > 0.0 && load.qps > 0.0 => load.qps / (utilization + penalty),
            Variant::Envoy if load.qps > 0.0 && utilization + penalty > 0.0 => {
                (load.qps / (utilization + penalty)).min(f64::from(u32::MAX)).floor()
            }
            _ => return None,
        };
        Some(whole).filter(|weight| weight.is_finite())
    }

    fn utilization(&self, load: &LoadReport) -> f64 {
        let of = |metric: &Metric| match metric {
            Metric::CpuUtilization => load.cpu,
            Metric::ApplicationUtilization => load.utilization,
        };
        let usable = |utilization: &f64| *utilization > 0.0 && utilization.is_finite();
        let greatest = self.metrics.iter().map(of).filter(usable).reduce(f64::max);
        let application = Some(load.utilization).filter(usable);
        let found = match self.variant {
            Variant::Grpc => greatest.or(application),
            Variant::Envoy => application.or(greatest),
        };
        found.unwrap_or(load.cpu)
    }
}

/// What is known of an endpoint.
#[derive(Debug, Clone, Copy)]
struct Known {
    weight: f64,
    updated: Option<Instant>,
    /// Since when its reports say something.
    since: Option<Instant>,
    ready_since: Instant,
    /// Envoy: the weight that turns go by until the next update.
    shown: f64,
}

impl Known {
    fn new(ready_since: Instant, listed: u32) -> Known {
        Known { weight: 0.0, updated: None, since: None, ready_since, shown: f64::from(listed.max(1)) }
    }

    /// Its weight now; 0 is unknown. An expired one begins a blackout anew (A58).
    fn read(&mut self, now: Instant, config: &Config) -> f64 {
        let Some(updated) = self.updated else { return 0.0 };
        if now.since(updated) >= config.expiration {
            self.since = None;
            return 0.0;
        }
        let dark = self.since.is_none_or(|since| now.since(since) < config.blackout);
        if dark && !config.blackout.is_zero() { 0.0 } else { self.weight }
    }
}

#[derive(Debug)]
enum Schedule {
    Stride(Stride),
    Edf(Edf),
    Turns,
}

#[derive(Debug)]
struct OrcaWrr {
    config: Config,
    rand: Rand,
    turn: Turn,
    known: Slots<Known>,
    /// Of those that are ready, in the order of the list.
    weights: Vec<f64>,
    /// Where the last static stride stopped.
    sequence: Option<u32>,
    /// `None` until the first pick after an update.
    schedule: Option<Schedule>,
    /// When weights are taken over next.
    next: Option<Instant>,
    /// Who has become ready and was not yet asked to report out of band.
    unasked: VecDeque<EndpointId>,
}

impl OrcaWrr {
    /// Takes over the weights of now.
    fn update(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        let config = &self.config;
        self.weights.clear();
        for id in endpoints.ready {
            self.weights.push(self.known.get_mut(*id).map_or(0.0, |known| known.read(now, config)));
        }
        if self.config.variant == Variant::Envoy {
            self.fill_with_median(endpoints);
        }
        self.renew();
    }

    /// Envoy: whoever has no weight gets the median of the others', or 1, and keeps it until the next update.
    fn fill_with_median(&mut self, endpoints: &Endpoints<'_>) {
        let mut valid: Vec<f64> = self.weights.iter().copied().filter(|weight| *weight > 0.0).collect();
        valid.sort_unstable_by(f64::total_cmp);
        let median = valid.get(valid.len() / 2).copied().unwrap_or(1.0);
        for (weight, id) in self.weights.iter_mut().zip(endpoints.ready) {
            *weight = if *weight > 0.0 { *weight } else { median };
            if let Some(known) = self.known.get_mut(*id) {
                known.shown = *weight;
            }
        }
    }

    /// The turns begin anew with these weights; a static stride goes on from its place.
    fn renew(&mut self) {
        if let Some(Schedule::Stride(stride)) = self.schedule.take() {
            self.sequence = Some(stride.sequence());
        }
    }

    fn schedule(&mut self) -> Schedule {
        match self.config.variant {
            Variant::Grpc => {
                let sequence = match self.sequence {
                    Some(sequence) => sequence,
                    None => self.rand.below(1 << 32) as u32,
                };
                Schedule::Stride(Stride::new(&self.weights, sequence))
            }
            Variant::Envoy if self.weights.windows(2).all(|pair| pair[0] == pair[1]) => Schedule::Turns,
            Variant::Envoy => {
                let start = wrr_edf::Start::Random;
                Schedule::Edf(start.schedule(&self.weights, Refresh::Fresh, &mut self.rand))
            }
        }
    }

    fn on_report(&mut self, now: Instant, endpoint: EndpointId, load: &LoadReport) {
        let Some(weight) = self.config.weight(load) else { return };
        if let Some(known) = self.known.get_mut(endpoint) {
            known.weight = weight;
            known.updated = Some(now);
            known.since = known.since.or(Some(now));
        }
    }

    /// Forgets what was known of whoever has become ready anew (A58), and notes whom to ask.
    fn greet(&mut self, endpoints: &Endpoints<'_>) {
        let known = &self.known;
        let is_new = |id: EndpointId| known.get(id).is_none();
        let newcomers: Vec<EndpointId> = endpoints.ready.iter().copied().filter(|id| is_new(*id)).collect();
        let new =
            |id| endpoints.get(id).map_or(Known::new(Instant::NEVER, 1), |e| Known::new(Instant::NEVER, e.weight));
        follow(&mut self.known, endpoints, new);
        self.unasked.retain(|id| endpoints.is_ready(*id));
        for endpoint in endpoints.ready.iter().filter_map(|id| endpoints.get(*id)) {
            let Some(known) = self.known.get_mut(endpoint.id) else { continue };
            let returned = known.ready_since != endpoint.ready_since;
            if returned {
                let shown = known.shown;
                *known = Known { shown, ..Known::new(endpoint.ready_since, endpoint.weight) };
            }
            if self.config.oob && (returned || newcomers.contains(&endpoint.id)) {
                self.unasked.push_back(endpoint.id);
            }
        }
    }
}

impl Balancer for OrcaWrr {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.greet(endpoints);
        match self.config.variant {
            Variant::Grpc => self.update(now, endpoints),
            Variant::Envoy => {
                let known = &self.known;
                let shown = endpoints.ready.iter().map(|id| known.get(*id).map_or(1.0, |known| known.shown));
                self.weights = shown.collect();
                self.turn.on_update();
                self.renew();
            }
        }
        self.next = match self.next {
            _ if endpoints.ready.len() < 2 => None,
            Some(next) => Some(next),
            None => Some(now + self.config.update_period),
        };
    }

    fn pick(&mut self, _now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match endpoints.ready {
            [] => return Pick::nobody(endpoints),
            [only] => return Pick::To(*only),
            _ => {}
        }
        if self.schedule.is_none() {
            self.schedule = Some(self.schedule());
        }
        let place = match self.schedule.as_mut().expect("it was made above") {
            Schedule::Stride(stride) => stride.pick(),
            Schedule::Edf(edf) => edf.pick(|i| self.weights[i]),
            Schedule::Turns => self.turn.take(endpoints.ready.len()),
        };
        Pick::To(endpoints.ready[place])
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, _endpoints: &Endpoints<'_>) {
        match *feedback {
            Feedback::Done { endpoint, load: Some(load), .. } if !self.config.oob => {
                self.on_report(now, endpoint, load)
            }
            Feedback::Reported { endpoint, load } if self.config.oob => self.on_report(now, endpoint, load),
            _ => {}
        }
    }

    fn poll_want(&mut self) -> Option<Want> {
        self.unasked.pop_front().map(Want::Watch)
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.next
    }

    fn on_timeout(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        let Some(next) = self.next.filter(|next| *next <= now) else { return };
        let missed = now.since(next).as_nanos() / self.config.update_period.as_nanos();
        self.next = Some(next + self.config.update_period.saturating_mul(missed + 1));
        self.update(now, endpoints);
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        self.known.iter().for_each(|(id, known)| visit("weight", id, known.weight));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::balancer::testing::{World, letters, listing};
    use crate::policy::endpoints::Connectivity;

    fn report(qps: f64, eps: f64, cpu: f64) -> LoadReport {
        LoadReport { qps, eps, cpu, ..LoadReport::default() }
    }

    fn envoy() -> Config {
        Config { variant: Variant::Envoy, error_utilization_penalty: 0.0, ..Config::default() }
    }

    #[test]
    fn weights_of_reports() {
        let weight = |config: &Config, qps, eps, cpu| config.weight(&report(qps, eps, cpu));
        for (qps, eps, cpu, expected) in [
            (100.0, 0.0, 0.5, "200.000000"),
            (100.0, 5.0, 0.5, "181.818182"),
            (100.0, 50.0, 0.5, "100.000000"),
            (100.0, 100.0, 0.01, "99.009901"),
            (200.0, 0.0, 0.8, "250.000000"),
            (100.0, 100.0, 0.05, "95.238095"),
        ] {
            assert_eq!(format!("{:.6}", weight(&Config::default(), qps, eps, cpu).unwrap()), expected);
        }
        // Failing fast without work still earns 32.3 % of a split of two.
        assert_eq!(format!("{:.4}", 95.238_095 / (95.238_095 + 200.0)), "0.3226");
        for (qps, eps, cpu) in [(100.0, 100.0, 0.0), (0.0, 0.0, 0.5), (f64::NAN, 0.0, 0.5), (100.0, 0.0, f64::NAN)] {
            assert_eq!(weight(&Config::default(), qps, eps, cpu), None);
        }
        assert_eq!(weight(&envoy(), 100.0, 5.0, 0.3), Some(333.0), "a whole number, and no penalty by itself");
        assert_eq!(weight(&envoy(), 100.0, 50.0, 0.0), None);
        let fined = Config { error_utilization_penalty: 1.0, ..envoy() };
        assert_eq!(weight(&fined, 100.0, 50.0, 0.0), Some(200.0), "errors alone make a report count");
    }

    #[test]
    fn which_utilization_counts() {
        let both = LoadReport { utilization: 0.4, cpu: 0.8, ..LoadReport::default() };
        let of = |variant, metrics: &[Metric]| {
            Config { variant, metrics: metrics.to_vec(), ..Config::default() }.utilization(&both)
        };
        let all = [Metric::CpuUtilization, Metric::ApplicationUtilization];
        assert_eq!((of(Variant::Grpc, &[]), of(Variant::Grpc, &all)), (0.4, 0.8));
        assert_eq!((of(Variant::Envoy, &[]), of(Variant::Envoy, &all)), (0.4, 0.4));
        assert_eq!(Config::default().utilization(&LoadReport { cpu: 0.8, ..LoadReport::default() }), 0.8);
    }

    /// Everybody answers a call with a report of this utilization at 100/s.
    fn answer(world: &mut World, utilizations: &[f64]) {
        for (place, cpu) in utilizations.iter().enumerate() {
            world.sent(world.id(place));
            world.done_with(place, Duration::ZERO, Ok(()), Some(&report(100.0, 0.0, *cpu)));
        }
    }

    fn share(world: &mut World, place: usize) -> f64 {
        world.counts(6_000)[place] as f64 / 6_000.0
    }

    #[track_caller]
    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 0.005, "{found} where {expected} is expected");
    }

    #[test]
    fn weights_count_after_the_blackout_and_until_they_expire() {
        for config in [Config::default(), envoy()] {
            let mut world = World::equal(2, &config);
            for second in 0..10 {
                answer(&mut world, &[0.25, 0.5]);
                near(share(&mut world, 0), 0.5);
                assert_eq!(world.now, Instant::ZERO + Duration::from_secs(second));
                world.advance(Duration::from_secs(1));
            }
            near(share(&mut world, 0), 2.0 / 3.0);
            // The last report was at 9 s.
            world.advance(Duration::from_millis(178_900));
            near(share(&mut world, 0), 2.0 / 3.0);
            world.advance(Duration::from_millis(1_000));
            near(share(&mut world, 0), 0.5);
            answer(&mut world, &[0.25, 0.5]);
            world.advance(Duration::from_secs(9));
            near(share(&mut world, 0), 0.5);
            world.advance(Duration::from_secs(2));
            near(share(&mut world, 0), 2.0 / 3.0);
        }
    }

    #[test]
    fn new_weights_wait_for_the_update() {
        let config = Config { blackout: Duration::ZERO, ..Config::default() };
        let mut world = World::equal(2, &config);
        answer(&mut world, &[0.25, 0.5]);
        world.advance(Duration::from_millis(999));
        near(share(&mut world, 0), 0.5);
        world.advance(Duration::from_millis(1));
        near(share(&mut world, 0), 2.0 / 3.0);
    }

    #[test]
    fn who_is_unknown_gets_the_mean_or_the_median() {
        for (config, unknown) in [(Config::default(), 700.0 / 3.0), (envoy(), 200.0)] {
            let config = Config { blackout: Duration::ZERO, ..config };
            let mut world = World::equal(4, &config);
            answer(&mut world, &[1.0, 0.5, 0.25]);
            world.advance(Duration::from_secs(1));
            near(share(&mut world, 3), unknown / (700.0 + unknown));
        }
    }

    #[test]
    fn with_one_known_it_is_plain_turns() {
        for config in [Config::default(), envoy()] {
            let mut world = World::equal(3, &Config { blackout: Duration::ZERO, ..config });
            answer(&mut world, &[0.1]);
            world.advance(Duration::from_secs(1));
            let picks = letters(&world.picks(6));
            assert!("ABCABCABC".contains(&picks), "{picks}");
        }
    }

    #[test]
    fn becoming_ready_begins_a_blackout() {
        let mut world = World::equal(2, &Config::default());
        answer(&mut world, &[0.25, 0.5]);
        world.advance(Duration::from_secs(10));
        near(share(&mut world, 0), 2.0 / 3.0);
        world.connectivity(0, Connectivity::Idle);
        world.advance(Duration::from_secs(1));
        world.connectivity(0, Connectivity::Ready);
        answer(&mut world, &[0.25, 0.5]);
        near(share(&mut world, 0), 0.5);
        world.advance(Duration::from_secs(9));
        near(share(&mut world, 0), 0.5);
        world.advance(Duration::from_secs(1));
        near(share(&mut world, 0), 2.0 / 3.0);
    }

    #[test]
    fn a_newcomer_weighs_what_the_list_says_until_the_update_in_envoy() {
        for (config, early) in [(Config::default(), 1.0 / 3.0), (envoy(), 1.0 / 401.0)] {
            let mut world = World::equal(2, &Config { blackout: Duration::ZERO, ..config });
            answer(&mut world, &[0.5, 0.5]);
            world.advance(Duration::from_millis(1_500));
            world.list((0..3).map(|i| listing(i, 1)).collect());
            near(share(&mut world, 2), early);
            world.advance(Duration::from_millis(500));
            near(share(&mut world, 2), 1.0 / 3.0);
        }
    }

    #[test]
    fn out_of_band_replies_say_nothing() {
        let config = Config { oob: true, blackout: Duration::ZERO, ..Config::default() };
        let mut world = World::equal(2, &config);
        let asked: Vec<Want> = std::iter::from_fn(|| world.balancer.poll_want()).collect();
        assert_eq!(asked, [0, 1].map(|i| Want::Watch(world.id(i))));
        answer(&mut world, &[0.25, 0.5]);
        world.advance(Duration::from_secs(1));
        near(share(&mut world, 0), 0.5);
        for (place, cpu) in [(0, 0.5), (1, 0.25)] {
            let feedback = Feedback::Reported { endpoint: world.id(place), load: &report(100.0, 0.0, cpu) };
            world.balancer.on_feedback(world.now, &feedback, &world.table.view());
        }
        world.advance(Duration::from_secs(1));
        near(share(&mut world, 0), 1.0 / 3.0);
        world.connectivity(1, Connectivity::Idle);
        world.connectivity(1, Connectivity::Ready);
        world.advance(Duration::ZERO);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let read = |text: &str| serde_json::from_str::<Config>(text).map_err(|error| error.to_string());
        assert_eq!(read(r#"{ "update_period": "1ms" }"#).unwrap().update_period, Duration::from_millis(100));
        assert!(read(r#"{ "error_utilization_penalty": -1.0 }"#).unwrap_err().contains("0 or more"));
    }
}
