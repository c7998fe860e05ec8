//! All fuzz targets in one program: `EVENTWALL_FUZZ` names the one to run. What is checked is in crates/fuzz-checks,
//! which plain tests use as well.
#![no_main]

use std::sync::OnceLock;

use eventwall_fuzz_checks::{Check, TARGETS};
use libfuzzer_sys::fuzz_target;

fn check() -> Check {
    static CHECK: OnceLock<Check> = OnceLock::new();
    *CHECK.get_or_init(|| {
        let wanted = std::env::var("EVENTWALL_FUZZ").unwrap_or_default();
        let found = TARGETS.iter().find(|(name, _)| *name == wanted);
        found.unwrap_or_else(|| panic!("EVENTWALL_FUZZ={wanted:?} is no target")).1
    })
}

fuzz_target!(|input: &[u8]| check()(input));
