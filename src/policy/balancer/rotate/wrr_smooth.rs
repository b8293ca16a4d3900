//! Weighted turns, spread as evenly as whole calls allow.
//!
//! Every endpoint earns its weight at every pick; the richest is picked and pays what all have earned.
//!
//! Origin: NGINX `ngx_http_upstream_round_robin.c`, there the default; Kratos `wrr`, Dubbo `roundrobin`.
//! Observes: static weights; with `max_fails` attempts that got no answer.
//! Cost: O(n) a pick until the sequence has come back to where it began, after sum/gcd of the weights; from then
//! on the recorded sequence is played, O(1) a pick, 4 bytes a pick of it. Long ones (above 8,192 picks and above
//! 4 n) are not recorded.
//! Draws: none.
//! Fails when: many clients start together, because all of them begin with the heaviest endpoint; endpoints
//! differ in more than their weights say.
//!
//! NGINX also leaves out for a while whoever failed `max_fails` times (`fail_timeout`): that is a breaker, and not here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::id::EndpointId;
use crate::base::status::Cause;
use crate::base::time::Instant;
use crate::policy::balancer::catalog::Context;
use crate::policy::balancer::weights::Weighted;
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request};

/// Parameters of `wrr_smooth`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What happens to what an endpoint has earned when its weight changes.
    pub on_reweight: OnReweight,
    /// NGINX: an attempt that gets no answer takes `weight / max_fails`, rounded down, from what its endpoint earns at a
    /// pick, down to nothing; each pick gives 1 back. 0: failures change nothing.
    pub max_fails: u32,
}

/// What happens to what an endpoint has earned when its weight changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnReweight {
    /// It keeps it.
    #[default]
    Keep,
    /// It starts from 0, as in Dubbo; endpoints that change together march in step again.
    Reset,
}

impl Config {
    /// The balancer of one client.
    pub fn build(&self, _context: &Context) -> Box<dyn Balancer> {
        Box::new(Smooth { config: self.clone(), ..Smooth::default() })
    }
}

#[derive(Debug, Default)]
struct Smooth {
    config: Config,
    /// Those that can be picked.
    rows: Vec<Row>,
    /// What listed endpoints that cannot be picked had earned: NGINX's skipped peers do not accumulate, and keep it.
    parked: Vec<Row>,
    total: i64,
    /// True while somebody earns less than its weight, because it failed.
    impaired: bool,
    tape: Tape,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    id: EndpointId,
    weight: i64,
    /// What it earns at a pick: its weight, or less since it failed.
    effective: i64,
    current: i64,
}

/// The picks since a known state, and whether they have come back to it.
#[derive(Debug, Default)]
struct Tape {
    /// What each had earned where the tape begins.
    origin: Vec<i64>,
    picks: Vec<u32>,
    /// Length after which the sequence may repeat; 0 when it is too long to record.
    period: usize,
    /// True when the picks are a cycle; `current` in the rows is then out of date.
    playing: bool,
    next: usize,
}

impl Smooth {
    /// Brings `current` up to date when it was left behind by playing the tape.
    fn settle(&mut self) {
        if !self.tape.playing {
            return;
        }
        for (row, origin) in self.rows.iter_mut().zip(&self.tape.origin) {
            row.current = origin + row.weight * self.tape.next as i64;
        }
        for pick in &self.tape.picks[..self.tape.next] {
            self.rows[*pick as usize].current -= self.total;
        }
    }

    fn step(&mut self) -> usize {
        let (mut best, mut most) = (0, i64::MIN);
        for (i, row) in self.rows.iter_mut().enumerate() {
            row.current += row.weight;
            if row.current > most {
                (best, most) = (i, row.current);
            }
        }
        self.rows[best].current -= self.total;
        best
    }

    /// A turn while somebody earns less than its weight (`ngx_http_upstream_get_peer`).
    #[cold]
    fn step_impaired(&mut self) -> usize {
        let (mut best, mut most, mut total) = (0, i64::MIN, 0);
        for (i, row) in self.rows.iter_mut().enumerate() {
            row.current += row.effective;
            total += row.effective;
            row.effective = row.weight.min(row.effective + 1);
            if row.current > most {
                (best, most) = (i, row.current);
            }
        }
        self.rows[best].current -= total;
        self.impaired = self.rows.iter().any(|row| row.effective < row.weight);
        if !self.impaired {
            self.begin_tape();
        }
        best
    }

    /// An attempt got no answer (`ngx_http_upstream_free_round_robin_peer`).
    fn note_failure(&mut self, endpoint: EndpointId) {
        let lost = i64::from(self.config.max_fails);
        let Some(place) = self.rows.iter().position(|row| row.id == endpoint && row.weight >= lost) else { return };
        self.settle();
        self.begin_tape();
        self.impaired = true;
        let row = &mut self.rows[place];
        row.effective = (row.effective - row.weight / lost).max(0);
    }

    fn record(&mut self, best: usize) {
        if self.tape.period == 0 {
            return;
        }
        self.tape.picks.push(best as u32);
        if self.tape.picks.len() < self.tape.period {
            return;
        }
        if self.rows.iter().zip(&self.tape.origin).all(|(row, origin)| row.current == *origin) {
            self.tape.playing = true;
            self.tape.next = 0;
        } else {
            self.begin_tape();
        }
    }

    fn begin_tape(&mut self) {
        self.tape.playing = false;
        self.tape.picks.clear();
        self.tape.origin = self.rows.iter().map(|row| row.current).collect();
    }
}

impl Balancer for Smooth {
    fn on_endpoints(&mut self, _now: Instant, endpoints: &Endpoints<'_>) {
        self.settle();
        let known = self.rows.iter().chain(&self.parked).map(|row| (row.id, *row));
        let mut known: BTreeMap<EndpointId, Row> = known.collect();
        let weighted = Weighted::of(endpoints);
        self.total = weighted.total() as i64;
        self.rows.clear();
        for (id, weight) in weighted.ids.iter().zip(&weighted.weights) {
            let weight = i64::from(*weight);
            let keeps = |row: &Row| self.config.on_reweight == OnReweight::Keep || row.weight == weight;
            let before = known.remove(id);
            let current = before.filter(keeps).map_or(0, |row| row.current);
            let effective = before.filter(|row| row.weight == weight).map_or(weight, |row| row.effective);
            self.rows.push(Row { id: *id, weight, effective, current });
        }
        self.impaired = self.rows.iter().any(|row| row.effective < row.weight);
        self.parked = endpoints.members.iter().filter_map(|id| known.remove(id)).collect();
        let divisor = self.rows.first().map_or(1, |row| row.weight / i64::from(weighted.reduced()[0]));
        let period = self.total / divisor;
        let longest = TAPE_MAX.max(4 * self.rows.len() as i64);
        self.tape.period = if period <= longest { period as usize } else { 0 };
        self.begin_tape();
    }

    fn only_picks(&self) -> bool {
        self.config.max_fails == 0
    }

    fn pick(&mut self, _now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        if self.tape.playing {
            let pick = self.tape.picks[self.tape.next];
            self.tape.next = if self.tape.next + 1 == self.tape.picks.len() { 0 } else { self.tape.next + 1 };
            return Pick::To(self.rows[pick as usize].id);
        }
        match self.rows.as_slice() {
            [] => Pick::nobody(endpoints),
            // It would earn its weight and pay it.
            [only] => Pick::To(only.id),
            _ if self.impaired => {
                let best = self.step_impaired();
                Pick::To(self.rows[best].id)
            }
            _ => {
                let best = self.step();
                self.record(best);
                Pick::To(self.rows[best].id)
            }
        }
    }

    fn on_feedback(&mut self, _now: Instant, feedback: &Feedback<'_>, _endpoints: &Endpoints<'_>) {
        if let Feedback::Done { endpoint, outcome: Err(failure), .. } = *feedback
            && self.config.max_fails > 0
            && matches!(failure.cause, Cause::Connection | Cause::Deadline)
        {
            self.note_failure(endpoint);
        }
    }

    fn gauges(&self, visit: &mut dyn FnMut(&'static str, EndpointId, f64)) {
        for row in &self.rows {
            visit("weight", row.id, row.effective as f64);
        }
    }
}

const TAPE_MAX: i64 = 8_192;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::status::Failure;
    use crate::base::time::Duration;
    use crate::policy::balancer::testing::{World, letters, listing};
    use crate::policy::endpoints::Health;

    fn cycles(weights: &[u32], picks: usize) -> String {
        letters(&World::weighted(weights, &Config::default()).picks(picks))
    }

    #[test]
    fn one_cycle() {
        for (weights, expected) in [
            (&[5, 1, 1][..], "AABACAA"),
            (&[5, 3, 2], "ABCAABACBA"),
            (&[1, 2, 3], "CBACBC"),
            (&[4, 3, 2], "ABCABACBA"),
            (&[7, 3], "ABAAABAABA"),
            (&[3, 0, 1], "AACA"),
            (&[0, 0, 0], "ABC"),
        ] {
            assert_eq!(cycles(weights, expected.len() * 3), expected.repeat(3), "{weights:?}");
        }
    }

    #[test]
    fn what_each_has_earned_after_every_pick() {
        let mut smooth = Smooth::default();
        let world = World::weighted(&[5, 1, 1], &Config::default());
        smooth.on_endpoints(world.now, &world.table.view());
        let mut currents = || {
            smooth.pick(world.now, &Request::plain(), &world.table.view());
            smooth.settle();
            [0, 1, 2].map(|i: usize| smooth.rows[i].current)
        };
        let cycle = [[-2, 1, 1], [-4, 2, 2], [1, -4, 3], [-1, -3, 4], [4, -2, -2], [2, -1, -1], [0, 0, 0]];
        for expected in cycle.iter().cycle().take(21) {
            assert_eq!(currents(), *expected);
        }
    }

    #[test]
    fn what_was_earned_outlives_a_refresh_wherever_it_comes() {
        for before in 0..20 {
            let mut world = World::weighted(&[5, 3, 2], &Config::default());
            let mut picks = world.picks(before);
            world.refresh();
            picks += &world.picks(30 - before);
            assert_eq!(letters(&picks), "ABCAABACBA".repeat(3), "refreshed after {before}");
        }
    }

    #[test]
    fn who_leaves_loses_what_it_had_earned_and_who_is_skipped_keeps_it() {
        // After A A B the currents are (1, -4, 3): C comes next but one, and not for a good while if it starts anew.
        let mut world = World::weighted(&[5, 1, 1], &Config::default());
        world.picks(3);
        world.health(2, Health::Failed);
        world.health(2, Health::Healthy);
        assert_eq!(letters(&world.picks(2)), "AC");

        let mut world = World::weighted(&[5, 1, 1], &Config::default());
        world.picks(3);
        world.list(vec![listing(0, 5), listing(1, 1)]);
        world.list(vec![listing(0, 5), listing(1, 1), listing(2, 1)]);
        assert_eq!(letters(&world.picks(3)), "AAC");
    }

    #[test]
    fn a_new_weight_keeps_or_resets() {
        for (on_reweight, expected) in [(OnReweight::Keep, "AC"), (OnReweight::Reset, "AA")] {
            let mut world = World::weighted(&[5, 1, 1], &Config { on_reweight, ..Config::default() });
            world.picks(3);
            world.list(vec![listing(0, 6), listing(1, 2), listing(2, 2)]);
            world.list(vec![listing(0, 5), listing(1, 1), listing(2, 1)]);
            assert_eq!(letters(&world.picks(2)), expected, "{on_reweight:?}");
        }
    }

    #[test]
    fn who_gives_no_answer_earns_less_for_a_while() {
        // By hand, as in `ngx_http_upstream_get_peer`: A earns 0 after its failure, then 1, 2, 3, 4 and 5 again.
        let mut world = World::weighted(&[5, 1, 1], &Config { max_fails: 1, ..Config::default() });
        let fail = |world: &mut World, cause| {
            world.sent(world.id(0));
            world.done(0, Duration::ZERO, Err(Failure::of(cause)));
        };
        assert_eq!(letters(&world.picks(1)), "A");
        fail(&mut world, Cause::Connection);
        assert_eq!(letters(&world.picks(7)), "BCBAACA");

        // A third of its weight at each failure; an answer is an answer, and a call given up says nothing.
        let mut world = World::weighted(&[3, 1], &Config { max_fails: 3, ..Config::default() });
        for cause in [Cause::Backend, Cause::Cancelled, Cause::QueueFull] {
            fail(&mut world, cause);
        }
        assert_eq!(letters(&world.picks(8)), "AABAAABA");
        fail(&mut world, Cause::Deadline);
        fail(&mut world, Cause::Deadline);
        // It earns 1, 2, then 3: (1, 1), (1, 2), (4, 1) and on as ever.
        assert_eq!(letters(&world.picks(4)), "ABAA");

        let mut world = World::weighted(&[3, 1], &Config::default());
        fail(&mut world, Cause::Connection);
        assert_eq!(letters(&world.picks(4)), "AABA", "without `max_fails`");
    }

    #[test]
    fn once_recovered_it_plays_its_sequence_again_and_a_recorded_one_stops_for_a_failure() {
        let mut world = World::weighted(&[5, 3, 2], &Config { max_fails: 1, ..Config::default() });
        world.picks(25);
        world.sent(world.id(0));
        world.done(0, Duration::ZERO, Err(Failure::of(Cause::Connection)));
        let counts = world.counts(1_000);
        assert!(counts[0] < 500 && counts[0] > 480, "five turns of earning less, and no more: {counts:?}");
        let cycle = world.picks(10);
        assert_eq!(world.picks(20), cycle.repeat(2), "it comes round again");
    }

    #[test]
    fn counts_never_stray_from_the_weights() {
        // policies.md §14: |picks - N w / W| < 1.1 for every prefix; runs of at most ceil(w / (W - w)) + 2.
        let weights = [13, 1, 7, 4, 4, 9, 2];
        let total: u32 = weights.iter().sum();
        let mut world = World::weighted(&weights, &Config::default());
        let (mut counts, mut run, mut last) = ([0u32; 7], 0, usize::MAX);
        for n in 1..=4 * total {
            let place = world.send();
            counts[place] += 1;
            run = if place == last { run + 1 } else { 1 };
            last = place;
            assert!(run <= weights[place].div_ceil(total - weights[place]) + 2);
            for (count, weight) in counts.iter().zip(weights) {
                let stray = f64::from(*count) - f64::from(n * weight) / f64::from(total);
                assert!(stray.abs() < 1.1, "after {n}: {counts:?}");
            }
            if n % total == 0 {
                assert_eq!(counts, weights.map(|weight| weight * n / total));
            }
        }
    }
}
