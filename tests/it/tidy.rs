//! Rules of layout that no compiler checks.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use upistream::domain::event::EventKind;
use upistream::grpc::pb::ErrorReason;

/// What each folder or file of `src` may use of the others. Nothing points back up this list: `domain` knows no store,
/// provider, API, clock or runtime; providers answer and the engine remembers; the doors see the engine and the domain,
/// and of what lies below only the types that the engine's answers are made of. The sandbox uses nothing of ours, or a
/// misreading shared with the adapters would cancel out.
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &["domain"]),
    ("clock", &["domain"]),
    ("store", &["store", "domain"]),
    ("events", &["events", "store", "domain", "clock"]),
    ("providers", &["providers", "domain", "held"]),
    ("telemetry", &[]),
    ("held", &[]),
    ("engine", &["engine", "providers", "events", "store", "domain", "clock", "telemetry"]),
    (
        "grpc",
        &[
            "grpc",
            "engine",
            "domain",
            "telemetry",
            "events",
            "providers::BreakerState",
            "providers::Provider",
            "providers::Violation",
            "store::Position",
            "store::is_resource",
        ],
    ),
    ("http", &["http", "engine", "domain", "telemetry", "held"]),
    ("sandbox", &["sandbox"]),
    ("config", &["config", "domain"]),
    (
        "app",
        &["app", "grpc", "http", "engine", "providers", "events", "store", "domain", "sandbox", "clock", "config", "telemetry", "held"],
    ),
    ("cli", &["cli", "app", "grpc::pb", "config", "domain", "sandbox", "clock", "telemetry", "engine::qr_image"]),
    ("main", &["cli"]),
    ("lib", &[]),
];

/// Money and what moves it: no binary floats here.
const WITHOUT_FLOATS: [&str; 3] = ["domain", "providers", "engine"];

/// What comments name beside reasons.
const STATES: [&str; 1] = ["AWAITING_APPROVAL"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below `folder` that end in `ending`: their paths from there, and their texts.
fn files(folder: &str, ending: &str) -> Vec<(String, String)> {
    let base = root().join(folder);
    let mut folders = vec![base.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|cause| panic!("{}: {cause}", folder.display())) {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(&base).unwrap().to_string_lossy().into_owned(), text));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{folder} has files that end in {ending}");
    found
}

/// The module of `src` that a file belongs to: its folder's name or its own.
fn layer(path: &str) -> &str {
    path.split('/').next().unwrap_or(path).trim_end_matches(".rs")
}

/// The code of a file without its comments.
fn code(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The paths behind each `prefix` of a text, braces taken apart: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn paths(text: &str, prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices(prefix) {
        let within_a_word = text[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':');
        if !within_a_word {
            expand(&text[at + prefix.len()..], "", &mut found);
        }
    }
    found
}

/// Reads one path or one group in braces; what is left of the text after it.
fn expand<'a>(text: &'a str, before: &str, found: &mut Vec<String>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = expand(rest, before, found).trim_start();
            match rest.strip_prefix(',') {
                Some(more) if !more.trim_start().starts_with('}') => rest = more,
                Some(more) => return more.trim_start().strip_prefix('}').unwrap_or(more),
                None => return rest.strip_prefix('}').unwrap_or(rest),
            }
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let path = if before.is_empty() { word.to_owned() } else { format!("{before}::{word}") };
    match rest.strip_prefix("::") {
        Some(deeper) if deeper.starts_with(|c: char| c.is_alphabetic() || c == '{' || c == '_') => expand(deeper, &path, found),
        _ => {
            found.push(path);
            rest
        }
    }
}

fn is_within(path: &str, allowed: &str) -> bool {
    path == allowed || path.strip_prefix(allowed).is_some_and(|rest| rest.starts_with("::"))
}

#[test]
fn paths_are_read_out_of_code() {
    let text = "use crate::store::{self, Head, sqlite::{Options, Store}};\nlet x = crate::domain::id::Id::new(); mycrate::engine::x";
    let found = paths(text, "crate::");
    assert_eq!(found, ["store::self", "store::Head", "store::sqlite::Options", "store::sqlite::Store", "domain::id::Id::new"]);
}

#[test]
fn no_module_uses_what_lies_above_it() {
    let mut wrong = Vec::new();
    for (path, text) in files("src", ".rs") {
        let layer = layer(&path);
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == layer) else {
            wrong.push(format!("src/{path}: `{layer}` has no line in MAY_USE"));
            continue;
        };
        let code = code(&text);
        let used = paths(&code, "crate::").into_iter().chain(paths(&code, "upistream::"));
        for used in used.filter(|used| !allowed.iter().any(|allowed| is_within(used, allowed))) {
            wrong.push(format!("src/{path} uses `{used}`"));
        }
        // `super` is no way around it. An inline module adds one step.
        let depth = path.trim_end_matches("/mod.rs").split('/').count();
        if code.contains(&"super::".repeat(depth + 1)) {
            wrong.push(format!("src/{path} climbs out of its folder"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn money_is_never_a_binary_float() {
    for (path, text) in files("src", ".rs") {
        // A test may send one, to see it refused.
        let is_test = path.ends_with("tests.rs") || path.contains("/tests/");
        if is_test || !WITHOUT_FLOATS.contains(&layer(&path)) {
            continue;
        }
        let code = code(&text);
        let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let words: BTreeSet<&str> = code.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        for float in ["f32", "f64", "as_f64", "as_secs_f64", "as_secs_f32"] {
            assert!(!words.contains(float), "src/{path} has `{float}`");
        }
    }
}

#[test]
fn nothing_is_left_undone_and_no_test_is_left_out() {
    // Put together here, or this file would have them.
    let marks = [concat!("to", "do!"), concat!("unimple", "mented!"), concat!("db", "g!"), concat!("#[ig", "nore")];
    for folder in ["src", "tests"] {
        for (path, text) in files(folder, ".rs") {
            for mark in marks {
                assert!(!code(&text).contains(mark), "{folder}/{path} has `{mark}`");
            }
        }
    }
}

#[test]
fn every_type_of_event_is_documented() {
    let proto = fs::read_to_string(root().join("proto/upistream/v1/event.proto")).unwrap();
    let (comment, _) = proto.split_once("  string type = 2;").expect("an event has a type");
    let (_, comment) = comment.rsplit_once("string id = 1;").expect("and before it an id");
    let listed: BTreeSet<&str> =
        comment.split(|c: char| !c.is_ascii_lowercase() && c != '.' && c != '_').map(|word| word.trim_end_matches('.')).collect();
    for kind in EventKind::ALL {
        assert!(listed.contains(kind.as_str()), "event.proto does not list `{}`", kind.as_str());
    }
}

#[test]
fn every_reason_that_the_api_names_is_one() {
    let mut named = 0;
    for (path, text) in files("proto", ".proto") {
        let comments = text.lines().map(|line| line.trim().trim_start_matches('/').trim()).collect::<Vec<_>>().join(" ");
        for errors in comments.split("Errors besides the general ones:").skip(1) {
            let errors = errors.split(" rpc ").next().unwrap_or_default();
            let words = errors.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            for word in words.filter(|word| word.contains('_') && !word.contains(|c: char| c.is_ascii_lowercase())) {
                assert!(
                    ErrorReason::from_str_name(&format!("ERROR_REASON_{word}")).is_some() || STATES.contains(&word),
                    "{path}: `{word}`"
                );
                named += 1;
            }
        }
    }
    assert!(named > 20, "the comments are read");
}

#[test]
fn every_metric_stands_in_the_readme() {
    let telemetry = code(&fs::read_to_string(root().join("src/telemetry.rs")).unwrap());
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let names: Vec<&str> = telemetry.split('"').filter(|text| text.starts_with("upistream_")).collect();
    assert!(names.len() > 5, "the names are read: {names:?}");
    for name in names {
        assert!(readme.contains(&format!("`{name}`")), "README.md lacks the metric `{name}`");
    }
}
