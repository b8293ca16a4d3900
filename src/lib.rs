//! plimsoll

pub mod base;
pub mod measure;
pub mod policy;
