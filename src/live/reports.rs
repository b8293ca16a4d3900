//! What backends say about themselves, over real connections: load reports on replies under gRPC's own metadata key, on
//! the answers to probes, and on a stream that a client opens to hear the rest.
//!
//! gRFC A51 puts a report into the trailers of a reply. tonic hands out those of errors only, so on a reply that ended
//! well it travels with the headers, under the same key.

use std::pin::Pin;
use std::task::{Context, Poll};

use prost::Message;
use tokio::sync::mpsc;
use tonic::codegen::tokio_stream::Stream;
use tonic::metadata::{BinaryMetadataKey, BinaryMetadataValue, MetadataMap};

use super::pb::watch_reply::Says;
use super::pb::{OrcaLoadReport, WatchReply};
use crate::backend::meter::{Entry, Meter};
use crate::backend::server::{Finished, Server};
use crate::backend::spec::{LoadReports, OutOfBand, Utilization};
use crate::base::load::LoadReport;
use crate::base::rand::{Bits, Chance, Rand};
use crate::base::time::{Duration, Instant};

/// gRFC A51's key.
const KEY: &str = "endpoint-load-metrics-bin";

/// What one backend measures, and who listens.
#[derive(Debug)]
pub(super) struct Voice {
    meter: Meter,
    per_call: bool,
    out_of_band: Option<OutOfBand>,
    watchers: Vec<mpsc::UnboundedSender<WatchReply>>,
    rand: Rand,
    /// It has told somebody that it is idle since it was started.
    announced: bool,
}

impl Voice {
    pub(super) fn new(reports: Option<&LoadReports>, rand: Rand) -> Voice {
        let (window, utilization) =
            reports.map_or((Duration::from_secs(1), Utilization::Cpu), |reports| (reports.window, reports.utilization));
        Voice {
            meter: Meter::new(Instant::ZERO, window, utilization),
            per_call: reports.is_some_and(|reports| reports.per_call),
            out_of_band: reports.and_then(|reports| reports.out_of_band.clone()),
            watchers: Vec::new(),
            rand,
            announced: false,
        }
    }

    /// From one report out of band to the next, and when the first is due.
    pub(super) fn period(&mut self) -> Option<(Duration, Duration)> {
        let period = self.out_of_band.as_ref()?.period;
        Some((period, Duration::from_nanos(self.rand.below(period.as_nanos()))))
    }

    pub(super) fn on_change(&mut self, now: Instant, model: &Server) {
        self.meter.on_change(now, model);
    }

    /// An attempt was served, and is answered with a report if it is to be.
    pub(super) fn on_served(
        &mut self,
        now: Instant,
        model: &Server,
        entry: Entry,
        finished: &Finished,
    ) -> Option<LoadReport> {
        self.meter.on_change(now, model);
        self.meter.on_served(now, entry, finished.busy);
        let load = self.on_answer(now, model, finished.error.is_some());
        self.announce_if_idle(model);
        load
    }

    /// The work of answering a probe is done.
    pub(super) fn on_probe_served(&mut self, now: Instant, model: &Server) {
        self.meter.on_change(now, model);
        self.announce_if_idle(model);
    }

    /// An attempt is answered.
    pub(super) fn on_answer(&mut self, now: Instant, model: &Server, failed: bool) -> Option<LoadReport> {
        self.meter.on_answer(now, failed);
        self.per_call.then(|| self.meter.report(now, model))
    }

    /// What the answer to a probe says.
    pub(super) fn answer(&mut self, now: Instant, model: &Server) -> LoadReport {
        self.meter.answer(now, model)
    }

    /// Everybody who listens hears a report, but for those whose copy is lost.
    pub(super) fn report(&mut self, now: Instant, model: &Server) {
        let loss = self.out_of_band.as_ref().map_or(0.0, |out_of_band| out_of_band.loss.value());
        let load = wire(&self.meter.report(now, model));
        let rand = &mut self.rand;
        self.watchers.retain(|watcher| {
            let lost = rand.chance(Chance::new(loss));
            if lost {
                !watcher.is_closed()
            } else {
                watcher.send(WatchReply { says: Some(Says::Load(load.clone())) }).is_ok()
            }
        });
    }

    /// Somebody listens from now on.
    pub(super) fn watch(&mut self, model: &Server) -> Words {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.watchers.push(sender);
        if !self.announced {
            self.announce_if_idle(model);
        }
        Words(receiver)
    }

    /// One of those who listen, drawn at random, hears that nobody is inside.
    fn announce_if_idle(&mut self, model: &Server) {
        while model.inside() == 0 && !self.watchers.is_empty() {
            let at = self.rand.below(self.watchers.len() as u64) as usize;
            if self.watchers[at].send(WatchReply { says: Some(Says::Idle(true)) }).is_ok() {
                self.announced = true;
                return;
            }
            self.watchers.swap_remove(at);
        }
    }

    /// The process starts: it knows nothing of before, and nobody listens any more.
    pub(super) fn restart(&mut self, now: Instant) {
        self.meter.restart(now);
        self.watchers.clear();
        self.announced = false;
    }
}

/// The words of a backend, as they are said.
#[derive(Debug)]
pub(super) struct Words(mpsc::UnboundedReceiver<WatchReply>);

impl Stream for Words {
    type Item = Result<WatchReply, tonic::Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|word| word.map(Ok))
    }
}

/// A report as it travels.
pub(super) fn wire(load: &LoadReport) -> OrcaLoadReport {
    let counts = [("in_flight", Some(f64::from(load.in_flight))), ("waiting", Some(f64::from(load.waiting)))];
    let nanos = |time: Option<Duration>| time.map(|time| time.as_nanos() as f64);
    let times = [("service_ns", nanos(load.service)), ("latency_ns", nanos(load.latency))];
    let named = counts.into_iter().chain(times);
    OrcaLoadReport {
        cpu_utilization: load.cpu,
        application_utilization: load.utilization,
        rps_fractional: load.qps,
        eps: load.eps,
        named_metrics: named.filter_map(|(name, value)| Some((name.to_owned(), value?))).collect(),
    }
}

/// A report as it arrives.
pub(super) fn read(load: &OrcaLoadReport) -> LoadReport {
    let named = |name: &str| load.named_metrics.get(name).copied().filter(|value| *value >= 0.0 && value.is_finite());
    let count = |name| named(name).unwrap_or(0.0) as u32;
    let time = |name| named(name).map(|nanos| Duration::from_nanos(nanos as u64));
    LoadReport {
        utilization: load.application_utilization,
        cpu: load.cpu_utilization,
        qps: load.rps_fractional,
        eps: load.eps,
        in_flight: count("in_flight"),
        waiting: count("waiting"),
        service: time("service_ns"),
        latency: time("latency_ns"),
    }
}

/// Puts a report, if there is one, into the metadata of an answer.
pub(super) fn sign(metadata: &mut MetadataMap, load: Option<&LoadReport>) {
    if let Some(load) = load {
        let value = BinaryMetadataValue::from_bytes(&wire(load).encode_to_vec());
        metadata.insert_bin(BinaryMetadataKey::from_static(KEY), value);
    }
}

/// The report in the metadata of an answer; what cannot be read is none.
pub(super) fn signature(metadata: &MetadataMap) -> Option<LoadReport> {
    let bytes = metadata.get_bin(KEY)?.to_bytes().ok()?;
    OrcaLoadReport::decode(bytes).ok().map(|load| read(&load))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_survive_the_way() {
        let some = Some(Duration::from_micros(1_234));
        for (service, latency) in [(some, None), (None, some)] {
            let load = LoadReport {
                utilization: 1.5,
                cpu: 0.9,
                qps: 123.4,
                eps: 0.5,
                in_flight: 7,
                waiting: 3,
                service,
                latency,
            };
            let mut metadata = MetadataMap::new();
            assert_eq!(signature(&metadata), None);
            sign(&mut metadata, Some(&load));
            assert_eq!(signature(&metadata), Some(load));
        }
        let mut metadata = MetadataMap::new();
        metadata.insert_bin(KEY, BinaryMetadataValue::from_bytes(b"\xff\xff"));
        assert_eq!(signature(&metadata), None, "rubbish is no report");
    }
}
