//! Records become numbers: folds while a run goes on, a catalogue of metrics that reads what was folded, and
//! the statistics that say how sure a number is.

pub mod catalog;
pub mod collect;
pub mod oscillation;
pub mod reaction;
pub mod series;
pub mod stats;
pub mod summary;
