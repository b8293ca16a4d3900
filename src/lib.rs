//! plimsoll

pub mod backend;
pub mod base;
pub mod fault;
pub mod judge;
pub mod measure;
pub mod report;
pub mod policy;
pub mod record;
pub mod scenario;
pub mod sim;
pub mod workload;
