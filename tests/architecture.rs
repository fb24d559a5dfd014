//! Who may import whom. Arrows point down only, and files of one folder do not import each other in circles.

#![allow(clippy::unwrap_used, clippy::expect_used)] // A test ends where something is missing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// A room: a folder or file below `src/`, and the rooms that it may import. The rooms below it come before it.
const TABLE: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("document", &["error"]),
    // The leaves: each may see those before it.
    ("certificates", LEAVES),
    ("child", LEAVES),
    ("sum", LEAVES),
    ("content", LEAVES),
    ("identity", LEAVES),
    ("position", LEAVES),
    ("selection", LEAVES),
    ("layout", LEAVES),
    ("budget", LEAVES),
    ("monitor", LEAVES),
    ("temporary", LEAVES),
    ("store", LEAVES),
    ("schema", LEAVES),
    ("data", &["schema", "store"]),
    ("codec", &["schema"]),
    ("convex", LEAVES),
    ("archive", &["data", "schema", "store"]),
    ("rows", &["archive", "data", "codec", "schema", "store"]),
    ("verify", &["rows", "archive", "data", "codec", "schema", "store"]),
    ("read", &["rows", "archive", "data", "codec", "schema", "store"]),
    ("own_base", &["rows", "archive", "data", "codec", "schema", "store"]),
    ("compact", &["own_base", "rows", "archive", "data", "codec", "schema", "store"]),
    ("repair", &["compact", "verify", "archive", "data", "store"]),
    ("forget", &["own_base", "rows", "archive", "data", "codec", "schema", "store"]),
    ("ping", LEAVES),
    ("lease", &["store"]),
    ("runs", &["store"]),
    ("vacuum", &["archive", "store"]),
    ("copy", &["archive", "data", "store"]),
    ("sync", &["vacuum", "compact", "own_base", "convex", "rows", "archive", "data", "codec", "schema", "store"]),
    ("audit", &["sync", "read", "convex", "rows", "archive", "data", "codec", "schema", "store"]),
    ("check", &["convex", "archive", "runs", "store"]),
    ("server", &["read", "rows", "archive", "data", "codec", "schema", "store"]),
];
const LEAVES: &[&str] = &[];
/// Every room may see these, as far as they come before it.
const BELOW_ALL: &[&str] = &[
    "error",
    "document",
    "certificates",
    "child",
    "sum",
    "content",
    "identity",
    "position",
    "selection",
    "layout",
    "budget",
    "monitor",
    "temporary",
];

/// A file of the library, and what it names: `crate::a::b::Name` as `["a", "b", "Name"]`.
struct Source {
    path: PathBuf,
    /// What it uses itself.
    imports: BTreeSet<Vec<String>>,
    /// What it hands on under its own name (`pub use`): where a name really stands.
    exports: BTreeSet<Vec<String>>,
}

/// All files below `folder` but those of tests.
fn sources(folder: &Path, into: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        if stem == "tests" || stem == "testing" || stem.ends_with("_tests") {
            continue;
        }
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let (imports, exports) = imports(&module_of(&path), &without_tests(&text));
            into.push(Source { path, imports, exports });
        }
    }
}

/// The text up to its tests, which stand at the end, without comments.
fn without_tests(text: &str) -> String {
    let end = text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let code = text[..end].lines().map(|line| line.split("//").next().unwrap_or_default());
    code.collect::<Vec<_>>().join("\n")
}

/// `src/a/b.rs` and `src/a/b/mod.rs` are `["a", "b"]`.
fn module_of(path: &Path) -> Vec<String> {
    let below = path.strip_prefix(src()).unwrap().with_extension("");
    let mut segments: Vec<_> = below.iter().map(|s| s.to_str().unwrap().to_owned()).collect();
    if matches!(segments.last().map(String::as_str), Some("mod" | "lib")) {
        segments.pop();
    }
    segments
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

type Paths = BTreeSet<Vec<String>>;

/// What a file names by a path that begins with `crate`, `super` or `self`: what it uses, and what it hands on.
fn imports(module: &[String], code: &str) -> (Paths, Paths) {
    let tokens = tokens(code);
    let (mut used, mut handed_on) = (BTreeSet::new(), BTreeSet::new());
    let mut at = 0;
    while at < tokens.len() {
        let before: Vec<_> = tokens[at.saturating_sub(2)..at].iter().map(String::as_str).collect();
        let begins = matches!(tokens[at].as_str(), "crate" | "super" | "self")
            && tokens.get(at + 1).is_some_and(|next| next == "::")
            // Neither the middle of a path nor `pub(in …)`, which says who sees it.
            && !matches!(before.as_slice(), [.., "::"] | ["(", "in"]);
        if begins {
            // `pub use …` and `pub(crate) use …`
            let exported = matches!(before.as_slice(), ["pub" | ")", "use"]);
            let into = if exported { &mut handed_on } else { &mut used };
            at = tree(&tokens, at, &mut Vec::new(), module, into);
        } else {
            at += 1;
        }
    }
    (used, handed_on)
}

fn tokens(code: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_alphanumeric() || c == '_' {
            let mut word = c.to_string();
            while let Some(next) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                word.push(next);
            }
            tokens.push(word);
        } else if c == ':' && chars.next_if_eq(&':').is_some() {
            tokens.push("::".into());
        } else if !c.is_whitespace() {
            tokens.push(c.to_string());
        }
    }
    tokens
}

/// Reads one tree of paths, `a::{b, c::D}`, from `at` on; gives back where it ends.
fn tree(tokens: &[String], mut at: usize, path: &mut Vec<String>, module: &[String], found: &mut Paths) -> usize {
    let depth = path.len();
    while let Some(token) = tokens.get(at) {
        match token.as_str() {
            "::" => at += 1,
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|t| t != "}") {
                    at = if tokens[at] == "," { at + 1 } else { tree(tokens, at, path, module, found) };
                }
                path.truncate(depth);
                return at + 1;
            }
            word if word.chars().all(|c| c.is_alphanumeric() || c == '_') => {
                path.push(word.to_owned());
                at += 1;
                if tokens.get(at).is_none_or(|next| next != "::") {
                    break;
                }
            }
            _ => break,
        }
    }
    found.extend(absolute(path, module));
    path.truncate(depth);
    at.max(1)
}

/// The path from the root of the library.
fn absolute(path: &[String], module: &[String]) -> Option<Vec<String>> {
    let mut base: Vec<String> = match path.first()?.as_str() {
        "crate" => Vec::new(),
        "self" | "super" => module.to_vec(),
        _ => return None,
    };
    for segment in path {
        match segment.as_str() {
            "crate" | "self" => {}
            "super" => drop(base.pop()),
            name => base.push(name.to_owned()),
        }
    }
    Some(base)
}

/// The file in which what a path names stands: that of its deepest module, or where that one hands the name on from.
fn defined_in(path: &[String], exports: &BTreeMap<PathBuf, Paths>) -> Option<PathBuf> {
    let (file, depth) = file_of(path)?;
    let Some(name) = path.get(depth) else { return Some(file) };
    let handed_on = exports.get(&file)?.iter().find(|export| export.last() == Some(name));
    match handed_on.filter(|export| export.as_slice() != path) {
        Some(export) => defined_in(export, exports),
        None => Some(file),
    }
}

/// The file of the deepest module of a path, and how many of its segments lead there.
fn file_of(path: &[String]) -> Option<(PathBuf, usize)> {
    let (mut folder, mut found) = (src(), None);
    for (depth, segment) in (1..).zip(path) {
        let file = folder.join(format!("{segment}.rs"));
        folder.push(segment);
        if file.is_file() {
            found = Some((file, depth));
        } else if folder.join("mod.rs").is_file() {
            found = Some((folder.join("mod.rs"), depth));
        } else {
            break;
        }
    }
    found
}

fn library() -> Vec<Source> {
    let mut found = Vec::new();
    sources(&src(), &mut found);
    let program = |source: &Source| {
        let module = module_of(&source.path);
        module.first().is_none_or(|first| first == "cli" || first == "main")
    };
    found.retain(|source| !program(source));
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

#[test]
fn arrows_between_rooms_point_down() {
    let rooms: BTreeMap<&str, &[&str]> = TABLE.iter().copied().collect();
    let place = |room: &str| TABLE.iter().position(|(name, _)| *name == room);
    let mut up = Vec::new();
    for Source { path, imports, exports } in library() {
        let room = module_of(&path)[0].clone();
        let allowed = rooms.get(room.as_str()).unwrap_or_else(|| panic!("{room} is no room of the table"));
        for import in imports.into_iter().chain(exports) {
            // What the root re-exports stands in one of the rooms; inside the library nobody goes through the root.
            let Some(target) = import.first().filter(|first| **first != room) else { continue };
            let below = BELOW_ALL.contains(&target.as_str()) && place(target) < place(&room);
            if !below && !allowed.contains(&target.as_str()) {
                up.push(format!("{}: {}", path.display(), import.join("::")));
            }
        }
    }
    assert!(up.is_empty(), "{}", up.join("\n"));
}

#[test]
fn the_program_sees_what_the_library_exports_and_nothing_of_it_is_seen_by_the_library() {
    let mut found = Vec::new();
    sources(&src().join("cli"), &mut found);
    for Source { path, imports, .. } in found {
        let wrong = imports.iter().find(|import| import.first().is_some_and(|first| first != "cli"));
        assert!(wrong.is_none(), "{}: {wrong:?}", path.display());
    }
    for Source { path, imports, .. } in library() {
        assert!(!imports.iter().any(|import| import.first().is_some_and(|first| first == "cli")), "{}", path.display());
    }
}

/// Parts of one concept that may know each other.
const ONE_CONCEPT: &[&str] = &["server/simulate"];

#[test]
fn files_of_a_folder_do_not_import_each_other_in_circles() {
    let mut all = library();
    sources(&src().join("cli"), &mut all);
    let folder = |path: &Path| {
        let module = module_of(path);
        module[..module.len().min(1)].join("/")
    };
    let exports: BTreeMap<_, _> = all.iter().map(|source| (source.path.clone(), source.exports.clone())).collect();
    let mut edges: BTreeMap<PathBuf, BTreeSet<PathBuf>> = BTreeMap::new();
    for Source { path, imports, .. } in &all {
        let targets = imports.iter().filter_map(|import| defined_in(import, &exports));
        let inside = targets.filter(|target| target != path && folder(target) == folder(path));
        edges.insert(path.clone(), inside.collect());
    }
    let mut circles = BTreeSet::new();
    for start in edges.keys() {
        let mut reached = BTreeSet::new();
        let mut open: Vec<&PathBuf> = edges[start].iter().collect();
        while let Some(next) = open.pop() {
            if reached.insert(next) {
                open.extend(edges.get(next).into_iter().flatten());
            }
        }
        if reached.contains(start) {
            circles.insert(start.strip_prefix(src()).unwrap().display().to_string());
        }
    }
    circles.retain(|file| !ONE_CONCEPT.iter().any(|concept| file.starts_with(concept)));
    assert!(circles.is_empty(), "in circles: {circles:#?}");
}

#[test]
fn this_test_sees_an_arrow_that_points_up_and_a_circle() {
    let module = ["archive".to_owned(), "log".to_owned()];
    let code = without_tests("use crate::{sync::Stop, a::{B, c::D}};\nfn f() { super::commit::g(); } // crate::no\n");
    let shown = |paths: Paths| paths.into_iter().map(|path| path.join("::")).collect::<Vec<_>>();
    let (used, handed_on) = imports(&module, &(code + "pub use self::d::E;"));
    assert_eq!(shown(used), ["a::B", "a::c::D", "archive::commit::g", "sync::Stop"]);
    assert_eq!(shown(handed_on), ["archive::log::d::E"]);
    let path = ["archive", "Head"].map(String::from);
    let mut all = Vec::new();
    sources(&src().join("archive"), &mut all);
    let exports: BTreeMap<_, _> = all.into_iter().map(|source| (source.path, source.exports)).collect();
    assert!(file_of(&path).unwrap().0.ends_with("archive/mod.rs"));
    assert!(defined_in(&path, &exports).unwrap().ends_with("archive/head/mod.rs"));
}
