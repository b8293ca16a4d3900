//! Code generated from `proto/`; `tests/live.rs` compares it with a fresh generation.
#![allow(missing_docs, clippy::all, clippy::allow_attributes_without_reason, reason = "generated")]

include!("plimsoll.v1.rs");
