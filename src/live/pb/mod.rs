//! Code generated from `proto/`; `tests/live.rs` compares it with a fresh generation.
#![allow(missing_docs, clippy::all, reason = "generated")]

include!("plimsoll.v1.rs");
