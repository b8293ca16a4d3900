//! What servers say about themselves: load reports on replies and out of band, answers to probes, and that they are
//! idle. All of it stands beside what every call touches, and exists only once somebody reports or asks.

use super::client::Message;
use super::engine::{World, kind};
use super::oracle::Witness;
use super::queue::Event;
use crate::backend::meter::{Entry, Meter};
use crate::backend::server::{Arrival, Finished, Offered};
use crate::backend::spec::{LoadReports, OutOfBand, Utilization};
use crate::base::id::{Address, BackendId, ClientId};
use crate::base::load::LoadReport;
use crate::base::rand::{Bits, Chance, Purpose, Rand, Seed, mix};
use crate::base::status::{Cause, Outcome};
use crate::base::time::{Duration, Instant};
use crate::fault::effect::CutMode;
use crate::policy::channel::BALANCER_PROBE;
use crate::policy::endpoints::Connectivity;
use crate::policy::truth::Truth;
use crate::record::Sink;
use crate::record::event::Record;
use crate::scenario::plan::Plan;

/// What is kept beside backends and attempts.
#[derive(Debug)]
pub(super) struct Reports {
    /// By backend.
    voices: Vec<Voice>,
    /// Who tells oracles, where there are any.
    pub(super) witness: Option<Witness>,
    /// What the attempt of each flight found as it came, by flight.
    entries: Vec<Entry>,
    /// The report on the answer of each flight, by flight.
    replies: Vec<Option<LoadReport>>,
    /// Somebody has probed: everybody measures.
    probed: bool,
    rand: Rand,
    /// Where the delays of messages that nobody asked for come from, and how many there were.
    key: u64,
    sent: u64,
}

/// What one backend has to say, and who listens.
#[derive(Debug, Default)]
struct Voice {
    /// Without one it measures nothing.
    meter: Option<Meter>,
    per_call: bool,
    out_of_band: Option<OutOfBand>,
    /// Clients that asked to hear from it, in order. One that has lost its connection is struck off when it is noticed.
    watchers: Vec<ClientId>,
    /// It has told somebody that it is idle since it was started.
    announced: bool,
}

/// The mark of a job that is no attempt but a probe.
pub(super) const PROBE_JOB: u32 = 1 << 31;

impl Reports {
    /// What a run begins with: nothing, if no backend reports and no oracle looks.
    pub(super) fn new(plan: &Plan, seed: &Seed, truth: &Truth) -> Option<Box<Reports>> {
        let any = plan.backends.iter().any(|group| group.profile.load_reports.is_some());
        (any || !truth.is_blind()).then(|| {
            let mut reports = Reports::of(plan, seed);
            reports.witness = Witness::of(truth, reports.voices.len());
            reports
        })
    }

    #[cold]
    fn of(plan: &Plan, seed: &Seed) -> Box<Reports> {
        let seed = seed.child("reports");
        let voice = |number: u32, reports: Option<&LoadReports>| {
            let Some(reports) = reports.filter(|reports| reports.is_by(number)) else { return Voice::default() };
            Voice {
                meter: Some(Meter::new(Instant::ZERO, reports.window, reports.utilization)),
                per_call: reports.per_call,
                out_of_band: reports.out_of_band.clone(),
                ..Voice::default()
            }
        };
        let groups = plan.backends.iter().map(|group| (group, group.profile.load_reports.as_ref()));
        let voices = groups.flat_map(|(group, reports)| (0..group.capacity).map(move |number| voice(number, reports)));
        Box::new(Reports {
            voices: voices.collect(),
            witness: None,
            entries: Vec::new(),
            replies: Vec::new(),
            probed: false,
            rand: seed.stream("draws"),
            key: seed.number("messages"),
            sent: 0,
        })
    }

    fn draw_key(&mut self) -> u64 {
        self.sent += 1;
        mix(self.key ^ mix(self.sent))
    }

    fn keep_entry(&mut self, flight: u32, entry: Entry) {
        if self.entries.len() <= flight as usize {
            self.entries.resize(flight as usize + 1, Entry { at: Instant::NEVER, found: 0 });
        }
        self.entries[flight as usize] = entry;
    }

    /// What an attempt found as it came; `None` if nobody measured then.
    fn entry(&self, flight: u32) -> Option<Entry> {
        self.entries.get(flight as usize).copied().filter(|entry| entry.at != Instant::NEVER)
    }

    fn keep_reply(&mut self, flight: u32, load: Option<LoadReport>) {
        if self.replies.len() <= flight as usize {
            self.replies.resize(flight as usize + 1, None);
        }
        self.replies[flight as usize] = load;
    }

    /// The report on an answer, once. What broke on the way carries none, whatever was sent.
    pub(super) fn take_reply(&mut self, flight: u32, outcome: Outcome) -> Option<LoadReport> {
        let load = self.replies.get_mut(flight as usize)?.take();
        load.filter(|_| outcome.err().is_none_or(|failure| matches!(failure.cause, Cause::Backend | Cause::QueueFull)))
    }
}

impl<S: Sink> World<'_, S> {
    fn reports_mut(&mut self) -> &mut Reports {
        let (plan, seed) = (self.plan, &self.seed);
        self.reports.get_or_insert_with(|| Reports::of(plan, seed))
    }

    /// The backends that report out of band begin to, each at a time of its own.
    pub(super) fn begin_reports(&mut self) {
        let Some(reports) = &mut self.reports else { return };
        for (at, voice) in reports.voices.iter().enumerate() {
            if let Some(out_of_band) = &voice.out_of_band {
                let phase = Duration::from_nanos(reports.rand.below(out_of_band.period.as_nanos()));
                self.queue.push(Event::new(Instant::ZERO + phase, kind::REPORT, at as u32, 0));
            }
        }
    }

    /// Something has changed in a backend.
    #[inline(always)]
    pub(super) fn meter(&mut self, backend: BackendId) {
        if self.reports.is_some() {
            self.note_change(backend);
        }
    }

    #[cold]
    fn note_change(&mut self, backend: BackendId) {
        let Some(reports) = &mut self.reports else { return };
        if let Some(meter) = &mut reports.voices[backend.index()].meter {
            meter.on_change(self.now, &self.backends[backend.index()].server);
        }
        self.testify(backend);
    }

    /// An attempt has come in.
    #[cold]
    pub(super) fn note_arrival(&mut self, backend: BackendId, flight: u32) {
        let found = self.backends[backend.index()].server.inside() - 1;
        let entry = Entry { at: self.now, found };
        if let Some(reports) = &mut self.reports {
            reports.keep_entry(flight, entry);
        }
        self.note_change(backend);
    }

    /// An attempt is turned away or fails by itself, without having been inside.
    #[cold]
    pub(super) fn note_refusal(&mut self, backend: BackendId, flight: u32) {
        self.sign(backend, flight, true);
    }

    /// An attempt was served.
    #[cold]
    pub(super) fn note_served(&mut self, backend: BackendId, finished: &Finished) {
        self.note_change(backend);
        let Some(reports) = &mut self.reports else { return };
        let entry = reports.entry(finished.job);
        if let (Some(meter), Some(entry)) = (&mut reports.voices[backend.index()].meter, entry) {
            meter.on_served(self.now, entry, finished.busy);
        }
        self.sign(backend, finished.job, finished.error.is_some());
        self.announce_if_idle(backend);
    }

    /// Puts a report on the answer of a flight, or nothing.
    fn sign(&mut self, backend: BackendId, flight: u32, failed: bool) {
        let Some(reports) = &mut self.reports else { return };
        let voice = &mut reports.voices[backend.index()];
        let server = &self.backends[backend.index()].server;
        let load = voice.meter.as_mut().and_then(|meter| {
            meter.on_answer(self.now, failed);
            voice.per_call.then(|| meter.report(self.now, server))
        });
        reports.keep_reply(flight, load);
    }

    /// A process starts: it knows nothing of before, and nobody listens any more.
    pub(super) fn restart_reports(&mut self, backend: BackendId) {
        let Some(reports) = &mut self.reports else { return };
        let voice = &mut reports.voices[backend.index()];
        voice.watchers.clear();
        voice.announced = false;
        if let Some(meter) = &mut voice.meter {
            meter.restart(self.now);
        }
    }

    // Out of band.

    /// It is time for a backend to report.
    pub(super) fn on_report_due(&mut self, backend: BackendId) {
        let Some(reports) = &mut self.reports else { return };
        let voice = &mut reports.voices[backend.index()];
        let Some(OutOfBand { period, loss }) = voice.out_of_band.clone() else { return };
        self.queue.push(Event::new(self.now + period, kind::REPORT, backend.0, 0));
        let Some(meter) = voice.meter.as_mut().filter(|_| self.backends[backend.index()].answers()) else { return };
        let load = meter.report(self.now, &self.backends[backend.index()].server);
        let address = Address(backend.0);
        let loss = Chance::new(loss.value());
        for number in (0..self.watchers(backend)).rev() {
            let Some(client) = self.watcher(backend, number) else { continue };
            // The draw is made for everybody, so that who is cut off moves nothing for the others.
            let lost = self.reports_mut().rand.chance(loss);
            if !lost {
                self.say(backend, client, Message::Report { address, load });
            }
        }
    }

    fn watchers(&self, backend: BackendId) -> usize {
        self.reports.as_ref().map_or(0, |reports| reports.voices[backend.index()].watchers.len())
    }

    /// One who listens; struck off if its connection has gone.
    fn watcher(&mut self, backend: BackendId, number: usize) -> Option<ClientId> {
        let voice = &mut self.reports.as_mut()?.voices[backend.index()];
        let client = *voice.watchers.get(number)?;
        let table = self.clients[client.index()].channel.table();
        let endpoint = table.at(Address(backend.0)).and_then(|id| table.get(id));
        if endpoint.is_some_and(|endpoint| endpoint.connectivity == Connectivity::Ready) {
            return Some(client);
        }
        voice.watchers.remove(number);
        None
    }

    /// A backend says something that nobody asked for just now.
    fn say(&mut self, backend: BackendId, client: ClientId, message: Message) {
        let (from, to) = (self.place(backend), self.clients[client.index()].place);
        if self.network.cut(&from, &to).is_some() {
            return;
        }
        let draw_key = self.reports_mut().draw_key();
        let delay = self.network.one_way(&from, &to, draw_key, 0, Purpose::Inbound);
        self.tell(client.index(), delay, message);
    }

    /// A client wants to hear from a backend.
    pub(super) fn watch(&mut self, client: usize, address: Address) {
        let (from, to) = (self.clients[client].place, self.place(BackendId(address.0)));
        if self.network.cut(&from, &to).is_some() {
            return;
        }
        let draw_key = self.clients[client].draw_key();
        let delay = self.network.one_way(&from, &to, draw_key, 0, Purpose::Outbound);
        let message = Message::Watch { address, client: ClientId(client as u32) };
        let handle = self.messages.add(message);
        self.queue.push(Event::new(self.now + delay, kind::PROBE, client as u32, handle));
    }

    /// That wish arrives.
    pub(super) fn on_watch_arrives(&mut self, client: ClientId, address: Address) {
        let backend = BackendId(address.0);
        if !self.backends[backend.index()].accepts() {
            return;
        }
        let voice = &mut self.reports_mut().voices[backend.index()];
        if let Err(place) = voice.watchers.binary_search(&client) {
            voice.watchers.insert(place, client);
        }
        if !voice.announced {
            // Once all who ask at this instant have been heard, so that the first is not told everything.
            self.queue.push(Event::new(self.now, kind::IDLE, backend.0, 0));
        }
    }

    pub(super) fn on_idle_due(&mut self, backend: BackendId) {
        let announced = self.reports.as_ref().is_some_and(|reports| reports.voices[backend.index()].announced);
        if !announced {
            self.announce_if_idle(backend);
        }
    }

    /// A backend with nothing inside tells one of those who listen (Lu et al., JIQ, §2: one dispatcher at random). Whoever
    /// is cut off is passed over: the transport would tell it later, of a server that is busy by then.
    fn announce_if_idle(&mut self, backend: BackendId) {
        let entry = &self.backends[backend.index()];
        if entry.server.inside() > 0 || !entry.answers() {
            return;
        }
        let mut n = self.watchers(backend);
        let first = if n > 1 { self.reports_mut().rand.below(n as u64) as usize } else { 0 };
        let (mut number, mut asked) = (first, 0);
        while asked < n {
            number %= n;
            let Some(client) = self.watcher(backend, number) else {
                n -= 1;
                continue;
            };
            if self.network.cut(&self.place(backend), &self.clients[client.index()].place).is_none() {
                self.reports_mut().voices[backend.index()].announced = true;
                return self.say(backend, client, Message::Idle(Address(backend.0)));
            }
            (number, asked) = (number + 1, asked + 1);
        }
    }

    // Probes.

    /// A probe that a balancer asked for has reached a backend that serves: it is answered at once, or waits like a call
    /// where answering takes work.
    pub(super) fn ask(&mut self, backend: BackendId, message: Message, draw_key: u64) {
        self.ensure_meters();
        let Some(demand) = self.backends[backend.index()].server.probe_demand() else {
            return self.answer_probe(backend, message, true);
        };
        let handle = self.messages.add(message.clone());
        let job = PROBE_JOB | handle;
        let arrival = Arrival { job, draw_key, attempt: 0, key: None, demand };
        match self.backends[backend.index()].server.offer(self.now, &arrival) {
            Offered::Inside => {
                self.meter(backend);
                self.arm_server(backend);
            }
            Offered::Full | Offered::Fails { .. } => {
                self.messages.take(handle);
                self.answer_probe(backend, message, false);
            }
        }
    }

    /// The work that answering a probe takes is done.
    #[cold]
    pub(super) fn on_probe_served(&mut self, backend: BackendId, finished: &Finished) {
        self.sink.put(self.now, &Record::Served { backend, busy: finished.busy, wasted: false });
        let message = self.messages.take(finished.job & !PROBE_JOB);
        self.meter(backend);
        self.answer_probe(backend, message, finished.error.is_none());
        self.announce_if_idle(backend);
    }

    /// A probe is lost with the process that it was in.
    pub(super) fn lose_probe(&mut self, job: u32) {
        self.messages.take(job & !PROBE_JOB);
    }

    fn answer_probe(&mut self, backend: BackendId, message: Message, ok: bool) {
        let Message::Probe { probe, address, client, sent, .. } = message else { return };
        let (from, to) = (self.place(backend), self.clients[client.index()].place);
        if self.network.cut(&from, &to) == Some(CutMode::Blackhole) {
            return;
        }
        let server = &self.backends[backend.index()].server;
        let meter = self.reports.as_mut().and_then(|reports| reports.voices[backend.index()].meter.as_mut());
        let load = meter.filter(|_| ok).map(|meter| meter.answer(self.now, server));
        let draw_key = self.clients[client.index()].draw_key();
        let delay = self.network.one_way(&from, &to, draw_key, 0, Purpose::Inbound);
        self.tell(client.index(), delay, Message::Probe { probe, address, client, sent, ok, load });
    }

    /// Whoever may be probed measures. From the first probe of a run on: what was before it is not known.
    fn ensure_meters(&mut self) {
        let now = self.now;
        let reports = self.reports_mut();
        if std::mem::replace(&mut reports.probed, true) {
            return;
        }
        for voice in &mut reports.voices {
            voice.meter.get_or_insert_with(|| Meter::new(now, PROBE_WINDOW, Utilization::Cpu));
        }
        for backend in (0..self.backends.len() as u32).map(BackendId) {
            self.note_change(backend);
        }
    }
}

/// True if a probe is a balancer's, whose answer carries a report, and not a health checker's.
pub(super) fn is_balancers(probe: crate::policy::health::Probe) -> bool {
    probe.number == BALANCER_PROBE
}

/// The window of servers that answer probes and report nothing else.
const PROBE_WINDOW: Duration = Duration::from_secs(1);
