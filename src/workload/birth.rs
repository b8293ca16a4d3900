//! The births of calls: when, whose, what. An open workload is drawn from streams read in order; a closed one
//! from each user's own numbers, so that what a user does next does not depend on who else was served before.

use super::keys::KeyLaw;
use super::rate::Clock;
use super::spec::{Calls, Source};
use crate::base::dist::Sampler;
use crate::base::id::ClientId;
use crate::base::rand::{Bits, Draws, Purpose, Rand, Seed, mix};
use crate::base::time::{Duration, Instant};

/// A call, as it is born.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Birth {
    /// Its intended start.
    pub at: Instant,
    /// Whose.
    pub client: ClientId,
    /// Its class in the mix.
    pub class: u16,
    /// Its key, if calls have keys.
    pub key: Option<u64>,
    /// Where the draws that belong to its attempts come from.
    pub draw_key: u64,
    /// Work it carries.
    pub demand: f64,
    /// When the application stops waiting.
    pub deadline: Option<Duration>,
}

impl Birth {
    /// No call ever comes.
    pub const NEVER: Birth = Birth {
        at: Instant::NEVER,
        client: ClientId(0),
        class: 0,
        key: None,
        draw_key: 0,
        demand: 1.0,
        deadline: None,
    };
}

/// Clients that share a part of the calls: `(number of clients, share)` of each group, in order.
pub type Groups = Vec<(u32, f64)>;

/// Bears calls.
#[derive(Debug)]
pub struct Births {
    source: Origin,
    what: What,
}

#[expect(clippy::large_enum_variant, reason = "there is one for each run, and a box would cost every birth a step")]
#[derive(Debug)]
enum Origin {
    Open { clock: Clock },
    Closed { think: Sampler, users: Vec<u64>, calls: Vec<u64> },
}

#[derive(Debug)]
struct What {
    rand: Rand,
    /// Upper ends of the groups' shares as thresholds, with the number of clients and the first client.
    groups: Vec<(u64, u32, u32)>,
    keys: Option<KeyLaw>,
    key_rand: Rand,
    /// Upper ends of the classes' shares as thresholds, with demand and deadline.
    classes: Vec<(u64, f64, Option<Duration>)>,
}

impl Births {
    /// The calls of one run. `duration` is the end of the measured stretch.
    pub fn new(calls: &Calls, groups: &Groups, duration: Duration, seed: &Seed) -> Births {
        let source = match &calls.source {
            Source::Open { rate, arrivals } => {
                Origin::Open { clock: Clock::new(arrivals, rate.value(), duration, seed.stream("arrivals")) }
            }
            Source::Closed { users, think } => Origin::Closed {
                think: think.compile(),
                users: (0..*users).map(|user| mix(seed.number("users") ^ mix(u64::from(user)))).collect(),
                calls: vec![0; *users as usize],
            },
        };
        let mut classes: Vec<(f64, f64, Option<Duration>)> = calls
            .mix
            .iter()
            .map(|class| (class.share.value(), class.demand.value(), class.deadline.or(calls.deadline)))
            .collect();
        if classes.is_empty() {
            classes.push((1.0, 1.0, calls.deadline));
        }
        let class_ends = thresholds(classes.iter().map(|class| class.0));
        let group_ends = thresholds(groups.iter().map(|group| group.1));
        let mut first = 0;
        let mut group_of = |(end, (count, _)): (u64, &(u32, f64))| {
            first += count;
            (end, *count, first - count)
        };
        Births {
            source,
            what: What {
                rand: seed.stream("calls"),
                groups: group_ends.into_iter().zip(groups).map(&mut group_of).collect(),
                keys: calls.keys.as_ref().map(KeyLaw::new),
                key_rand: seed.stream("keys"),
                classes: class_ends
                    .into_iter()
                    .zip(classes)
                    .map(|(end, (_, demand, deadline))| (end, demand, deadline))
                    .collect(),
            },
        }
    }

    /// Whether calls wait for replies.
    pub fn is_closed(&self) -> bool {
        matches!(self.source, Origin::Closed { .. })
    }

    /// The next call of an open workload; [`Birth::NEVER`] if none ever comes.
    #[inline(always)]
    pub fn next_open(&mut self) -> Birth {
        let Origin::Open { clock } = &mut self.source else { return Birth::NEVER };
        match clock.next_arrival() {
            Instant::NEVER => Birth::NEVER,
            at => self.what.birth(at),
        }
    }

    /// Number of users of a closed workload.
    pub fn users(&self) -> u32 {
        match &self.source {
            Origin::Open { .. } => 0,
            Origin::Closed { users, .. } => users.len() as u32,
        }
    }

    /// When a user calls next, having been answered (or having come) at `now`.
    pub fn think(&mut self, now: Instant, user: u32) -> Instant {
        let Origin::Closed { think, users, calls } = &mut self.source else { return Instant::NEVER };
        let number = &mut calls[user as usize];
        let mut draws = Draws::new(mix(users[user as usize] ^ *number), 0, Purpose::Outbound);
        *number += 1;
        now + think.sample(&mut draws)
    }

    /// The call that a user makes now.
    pub fn next_closed(&mut self, now: Instant, user: u32) -> Birth {
        let Origin::Closed { users, calls, .. } = &self.source else {
            unreachable!("only closed workloads have users")
        };
        let own = mix(users[user as usize] ^ mix(calls[user as usize]));
        self.what.closed_birth(now, user, own)
    }

    /// What identifies a closed workload: the users' numbers.
    pub fn user_keys(&self) -> &[u64] {
        match &self.source {
            Origin::Open { .. } => &[],
            Origin::Closed { users, .. } => users,
        }
    }

    /// The rate is multiplied from now on; hands out when the pending call comes then.
    pub fn set_surge(&mut self, now: Instant, factor: f64) -> Option<Instant> {
        match &mut self.source {
            Origin::Open { clock } => Some(clock.set_surge(now, factor)),
            Origin::Closed { .. } => None,
        }
    }

    /// Popularity moves to other keys.
    pub fn move_hot_keys(&mut self, top: u64) {
        if let Some(keys) = &mut self.what.keys {
            keys.move_hot(top);
        }
    }
}

impl What {
    #[inline(always)]
    fn birth(&mut self, at: Instant) -> Birth {
        let draw_key = self.rand.next_u64();
        let client = self.client();
        let (class, demand, deadline) = self.class();
        let key = self.keys.as_ref().map(|keys| keys.sample(&mut self.key_rand));
        Birth { at, client, class, key, draw_key, demand, deadline }
    }

    /// Two draws where there are several groups, one in a group of several, none for a lone client.
    #[inline(always)]
    fn client(&mut self) -> ClientId {
        let group = match self.groups.len() {
            1 => 0,
            _ => {
                let draw = self.rand.next_u64();
                self.groups.partition_point(|(end, _, _)| *end <= draw)
            }
        };
        let (_, count, first) = self.groups[group.min(self.groups.len() - 1)];
        ClientId(if count == 1 { first } else { first + self.rand.below(u64::from(count)) as u32 })
    }

    #[inline(always)]
    fn class(&mut self) -> (u16, f64, Option<Duration>) {
        let class = match self.classes.len() {
            1 => 0,
            _ => {
                let draw = self.rand.next_u64();
                self.classes.partition_point(|(end, _, _)| *end <= draw).min(self.classes.len() - 1)
            }
        };
        let (_, demand, deadline) = self.classes[class];
        (class as u16, demand, deadline)
    }

    /// A user belongs to one client; everything else about its call comes from its own numbers.
    fn closed_birth(&mut self, at: Instant, user: u32, own: u64) -> Birth {
        let clients: u32 = self.groups.iter().map(|(_, count, _)| count).sum();
        let mut draws = Draws::new(own, 0, Purpose::HashKey);
        let class_draw = draws.next_u64();
        let class = self.classes.partition_point(|(end, _, _)| *end <= class_draw).min(self.classes.len() - 1);
        let (_, demand, deadline) = self.classes[class];
        let key = self.keys.as_ref().map(|keys| keys.sample(&mut draws));
        Birth { at, client: ClientId(user % clients), class: class as u16, key, draw_key: own, demand, deadline }
    }
}

/// Upper ends of shares on the scale of 64 bits.
fn thresholds(shares: impl Iterator<Item = f64>) -> Vec<u64> {
    let shares: Vec<f64> = shares.collect();
    let total: f64 = shares.iter().sum();
    let mut sum = 0.0;
    let mut ends = Vec::with_capacity(shares.len());
    for share in shares {
        sum += share;
        let end = (sum / total * 18_446_744_073_709_551_616.0).floor();
        ends.push(if end >= 18_446_744_073_709_551_615.0 { u64::MAX } else { end as u64 });
    }
    ends
}
