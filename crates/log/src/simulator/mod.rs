//! For whoever tests a log, or what stands on one: a disk that loses its power at any moment that a
//! test names, and mistakes that such a test must notice.

mod choices;
mod crash_medium;

pub use crash_medium::CrashMedium;

pub use crate::disk::mutation::Mutation;
