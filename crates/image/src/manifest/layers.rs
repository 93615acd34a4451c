use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::{Manifest, merge, rules, schema};
use crate::document::check::{Scope, check, visit_strings};
use crate::document::{Diagnostic, Node, Origin, Problems, SourceId, Sources, Value, parse};
use crate::profile::Catalog;

/// Names a layer: a file, or a part of the catalogue written `@NAME`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LayerName {
    /// A file on the build machine.
    File(PathBuf),
    /// A file of the catalogue without its `.toml`, such as `opt/development`.
    Catalogue(String),
}

impl LayerName {
    /// Reads one name, a relative file being relative to `directory`.
    pub fn parse(text: &str, directory: &Path) -> Self {
        match text.strip_prefix('@') {
            Some(name) => Self::Catalogue(name.trim_end_matches(".toml").to_owned()),
            None => Self::File(normalised(&directory.join(text))),
        }
    }

    /// Reads a composition such as `product.toml:@opt/development`; empty parts are dropped.
    pub fn parse_list(text: &str) -> Vec<Self> {
        text.split(':')
            .filter(|part| !part.is_empty())
            .map(|part| Self::parse(part, Path::new("")))
            .collect()
    }
}

impl fmt::Display for LayerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Catalogue(name) => write!(f, "@{name}"),
        }
    }
}

/// Removes `.` and resolves `..` where that needs no look at the file system.
fn normalised(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(out.components().next_back(), Some(Component::Normal(_))) =>
            {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// A layer that took part in a composition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Its name.
    pub name: LayerName,
    /// Its text.
    pub source: SourceId,
}

/// A merged and validated manifest that still knows where each value came from.
#[derive(Debug, Clone)]
pub struct Composition {
    /// The manifest.
    pub manifest: Manifest,
    /// The layers, lowest first: the board, then includes before the files that include them, then left to right.
    pub layers: Vec<Layer>,
    /// The texts.
    pub sources: Sources,
    /// The merged tree with the origin of every value.
    pub tree: Node,
}

impl Composition {
    /// Where the value at a path of keys was written; none when it is a default.
    pub fn origin(&self, path: &[&str]) -> Option<&Origin> {
        self.tree.at(path).map(|node| &node.origin)
    }

    /// Where the key at the end of a path was written; none when it is a default.
    pub fn key_origin(&self, path: &[&str]) -> Option<&Origin> {
        self.tree.key_at(path)
    }

    /// `file:line` of a value, or `default`.
    pub fn origin_text(&self, path: &[&str]) -> String {
        match self.origin(path) {
            Some(origin) => self.sources.line_of(origin),
            None => "default".to_owned(),
        }
    }

    /// Wraps diagnostics that point into this composition's texts.
    pub fn problems(&self, diagnostics: Vec<Diagnostic>) -> Problems {
        Problems::new(self.sources.clone(), diagnostics)
    }
}

/// Reads compositions of layers.
pub struct Loader<'a> {
    catalog: &'a Catalog,
    read: &'a dyn Fn(&Path) -> io::Result<String>,
}

impl fmt::Debug for Loader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader")
            .field("catalog", self.catalog)
            .finish_non_exhaustive()
    }
}

impl<'a> Loader<'a> {
    /// A loader that takes `@NAME` from `catalog` and files through `read`.
    pub fn new(catalog: &'a Catalog, read: &'a dyn Fn(&Path) -> io::Result<String>) -> Self {
        Self { catalog, read }
    }

    /// Reads, checks and merges `layers` left to right.
    ///
    /// An included layer comes before the file that includes it; a layer named twice counts once, at its first place.
    /// The board that the result names comes before all others. Fails with every problem of every layer at once.
    pub fn load(&self, layers: &[LayerName]) -> Result<Composition, Problems> {
        let mut reading = Reading {
            loader: self,
            sources: Sources::new(),
            problems: Vec::new(),
            seen: BTreeSet::new(),
            open: Vec::new(),
            done: Vec::new(),
        };
        for name in layers {
            reading.layer(name, None);
        }
        if reading.done.is_empty() && reading.problems.is_empty() {
            reading
                .problems
                .push(Diagnostic::error("no layer is named").help("name at least one manifest"));
        }
        let board = reading.board();
        if let Some((name, origin)) = board {
            let at = reading.done.len();
            reading.layer(
                &LayerName::Catalogue(format!("boards/{name}")),
                Some(&origin),
            );
            let added = reading.done.split_off(at);
            reading.done.splice(0..0, added);
        }
        reading.finish()
    }
}

struct Reading<'l, 'a> {
    loader: &'l Loader<'a>,
    sources: Sources,
    problems: Vec<Diagnostic>,
    seen: BTreeSet<LayerName>,
    open: Vec<(LayerName, Option<Origin>)>,
    done: Vec<(Layer, Node)>,
}

impl Reading<'_, '_> {
    /// Reads a layer and, before it, what it includes; `named_at` is where another layer asked for it.
    fn layer(&mut self, name: &LayerName, named_at: Option<&Origin>) {
        if self.open.iter().any(|(open, _)| open == name) {
            self.problems.push(self.cycle(name, named_at));
            return;
        }
        if !self.seen.insert(name.clone()) {
            return;
        }
        let text = match name {
            LayerName::File(path) => (self.loader.read)(path).map_err(|e| e.to_string()),
            LayerName::Catalogue(part) => self
                .loader
                .catalog
                .text(&format!("{part}.toml"))
                .map_err(|error| error.to_string()),
        };
        let text = match text {
            Ok(text) => text,
            Err(why) => {
                let problem = Diagnostic::error(format!("cannot read layer `{name}`: {why}"));
                self.problems.push(match named_at {
                    Some(origin) => problem.at(origin, "named here"),
                    None => problem.help(
                        "name the product's manifest; where none is named, it is `product.toml` in this directory",
                    ),
                });
                return;
            }
        };
        let source = self.sources.add(name.to_string(), text);
        let mut root = match parse(&self.sources, source) {
            Ok(root) => root,
            Err(problems) => {
                self.problems.extend(problems);
                return;
            }
        };
        self.problems.extend(check(&root, schema(), Scope::Layer));
        self.open.push((name.clone(), named_at.cloned()));
        self.includes(name, &mut root);
        self.open.pop();
        self.anchor(name, &mut root);
        self.done.push((
            Layer {
                name: name.clone(),
                source,
            },
            root,
        ));
    }

    /// Reads what `root` includes and takes the list out of it, so that merging does not pass it on.
    fn includes(&mut self, name: &LayerName, root: &mut Node) {
        let Value::Table(entries) = &mut root.value else {
            return;
        };
        let Some(include) = entries.remove("include") else {
            return;
        };
        let Value::List(items) = include.node.value else {
            return;
        };
        for item in items {
            let Value::String(text) = &item.value else {
                continue;
            };
            let included = match name {
                LayerName::File(path) => {
                    LayerName::parse(text, path.parent().unwrap_or(Path::new("")))
                }
                LayerName::Catalogue(_) if !text.starts_with('@') => {
                    self.problems.push(
                        Diagnostic::error(
                            "the catalogue can only include the catalogue, as `@NAME`",
                        )
                        .at(&item.origin, ""),
                    );
                    continue;
                }
                LayerName::Catalogue(_) => LayerName::parse(text, Path::new("")),
            };
            self.layer(&included, Some(&item.origin));
        }
    }

    /// Makes paths on the build machine relative to the working directory instead of to the layer's file.
    fn anchor(&mut self, name: &LayerName, root: &mut Node) {
        let problems = &mut self.problems;
        visit_strings(root, schema(), &mut |format, origin, value| {
            if format != "host-path" {
                return;
            }
            match name {
                LayerName::File(path) => {
                    let directory = path.parent().unwrap_or(Path::new(""));
                    let (mark, bare) = match value.strip_prefix('!') {
                        Some(bare) => ("!", bare),
                        None => ("", value.as_str()),
                    };
                    let joined = normalised(&directory.join(bare));
                    *value = format!("{mark}{}", joined.display());
                }
                LayerName::Catalogue(_) => problems.push(
                    Diagnostic::error(
                        "a layer of the catalogue cannot name files of the build machine",
                    )
                    .at(origin, ""),
                ),
            }
        });
    }

    fn cycle(&self, name: &LayerName, named_at: Option<&Origin>) -> Diagnostic {
        let from = self
            .open
            .iter()
            .position(|(open, _)| open == name)
            .unwrap_or(0);
        let mut chain: Vec<String> = self.open[from..]
            .iter()
            .map(|(open, _)| format!("`{open}`"))
            .collect();
        chain.push(format!("`{name}`"));
        let mut problem =
            Diagnostic::error(format!("layers include each other: {}", chain.join(" → ")));
        if let Some(origin) = named_at {
            problem = problem.at(origin, "closes the circle");
        }
        for (_, origin) in &self.open[from + 1..] {
            if let Some(origin) = origin {
                problem = problem.related(origin, "included here");
            }
        }
        problem
    }

    /// The board that the last layer to speak of it names.
    fn board(&self) -> Option<(String, Origin)> {
        self.done.iter().rev().find_map(|(_, root)| {
            let node = root.at(&["board"])?;
            match &node.value {
                Value::String(name) => Some((name.clone(), node.origin.clone())),
                _ => None,
            }
        })
    }

    fn finish(mut self) -> Result<Composition, Problems> {
        let (layers, roots): (Vec<Layer>, Vec<Node>) = self.done.into_iter().unzip();
        let merged = match merge(roots) {
            Ok(merged) => merged,
            Err(problems) => {
                self.problems.extend(problems);
                None
            }
        };
        let Some(tree) = merged.filter(|_| self.problems.is_empty()) else {
            return Err(Problems::new(self.sources, self.problems));
        };
        let mut problems = check(&tree, schema(), Scope::Whole);
        let manifest: Option<Manifest> = if problems.is_empty() {
            match serde_json::from_value(tree.to_json()) {
                Ok(manifest) => Some(manifest),
                Err(error) => {
                    problems.push(Diagnostic::error(error.to_string()));
                    None
                }
            }
        } else {
            None
        };
        if let Some(manifest) = &manifest {
            problems.extend(rules::rules(manifest, &tree));
        }
        match manifest {
            Some(manifest) if problems.is_empty() => Ok(Composition {
                manifest,
                layers,
                sources: self.sources,
                tree,
            }),
            _ => Err(Problems::new(self.sources, problems)),
        }
    }
}
