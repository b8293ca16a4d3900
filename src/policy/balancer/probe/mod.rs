//! Probers and rankers: balancers that know how deep a server's queue is because it has told them just now, on the
//! answer to a probe or on its last reply, and that correct what they were told by what they have sent since.

pub mod c3;
pub mod choice_of_2_utilization;
pub mod prequal;
