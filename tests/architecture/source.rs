//! The library's source text, as far as paths tell: which file is which module, and what each names.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use crate::graph::Imports;

/// The files under `src`, without code of tests.
pub(crate) struct Library {
    /// By module path, `archive::log`; the root is empty.
    modules: BTreeMap<String, Module>,
}

struct Module {
    /// Relative to `src`, `archive/log.rs`.
    file: String,
    /// The code without comments, texts, `use` and what is for tests only.
    code: String,
    /// What a `use` brings into scope: its name there, where it comes from, and whether others see it there.
    uses: Vec<Use>,
}

struct Use {
    name: String,
    path: Vec<String>,
    public: bool,
}

impl Library {
    pub(crate) fn read() -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut library = Self { modules: BTreeMap::new() };
        for main in ["lib.rs", "main.rs"] {
            library.add(&root, &root.join(main), &[]);
        }
        library
    }

    /// Adds the module of `file`, and those that it declares.
    fn add(&mut self, root: &Path, file: &Path, path: &[String]) {
        let text = without_tests(&without_comments_and_texts(&fs::read_to_string(file).unwrap()));
        let (code, uses) = split_uses(&text);
        let folder = match file.file_name().unwrap().to_str().unwrap() {
            "mod.rs" | "lib.rs" | "main.rs" => file.parent().unwrap().to_owned(),
            _ => file.with_extension(""),
        };
        for name in declared(&code) {
            let path: Vec<_> = path.iter().cloned().chain([name.clone()]).collect();
            let flat = folder.join(format!("{name}.rs"));
            let child = if flat.exists() { flat } else { folder.join(name).join("mod.rs") };
            self.add(root, &child, &path);
        }
        let file = file.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
        let path = if file == "main.rs" { "main".to_owned() } else { path.join("::") };
        self.modules.insert(path, Module { file, code, uses });
    }

    /// Whom each file imports, itself left out.
    pub(crate) fn imports(&self) -> Imports<'_> {
        let all = self.modules.iter();
        all.map(|(path, module)| (module.file.as_str(), self.imports_of(path, module))).collect()
    }

    fn imports_of<'a>(&'a self, path: &str, module: &Module) -> BTreeSet<&'a str> {
        let used = module.uses.iter().filter(|u| !u.public || mentions(&module.code, &u.name));
        let named = paths(&module.code);
        let all: Vec<_> = used.map(|u| &u.path).chain(&named).collect();
        // Whoever goes through the front page of another folder knows that folder, wherever the name comes from.
        let ours = all.iter().filter(|path| path[0] == "crate");
        let doors = ours.filter_map(|path| Some(self.modules.get(path.get(1)?)?.file.as_str()));
        let found = all.iter().filter_map(|named| self.file_of(path, named, 0)).chain(doors);
        found.filter(|file| *file != module.file).collect()
    }

    /// The file that defines what `named` names inside the module `at`. `None`: it is not ours, or not told by its path.
    fn file_of(&self, at: &str, named: &[String], depth: usize) -> Option<&str> {
        assert!(depth < 20, "re-exports of {named:?} in {at} lead in a circle");
        let here = || at.split("::").filter(|s| !s.is_empty() && *s != "main").map(str::to_owned);
        let mut module: Vec<String> = match named.first()?.as_str() {
            "crate" => Vec::new(),
            "self" | "super" => here().collect(),
            first if self.modules.contains_key(&here().chain([first.to_owned()]).collect::<Vec<_>>().join("::")) => {
                here().collect()
            }
            _ => return None,
        };
        let mut rest = named.iter().peekable();
        while let Some(name) = rest.next() {
            match name.as_str() {
                "crate" | "self" => continue,
                "super" => {
                    module.pop();
                    continue;
                }
                _ => {}
            }
            let inner = module.iter().cloned().chain([name.clone()]).collect::<Vec<_>>();
            if self.modules.contains_key(&inner.join("::")) {
                module = inner;
                continue;
            }
            let key = module.join("::");
            if let Some(through) = self.modules.get(&key)?.uses.iter().find(|u| u.name == *name) {
                let further = through.path.iter().chain(rest).cloned().collect::<Vec<_>>();
                // What comes from another crate is not ours, whoever passes it on.
                return self.file_of(&key, &further, depth + 1);
            }
            break;
        }
        self.modules.get(&module.join("::")).map(|module| module.file.as_str())
    }
}

/// The room that a file belongs to: its folder right under `src`, or its own name there.
pub(crate) fn room(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

/// Whether the word `name` is in the code.
fn mentions(code: &str, name: &str) -> bool {
    code.split(|c: char| !is_word(c)).any(|word| word == name)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The modules that have files of their own.
fn declared(code: &str) -> Vec<String> {
    let statements = code.split([';', '{', '}']);
    let name = |statement: &str| {
        let (before, name) = statement.trim().rsplit_once(char::is_whitespace)?;
        let is_module = before.trim_end().rsplit(char::is_whitespace).next() == Some("mod");
        let ends_with_semicolon = is_module && code.contains(&format!("mod {name};"));
        ends_with_semicolon.then(|| name.to_owned())
    };
    statements.filter_map(name).collect()
}

/// Paths of two names or more.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for word in code.split(|c: char| !is_word(c) && c != ':') {
        let names: Vec<_> = word.split("::").map(str::to_owned).collect();
        if names.len() > 1 && names.iter().all(|name| !name.is_empty() && !name.contains(':')) {
            found.push(names);
        }
    }
    found
}

/// The code without its `use`, and those.
fn split_uses(text: &str) -> (String, Vec<Use>) {
    let (mut code, mut uses, mut rest) = (String::new(), Vec::new(), text);
    while let Some(at) = find_use(rest) {
        let end = at + rest[at..].find(';').unwrap();
        // `pub`, `pub(crate)`, `pub(super)`: what stands before it on its line.
        let line = rest[..at].rsplit(['\n', ';', '}']).next().unwrap();
        let known = uses.len();
        expand(rest[at + 4..end].trim(), &[], line.contains("pub"), &mut uses);
        code.push_str(&rest[..at]);
        // Seen from the file, `super` of a module inside it is the file itself, and its names are not the file's.
        let around = modules_around(&code);
        for inside in uses[known..].iter_mut().filter(|_| around > 0) {
            inside.name.clear();
            for name in inside.path.iter_mut().take_while(|name| *name == "super").take(around) {
                "self".clone_into(name);
            }
        }
        rest = &rest[end..];
    }
    code.push_str(rest);
    (code, uses)
}

/// How many modules that stand in the file itself are open where `code` ends.
fn modules_around(code: &str) -> usize {
    let mut open = Vec::new();
    for (at, c) in code.char_indices() {
        match c {
            '{' => {
                let before = code[..at].rsplit([';', '{', '}']).next().unwrap().trim_end();
                open.push(before.rsplit(char::is_whitespace).nth(1) == Some("mod"));
            }
            '}' => drop(open.pop()),
            _ => {}
        }
    }
    open.into_iter().filter(|is_module| *is_module).count()
}

fn find_use(text: &str) -> Option<usize> {
    let begins = |at: &usize| !text[..*at].ends_with(is_word);
    text.match_indices("use ").map(|(at, _)| at).find(begins)
}

/// `a::{b, c::d as e}` → its three paths.
fn expand(tree: &str, before: &[String], public: bool, uses: &mut Vec<Use>) {
    let tree = tree.trim();
    if let Some((path, inside)) = tree.split_once('{') {
        let names = path.split("::").map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
        let before: Vec<_> = before.iter().cloned().chain(names).collect();
        let (mut depth, mut begin) = (0, 0);
        let inside = &inside[..inside.rfind('}').unwrap()];
        for (at, c) in inside.char_indices().chain([(inside.len(), ',')]) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    expand(&inside[begin..at], &before, public, uses);
                    begin = at + 1;
                }
                _ => {}
            }
        }
        return;
    }
    let (path, renamed) = tree.split_once(" as ").map_or((tree, None), |(path, name)| (path, Some(name.trim())));
    let names = path.split("::").map(str::trim).filter(|name| !name.is_empty() && *name != "*").map(str::to_owned);
    let mut path: Vec<_> = before.iter().cloned().chain(names).collect();
    if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
        path.pop();
    }
    if let Some(last) = path.last().filter(|_| !tree.is_empty()) {
        uses.push(Use { name: renamed.unwrap_or(last).to_owned(), path, public });
    }
}

/// Without items that are compiled for tests only.
fn without_tests(code: &str) -> String {
    let (mut kept, mut rest) = (String::new(), code);
    while let Some((before, after)) = rest.split_once("#[cfg(test)]") {
        kept.push_str(before);
        let mut depth = 0;
        let end = after.char_indices().find(|(_, c)| {
            match c {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth -= 1,
                _ => {}
            }
            depth == 0 && matches!(c, ';' | '}')
        });
        rest = end.map_or("", |(at, _)| &after[at + 1..]);
    }
    kept + rest
}

/// Code only: of a comment nothing stays, of a text its quotes.
fn without_comments_and_texts(text: &str) -> String {
    let (mut code, mut rest) = (String::new(), text);
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").unwrap() + 2
        } else if let Some(hashes) = raw_text(rest).filter(|_| !code.ends_with(is_word)) {
            let end = format!("\"{}", "#".repeat(hashes));
            let begin = 2 + hashes;
            begin + rest[begin..].find(&end).unwrap() + end.len()
        } else if c == '"' {
            quoted(rest, '"')
        } else if c == '\'' && (rest[1..].starts_with('\\') || rest.chars().nth(2) == Some('\'')) {
            quoted(rest, '\'')
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        if c == '"' || c == 'r' {
            code.push_str("\"\"");
        }
        rest = &rest[skipped..];
    }
    code
}

/// Of `r##"…`: how many hashes.
fn raw_text(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

/// The bytes up to and including the quote that ends.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    let end = rest.char_indices().skip(1).find(|(_, c)| {
        let ends = *c == quote && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    end.unwrap().0 + 1
}

#[test]
fn paths_are_found_in_code_and_not_in_comments_texts_and_tests() {
    let text = r##"
        //! crate::no::one
        use crate::{a::{self, B}, c::D as E};
        pub(crate) use self::x::Y;
        mod child;
        fn f<'a>() -> &'a str { child::run('"', '\'', "crate::no::two", r#"crate::"no::three"#) }
        #[cfg(test)]
        mod tests { use crate::no::four; fn g() { "}" } }
        fn h() { crate::i::j() }
        mod inner { use super::k; }
    "##;
    let (code, uses) = split_uses(&without_tests(&without_comments_and_texts(text)));
    let found: Vec<_> = uses.iter().map(|u| (u.name.as_str(), u.path.join("::"), u.public)).collect();
    let expected = [
        ("a", "crate::a", false),
        ("B", "crate::a::B", false),
        ("E", "crate::c::D", false),
        ("Y", "self::x::Y", true),
        ("", "self::k", false),
    ];
    assert_eq!(found, expected.map(|(name, path, public)| (name, path.to_owned(), public)));
    assert_eq!(paths(&code).iter().map(|path| path.join("::")).collect::<Vec<_>>(), ["child::run", "crate::i::j"]);
    assert_eq!(declared(&code), ["child"]);
}
