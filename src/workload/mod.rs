//! How calls arrive, what they ask for and what they carry. Everything here is drawn before any client decides,
//! from streams of its own: all contenders of a seed face the same calls.

pub mod birth;
pub mod keys;
pub mod rate;
pub mod spec;
