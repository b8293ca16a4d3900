//! The primitive changes that faults unfold into. Both worlds know how to do these and nothing about faults.

use serde::{Deserialize, Serialize};

use crate::base::id::{BackendId, RegionId, ZoneId};
use crate::base::status::Status;
use crate::base::time::Duration;

/// Which occurrence of which fault asked for a lasting change, so that overlapping ones stack and end apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Cause(pub u32);

/// One change to the world at an instant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Effect {
    /// The process dies: what it held is lost. Loud: its connections are reset. Silent: nobody says goodbye.
    Down {
        /// Who.
        backend: BackendId,
        /// Whether connections are reset.
        loud: bool,
    },
    /// The process is there again (or for the first time), cold.
    Up {
        /// Who.
        backend: BackendId,
    },
    /// It says goodbye: it leaves discovery and its connections close once their calls are done; then it is down.
    Drain {
        /// Who.
        backend: BackendId,
        /// Calls still open after this long are lost with it.
        grace: Duration,
    },
    /// Service takes `factor` times as long while the cause lasts; `None` ends it. Factors multiply.
    Slow {
        /// Who.
        backend: BackendId,
        /// Since or until when: by which fault.
        cause: Cause,
        /// 1 or more slows, below 1 speeds up.
        factor: Option<f64>,
    },
    /// Only this fraction of the workers works while the cause lasts (at least one); `None` ends it.
    Capacity {
        /// Who.
        backend: BackendId,
        /// By which fault.
        cause: Cause,
        /// In (0, 1].
        fraction: Option<f64>,
    },
    /// Nothing moves inside: no service, no answers, no probes; connections stay. Goes on where it stopped.
    Freeze {
        /// Who.
        backend: BackendId,
        /// By which fault.
        cause: Cause,
        /// Begins or ends.
        on: bool,
    },
    /// Calls fail with a status of their own while the cause lasts; `None` ends it.
    Errors {
        /// Who.
        backend: BackendId,
        /// By which fault.
        cause: Cause,
        /// How.
        law: Option<ErrorLaw>,
    },
    /// The network between this set and everybody else is cut while the cause lasts; `None` ends it.
    Cut {
        /// By which fault.
        cause: Cause,
        /// Who is cut off.
        side: Side,
        /// How it shows.
        mode: Option<CutMode>,
    },
    /// Messages to and from this set are lost, and sent again by the transport, with this probability.
    Loss {
        /// By which fault.
        cause: Cause,
        /// Whose messages.
        side: Side,
        /// `None` ends it.
        probability: Option<f64>,
    },
    /// Calls arrive `factor` times as often while the cause lasts; `None` ends it.
    Surge {
        /// By which fault.
        cause: Cause,
        /// Above 0.
        factor: Option<f64>,
    },
    /// The `top` most popular keys swap their popularity with as many of the least popular.
    MoveHotKeys {
        /// How many.
        top: u64,
    },
    /// Discovery answers nobody, and learns nothing, while the cause lasts.
    DiscoveryOutage {
        /// By which fault.
        cause: Cause,
        /// Begins or ends.
        on: bool,
    },
    /// Discovery says this of backends, whatever is so, while the cause lasts; `None` ends it. What began last speaks.
    Announce {
        /// By which fault.
        cause: Cause,
        /// Of whom.
        backends: Vec<BackendId>,
        /// What.
        what: Option<Announcement>,
    },
}

/// What discovery may say of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Announcement {
    /// Its weight.
    Weight(u32),
    /// The zone that it is in.
    Zone(ZoneId),
    /// How it is.
    Health(HealthStatus),
}

/// How discovery says that a backend is: the words of Envoy's EDS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// Nothing speaks against it.
    Healthy,
    /// Used only where no healthy one is left, unless the client's health check has another rule for suspects.
    Degraded,
    /// It gets no calls but those of sessions that it has, where `session_affinity` lets it keep them.
    Draining,
    /// Not used.
    #[default]
    Unhealthy,
}

/// Who is on the other side of a cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// Clients and backends of a region.
    Region(RegionId),
    /// Clients and backends of a zone.
    Zone(ZoneId),
    /// These backends.
    Backends(Vec<BackendId>),
    /// Everybody.
    All,
}

/// How a cut network shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CutMode {
    /// Connections are reset and new ones refused at once.
    Refuse,
    /// Messages vanish.
    #[default]
    Blackhole,
}

/// How a backend fails calls by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorLaw {
    /// Probability of a call.
    pub probability: f64,
    /// What it answers.
    pub status: Status,
    /// How long a failing answer takes; `None`: as long as a good one, and it occupies a worker like one.
    pub latency: Option<Duration>,
}
