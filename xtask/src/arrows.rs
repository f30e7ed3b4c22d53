//! The one-way rule: a module uses only those that its crate lists above it, and no files use each other in a circle.
//!
//! The list is in the docs of the crate's root, after the words "above it in this list". Imports and paths are read from
//! the tokens of each file, without what is compiled for tests only. An item that a module only re-exports counts as the
//! file's that defines it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

const CRATES: [&str; 4] = ["core/src", "trainer/src", "web/src", "xtask/src"];
const MARK: &str = "above it in this list";

/// Fails with every wrong arrow in the repository.
pub fn check(repository: &Path) -> Result<()> {
    let mut wrong = Vec::new();
    for folder in CRATES {
        let mut files = Vec::new();
        read(repository, folder, &mut files)?;
        wrong.extend(Tree::new(folder, &files)?.wrong_arrows());
    }
    ensure!(wrong.is_empty(), "modules use each other against the one-way rule:\n{}", wrong.join("\n"));
    Ok(())
}

/// The Rust files below a folder of the repository, as paths and texts.
fn read(repository: &Path, folder: &str, files: &mut Vec<(String, String)>) -> Result<()> {
    let path = repository.join(folder);
    for entry in fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))? {
        let entry = entry?;
        let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            read(repository, &name, files)?;
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(entry.path()).with_context(|| format!("cannot read {name}"))?;
            files.push((name, text));
        }
    }
    Ok(())
}

/// The names that lead to a module from the root of its crate.
type Names = Vec<String>;

/// A path as it is written, and the name that it is imported by.
struct Written {
    line: usize,
    path: Names,
    imported_as: Option<String>,
}

#[derive(Default)]
struct Module {
    file: String,
    defines: BTreeSet<String>,
    paths: Vec<Written>,
    /// Modules that are compiled for tests only.
    tests: Vec<String>,
}

struct Tree {
    folder: String,
    modules: BTreeMap<Names, Module>,
    /// The modules of the crate in the order of its docs.
    order: Vec<String>,
    /// What is wrong with that list.
    wrong_list: Vec<String>,
}

struct Arrow<'a> {
    from: &'a Names,
    to: &'a Names,
    line: usize,
    path: String,
}

impl Tree {
    fn new(folder: &str, files: &[(String, String)]) -> Result<Self> {
        let mut modules = BTreeMap::new();
        let mut docs = None;
        let has_library = files.iter().any(|(file, _)| *file == format!("{folder}/lib.rs"));
        for (file, text) in files {
            let place = file.strip_prefix(folder).unwrap_or(file).trim_start_matches('/').trim_end_matches(".rs");
            let mut names: Names = place.split('/').map(Into::into).collect();
            // A program beside a library is a crate of its own.
            if names[0] == "bin" || (has_library && place == "main") {
                continue;
            }
            if ["mod", "lib", "main"].contains(&names.last().map_or("", String::as_str)) {
                names.pop();
            }
            if names.is_empty() {
                docs = Some((file, text));
            }
            let tokens: TokenStream = text.parse().map_err(|error| anyhow!("cannot parse {file}: {error}"))?;
            let mut module = Module { file: file.clone(), ..Module::default() };
            module.scan(&tokens.into_iter().collect::<Vec<_>>(), true);
            modules.insert(names, module);
        }
        let tests: Vec<Names> = modules
            .iter()
            .flat_map(|(names, module)| {
                module.tests.iter().map(|test| [&names[..], std::slice::from_ref(test)].concat())
            })
            .collect();
        modules.retain(|names, _| !tests.iter().any(|test| names.starts_with(test)));
        let (file, text) = docs.with_context(|| format!("{folder} has no lib.rs or main.rs"))?;
        let top = modules.keys().filter(|names| names.len() == 1).map(|names| &names[0]);
        let (order, wrong_list) = order(file, text, top);
        Ok(Self { folder: folder.into(), modules, order, wrong_list })
    }

    /// Every line that is against the rule.
    fn wrong_arrows(&self) -> Vec<String> {
        let mut arrows = self.arrows();
        let mut wrong = self.wrong_list.clone();
        // What is left can be a circle within one module only.
        arrows.retain(|arrow| {
            let against = self.against_order(arrow);
            wrong.extend(against.clone());
            against.is_none()
        });
        wrong.extend(self.circles(&arrows));
        wrong
    }

    /// Which file uses which, each once.
    fn arrows(&self) -> Vec<Arrow<'_>> {
        let mut arrows: Vec<Arrow<'_>> = Vec::new();
        for (from, module) in &self.modules {
            for written in &module.paths {
                let Some(to) = self.target(from, &written.path, 0) else { continue };
                if to != from && !arrows.iter().any(|arrow| (arrow.from, arrow.to) == (from, to)) {
                    arrows.push(Arrow { from, to, line: written.line, path: written.path.join("::") });
                }
            }
        }
        arrows
    }

    /// The module whose file a path of this module leads to; none where it leads out of the crate.
    fn target(&self, from: &[String], path: &[String], depth: usize) -> Option<&Names> {
        let module = self.modules.get(from)?;
        let (first, mut rest) = path.split_first()?;
        let mut at = match first.as_str() {
            "crate" => Vec::new(),
            "self" => from.to_vec(),
            "super" => {
                let mut parent = from.split_last()?.1;
                while let Some(("super", more)) = rest.split_first().map(|(name, more)| (name.as_str(), more)) {
                    (parent, rest) = (parent.split_last()?.1, more);
                }
                parent.to_vec()
            }
            // An import or a module of this file.
            _ if depth > 8 => return None,
            name => {
                let import =
                    module.paths.iter().find(|p| p.imported_as.as_deref() == Some(name) && p.path[..] != *path);
                let child = [from, &[name.to_owned()]].concat();
                if self.modules.contains_key(&child) {
                    child
                } else {
                    return self.target(from, &[&import?.path[..], rest].concat(), depth + 1);
                }
            }
        };
        while let Some((name, more)) = rest.split_first() {
            at.push(name.clone());
            if !self.modules.contains_key(&at) {
                at.pop();
                break;
            }
            rest = more;
        }
        let (names, module) = self.modules.get_key_value(&at)?;
        // What is only re-exported counts as the file's that defines it.
        if let Some((item, more)) = rest.split_first()
            && !module.defines.contains(item)
            && let Some(import) = module.paths.iter().find(|p| p.imported_as.as_ref() == Some(item))
            && depth < 8
        {
            let path = [&import.path[..], more].concat();
            return self.target(names, &path, depth + 1);
        }
        Some(names)
    }

    fn against_order(&self, arrow: &Arrow<'_>) -> Option<String> {
        let place = |name| self.order.iter().position(|module| module == name);
        let from = arrow.from.first()?;
        let from_place = place(from)?;
        // The root comes last: it uses them all.
        let to_place = arrow.to.first().map_or(Some(self.order.len()), place)?;
        if Some(from) == arrow.to.first() || to_place < from_place {
            return None;
        }
        let above = match &self.order[..from_place] {
            [] => "no other".into(),
            above => format!("only {}", above.join(", ")),
        };
        Some(format!("{}: {}/{from} may use {above}", self.show(arrow), self.folder))
    }

    /// The arrows between files of which each leads to the other.
    fn circles(&self, arrows: &[Arrow<'_>]) -> Vec<String> {
        let mut reached: BTreeMap<&Names, BTreeSet<&Names>> = BTreeMap::new();
        for from in self.modules.keys() {
            let mut open = vec![from];
            while let Some(at) = open.pop() {
                for arrow in arrows.iter().filter(|arrow| arrow.from == at) {
                    if reached.entry(from).or_default().insert(arrow.to) {
                        open.push(arrow.to);
                    }
                }
            }
        }
        let leads = |from, to| reached.get(from).is_some_and(|reached| reached.contains(to));
        let circle = arrows.iter().filter(|arrow| leads(arrow.to, arrow.from));
        circle.map(|arrow| format!("{}: part of a circle", self.show(arrow))).collect()
    }

    fn show(&self, arrow: &Arrow<'_>) -> String {
        let (from, to) = (&self.modules[arrow.from].file, &self.modules[arrow.to].file);
        format!("{from}:{} uses {} of {to}", arrow.line, arrow.path)
    }
}

/// The crate's modules in the order of the docs of its root, and what is wrong with the list there.
fn order<'a>(file: &str, text: &str, modules: impl Iterator<Item = &'a String>) -> (Vec<String>, Vec<String>) {
    let docs = text.lines().map_while(|line| line.strip_prefix("//!")).collect::<Vec<_>>().join("\n");
    let Some((_, list)) = docs.split_once(MARK) else {
        return (Vec::new(), vec![format!("{file}: its docs list no modules: \"A module uses only those {MARK}: …\"")]);
    };
    let list = list.split("\n #").next().unwrap_or(list);
    let names: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
    let (mut order, mut wrong) = (Vec::new(), Vec::new());
    for module in modules {
        match names.iter().position(|name| name == module) {
            Some(place) => order.push((place, module.clone())),
            None => wrong.push(format!("{file}: the list in its docs lacks `{module}`")),
        }
    }
    order.sort();
    (order.into_iter().map(|(_, module)| module).collect(), wrong)
}

impl Module {
    /// Reads what a list of tokens defines, imports and names.
    fn scan(&mut self, tokens: &[TokenTree], top: bool) {
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Punct(hash) if hash.as_char() == '#' && is_test(tokens.get(at + 1)) => {
                    at = self.skip_test(tokens, at + 2);
                    continue;
                }
                TokenTree::Group(group) => self.scan(&group.stream().into_iter().collect::<Vec<_>>(), false),
                TokenTree::Ident(word) => match word.to_string().as_str() {
                    "pub" if matches!(tokens.get(at + 1), Some(TokenTree::Group(_))) => at += 1,
                    "use" => {
                        at += 1;
                        let end = at + tokens[at..].iter().take_while(|token| !is_punct(token, ';')).count();
                        self.imports(&tokens[at..end], &[]);
                        at = end;
                    }
                    keyword => {
                        let items =
                            ["struct", "enum", "union", "fn", "trait", "type", "const", "static", "macro_rules"];
                        let name = tokens[at + 1..].iter().find_map(ident);
                        if top && items.contains(&keyword) {
                            self.defines.extend(name);
                        }
                        let mut path = vec![keyword.to_owned()];
                        let leading = at > 0 && is_punct(&tokens[at - 1], ':');
                        while let Some(name) = after_colons(tokens, at) {
                            let Some(name) = ident(name) else { break };
                            path.push(name);
                            at += 3;
                        }
                        if path.len() > 1 && !leading {
                            self.paths.push(Written { line: word.span().start().line, path, imported_as: None });
                        }
                    }
                },
                _ => {}
            }
            at += 1;
        }
    }

    /// Reads the tree of an import.
    fn imports(&mut self, tokens: &[TokenTree], before: &[String]) {
        for tokens in tokens.split(|token| is_punct(token, ',')) {
            let mut path = before.to_vec();
            let mut imported_as = None;
            let Some(first) = tokens.first() else { continue };
            let mut at = 0;
            while let Some(token) = tokens.get(at) {
                match token {
                    TokenTree::Group(group) => {
                        let group: Vec<_> = group.stream().into_iter().collect();
                        return self.imports(&group, &path);
                    }
                    TokenTree::Ident(word) if word == "as" => {
                        imported_as = tokens.get(at + 1).and_then(ident);
                        break;
                    }
                    // `use a::{self, b}` imports `a`.
                    TokenTree::Ident(word) if word == "self" && !path.is_empty() => {}
                    TokenTree::Ident(word) => path.push(word.to_string()),
                    TokenTree::Punct(punct) if punct.as_char() == '*' => path.push("*".into()),
                    _ => {}
                }
                at += 1;
            }
            let imported_as = imported_as.or_else(|| path.last().cloned());
            self.paths.push(Written { line: first.span().start().line, path, imported_as });
        }
    }

    /// Passes over the item that begins here.
    fn skip_test(&mut self, tokens: &[TokenTree], mut at: usize) -> usize {
        let is = |at: usize, word: &str| tokens.get(at).and_then(ident).as_deref() == Some(word);
        let import = is(at, "use");
        if is(at, "mod") {
            self.tests.extend(tokens.get(at + 1).and_then(ident));
        }
        while let Some(token) = tokens.get(at) {
            at += 1;
            let body = matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
            if is_punct(token, ';') || (body && !import) {
                break;
            }
        }
        at
    }
}

fn ident(token: &TokenTree) -> Option<String> {
    if let TokenTree::Ident(word) = token { Some(word.to_string()) } else { None }
}

fn is_punct(token: &TokenTree, char: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == char)
}

/// What comes after a `::` that comes after this token.
fn after_colons(tokens: &[TokenTree], at: usize) -> Option<&TokenTree> {
    let colons = tokens.get(at + 1..at + 3)?.iter().all(|token| is_punct(token, ':'));
    colons.then(|| tokens.get(at + 3)).flatten()
}

/// Whether an attribute is `[cfg(test)]` or `[cfg(all(test, …))]`.
fn is_test(attribute: Option<&TokenTree>) -> bool {
    let Some(TokenTree::Group(group)) = attribute else { return false };
    let text: String = group.stream().to_string().split_whitespace().collect();
    text == "cfg(test)" || text.starts_with("cfg(all(test,")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with a crate of these files, whose docs list `a`, `b` and `c`.
    fn wrong(files: &[(&str, &str)]) -> Vec<String> {
        let root =
            "//! A module uses only those above it in this list: `a`, [`b`] (not `z`), `c`.\nmod a; mod b; mod c;";
        let mut all = vec![("x/src/lib.rs".to_owned(), root.to_owned())];
        for (file, text) in files {
            all.push((format!("x/src/{file}"), (*text).to_owned()));
        }
        for module in ["a", "b", "c"] {
            if !all.iter().any(|(file, _)| file.starts_with(&format!("x/src/{module}"))) {
                all.push((format!("x/src/{module}.rs"), "pub struct Item;".to_owned()));
            }
        }
        Tree::new("x/src", &all).expect("a tree").wrong_arrows()
    }

    #[test]
    fn arrows_along_the_list_are_right() {
        let files = [
            ("b.rs", "use crate::a::{Item as Other, *}; use std::fmt; use super::a; fn f() { a::Item; b::Item; }"),
            ("c/mod.rs", "mod one; mod two; pub use one::One; pub use two::Two; use crate::b;"),
            ("c/one.rs", "pub struct One; use crate::{a::Item, b::{self, Item as B}};"),
            ("c/two.rs", "pub struct Two; use super::one::One; use super::One as Same;"),
        ];
        assert_eq!(wrong(&files), Vec::<String>::new());
    }

    #[test]
    fn an_arrow_against_the_list_is_named() {
        let expected = |path: &str| format!("x/src/b.rs:2 uses {path} of x/src/c.rs: x/src/b may use only a");
        for (text, path) in [
            ("\nuse crate::c::Item;", "crate::c::Item"),
            ("\npub use super::c::Item;", "super::c::Item"),
            ("\nuse crate::{a, c::{Item, Other}};", "crate::c::Item"),
            ("\nuse crate::c as d;", "crate::c"),
            ("\nfn f() { let x = crate::c::f(1); }", "crate::c::f"),
            ("\nmod inner { use crate::c::*; }", "crate::c::*"),
        ] {
            assert_eq!(wrong(&[("b.rs", text)]), [expected(path)], "{text}");
        }
        let wrong = wrong(&[("a/mod.rs", "mod deep;"), ("a/deep.rs", "use super::super::b::Item;")]);
        assert_eq!(wrong, ["x/src/a/deep.rs:1 uses super::super::b::Item of x/src/b.rs: x/src/a may use no other"]);
    }

    #[test]
    fn files_that_use_each_other_are_a_circle() {
        let siblings = [("a/mod.rs", "mod p; mod q;"), ("a/p.rs", "use super::q::Q;"), ("a/q.rs", "use super::p::P;")];
        assert_eq!(
            wrong(&siblings),
            [
                "x/src/a/p.rs:1 uses super::q::Q of x/src/a/q.rs: part of a circle",
                "x/src/a/q.rs:1 uses super::p::P of x/src/a/p.rs: part of a circle",
            ]
        );
        let three = [
            ("a/mod.rs", "mod p; mod q; mod r;"),
            ("a/p.rs", "use super::q::Q;"),
            ("a/q.rs", "use super::r;"),
            ("a/r.rs", "use crate::a::{p::P};"),
        ];
        assert_eq!(wrong(&three).len(), 3);
    }

    #[test]
    fn a_child_may_not_use_what_its_user_the_parent_defines() {
        let child = ("a/child.rs", "use super::Shared; pub struct Child;");
        let circle = [("a/mod.rs", "mod child; use child::Child; pub struct Shared;"), child];
        assert_eq!(wrong(&circle).len(), 2);
        let called = [("a/mod.rs", "mod child; pub struct Shared; fn f() { child::run() }"), child];
        assert_eq!(wrong(&called).len(), 2);
        // The parent only holds the child, or only hands on what another file defines.
        assert_eq!(wrong(&[("a/mod.rs", "mod child; pub struct Shared;"), child]), Vec::<String>::new());
        let handed_on = [
            ("a/mod.rs", "mod child; mod shared; use child::Child; pub use shared::Shared;"),
            ("a/shared.rs", "pub struct Shared;"),
            child,
        ];
        assert_eq!(wrong(&handed_on), Vec::<String>::new());
    }

    #[test]
    fn a_module_may_not_use_the_root() {
        let root = ("lib.rs", "//! Only those above it in this list: `a`.\nmod a; use a::A; pub fn help() {}");
        let tree = Tree::new("x", &[root, ("a.rs", "use crate::help;")].map(|(f, t)| (format!("x/{f}"), t.to_owned())));
        let wrong = tree.expect("a tree").wrong_arrows();
        assert_eq!(wrong, ["x/a.rs:1 uses crate::help of x/lib.rs: x/a may use no other"]);
    }

    #[test]
    fn what_only_tests_use_does_not_count() {
        let files = [
            ("a/mod.rs", "#[cfg(test)] mod tests; #[cfg(test)] use crate::c::{Item};"),
            ("a/tests.rs", "use super::*; use crate::c::Item;"),
            (
                "b.rs",
                "// use crate::c::Item;\nconst S: &str = \"crate::c::Item\"; #[cfg(test)] mod tests { use crate::c::Item; }",
            ),
        ];
        assert_eq!(wrong(&files), Vec::<String>::new());
    }

    #[test]
    fn a_root_lists_each_of_its_modules() {
        let tree = |root: &str| {
            let files = [("x/lib.rs", root), ("x/a.rs", "")].map(|(file, text)| (file.to_owned(), text.to_owned()));
            Tree::new("x", &files).expect("a tree").wrong_arrows()
        };
        assert!(tree("//! Words.\nmod a;")[0].contains("its docs list no modules"));
        assert_eq!(
            tree("//! Only those above it in this list: `b`.\nmod a;"),
            ["x/lib.rs: the list in its docs lacks `a`"]
        );
    }
}
