//! What users of the library can name, as `tests/public-api.txt` has it: a change of it is seen in review, and is never made
//! without noticing. Write the file anew with `cargo test --test public_api -- --ignored`.
//!
//! Listed is what `src/lib.rs` exports, but for what is hidden from the documentation, which promises nothing: types with their
//! public fields, variants and methods, traits, functions, constants. Methods that `derive(Setters)` makes have the name of their field and are not listed.

#![allow(clippy::unwrap_used, clippy::expect_used)] // A test ends where something is missing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use quote::ToTokens;
use syn::{Attribute, Fields, ImplItem, Item, TraitItem, UseTree, Visibility};

/// A module of the library: what it defines, and what it takes from elsewhere.
#[derive(Default)]
struct Module {
    items: BTreeMap<String, Item>,
    impls: Vec<syn::ItemImpl>,
    /// What is exported and hidden.
    hidden: BTreeSet<String>,
    /// The name here, and the path there.
    uses: BTreeMap<String, Used>,
    public_modules: BTreeSet<String>,
}

struct Used {
    path: Vec<String>,
    public: bool,
}

type Modules = BTreeMap<Vec<String>, Module>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn is_hidden(attributes: &[Attribute]) -> bool {
    let text = |attribute: &Attribute| attribute.meta.to_token_stream().to_string();
    attributes.iter().map(text).any(|text| text == "doc (hidden)" || text == "cfg (test)")
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

/// Reads the module that is written in `file`, and those below it.
fn read(path: &[String], file: &Path, modules: &mut Modules) {
    let parsed = syn::parse_file(&fs::read_to_string(file).unwrap()).unwrap();
    let mut module = Module::default();
    for item in parsed.items {
        match item {
            Item::Mod(item) if is_hidden(&item.attrs) || item.content.is_some() => {}
            Item::Mod(item) => {
                let name = item.ident.to_string();
                if is_public(&item.vis) {
                    module.public_modules.insert(name.clone());
                }
                let is_folder = matches!(file.file_name().unwrap().to_str(), Some("mod.rs" | "lib.rs"));
                let folder = if is_folder { file.parent().unwrap().to_owned() } else { file.with_extension("") };
                let file = [folder.join(format!("{name}.rs")), folder.join(&name).join("mod.rs")];
                let below = [path, &[name]].concat();
                read(&below, file.iter().find(|file| file.exists()).unwrap(), modules);
            }
            Item::Use(item) => {
                let (hidden, mut uses) = (is_hidden(&item.attrs), BTreeMap::new());
                take(&item.tree, &mut Vec::new(), path, is_public(&item.vis) && !hidden, &mut uses);
                if hidden && is_public(&item.vis) {
                    module.hidden.extend(uses.keys().cloned());
                }
                module.uses.append(&mut uses);
            }
            Item::Impl(item) => module.impls.push(item),
            item => {
                let name = match &item {
                    Item::Struct(item) => &item.ident,
                    Item::Enum(item) => &item.ident,
                    Item::Trait(item) => &item.ident,
                    Item::Type(item) => &item.ident,
                    Item::Fn(item) => &item.sig.ident,
                    Item::Const(item) => &item.ident,
                    _ => continue,
                };
                module.items.insert(name.to_string(), item);
            }
        }
    }
    modules.insert(path.to_vec(), module);
}

/// Notes each name of a `use`, with its path from the root; paths into other crates are left out.
fn take(tree: &UseTree, path: &mut Vec<String>, module: &[String], public: bool, uses: &mut BTreeMap<String, Used>) {
    let mut note = |name: String, path: &[String]| {
        let absolute = match path.first().map(String::as_str) {
            Some("crate") => path[1..].to_vec(),
            Some("self") => [module, &path[1..]].concat(),
            Some("super") => {
                let up = path.iter().take_while(|segment| *segment == "super").count();
                [&module[..module.len() - up], &path[up..]].concat()
            }
            _ => return,
        };
        uses.insert(name, Used { path: absolute, public });
    };
    match tree {
        UseTree::Path(tree) => {
            path.push(tree.ident.to_string());
            take(&tree.tree, path, module, public, uses);
            path.pop();
        }
        UseTree::Group(tree) => tree.items.iter().for_each(|tree| take(tree, path, module, public, uses)),
        UseTree::Name(tree) if tree.ident == "self" => note(path.last().unwrap().clone(), path),
        UseTree::Name(tree) => note(tree.ident.to_string(), &[path.as_slice(), &[tree.ident.to_string()]].concat()),
        UseTree::Rename(tree) => note(tree.rename.to_string(), &[path.as_slice(), &[tree.ident.to_string()]].concat()),
        UseTree::Glob(_) => assert!(!public, "a glob hides what is exported from {module:?}"),
    }
}

/// The module and the name where `name`, seen from `module`, is defined.
fn resolve(modules: &Modules, module: &[String], name: &str) -> Option<(Vec<String>, String)> {
    let here = modules.get(module)?;
    if here.items.contains_key(name) {
        return Some((module.to_vec(), name.to_owned()));
    }
    let (last, above) = here.uses.get(name)?.path.split_last()?;
    resolve(modules, above, last)
}

/// Tokens as people write them, nearly.
fn spelled(tokens: &impl ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string();
    for (from, to) in [
        (" :: ", "::"),
        (":: ", "::"),
        (" < ", "<"),
        (" >", ">"),
        ("< ", "<"),
        (" ,", ","),
        (" : ", ": "),
        ("& ", "&"),
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        (" ;", ";"),
        (",)", ")"),
        (", )", ")"),
        ("- >", "->"),
        (">->", "> ->"),
    ] {
        text = text.replace(from, to);
    }
    text
}

/// The lines of one item: itself, and what can be named through it.
fn describe(modules: &Modules, at: &str, (module, name): &(Vec<String>, String), lines: &mut BTreeSet<String>) {
    let item = &modules[module].items[name];
    let fields = |fields: &Fields, of: &str, all: bool, lines: &mut BTreeSet<String>| {
        for (n, field) in
            fields.iter().enumerate().filter(|(_, field)| (all || is_public(&field.vis)) && !is_hidden(&field.attrs))
        {
            let name = field.ident.as_ref().map_or_else(|| n.to_string(), ToString::to_string);
            lines.insert(format!("{of}.{name}: {}", spelled(&field.ty)));
        }
    };
    let open =
        |attributes: &[Attribute]| attributes.iter().any(|attribute| attribute.path().is_ident("non_exhaustive"));
    let mark = |attributes: &[Attribute]| if open(attributes) { " (non-exhaustive)" } else { "" };
    match item {
        Item::Struct(item) => {
            lines.insert(format!("{at}: struct{}{}", spelled(&item.generics), mark(&item.attrs)));
            fields(&item.fields, at, false, lines);
        }
        Item::Enum(item) => {
            lines.insert(format!("{at}: enum{}{}", spelled(&item.generics), mark(&item.attrs)));
            for variant in &item.variants {
                let of = format!("{at}::{}", variant.ident);
                lines.insert(of.clone());
                fields(&variant.fields, &of, true, lines);
            }
        }
        Item::Trait(item) => {
            lines.insert(format!("{at}: trait{}", spelled(&item.generics)));
            for part in &item.items {
                match part {
                    TraitItem::Fn(part) if is_hidden(&part.attrs) => false,
                    TraitItem::Fn(part) => lines.insert(format!("{at}::{}", spelled(&part.sig))),
                    part => lines.insert(format!("{at}::{}", spelled(part))),
                };
            }
        }
        Item::Fn(item) => drop(lines.insert(format!("{at}: {}", spelled(&item.sig)))),
        Item::Const(item) => drop(lines.insert(format!("{at}: const {}", spelled(&item.ty)))),
        Item::Type(item) => drop(lines.insert(format!("{at}: type = {}", spelled(&item.ty)))),
        _ => panic!("{at} is something of which this test does not know how to list it"),
    }
    for (of, item) in modules.iter().flat_map(|(of, module)| module.impls.iter().map(move |item| (of, item))) {
        let syn::Type::Path(ty) = &*item.self_ty else { continue };
        let is_it = |ident: &syn::Ident| {
            resolve(modules, of, &ident.to_string()).is_some_and(|d| d == (module.clone(), name.clone()))
        };
        if item.trait_.is_some()
            || is_hidden(&item.attrs)
            || !ty.path.get_ident().or(ty.path.segments.last().map(|s| &s.ident)).is_some_and(is_it)
        {
            continue;
        }
        for part in &item.items {
            match part {
                ImplItem::Fn(part) if is_public(&part.vis) && !is_hidden(&part.attrs) => {
                    lines.insert(format!("{at}::{}", spelled(&part.sig)));
                }
                ImplItem::Const(part) if is_public(&part.vis) => {
                    lines.insert(format!("{at}::{}: const {}", part.ident, spelled(&part.ty)));
                }
                _ => {}
            }
        }
    }
}

/// All lines, of the root and of each public module.
fn public_api() -> String {
    let mut modules = Modules::new();
    read(&[], &root().join("lib.rs"), &mut modules);
    let (mut lines, mut names) = (BTreeSet::new(), 0);
    let mut open = vec![Vec::new()];
    while let Some(path) = open.pop() {
        let module = &modules[&path];
        open.extend(module.public_modules.iter().map(|name| [path.as_slice(), std::slice::from_ref(name)].concat()));
        let defined = module.items.iter().filter(|(_, item)| match item {
            Item::Struct(item) => is_public(&item.vis) && !is_hidden(&item.attrs),
            Item::Enum(item) => is_public(&item.vis) && !is_hidden(&item.attrs),
            Item::Trait(item) => is_public(&item.vis) && !is_hidden(&item.attrs),
            Item::Type(item) => is_public(&item.vis) && !is_hidden(&item.attrs),
            Item::Fn(item) => is_public(&item.vis) && !is_hidden(&item.attrs),
            Item::Const(item) => is_public(&item.vis) && !is_hidden(&item.attrs),
            _ => false,
        });
        let handed_on = module.uses.iter().filter(|(_, used)| used.public);
        for name in defined.map(|(name, _)| name).chain(handed_on.map(|(name, _)| name)) {
            let at = path.iter().chain([name]).map(String::as_str).collect::<Vec<_>>().join("::");
            let found = resolve(&modules, &path, name).unwrap_or_else(|| panic!("{at} leads nowhere"));
            names += 1;
            describe(&modules, &at, &found, &mut lines);
        }
    }
    let hidden = modules.values().flat_map(|module| &module.hidden).map(String::as_str);
    let hidden: BTreeSet<&str> = hidden.filter(|name| name.starts_with(char::is_uppercase)).collect();
    for line in &lines {
        // Behind the name: the type of a field, or the signature.
        let said = line.split_once(['(', ' ']).map_or("", |(_, said)| said);
        let named = said.split(|c: char| !c.is_alphanumeric()).find(|word| hidden.contains(word));
        assert_eq!(named, None, "`{line}` names what users cannot name");
    }
    let lines: Vec<_> = lines.into_iter().collect();
    format!("{names} names that users of the library can write\n\n{}\n", lines.join("\n"))
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/public-api.txt")
}

#[test]
fn what_is_exported_is_what_was_reviewed() {
    let (found, reviewed) = (public_api(), fs::read_to_string(file()).unwrap());
    let lines = |text: &str| text.lines().map(ToOwned::to_owned).collect::<BTreeSet<_>>();
    let (new, old) = (lines(&found), lines(&reviewed));
    let came: Vec<_> = new.difference(&old).collect();
    let went: Vec<_> = old.difference(&new).collect();
    assert!(
        found == reviewed,
        "the public API is another one: {came:#?} came, {went:#?} went; if that is meant, write tests/public-api.txt anew with \
         `cargo test --test public_api -- --ignored`"
    );
}

#[test]
#[ignore = "writes the file that the other test compares with"]
fn write_it_anew() {
    fs::write(file(), public_api()).unwrap();
}
