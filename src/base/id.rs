//! Identities. Newtypes, and never reused within a run: what is late names something that is gone, and
//! finds nothing.

use serde::{Deserialize, Serialize};

/// An endpoint as one client knows it: a place in its dense tables, and how often that place was given away
/// before. An address that leaves and returns is a new endpoint. Four bytes, because they are what a pick hands back and
/// what fleets are lists of. Ordered by place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EndpointId(u32);

impl EndpointId {
    const GENERATION_BITS: u32 = 8;

    /// How often a place can be given away; whoever gives places away leaves it empty then.
    pub const GENERATIONS: u32 = 1 << Self::GENERATION_BITS;

    /// Places that one client can have.
    pub const SLOTS: u32 = 1 << (u32::BITS - Self::GENERATION_BITS);

    /// The `generation`-th endpoint at place `slot`, which are below [`GENERATIONS`](Self::GENERATIONS) and
    /// [`SLOTS`](Self::SLOTS).
    #[inline(always)]
    pub const fn new(slot: u32, generation: u32) -> Self {
        debug_assert!(slot < Self::SLOTS && generation < Self::GENERATIONS);
        EndpointId(slot << Self::GENERATION_BITS | generation)
    }

    /// The place in dense tables.
    #[inline(always)]
    pub const fn slot(self) -> usize {
        (self.0 >> Self::GENERATION_BITS) as usize
    }

    /// How often the place was given away before.
    #[inline(always)]
    pub const fn generation(self) -> u32 {
        self.0 % Self::GENERATIONS
    }
}

/// One try of a call on one endpoint, as its channel knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// Place of the call in the channel's table.
    pub slot: u32,
    /// How often the place was given away before.
    pub generation: u32,
    /// 0 for the first try.
    pub number: u32,
}

macro_rules! newtype {
    ($(#[$meta:meta])* $Name:ident($inner:ty)) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        pub struct $Name(pub $inner);
        impl $Name {
            /// As an index into dense tables.
            pub const fn index(self) -> usize { self.0 as usize }
        }
    };
}

newtype!(
    /// A call: the order of its birth in the run.
    CallId(u64)
);
newtype!(
    /// Where a server can be reached. The world numbers addresses densely; the name is in the listing.
    Address(u32)
);
newtype!(
    /// A server itself. Client code never holds one.
    BackendId(u32)
);
newtype!(
    /// A client channel.
    ClientId(u32)
);
newtype!(
    /// `region/zone`, numbered by the plan.
    ZoneId(u16)
);
newtype!(
    /// The part of a zone before the slash, numbered by the plan.
    RegionId(u16)
);
