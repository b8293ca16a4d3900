//! The crates.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hashring::HashRing;
use jumphash::JumpHasher;
use maglev::{ConsistentHasher, Maglev};
use rand::SeedableRng;
use rand::distr::Distribution;
use rand::rngs::StdRng;
use rand_distr::weighted::WeightedAliasIndex;
use tower::Service;
use tower::balance::p2c::Balance;
use tower::discover::ServiceList;
use tower::load::{CompleteOnResponse, Load, PeakEwma, PendingRequests};
use weighted_rs::{RandWeight, RoundrobinWeight, SmoothWeight, Weight};

use crate::ours::{Keys, open_calls, weight};
use crate::table::{Peer, Work, peer, repeated};

pub const PEERS: &[Peer] = &[
    peer("rand_distr alias", "weighted_random", 100_000, alias),
    peer("weighted-rs random", "weighted_random", 10_000, |n| weighted(n, RandWeight::new())),
    peer("tower p2c, pending requests", "least_request, 2 choices", 100_000, pending),
    peer("weighted-rs smooth", "wrr_smooth", 10_000, |n| weighted(n, SmoothWeight::new())),
    peer("weighted-rs round robin", "wrr_list, interleaved", 100_000, |n| weighted(n, RoundrobinWeight::new())),
    peer("hashring, 160 points each", "ring, 160 points each", 1_000, ring),
    peer("maglev, 65,537 slots", "maglev", 1_000, maglev),
    peer("maglev_rs, 65,537 slots, no hash", "maglev", 1_000, maglev_rs),
    peer("jumphash", "jump", 100_000, jumphash),
    peer("jump-consistent-hash", "jump", 100_000, jump),
    peer("tower p2c, peak EWMA", "peak_ewma, tower's", 100_000, peak_ewma),
];

/// Tables of 65,537 slots.
pub const TABLES: &[(&str, fn(usize))] = &[
    ("maglev", |n| drop(Maglev::with_capacity(names(n), 65_537))),
    ("maglev_rs", |n| drop(maglev_rs::Maglev::new(&names(n), 65_537).expect("a prime"))),
];

fn names(n: usize) -> Vec<String> {
    (0..n).map(|place| format!("10.{}.{}.{}:80", place >> 16, (place >> 8) & 255, place & 255)).collect()
}

fn alias(n: usize) -> Work {
    let index = WeightedAliasIndex::new((0..n).map(weight).collect()).expect("weights are right");
    let mut rng = StdRng::seed_from_u64(1);
    repeated(move || index.sample(&mut rng))
}

fn weighted(n: usize, mut chooser: impl Weight<Item = usize> + 'static) -> Work {
    (0..n).for_each(|place| chooser.add(place, weight(place) as isize));
    repeated(move || chooser.next())
}

fn ring(n: usize) -> Work {
    let mut ring = HashRing::new();
    ring.batch_add((0..n as u32).flat_map(|place| (0..160_u32).map(move |point| (place, point))).collect());
    let mut keys = Keys::new();
    repeated(move || ring.get(&keys.next()).copied())
}

fn maglev(n: usize) -> Work {
    let table = Maglev::with_capacity(names(n), 65_537);
    let mut keys = Keys::new();
    repeated(move || table.get(&keys.next()).map(|name| name.len()))
}

fn maglev_rs(n: usize) -> Work {
    let table = maglev_rs::Maglev::new(&names(n), 65_537).expect("a prime");
    let mut keys = Keys::new();
    repeated(move || table.get_backend((keys.next() % 65_537) as usize))
}

fn jumphash(n: usize) -> Work {
    let hasher = JumpHasher::new_with_keys(1, 2);
    let mut keys = Keys::new();
    repeated(move || hasher.slot(&keys.next(), n as u32))
}

fn jump(n: usize) -> Work {
    let mut keys = Keys::new();
    repeated(move || jump_consistent_hash::hash(keys.next(), n))
}

/// A service that answers at once.
struct Answer;

impl Service<()> for Answer {
    type Response = ();
    type Error = Infallible;
    type Future = Ready<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(()))
    }
}

fn pending(n: usize) -> Work {
    tower(n, || PendingRequests::new(Answer, CompleteOnResponse::default()))
}

fn peak_ewma(n: usize) -> Work {
    let (rtt, decay) = (Duration::from_millis(30), 1e10);
    tower(n, move || PeakEwma::new(Answer, rtt, decay, CompleteOnResponse::default()))
}

/// Two choices over services that know their load, with as many calls open as ours.
fn tower<S>(n: usize, service: impl Fn() -> S) -> Work
where
    S: Service<(), Error = Infallible> + Load + 'static,
    S::Metric: std::fmt::Debug,
    S::Future: Unpin + 'static,
{
    let services: Vec<S> = (0..n).map(|_| service()).collect();
    let mut balance = Balance::new(ServiceList::new::<()>(services));
    let mut context = Context::from_waker(Waker::noop());
    let mut open = VecDeque::with_capacity(open_calls(n) + 1);
    Box::new(move |count| {
        let end = count + open_calls(n) as u64 * u64::from(open.is_empty());
        for _ in 0..end {
            assert!(balance.poll_ready(&mut context).is_ready(), "all are ready");
            open.push_back(balance.call(()));
            if open.len() > open_calls(n) {
                let mut oldest = open.pop_front().expect("one is open");
                assert!(Pin::new(&mut oldest).poll(&mut context).is_ready(), "it is answered at once");
            }
        }
    })
}
