//! Draw a few, keep the least loaded: the machine behind `least_request` and `peak_ewma`.

use serde::{Deserialize, Serialize};

use super::places::Places;
use crate::base::id::EndpointId;
use crate::base::rand::{Bits, Rand};
use crate::base::time::Instant;
use crate::policy::balancer::{Balancer, Endpoints, Feedback, Pick, Request, Score};

/// Whether an endpoint can be drawn twice for one pick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// It can (Envoy, gRFC A48): of two endpoints the worse one still gets a quarter of the calls.
    #[default]
    Replacement,
    /// It cannot (Finagle, tower, linkerd): the worst of all is never picked.
    Distinct,
}

impl Sampling {
    /// Two of `n`, 2 or more. Two draws.
    #[inline(always)]
    fn two(self, n: u64, bits: &mut impl Bits) -> (u64, u64) {
        match self {
            Sampling::Replacement => (bits.below(n), bits.below(n)),
            Sampling::Distinct => bits.two_below(n),
        }
    }
}

/// Draws that were looked at before.
struct Known([u64; 2]);

impl Bits for Known {
    #[inline(always)]
    fn next_u64(&mut self) -> u64 {
        self.0.swap(0, 1);
        self.0[1]
    }
}

/// Draws `choices` candidates and picks the one with the lowest score, the first drawn among equals.
#[derive(Debug)]
pub struct Choices<S, R = Rand> {
    choices: usize,
    sampling: Sampling,
    score: S,
    rand: R,
    /// Places drawn for one pick, in rising order.
    drawn: Vec<u64>,
    ready: Places,
    /// Whether two are drawn, of more than one.
    draws_two: bool,
}

impl<S: Score, R: Bits> Choices<S, R> {
    /// `choices` is 2 or more.
    pub fn new(choices: u32, sampling: Sampling, score: S, rand: R) -> Self {
        let drawn = Vec::with_capacity(choices as usize);
        Choices { choices: choices as usize, sampling, score, rand, drawn, ready: Places::default(), draws_two: false }
    }

    /// What is compared.
    pub fn score(&self) -> &S {
        &self.score
    }

    /// The pick among two or more.
    #[inline]
    pub fn choose(&mut self, now: Instant, among: &[EndpointId], endpoints: &Endpoints<'_>) -> EndpointId {
        if self.choices != 2 {
            return self.choose_of_many(now, among, endpoints);
        }
        let (a, b) = self.draw_two(among);
        self.less_loaded(now, a, b, endpoints)
    }

    /// Draws two of two or more.
    #[inline]
    pub fn draw_two(&mut self, among: &[EndpointId]) -> (EndpointId, EndpointId) {
        let (a, b) = self.sampling.two(among.len() as u64, &mut self.rand);
        (among[a as usize], among[b as usize])
    }

    /// The two ready endpoints that two draws stand for.
    #[inline(always)]
    fn two_of(&self, draws: [u64; 2], endpoints: &Endpoints<'_>) -> Option<(EndpointId, EndpointId)> {
        let (a, b) = self.sampling.two(endpoints.ready.len() as u64, &mut Known(draws));
        Some((self.ready.at(a, endpoints)?, self.ready.at(b, endpoints)?))
    }

    #[inline(never)]
    fn pick_slowly(&mut self, now: Instant, endpoints: &Endpoints<'_>) -> Pick {
        match endpoints.ready {
            [] => Pick::nobody(endpoints),
            [only] => Pick::To(*only),
            ready => Pick::To(self.choose(now, ready, endpoints)),
        }
    }

    /// The one of two with the lower score; the first if they are equal.
    #[inline]
    pub fn less_loaded(&mut self, now: Instant, a: EndpointId, b: EndpointId, endpoints: &Endpoints<'_>) -> EndpointId {
        // Nobody can predict which, least of all the processor.
        std::hint::select_unpredictable(self.score.is_second_lower(now, a, b, endpoints), b, a)
    }

    #[inline(never)]
    fn choose_of_many(&mut self, now: Instant, among: &[EndpointId], endpoints: &Endpoints<'_>) -> EndpointId {
        self.drawn.clear();
        let mut best = self.draw(among);
        let mut least = self.score.load(now, best, endpoints);
        let draws = match self.sampling {
            Sampling::Replacement => self.choices,
            Sampling::Distinct => self.choices.min(among.len()),
        };
        for _ in 1..draws {
            let candidate = self.draw(among);
            let load = self.score.load(now, candidate, endpoints);
            if load < least {
                (best, least) = (candidate, load);
            }
        }
        best
    }

    fn draw(&mut self, among: &[EndpointId]) -> EndpointId {
        let n = among.len() as u64;
        if self.sampling == Sampling::Replacement {
            return among[self.rand.below(n) as usize];
        }
        // A place among those not drawn yet, then counted past those that were: no draw is thrown away.
        let mut place = self.rand.below(n - self.drawn.len() as u64);
        let mut at = 0;
        while at < self.drawn.len() && self.drawn[at] <= place {
            place += 1;
            at += 1;
        }
        self.drawn.insert(at, place);
        among[place as usize]
    }
}

impl<S: Score, R: Bits + Send> Balancer for Choices<S, R> {
    fn on_endpoints(&mut self, now: Instant, endpoints: &Endpoints<'_>) {
        self.score.on_endpoints(now, endpoints);
        self.ready = Places::of(endpoints);
        self.draws_two = self.choices == 2 && self.ready.are_several();
    }

    fn pick(&mut self, now: Instant, _request: &Request<'_>, endpoints: &Endpoints<'_>) -> Pick {
        if self.draws_two
            && let Some(draws) = self.rand.made()
            && let Some((a, b)) = self.two_of(draws, endpoints)
        {
            return Pick::To(self.less_loaded(now, a, b, endpoints));
        }
        self.pick_slowly(now, endpoints)
    }

    fn only_picks(&self) -> bool {
        !self.score.learns()
    }

    fn likely_next(&self, endpoints: &Endpoints<'_>) -> Option<[EndpointId; 2]> {
        let draws = self.rand.ahead().filter(|_| self.draws_two)?;
        self.two_of(draws, endpoints).map(|(a, b)| [a, b])
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback<'_>, _endpoints: &Endpoints<'_>) {
        self.score.on_feedback(now, feedback);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rand::Seed;
    use crate::policy::balancer::score::in_flight::InFlight;
    use crate::policy::balancer::testing::World;

    /// Plays back given draws: each a place and out of how many.
    #[derive(Debug)]
    struct Script(std::vec::IntoIter<(u64, u64)>);

    impl Bits for Script {
        fn next_u64(&mut self) -> u64 {
            let (place, of) = self.0.next().expect("no more draws than the card says");
            // The middle of the range that `below(of)` maps to `place`.
            ((u128::from(place) << 64) / u128::from(of) + (1 << 63) / u128::from(of)) as u64
        }
    }

    /// How often each of `n` endpoints is picked over all outcomes of `choices` draws, endpoint `i` having `i` calls.
    fn all_outcomes(n: u64, choices: u32, sampling: Sampling) -> Vec<usize> {
        let width = |draw: u64| if sampling == Sampling::Distinct { n - draw } else { n };
        let outcomes: u64 = (0..u64::from(choices)).map(width).product();
        let mut counts = vec![0; n as usize];
        for mut outcome in 0..outcomes {
            let mut script = vec![];
            for draw in 0..u64::from(choices) {
                script.push((outcome % width(draw), width(draw)));
                outcome /= width(draw);
            }
            let balancer = Choices::new(choices, sampling, InFlight, Script(script.into_iter()));
            let mut world = World::seeded(1, &vec![1; n as usize], |_| Box::new(balancer));
            for i in 0..n as usize {
                (0..i).for_each(|_| world.table.on_sent(world.id(i)));
            }
            counts[world.send()] += 1;
        }
        counts
    }

    #[test]
    fn chances_of_the_best_and_the_worst() {
        // policies.md §4.2: with replacement the best of n is chosen with 1 - ((n-1)/n)^2 and the worst with 1/n^2;
        // of a distinct pair the best with 2/n, the worst never.
        for (n, best, of) in [(2, 3, 4), (3, 5, 9), (4, 7, 16), (10, 19, 100)] {
            let counts = all_outcomes(n, 2, Sampling::Replacement);
            assert_eq!((counts[0], counts[n as usize - 1], counts.iter().sum::<usize>()), (best, 1, of));
        }
        for (n, best, of) in [(2, 2, 2), (3, 4, 6), (4, 6, 12), (10, 18, 90)] {
            let counts = all_outcomes(n, 2, Sampling::Distinct);
            assert_eq!((counts[0], counts[n as usize - 1], counts.iter().sum::<usize>()), (best, 0, of));
        }
        assert_eq!(all_outcomes(4, 3, Sampling::Replacement), [37, 19, 7, 1], "the worst with 1/n^d");
        assert_eq!(all_outcomes(4, 3, Sampling::Distinct), [18, 6, 0, 0], "3 of 4: one of the two best");
        assert_eq!(all_outcomes(3, 3, Sampling::Distinct), [6, 0, 0], "all of them: the best");
    }

    #[test]
    fn among_equals_the_first_drawn_stays() {
        for choices in [2, 3] {
            let script = vec![(2, 4), (0, 3), (0, 2)];
            let balancer = Choices::new(choices, Sampling::Distinct, InFlight, Script(script.into_iter()));
            assert_eq!(World::seeded(1, &[1; 4], |_| Box::new(balancer)).send(), 2);
        }
    }

    #[test]
    fn more_choices_than_endpoints_look_at_all() {
        let balancer = Choices::new(10, Sampling::Distinct, InFlight, crate::base::rand::Seed::new(1).stream("test"));
        let mut world = World::seeded(1, &[1; 3], |_| Box::new(balancer));
        let mut counts = [0; 3];
        for _ in 0..30 {
            counts[world.send()] += 1;
        }
        assert_eq!(counts, [10; 3]);
    }

    /// The hint is only for caches, so no result would show that it is wrong.
    #[test]
    fn the_next_pick_is_one_of_the_two_that_are_likely() {
        for sampling in [Sampling::Replacement, Sampling::Distinct] {
            let rand = Seed::new(1).stream("likely");
            let mut balancer = Choices::new(2, sampling, InFlight, rand);
            let mut world = World::seeded(1, &[1; 50], |_| Box::new(Choices::new(2, sampling, InFlight, NoDraws)));
            balancer.on_endpoints(Instant::ZERO, &world.table.view());
            let mut told = 0;
            for _ in 0..300 {
                let view = world.table.view();
                let likely = balancer.likely_next(&view);
                let Pick::To(picked) = balancer.pick(Instant::ZERO, &Request::plain(), &view) else { panic!("a pick") };
                told += usize::from(likely.is_some());
                assert!(likely.is_none_or(|two| two.contains(&picked)), "{picked:?}, not {likely:?}");
                world.table.on_sent(picked);
            }
            assert!(told > 250, "it can nearly always tell: {told}");
        }
    }

    #[derive(Debug)]
    struct NoDraws;

    impl Bits for NoDraws {
        fn next_u64(&mut self) -> u64 {
            unreachable!("nobody asks the world's own balancer")
        }
    }
}
