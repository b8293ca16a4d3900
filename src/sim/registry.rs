//! Discovery: which backends are listed, and when. The truth reaches clients late and sometimes wrongly; here is
//! where the lateness is made.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::dist::Sampler;
use crate::base::id::{Address, BackendId, RegionId};
use crate::base::rand::{Bits, Rand, Seed};
use crate::base::time::{Duration, Instant};
use crate::fault::effect::{Announcement, Cause, HealthStatus};
use crate::policy::endpoints::{Health, Listing};
use crate::scenario::plan::{Discovery, Plan};

/// How changes travel.
#[derive(Debug)]
enum Mode {
    Static,
    Push,
    Lease { ttl: Duration, keepalive: Duration },
}

/// What the registry knows of one backend.
#[derive(Debug, Clone, Copy)]
struct Entry {
    listed: bool,
    /// Reasons for which its keep-alives do not come.
    mute: u32,
    /// Its keep-alives come at this instant and every period after it.
    beat: Instant,
    /// When its lease runs out, or it registers again; [`Instant::NEVER`] if nothing is pending.
    due: Instant,
}

/// What is said of a backend instead of what is so.
#[derive(Debug)]
struct Said {
    so: Listing,
    /// In the order in which it began.
    by: Vec<(Cause, Announcement)>,
}

/// The registry.
#[derive(Debug)]
pub(super) struct Registry {
    mode: Mode,
    delay: Option<Sampler>,
    refresh: Option<Duration>,
    rand: Rand,
    all: Vec<Listing>,
    entries: Vec<Entry>,
    said: BTreeMap<BackendId, Said>,
    /// Weights that are announced now and were not before.
    reweighed: Vec<(BackendId, u32)>,
    regions: Vec<RegionId>,
    /// Out of order: nothing is learned and nobody is told.
    outages: u32,
    changed: bool,
}

impl Registry {
    pub(super) fn new(plan: &Plan, seed: &Seed) -> Registry {
        let mut rand = seed.stream("registry");
        let (mode, delay) = match &plan.discovery {
            Discovery::Static => (Mode::Static, None),
            Discovery::Push { delay, .. } => (Mode::Push, Some(delay.compile())),
            Discovery::Lease { ttl, keepalive, watch_delay } => {
                (Mode::Lease { ttl: *ttl, keepalive: *keepalive }, Some(watch_delay.compile()))
            }
        };
        let refresh = if let Discovery::Push { refresh, .. } = &plan.discovery { *refresh } else { None };
        let period = if let Mode::Lease { keepalive, .. } = &mode { keepalive.as_nanos() } else { 0 };
        let mut all = Vec::new();
        let mut entries = Vec::new();
        for (id, group, number) in plan.each_backend() {
            all.push(Listing {
                address: Address(id.0),
                name: name_of(id).into(),
                weight: group.weight,
                zone: group.zone,
                region: plan.region_of(group.zone),
                started: None,
                health: Health::Healthy,
                metadata: group.metadata.clone(),
            });
            let phase = if period > 0 { rand.below(period) } else { 0 };
            let listed = number < group.count;
            let mute = u32::from(!listed);
            entries.push(Entry { listed, mute, beat: Instant::from_nanos(phase), due: Instant::NEVER });
        }
        Registry {
            mode,
            delay,
            refresh,
            rand,
            all,
            entries,
            said: BTreeMap::new(),
            reweighed: Vec::new(),
            regions: plan.zones.iter().map(|zone| zone.region).collect(),
            outages: 0,
            changed: false,
        }
    }

    /// Who is listed.
    pub(super) fn list(&self) -> Arc<[Listing]> {
        self.all
            .iter()
            .zip(&self.entries)
            .filter(|(_, entry)| entry.listed)
            .map(|(listing, _)| listing.clone())
            .collect()
    }

    /// How often everybody is sent the list again, if at all.
    pub(super) fn refresh(&self) -> Option<Duration> {
        self.refresh
    }

    /// From a change to one client, anew for each.
    pub(super) fn delay(&mut self) -> Duration {
        self.delay.as_ref().map_or(Duration::ZERO, |delay| delay.sample(&mut self.rand))
    }

    /// How long a client whose watch was cut off waits before it opens it again: as long as a member that was cut
    /// off does before it tries its next keep-alive.
    pub(super) fn retry(&self) -> Duration {
        if let Mode::Lease { keepalive, .. } = self.mode { keepalive } else { Duration::ZERO }
    }

    /// A backend starts: it registers at once. Hands out nothing; ask [`Registry::take_changed`].
    pub(super) fn on_up(&mut self, now: Instant, backend: BackendId) {
        let entry = &mut self.entries[backend.index()];
        entry.mute = entry.mute.saturating_sub(1);
        self.all[backend.index()].started = Some(now);
        if matches!(self.mode, Mode::Static) || entry.mute > 0 || self.outages > 0 {
            return;
        }
        entry.beat = now;
        entry.due = Instant::NEVER;
        self.set_listed(backend, true);
    }

    /// A backend says goodbye.
    pub(super) fn on_leave(&mut self, backend: BackendId) {
        if !matches!(self.mode, Mode::Static) && self.outages == 0 {
            self.entries[backend.index()].due = Instant::NEVER;
            self.set_listed(backend, false);
        }
    }

    /// A backend dies without a word. `Some(at)`: ask [`Registry::on_due`] then.
    pub(super) fn on_down(&mut self, now: Instant, backend: BackendId) -> Option<Instant> {
        match self.mode {
            Mode::Static => None,
            Mode::Push => {
                self.entries[backend.index()].mute += 1;
                if self.outages == 0 {
                    self.set_listed(backend, false);
                }
                None
            }
            Mode::Lease { .. } => self.on_mute(now, backend),
        }
    }

    /// The keep-alives of a backend stop: it hangs, or is cut off, or has died.
    pub(super) fn on_mute(&mut self, now: Instant, backend: BackendId) -> Option<Instant> {
        let Mode::Lease { ttl, keepalive } = self.mode else { return None };
        let entry = &mut self.entries[backend.index()];
        entry.mute += 1;
        if entry.mute > 1 || !entry.listed {
            return None;
        }
        // The last keep-alive that came, or the grant before the run began.
        let since = now.since(entry.beat).as_nanos();
        let last = now.as_nanos() - if now >= entry.beat { since % keepalive.as_nanos() } else { 0 };
        entry.due = (Instant::from_nanos(last) + ttl).max(now);
        Some(entry.due)
    }

    /// They come again.
    pub(super) fn on_unmute(&mut self, now: Instant, backend: BackendId) -> Option<Instant> {
        let Mode::Lease { keepalive, .. } = self.mode else { return None };
        let entry = &mut self.entries[backend.index()];
        entry.mute = entry.mute.saturating_sub(1);
        if entry.mute > 0 {
            return None;
        }
        entry.due = Instant::NEVER;
        if entry.listed {
            return None;
        }
        // Its next keep-alive learns that the lease is gone, and it registers again.
        let since = now.since(entry.beat).as_nanos();
        let wait = keepalive.as_nanos() - since % keepalive.as_nanos();
        entry.due = now + Duration::from_nanos(wait);
        Some(entry.due)
    }

    /// Something that was due may be due now: a lease ran out, or a member registers again.
    pub(super) fn on_due(&mut self, now: Instant, backend: BackendId) -> Option<Instant> {
        let entry = &mut self.entries[backend.index()];
        if entry.due != now {
            return None;
        }
        if self.outages > 0 {
            // Nobody is listed or struck off meanwhile; it is looked at when the registry is back.
            entry.due = Instant::NEVER;
            return None;
        }
        entry.due = Instant::NEVER;
        let listed = entry.mute == 0;
        self.set_listed(backend, listed);
        None
    }

    /// The registry goes out of order or comes back. A registry that returns has renewed every lease; who is
    /// still mute then runs out a full lease later, who is not and is missing registers at once. Hands out what
    /// becomes due.
    pub(super) fn set_outage(&mut self, now: Instant, on: bool) -> Vec<(Instant, BackendId)> {
        if on {
            self.outages += 1;
            return Vec::new();
        }
        self.outages = self.outages.saturating_sub(1);
        if self.outages > 0 || matches!(self.mode, Mode::Static) {
            return Vec::new();
        }
        for backend in self.said.keys().copied().collect::<Vec<_>>() {
            self.say(backend);
        }
        let ttl = if let Mode::Lease { ttl, .. } = self.mode { ttl } else { Duration::ZERO };
        let mut due = Vec::new();
        for (at, entry) in self.entries.iter_mut().enumerate() {
            if entry.listed == (entry.mute == 0) {
                continue;
            }
            entry.due = if entry.mute > 0 { now + ttl } else { now };
            due.push((entry.due, BackendId(at as u32)));
        }
        due
    }

    /// Something is announced, or no longer. A registry that is out of order hears of it when it is back.
    pub(super) fn announce(&mut self, cause: Cause, backends: &[BackendId], what: Option<Announcement>) {
        for backend in backends {
            let so = || Said { so: self.all[backend.index()].clone(), by: Vec::new() };
            let said = self.said.entry(*backend).or_insert_with(so);
            said.by.retain(|(by, _)| *by != cause);
            said.by.extend(what.map(|what| (cause, what)));
            if self.outages == 0 {
                self.say(*backend);
            }
        }
    }

    /// Lists a backend as it is announced.
    fn say(&mut self, backend: BackendId) {
        let Said { so, by } = &self.said[&backend];
        let mut listing = Listing { started: self.all[backend.index()].started, ..so.clone() };
        for (_, what) in by {
            match what {
                Announcement::Weight(weight) => listing.weight = *weight,
                Announcement::Zone(zone) => (listing.zone, listing.region) = (*zone, self.regions[zone.index()]),
                Announcement::Health(status) => listing.health = health(*status),
            }
        }
        let before = &mut self.all[backend.index()];
        if before.weight != listing.weight {
            self.reweighed.push((backend, listing.weight));
        }
        self.changed |= self.entries[backend.index()].listed && *before != listing;
        *before = listing;
    }

    /// The weights that have changed since this was asked last.
    pub(super) fn take_reweighed(&mut self) -> Vec<(BackendId, u32)> {
        std::mem::take(&mut self.reweighed)
    }

    fn set_listed(&mut self, backend: BackendId, listed: bool) {
        let entry = &mut self.entries[backend.index()];
        self.changed |= entry.listed != listed;
        entry.listed = listed;
    }

    /// True, once, if the list has changed.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// True if nobody can be told anything.
    pub(super) fn is_out(&self) -> bool {
        self.outages > 0
    }
}

/// What clients make of an announcement.
fn health(status: HealthStatus) -> Health {
    match status {
        HealthStatus::Healthy => Health::Healthy,
        HealthStatus::Degraded => Health::Suspect,
        HealthStatus::Draining => Health::Draining,
        HealthStatus::Unhealthy => Health::Failed,
    }
}

/// The address of a backend as text: what hash policies hash.
pub fn name_of(id: BackendId) -> String {
    let n = id.0 + 1;
    format!("10.{}.{}.{}:80", n >> 16 & 0xff, n >> 8 & 0xff, n & 0xff)
}
