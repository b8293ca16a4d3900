//! plimsoll compares load-balancing strategies for gRPC fleets: real balancer code against scripted faults, in
//! virtual time or over real servers, with statistics that a build can be gated on.
//!
//! ```
//! use plimsoll::{scenario, study};
//!
//! let text = r#"
//!     ## Two choices or one queue?
//!     name = "two-choices"
//!     duration = "60s"
//!     seeds = 2
//!     calls = { rate = "90/s" }
//!     clients = [{ count = 1 }]
//!     backends = [{ count = 10, workers = 1, service = { exponential = { mean = "100ms" } } }]
//!     contenders = { random = { balancer = "random" }, p2c = { balancer = "least_request" } }
//! "#;
//! let plan = scenario::resolve::parse(text, "two-choices.toml", &Default::default()).unwrap().plans.remove(0);
//! let study = study::run(&plan, &Default::default()).unwrap();
//! let p99 = |i: usize| study.contenders[i].runs[0].latency.quantile_ns(0.99).unwrap();
//! assert!(p99(1) < p99(0), "two choices beat one");
//! ```
//!
//! | room | what it does |
//! |---|---|
//! | [`scenario`] | a file becomes a [`scenario::plan::Plan`] that cannot be wrong |
//! | [`policy`] | what clients decide: the [`policy::channel::Channel`] and its balancers |
//! | [`backend`], [`workload`], [`fault`] | how servers behave, calls arrive, things break |
//! | [`sim`] | the virtual world that drives them |
//! | `live` | the real world that drives the same: tonic servers on loopback (feature `live`) |
//! | [`record`], [`measure`] | what is left behind, and the numbers folded out of it |
//! | [`judge`], [`report`] | who is better, and how sure that is; what people look at |
//! | [`study`] | all runs of a plan |
//! | [`theory`] | the simulator against what is known of queues |

pub mod backend;
pub mod base;
pub mod fault;
pub mod judge;
#[cfg(feature = "live")]
pub mod live;
pub mod measure;
pub mod policy;
pub mod record;
pub mod report;
pub mod scenario;
pub mod sim;
pub mod study;
pub mod theory;
pub mod workload;

pub mod cli;
