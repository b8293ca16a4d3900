//! The scenario files that come with the program.

/// `(path below scenarios/, text)` of each, sorted by path.
pub const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/scenarios.rs"));
