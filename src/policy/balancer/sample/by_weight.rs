//! Draw a few by weight, keep the one with the fewest open calls for its weight: HAProxy's `random(d)` and NGINX's
//! `random two least_conn`.

use serde::{Deserialize, Serialize};

use super::choices::Sampling;
use crate::base::id::EndpointId;
use crate::base::rand::{Bits, Rand};
use crate::base::slots::Slots;
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::hash::owners::Layout;
use crate::policy::balancer::hash::shared::Hold;
use crate::policy::balancer::rotate::wrr_smooth;
use crate::policy::balancer::weights::{Shares, Weighted};
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request, Want};

/// Whether static weights count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Weights {
    /// They do not: Envoy with equal weights, gRPC, Finagle, tower, linkerd.
    #[default]
    Ignore,
    /// A heavier endpoint is drawn more often and may have more calls open: what is compared is calls over weight
    /// (NGINX).
    Respect,
    /// The same, but draws are points of a consistent ring with 16 points for each unit of weight, as in HAProxy: at
    /// weight 1 an endpoint's share of the draws is off by a fifth or so.
    Ring,
}

/// Who stays of two that have as many calls open for their weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ties {
    /// The one drawn first (Envoy, gRPC, tower).
    #[default]
    First,
    /// The one drawn last (NGINX): of an idle fleet light endpoints then get more than their share.
    Last,
    /// The one with fewer calls for its weight in the last second, and the one drawn last of those (HAProxy).
    RequestRate,
}

/// What is drawn and compared how.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// How many are drawn: 2 or more.
    pub choices: usize,
    /// Whether one can be drawn twice.
    pub sampling: Sampling,
    /// How weights count.
    pub weights: Weights,
    /// Who stays of equals.
    pub ties: Ties,
    /// A call waits if whoever stays has so many open.
    pub max_open: Option<u32>,
}

/// The balancer of one client.
pub struct ByWeight {
    rule: Rule,
    rand: Rand,
    weighted: Weighted,
    shares: Shares,
    ring: Hold,
    /// Takes over where draws hit the same endpoint again and again.
    turns: Box<dyn Balancer>,
    rates: Slots<Rate>,
    /// What was drawn for one pick.
    drawn: Vec<Candidate>,
    /// Calls wait for room.
    queued: bool,
    /// There is room again.
    asks_again: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Candidate {
    id: EndpointId,
    weight: u32,
}

impl ByWeight {
    /// With no endpoint yet.
    pub fn new(rule: Rule, context: &Context) -> ByWeight {
        ByWeight {
            rule,
            rand: context.seed.stream("least_request"),
            weighted: Weighted::default(),
            shares: Shares::default(),
            ring: Hold::new(Layout::PerWeight(POINTS), &context.tables),
            turns: wrr_smooth::Config::default().build(&context.child("turns")),
            rates: Slots::new(),
            drawn: Vec::with_capacity(rule.choices),
            queued: false,
            asks_again: false,
        }
    }

    /// Draws as many as are wanted. False if they were to be different and draws kept hitting the same.
    fn draw(&mut self, endpoints: &Endpoints<'_>) -> bool {
        let distinct = self.rule.sampling == Sampling::Distinct;
        let wanted = if distinct { self.rule.choices.min(self.weighted.len()) } else { self.rule.choices };
        let mut repeats = 0;
        self.drawn.clear();
        while self.drawn.len() < wanted {
            let candidate = self.draw_one(endpoints);
            if !distinct || !self.drawn.contains(&candidate) {
                self.drawn.push(candidate);
                continue;
            }
            repeats += 1;
            if repeats == TRIES {
                return false;
            }
        }
        true
    }

    fn draw_one(&mut self, endpoints: &Endpoints<'_>) -> Candidate {
        if self.rule.weights == Weights::Ring {
            self.ring.refresh(endpoints);
            let owners = self.ring.owners();
            let place = owners.owner(owners.nearest(self.rand.next_u64()));
            return Candidate { id: self.ring.id(place), weight: self.ring.weights()[place] };
        }
        let place = self.shares.owner(self.rand.below(self.shares.total()));
        Candidate { id: self.weighted.ids[place], weight: self.weighted.weights[place] }
    }

    /// The one of two that stays.
    fn better(&self, now: Instant, first: Candidate, second: Candidate, endpoints: &Endpoints<'_>) -> Candidate {
        let compare = |count: &dyn Fn(EndpointId) -> u64| {
            (count(first.id) * u64::from(second.weight)).cmp(&(count(second.id) * u64::from(first.weight)))
        };
        let order = compare(&|id| u64::from(endpoints.in_flight(id)));
        let first_stays = match self.rule.ties {
            Ties::First => order.is_le(),
            Ties::Last => order.is_lt(),
            Ties::RequestRate => {
                order.then_with(|| compare(&|id| self.rates.get(id).map_or(0, |rate| rate.at(now)))).is_lt()
            }
        };
        if first_stays { first } else { second }
    }

    /// Sends it there, or lets it wait where too many are open (HAProxy's `maxconn`, with the queue of the backend).
    fn to(&mut self, id: EndpointId, endpoints: &Endpoints<'_>) -> Pick {
        if self.rule.max_open.is_none_or(|most| endpoints.in_flight(id) < most) {
            return Pick::To(id);
        }
        self.queued = true;
        Pick::Queue
    }

    fn note_rate(&mut self, now: Instant, endpoint: EndpointId, endpoints: &Endpoints<'_>) {
        match self.rates.get_mut(endpoint) {
            Some(rate) => rate.note(now),
            None if endpoints.get(endpoint).is_some() => {
                let mut rate = Rate::default();
                rate.note(now);
                self.rates.insert(endpoint, rate);
            }
            None => {}
        }
    }
}

impl Balancer for ByWeight {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.weighted = Weighted::of(endpoints);
        if self.rule.weights == Weights::Ignore {
            self.weighted = Weighted { ids: endpoints.ready.to_vec(), weights: vec![1; endpoints.ready.len()] };
        }
        self.shares = Shares::of(&self.weighted.weights);
        self.ring.note(endpoints.ready, endpoints);
        self.turns.on_endpoints(now, endpoints);
        self.rates.retain(|id| endpoints.get(id).is_some());
    }

    fn pick(&mut self, now: Instant, request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        match self.weighted.ids.as_slice() {
            [] => return Pick::nobody(endpoints),
            [only] => return self.to(*only, endpoints),
            _ => {}
        }
        if !self.draw(endpoints) {
            return self.turns.pick(now, request, endpoints);
        }
        let better = |best, next| self.better(now, best, next, endpoints);
        let best = self.drawn.iter().copied().reduce(better).expect("two are drawn at least");
        self.to(best.id, endpoints)
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, endpoints: &Endpoints<'_>) {
        match *feedback {
            Feedback::Sent { endpoint } if self.rule.ties == Ties::RequestRate => {
                self.note_rate(now, endpoint, endpoints)
            }
            Feedback::Done { .. } => self.asks_again |= std::mem::take(&mut self.queued),
            _ => {}
        }
    }

    fn poll_want(&mut self) -> Option<Want> {
        std::mem::take(&mut self.asks_again).then_some(Want::PickAgain)
    }

    fn only_picks(&self) -> bool {
        self.rule.ties != Ties::RequestRate && self.rule.max_open.is_none()
    }
}

/// How often something happened in the last second: HAProxy's counter of this second, and of the one before as far as
/// it is less than a second ago (`src/freq_ctr.c`).
#[derive(Debug, Clone, Copy, Default)]
struct Rate {
    second: u64,
    count: u64,
    before: u64,
}

impl Rate {
    /// The same, in the second of `now`.
    fn rolled(self, now: Instant) -> Rate {
        let second = now.as_nanos() / SECOND;
        match second - self.second {
            0 => self,
            1 => Rate { second, count: 0, before: self.count },
            _ => Rate { second, count: 0, before: 0 },
        }
    }

    fn note(&mut self, now: Instant) {
        *self = self.rolled(now);
        self.count += 1;
    }

    /// Rounded down.
    fn at(self, now: Instant) -> u64 {
        let rate = self.rolled(now);
        let left = SECOND - now.as_nanos() % SECOND;
        rate.count + (u128::from(rate.before) * u128::from(left) / u128::from(SECOND)) as u64
    }
}

const SECOND: u64 = 1_000_000_000;

/// How often a draw is repeated that hits an endpoint again (`ngx_http_upstream_random_module.c`).
const TRIES: u32 = 20;

/// Points of a ring for each unit of weight (HAProxy's `BE_WEIGHT_SCALE`).
const POINTS: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Duration;
    use crate::policy::balancer::sample::least_request::Config;
    use crate::policy::balancer::testing::World;

    fn config(sampling: Sampling, weights: Weights, ties: Ties) -> Config {
        Config { sampling, weights, ties, ..Config::default() }
    }

    #[test]
    fn draws_and_loads_are_in_proportion_to_weights() {
        for sampling in [Sampling::Replacement, Sampling::Distinct] {
            for ties in [Ties::First, Ties::Last, Ties::RequestRate] {
                let mut world = World::weighted(&[6, 3, 0, 1], &config(sampling, Weights::Respect, ties));
                let mut counts = [0; 4];
                (0..10_000).for_each(|_| counts[world.send()] += 1);
                for (count, expected) in counts.iter().zip([6_000_i32, 3_000, 0, 1_000]) {
                    assert!(
                        (count - expected).abs() < 15,
                        "{sampling:?} {ties:?}: {counts:?}, kept close by comparing"
                    );
                }
            }
        }
    }

    #[test]
    fn who_stays_of_equals_decides_an_idle_fleet() {
        let idle = |sampling, ties| {
            World::weighted(&[9, 1], &config(sampling, Weights::Respect, ties)).counts(10_000)[0] as f64 / 10_000.0
        };
        let is = |share: f64, expected: f64| assert!((share - expected).abs() < 0.015, "{share}, not {expected}");
        // The first drawn stays: 0.9, not what two draws would make of it. The last likewise.
        is(idle(Sampling::Replacement, Ties::First), 0.9);
        is(idle(Sampling::Replacement, Ties::Last), 0.9);
        // Of a different pair the second is the light one whenever the first is the heavy one, but for when 20 draws in
        // a row hit the heavy one again, and turns give it 9 of 10.
        let again = crate::base::math::pow(0.9, 20.0);
        let turns = 0.9 * again * 0.9;
        is(idle(Sampling::Distinct, Ties::First), 0.9 * (1.0 - again) + turns);
        is(idle(Sampling::Distinct, Ties::Last), 0.1 + turns);
    }

    #[test]
    fn of_equals_the_one_with_fewer_calls_lately_stays() {
        let mut world = World::equal(2, &config(Sampling::Distinct, Weights::Ignore, Ties::RequestRate));
        let ms = Duration::from_millis;
        (0..10).for_each(|_| {
            world.sent(world.id(0));
            world.done(0, ms(0), Ok(()));
        });
        // Nothing is open; the first has had ten calls, so the second takes the next ten …
        assert_eq!(world.picks(10), "1111111111");
        // … and then they have had as many, now and half a second into the next second, whatever the order of draws.
        world.advance(ms(1_500));
        let counts = world.counts(100);
        assert!(counts[0].abs_diff(50) <= 1, "{counts:?}");
    }

    #[test]
    fn a_rate_is_of_the_last_second() {
        let at = |ms: u64| Instant::ZERO + Duration::from_millis(ms);
        let mut rate = Rate::default();
        (0..10).for_each(|i| rate.note(at(900 + i)));
        assert_eq!(rate.at(at(950)), 10);
        assert_eq!([1_000, 1_250, 1_500, 1_999].map(|ms| rate.at(at(ms))), [10, 7, 5, 0]);
        rate.note(at(1_500));
        assert_eq!([1_500, 2_000, 2_500, 3_000].map(|ms| rate.at(at(ms))), [6, 1, 0, 0]);
    }

    #[test]
    fn draws_of_the_same_over_and_over_end_in_turns() {
        // 9,999 of 10,000 draws hit the first: after 20 of them the smooth turns of 9999 and 1 decide.
        let respect = |ties| config(Sampling::Distinct, Weights::Respect, ties);
        let mut world = World::weighted(&[9_999, 1], &respect(Ties::First));
        world.sent(world.id(0));
        let busy = world.counts(10_000)[0];
        assert!((9_900..10_000).contains(&busy), "{busy}: a pair would never choose the busy one");
        // More choices than endpoints look at all, and do not run out of tries for want of others.
        let mut world = World::equal(3, &Config { choices: 10, ..respect(Ties::First) });
        let mut counts = [0; 3];
        (0..30).for_each(|_| counts[world.send()] += 1);
        assert_eq!(counts, [10; 3]);
    }

    #[test]
    fn a_call_waits_where_whoever_stays_is_full() {
        let config = Config { max_open: Some(2), ..config(Sampling::Distinct, Weights::Ring, Ties::RequestRate) };
        let mut world = World::equal(2, &config);
        (0..4).for_each(|_| _ = world.send());
        assert_eq!([0, 1].map(|place| world.table.in_flight(world.id(place))), [2, 2]);
        assert_eq!((world.pick(&Request::plain()), world.pick(&Request::plain())), (Pick::Queue, Pick::Queue));
        assert_eq!(world.balancer.poll_want(), None, "there is no room yet");
        world.done(1, Duration::ZERO, Ok(()));
        assert_eq!(world.balancer.poll_want(), Some(Want::PickAgain));
        assert_eq!(world.balancer.poll_want(), None, "once");
        assert_eq!(world.send(), 1);
        world.done(0, Duration::ZERO, Ok(()));
        assert_eq!(world.balancer.poll_want(), None, "nobody waits");
        // Alone it is full as well.
        let mut world = World::equal(1, &config);
        (0..2).for_each(|_| _ = world.send());
        assert_eq!(world.pick(&Request::plain()), Pick::Queue);
    }

    #[test]
    fn a_ring_draws_by_its_arcs() {
        let ring = |points_each: u32| {
            let config = config(Sampling::Replacement, Weights::Ring, Ties::First);
            let counts = World::weighted(&[points_each; 20], &config).counts(200_000);
            let shares = counts.iter().map(|count| *count as f64 / 10_000.0);
            shares.fold((f64::MAX, 0.0_f64), |(least, most), share| (least.min(share), most.max(share)))
        };
        // The spread of n points each is about 1 / sqrt(n): 16 for weight 1, 4,096 for weight 256.
        let (least, most) = ring(1);
        assert!(least < 0.8 && most > 1.2, "{least} {most}");
        let (least, most) = ring(256);
        assert!(least > 0.93 && most < 1.07, "{least} {most}");
        let world = &mut World::weighted(&[1, 3], &config(Sampling::Replacement, Weights::Ring, Ties::RequestRate));
        (0..4_000).for_each(|_| _ = world.send());
        assert!(world.table.in_flight(world.id(0)).abs_diff(1_000) < 15, "calls are kept in proportion to weights");
    }
}
