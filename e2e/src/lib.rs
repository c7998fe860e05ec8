//! Tests from outside, one concern a file in `tests/`; nothing to import. The tests of crashes
//! run as a suite of their own (`cargo xtask test crash`).
