//! docs/guarantees.md against this repository: every test that it names is there, every mistake that
//! it names is one that a test beside that promise must notice, and none is left out.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{collections::BTreeSet, fs, path::Path};

const PAGE: &str = include_str!("../../docs/guarantees.md");

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// What stands between backticks.
fn names(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The test and the mistakes of each row.
fn rows() -> Vec<(&'static str, Vec<&'static str>)> {
    let table = PAGE.lines().skip_while(|line| !line.starts_with("| promise |")).skip(2);
    let row = |line: &'static str| {
        let cells: Vec<&str> = line.split('|').collect();
        (names(cells[2])[0], names(cells[3]))
    };
    table.take_while(|line| line.starts_with('|')).map(row).collect()
}

fn mistakes_of(file: &str) -> BTreeSet<String> {
    let source = fs::read_to_string(root().join(file)).unwrap();
    let body = source.split_once("pub enum Mutation {").unwrap().1.split_once("\n}").unwrap().0;
    let lines = body.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    lines
        .filter(|line| !line.is_empty())
        .map(|line| line.trim_end_matches(',').to_owned())
        .collect()
}

#[test]
fn every_promise_has_its_test() {
    let rows = rows();
    assert!(rows.len() > 15, "{rows:?}");
    for (test, mistakes) in rows {
        let (file, name) = test.split_once("::").unwrap();
        let source = fs::read_to_string(root().join(file)).unwrap_or_else(|_| panic!("{file}"));
        assert!(source.contains(&format!("fn {name}(")), "there is no {test}");
        for mistake in mistakes {
            assert!(source.contains(&format!("Mutation::{mistake}")), "{mistake} in {file}");
        }
    }
}

#[test]
fn every_mistake_breaks_a_promise() {
    let named: BTreeSet<String> =
        rows().into_iter().flat_map(|(_, mistakes)| mistakes).map(str::to_owned).collect();
    let mut all = mistakes_of("crates/log/src/disk/mutation.rs");
    all.extend(mistakes_of("crates/hub/src/mutation.rs"));
    assert!(all.len() > 8);
    assert_eq!(named, all);
}
