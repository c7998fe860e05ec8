//! Replays every target's corpus with its own check, so that every input that ever found a mistake stays a
//! plain test.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use eventwall_fuzz_checks::TARGETS;

#[test]
fn the_corpus_of_every_target() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus");
    for (name, check) in TARGETS {
        let inputs: Vec<_> = std::fs::read_dir(format!("{folder}/{name}")).unwrap().collect();
        assert!(inputs.len() >= 10, "the corpus of {name} is gone");
        for input in inputs {
            let path = input.unwrap().path();
            println!("{}", path.display());
            check(&std::fs::read(path).unwrap());
        }
    }
}
