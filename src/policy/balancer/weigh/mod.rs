//! Weighers: balancers that take turns by weights that servers report, or that follow from what they report.
//!
//! The weights are late by a report, a window and an update period, so these balancers correct what lasts: machines
//! of unequal size, a neighbour that takes its share. What passes within a second they do not see.

pub mod orca_wrr;
