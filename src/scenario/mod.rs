//! A file becomes a plan: the resolved form of a scenario, which cannot be wrong.

pub mod diagnose;
pub mod document;
pub mod explain;
pub mod import;
pub mod plan;
pub mod read;
pub mod resolve;
pub mod schema;
pub mod shipped;
pub mod tree;
pub mod words;
