//! docs/protocol.md against this repository: its clauses are numbered and worded as they should
//! be, every test that it names is there, every test written for it is named, and its limits are
//! those of the settings.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::Path,
};

const PAGE: &str = include_str!("../../docs/protocol.md");

struct Clause<'a> {
    id: &'a str,
    text: &'a str,
    file: &'a str,
    test: &'a str,
}

impl Clause<'_> {
    /// Its section and its number there.
    fn place(&self) -> (&str, u32) {
        let (section, number) = self.id.split_once('-').unwrap();
        (section, number.parse().unwrap())
    }
}

/// Every paragraph that begins in bold is a clause: `**ID.** text → test`.
fn clauses() -> Vec<Clause<'static>> {
    let paragraphs = PAGE.split("\n\n").map(str::trim);
    let clause = |paragraph: &'static str| {
        let (id, text) = paragraph.strip_prefix("**")?.split_once(".** ").unwrap();
        let (text, test) = text.rsplit_once("\n→ `").unwrap_or_else(|| panic!("{id} has no test"));
        let (file, test) = test.strip_suffix('`').unwrap().rsplit_once("::").unwrap();
        Some(Clause { id, text, file, test })
    };
    paragraphs.filter_map(clause).collect()
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The id without its mark.
fn plain(id: &str) -> (&str, bool) {
    id.strip_suffix(" (definition)").map_or((id, false), |id| (id, true))
}

#[test]
fn clauses_are_numbered_without_doubles_or_leaps() {
    let mut last: HashMap<String, u32> = HashMap::new();
    let mut section = String::new();
    for clause in clauses() {
        let clause = Clause { id: plain(clause.id).0, ..clause };
        let (name, number) = clause.place();
        assert!(name.bytes().all(|byte| byte.is_ascii_uppercase()), "{}", clause.id);
        assert!(section == name || !last.contains_key(name), "{} is apart", clause.id);
        let before = last.insert(name.to_owned(), number).unwrap_or(0);
        assert_eq!(number, before + 1, "{}: add new clauses at the end", clause.id);
        name.clone_into(&mut section);
    }
    assert!(last.len() > 10 && last.values().sum::<u32>() > 100, "{last:?}");
}

#[test]
fn a_clause_says_must_should_or_may_unless_it_is_a_definition() {
    for clause in clauses() {
        let (id, definition) = plain(clause.id);
        let mut words = clause.text.split(|c: char| !c.is_ascii_alphabetic());
        let binds = words.any(|word| matches!(word, "MUST" | "SHOULD" | "MAY"));
        assert_ne!(binds, definition, "{id}: {}", clause.text);
    }
}

#[test]
fn clauses_that_are_referred_to_are_there() {
    let clauses = clauses();
    let ids: BTreeSet<_> = clauses.iter().map(|clause| plain(clause.id).0).collect();
    let sections: BTreeSet<_> = ids.iter().map(|id| id.split_once('-').unwrap().0).collect();
    for word in PAGE.split(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
        let Some((section, number)) = word.split_once('-') else { continue };
        if sections.contains(section) && number.parse::<u32>().is_ok() {
            assert!(ids.contains(word), "{word}");
        }
    }
}

#[test]
fn the_tests_that_are_named_exist() {
    let mut files = BTreeMap::new();
    for Clause { id, file, test, .. } in clauses() {
        let text = files.entry(file).or_insert_with(|| {
            fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{id}: {file}: {e}"))
        });
        let found = if file.ends_with(".js") {
            text.contains(&format!("test(\"{test}\"")) || text.contains(&format!("test(`{test}`"))
        } else {
            text.contains(&format!("fn {test}()"))
        };
        assert!(found, "{id}: {file} has no test {test}");
    }
}

#[test]
fn the_tests_that_were_written_for_it_are_named() {
    let clauses = clauses();
    let named: BTreeSet<_> = clauses.iter().map(|clause| (clause.file, clause.test)).collect();
    let mut count = 0;
    for entry in fs::read_dir(root().join("e2e/tests")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        if !file.starts_with("protocol_") {
            continue;
        }
        let path = format!("e2e/tests/{file}");
        let text = fs::read_to_string(root().join(&path)).unwrap();
        for test in text.split("#[test]\nfn ").skip(1) {
            let test = test.split_once('(').unwrap().0;
            assert!(named.contains(&(&*path, test)), "{path}: {test} shows no clause");
            count += 1;
        }
    }
    assert!(count > 50, "{count}");
}

/// The settings file in the docs is what `eventwall config` prints; another test sees to that.
#[test]
fn the_limits_are_those_of_the_settings_file() {
    let file = fs::read_to_string(root().join("docs/eventwall.toml")).unwrap();
    let section = PAGE.split("## Limits").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut count = 0;
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let (name, default) = (cells[1].trim_matches('`'), cells[2]);
        let line = file.lines().find_map(|line| line.strip_prefix(&format!("# {name} = ")));
        let line = line.unwrap_or_else(|| panic!("there is no setting {name}"));
        assert_eq!(line.trim_matches('"'), default, "{name}");
        count += 1;
    }
    assert!(count > 9, "{count}");
    for name in PAGE.split('`').skip(1).step_by(2).filter(|name| name.starts_with("max_")) {
        assert!(section.contains(&format!("| `{name}` |")), "{name} is not in the table");
    }
}
