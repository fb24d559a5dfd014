//! What README and guides say of the code: every environment variable, every test that they name, every link.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// Variables that are no business of a user's, and why.
const UNNAMED: [&str; 6] = [
    // Cargo's, while it builds.
    "CARGO_PKG_VERSION",
    "CARGO_MANIFEST_DIR",
    // Set for children.
    "AWS_PAGER",
    // By which the program knows that it began once more.
    "CONVEX_ARCHIVER_ARENAS",
    // Of the SQL that DuckDB gets.
    "URL_STYLE",
    "USE_SSL",
];

/// How the names of the variables begin that the program reads.
const FAMILIES: [&str; 12] = [
    "AWS_",
    "AZURE_",
    "CARGO_",
    "CONVEX_",
    "GCE_",
    "GLIBC_",
    "GOOGLE_",
    "IDENTITY_",
    "MALLOC_",
    "SSL_",
    "STORAGE_",
    "USE_",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Files below a folder with this ending.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let (mut open, mut found) = (vec![root().join(folder)], Vec::new());
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found
}

/// The words between two backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_environment_variable_that_the_program_reads_is_in_the_readme() {
    let readme = read("README.md");
    let (_, section) = readme.split_once("\n## Environment variables\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let told: BTreeSet<&str> = quoted(section).collect();
    let mut named = 0;
    for path in files("src", "rs") {
        let text = std::fs::read_to_string(&path).unwrap();
        for word in text.split('"').skip(1).step_by(2) {
            let is_name = word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
            if !is_name || word.ends_with('_') || !FAMILIES.iter().any(|family| word.starts_with(family)) {
                continue;
            }
            named += 1;
            assert!(told.contains(word) || UNNAMED.contains(&word), "{word} of {} is not told", path.display());
        }
    }
    assert!(named > 100, "{named}");
}

#[test]
fn every_test_that_the_promises_name_is_there() {
    let tests: String = ["src", "tests"].iter().flat_map(|folder| files(folder, "rs")).map(read).collect();
    let promises = read("tests/PROMISES.md");
    let names: Vec<&str> = quoted(&promises)
        .filter(|word| {
            word.matches('_').count() >= 4
                && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit())
        })
        .collect();
    assert!(names.len() > 30, "{names:?}");
    for name in names {
        assert!(tests.contains(&format!("fn {name}")), "there is no test {name}");
    }
}

/// The anchor that GitHub gives to a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut documents = files("examples", "md");
    documents.extend(
        [
            "README.md",
            "CONTRIBUTING.md",
            "tests/PROMISES.md",
            "benches/README.md",
            "packaging/README.md",
            "terraform/README.md",
        ]
        .map(|name| root().join(name)),
    );
    let mut links = 0;
    for document in documents {
        let text = std::fs::read_to_string(&document).unwrap();
        for rest in text.split("](").skip(1) {
            let target = rest.split(')').next().unwrap();
            if target.contains("://") || target.contains(' ') {
                continue;
            }
            links += 1;
            let (file, wanted) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
            let path = if file.is_empty() { document.clone() } else { document.parent().unwrap().join(file) };
            assert!(path.exists(), "{}: {target}", document.display());
            if let Some(wanted) = wanted {
                let anchors = std::fs::read_to_string(&path).unwrap();
                let mut anchors = anchors.lines().filter(|line| line.starts_with('#')).map(anchor);
                assert!(anchors.any(|found| found == wanted), "{}: {target}", document.display());
            }
        }
    }
    assert!(links > 80, "{links}");
}
