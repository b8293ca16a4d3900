//! plimsoll

pub mod base;
pub mod measure;
