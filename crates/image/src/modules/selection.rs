use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use super::error::{Error, Result};
use super::info::ModuleInfo;
use super::tree::{KernelModules, name_of};

/// A module that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A module by its name; that it is built into the kernel is as good.
    Module(String),
    /// A module by its name, where the kernel has it: faster variants for some processors.
    IfPresent(String),
    /// Every module below a directory relative to `lib/modules/RELEASE/kernel`, such as `drivers/usb/serial`.
    Directory(String),
}

/// The modules of a choice, in an order in which they can be loaded, and the firmware that they may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    names: Vec<String>,
    paths: BTreeMap<String, PathBuf>,
    needs: BTreeMap<String, Vec<String>>,
    firmware: BTreeSet<String>,
}

impl Selection {
    /// Chooses what `wanted` asks for and everything that this depends on.
    ///
    /// Soft dependencies are followed where the kernel has them: they name modules or, as in ext4's `crc32c`,
    /// algorithms, and then every module that offers the algorithm is taken.
    pub fn choose(kernel: &KernelModules, wanted: &[Wanted]) -> Result<Self> {
        let mut choice = Choice {
            kernel,
            selection: Self::default(),
            under_way: Vec::new(),
            algorithms: None,
        };
        for want in wanted {
            match want {
                Wanted::Module(name) => choice.add(name, None)?,
                Wanted::IfPresent(name) => choice.add_if_present(name)?,
                Wanted::Directory(prefix) => choice.add_directory(prefix)?,
            }
        }
        Ok(choice.selection)
    }

    /// The names, each after everything that it depends on.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The names and the files relative to `lib/modules/RELEASE`, in the same order.
    pub fn files(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.names.iter().filter_map(|name| {
            let path = self.paths.get(name)?;
            Some((name.as_str(), path.as_path()))
        })
    }

    /// The chosen modules that must be loaded before the module `name`, each of which comes before it in
    /// [`Selection::names`].
    pub fn needs(&self, name: &str) -> impl Iterator<Item = &str> {
        let needs = self.needs.get(name).into_iter().flatten();
        needs.map(String::as_str)
    }

    /// Whether a root file system with only these modules keeps `path`, given relative to `lib/modules/RELEASE`.
    ///
    /// Everything that is not a module is kept.
    pub fn keeps(&self, path: &Path) -> bool {
        name_of(path).is_none_or(|name| self.paths.contains_key(&name))
    }

    /// The firmware files that the modules name, relative to `/lib/firmware`; a `*` stands for any text.
    pub fn firmware(&self) -> impl Iterator<Item = &str> {
        self.firmware.iter().map(String::as_str)
    }

    /// Whether `path`, relative to `/lib/firmware`, is firmware for these modules, as it is or compressed
    /// (`….xz`, `….zst`).
    pub fn wants_firmware(&self, path: &Path) -> bool {
        let normal = path
            .components()
            .all(|component| matches!(component, Component::Normal(_)));
        let Some(path) = path.to_str().filter(|_| normal) else {
            return false;
        };
        let plain = path
            .strip_suffix(".xz")
            .or_else(|| path.strip_suffix(".zst"))
            .unwrap_or(path);
        self.firmware.contains(plain)
            || self.firmware.contains(path)
            || self
                .firmware
                .iter()
                .any(|pattern| pattern.contains('*') && matches(pattern, plain))
    }
}

struct Choice<'a> {
    kernel: &'a KernelModules,
    selection: Selection,
    /// The chain of modules whose dependencies are being added, to tell circles.
    under_way: Vec<String>,
    /// Alias to modules, for the directories that hold algorithms; read when the first alias is met.
    algorithms: Option<BTreeMap<String, Vec<String>>>,
}

impl Choice<'_> {
    fn add(&mut self, name: &str, by: Option<&str>) -> Result<()> {
        if self.kernel.path(name).is_none() && !self.kernel.is_built_in(name) {
            return Err(Error::Unknown {
                release: self.kernel.release().to_owned(),
                name: name.to_owned(),
                by: by.map(str::to_owned),
            });
        }
        self.add_if_present(name)
    }

    fn add_if_present(&mut self, name: &str) -> Result<()> {
        let name = super::info::module_name(name);
        let Some(path) = self.kernel.path(&name).map(Path::to_path_buf) else {
            return Ok(());
        };
        if self.selection.paths.contains_key(&name) {
            return Ok(());
        }
        if let Some(start) = self.under_way.iter().position(|other| *other == name) {
            let mut names = self.under_way.split_off(start);
            names.push(name);
            return Err(Error::Circle { names });
        }
        let info = self.kernel.info(&path)?;
        self.under_way.push(name.clone());
        let mut needs = info.depends.clone();
        for dependency in &info.depends {
            self.add(dependency, Some(&name))?;
        }
        for dependency in &info.before {
            needs.extend(self.add_soft(dependency)?);
        }
        self.under_way.pop();
        // What is built in or follows is not waited for.
        needs.retain(|need| self.selection.paths.contains_key(need));
        self.selection.needs.insert(name.clone(), needs);
        self.selection.paths.insert(name.clone(), path);
        self.selection.names.push(name);
        self.selection.firmware.extend(info.firmware);
        for dependency in &info.after {
            self.add_soft(dependency)?;
        }
        Ok(())
    }

    /// Adds what a soft dependency names; returns the modules. One that leads back to a module under way is no circle:
    /// the kernel does not insist on the order.
    fn add_soft(&mut self, name: &str) -> Result<Vec<String>> {
        let modules = if self.kernel.path(name).is_some() {
            vec![super::info::module_name(name)]
        } else if self.kernel.is_built_in(name) {
            Vec::new()
        } else {
            self.offering(name)?
        };
        for module in &modules {
            if !self.under_way.contains(module) {
                self.add_if_present(module)?;
            }
        }
        Ok(modules)
    }

    fn add_directory(&mut self, prefix: &str) -> Result<()> {
        let directory = Path::new("kernel").join(prefix);
        let names: Vec<_> = self
            .kernel
            .iter()
            .filter(|(_, path)| path.starts_with(&directory))
            .map(|(name, _)| name.to_owned())
            .collect();
        if names.is_empty() {
            return Err(Error::EmptyDirectory {
                release: self.kernel.release().to_owned(),
                prefix: prefix.to_owned(),
            });
        }
        names.iter().try_for_each(|name| self.add_if_present(name))
    }

    /// The modules that answer to the alias `name`. Only algorithms are named this way in soft dependencies, so only
    /// the directories that hold algorithms are read.
    fn offering(&mut self, name: &str) -> Result<Vec<String>> {
        if self.algorithms.is_none() {
            let mut algorithms = BTreeMap::<String, Vec<String>>::new();
            for (module, path) in self
                .kernel
                .iter()
                .filter(|(_, path)| holds_algorithms(path))
            {
                let ModuleInfo { aliases, .. } = self.kernel.info(path)?;
                for alias in aliases {
                    algorithms.entry(alias).or_default().push(module.to_owned());
                }
            }
            self.algorithms = Some(algorithms);
        }
        let found = self.algorithms.as_ref().and_then(|all| all.get(name));
        Ok(found.cloned().unwrap_or_default())
    }
}

fn holds_algorithms(path: &Path) -> bool {
    let mut parts = path
        .components()
        .map(|component| component.as_os_str().to_str());
    let parts: [_; 4] = std::array::from_fn(|_| parts.next().flatten());
    matches!(
        parts,
        [Some("kernel"), Some("crypto" | "lib"), ..]
            | [Some("kernel"), Some("arch"), _, Some("crypto" | "lib")]
    )
}

/// Whether `text` fits `pattern`, in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(head) else {
        return false;
    };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let tail = pieces.pop().unwrap_or_default();
    let Some(mut middle) = text.strip_suffix(tail) else {
        return false;
    };
    // The leftmost place for each piece leaves the most room for those after it.
    for piece in pieces {
        match middle.find(piece) {
            Some(at) => middle = &middle[at + piece.len()..],
            None => return false,
        }
    }
    true
}
