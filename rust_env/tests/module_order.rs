//! A check that the modules of the engine have no import cycles.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// All modules, lowest first; each may import only those before it.
const ORDER: &[&str] = &[
    "units",
    "rng",
    "hash",
    "error",
    "payment",
    "events::schema",
    "events::event",
    "events",
    "scenario::checks",
    "scenario::defaults",
    "scenario::read",
    "scenario::prices",
    "scenario::rails",
    "scenario::events",
    "scenario::config",
    "scenario::totals",
    "scenario::checker",
    "scenario::parts",
    "scenario::validate_events",
    "scenario::validate",
    "scenario",
    "costs",
    "amounts",
    "replay",
    "scheduled_events",
    "arrivals",
    "system_setup",
    "bank",
    "ledger",
    "settlement::queues",
    "settlement::netting",
    "settlement::repair",
    "settlement::search",
    "settlement::bypass",
    "settlement::offset",
    "settlement::gross",
    "settlement::heads",
    "settlement::net",
    "settlement",
    "policy",
    "system::state",
    "system::record",
    "system::decide",
    "system::accrue",
    "system::day",
    "system::begin_tick",
    "system::tick",
    "system::outcomes",
    "system::saved_state",
    "system::validation",
    "system::serialization",
    "system",
    "decision::layout",
    "decision::process",
    "decision::action",
    "decision::observation",
    "decision",
    "players::mlp",
    "players::network_file",
    "players::network",
    "players::network_player",
    "players",
    "setup",
    "fleet::memory",
    "fleet::pool",
    "fleet::totals",
    "fleet::snapshot",
    "fleet",
    "python::errors",
    "python::exclusive",
    "python::payments",
    "python::network",
    "python::orchestrator",
    "python::fleet",
    "python",
];

#[test]
fn every_import_points_to_an_earlier_module() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let modules: Vec<(String, PathBuf)> =
        files(&sources).into_iter().map(|file| (name(&sources, &file), file)).collect();
    let listed: BTreeSet<&str> = ORDER.iter().copied().collect();
    let found: BTreeSet<&str> = modules.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(listed, found, "ORDER must list every module once");
    assert_eq!(listed.len(), ORDER.len(), "ORDER must list every module once");
    let violations: Vec<String> = modules
        .iter()
        .flat_map(|(module, file)| violations(module, &fs::read_to_string(file).unwrap(), &listed))
        .collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn violations_finds_imports_of_later_modules() {
    let listed: BTreeSet<&str> = ORDER.iter().copied().collect();
    let found = |module: &str, source: &str| violations(module, source, &listed).len();
    assert_eq!(found("bank", "use crate::ledger::Ledger;"), 1);
    assert_eq!(found("ledger", "use crate::bank::Bank;"), 0);
    assert_eq!(found("units", "use crate::{bank::Bank, system::{self, System}};"), 2);
    assert_eq!(found("settlement::heads", "use super::{Offsets, offset::Queued};"), 1);
    assert_eq!(found("bank", "fn f(ledger: &crate::ledger::Ledger) {}"), 1);
    assert_eq!(
        found("bank", "/* crate::ledger */ // crate::ledger\n#[cfg(test)]\nmod tests { use crate::ledger::X; }"),
        0
    );
    assert_eq!(found("bank", "#[cfg(test)]\nmod tests { fn f() {} }\nuse crate::ledger::X;"), 1);
}

/// The imports of a module that are not before it in `ORDER`.
fn violations(module: &str, source: &str, listed: &BTreeSet<&str>) -> Vec<String> {
    let rank = |name: &str| ORDER.iter().position(|other| *other == name);
    let imports = imports(module, &without_tests(&without_comments(source)), listed);
    let later = imports.into_iter().filter(|import| rank(import).is_none_or(|found| Some(found) > rank(module)));
    later.map(|import| format!("{module} imports {import}, which is not before it in ORDER")).collect()
}

/// All Rust files except `lib.rs`, which only declares modules.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let nested = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    nested.filter(|path| path.extension().is_some_and(|end| end == "rs") && !path.ends_with("src/lib.rs")).collect()
}

/// The path of the module in a file.
fn name(sources: &Path, file: &Path) -> String {
    let path = file.strip_prefix(sources).unwrap().with_extension("");
    let path = if path.ends_with("mod") { path.parent().unwrap().to_path_buf() } else { path };
    path.iter().map(|part| part.to_str().unwrap()).collect::<Vec<_>>().join("::")
}

fn without_comments(source: &str) -> String {
    let mut text = source.to_owned();
    while let Some(start) = text.find("/*") {
        let end = text[start..].find("*/").map_or(text.len(), |end| start + end + 2);
        text.replace_range(start..end, " ");
    }
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Removes every `#[cfg(test)] mod ... { ... }`.
fn without_tests(source: &str) -> String {
    let mut text = source.to_owned();
    while let Some(start) = text.find("#[cfg(test)]\nmod ") {
        let open = start + text[start..].find('{').unwrap();
        let mut depth = 0;
        let end = text[open..].char_indices().find_map(|(index, letter)| {
            depth += i32::from(letter == '{') - i32::from(letter == '}');
            (depth == 0).then_some(open + index + 1)
        });
        text.replace_range(start..end.unwrap(), "");
    }
    text
}

/// The modules that a source imports by a path from `crate` or `super`.
fn imports(module: &str, source: &str, listed: &BTreeSet<&str>) -> BTreeSet<String> {
    let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
    let mut found = BTreeSet::new();
    for (root, prefix) in [("crate::", ""), ("super::", parent)] {
        for (start, _) in source.match_indices(root) {
            if !source[..start].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':') {
                for path in paths(&source[start + root.len()..]) {
                    let parts = prefix.split("::").filter(|part| !part.is_empty()).map(str::to_owned).chain(path);
                    found.insert(innermost(&parts.collect::<Vec<_>>(), listed));
                }
            }
        }
    }
    found
}

/// The path, or paths of a `{...}` list, at the start of a text.
fn paths(text: &str) -> Vec<Vec<String>> {
    if let Some(list) = text.strip_prefix('{') {
        return items(list).into_iter().flat_map(|item| paths(item.trim())).collect();
    }
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
    let (first, rest) = text.split_at(end);
    let later = rest.strip_prefix("::").map_or(vec![Vec::new()], paths);
    later.into_iter().map(|path| std::iter::once(first.to_owned()).chain(path).collect()).collect()
}

/// The items of a list up to its closing brace.
fn items(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut items) = (0, 0, Vec::new());
    for (index, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                items.push(&list[start..index]);
                start = index + 1;
            }
            _ => {}
        }
        if letter == '}' && start == index + 1 {
            break;
        }
    }
    items.retain(|item| !item.trim().is_empty());
    items
}

/// The longest prefix of a path that is a module.
fn innermost(path: &[String], listed: &BTreeSet<&str>) -> String {
    let prefixes = (1..=path.len()).rev().map(|length| path[..length].join("::"));
    prefixes.into_iter().find(|prefix| listed.contains(prefix.as_str())).unwrap_or_else(|| path.join("::"))
}
