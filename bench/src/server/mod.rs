//! The servers that Eventwall is measured against, in this program: the floor, and what everybody writes
//! by hand. Others (nchan) are started as they are: see `contender`.

pub(crate) mod by_hand;
pub(crate) mod floor;
