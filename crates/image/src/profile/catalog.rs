use std::io;
use std::path::{Path, PathBuf};

/// The catalogue of profiles, boards, optional layers and baselines.
///
/// It is compiled in; files of a directory with the same layout take precedence, one by one.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    directory: Option<PathBuf>,
}

macro_rules! embedded {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../../../catalog/", $path)))),*]
    };
}

const EMBEDDED: &[(&str, &str)] = embedded![
    "boards/qemu-amd64.toml",
    "kernel/kspp.toml",
    "opt/development.toml",
    "profiles/base.toml",
    "profiles/minimal.toml",
    "profiles/rt.toml",
    "profiles/security-access.toml",
    "profiles/security-audit.toml",
    "profiles/security-kernel.toml",
    "profiles/security-mfa.toml",
    "profiles/security-network.toml",
    "profiles/security.toml",
    "profiles/ssh.toml",
];

/// A part of the catalogue cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// Nothing of that name.
    #[error("the catalogue has no `{name}`; it has {known}")]
    Missing {
        /// The file that was asked for.
        name: String,
        /// What there is in the same part of the catalogue.
        known: String,
    },
    /// The file of the override directory cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

impl Catalog {
    /// What is compiled in.
    pub fn embedded() -> Self {
        Self::default()
    }

    /// What is compiled in, files of `directory` taking precedence.
    pub fn with_directory(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: Some(directory.into()),
        }
    }

    /// The text of a file such as `boards/qemu-amd64.toml`.
    pub fn text(&self, name: &str) -> Result<String, CatalogError> {
        let plain = Path::new(name)
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        if let Some(directory) = self.directory.as_ref().filter(|_| plain) {
            let path = directory.join(name);
            match std::fs::read_to_string(&path) {
                Ok(text) => return Ok(text),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(CatalogError::Read { path, source }),
            }
        }
        EMBEDDED
            .iter()
            .find(|(path, _)| *path == name)
            .map(|(_, text)| (*text).to_owned())
            .ok_or_else(|| CatalogError::Missing {
                name: name.to_owned(),
                known: self.known(name),
            })
    }

    /// The names of a part such as `boards`, without `.toml`, sorted.
    pub fn names(&self, part: &str) -> Vec<String> {
        let mut names: Vec<String> = EMBEDDED
            .iter()
            .filter_map(|(path, _)| path.strip_prefix(part)?.strip_prefix('/'))
            .map(str::to_owned)
            .collect();
        if let Some(directory) = &self.directory
            && let Ok(entries) = std::fs::read_dir(directory.join(part))
        {
            names.extend(
                entries
                    .flatten()
                    .filter_map(|entry| entry.file_name().into_string().ok()),
            );
        }
        names.retain_mut(|name| match name.strip_suffix(".toml") {
            Some(stem) => {
                *name = stem.to_owned();
                true
            }
            None => false,
        });
        names.sort();
        names.dedup();
        names
    }

    fn known(&self, name: &str) -> String {
        let part = name.split('/').next().unwrap_or(name);
        let names: Vec<String> = self
            .names(part)
            .iter()
            .map(|name| format!("`{part}/{name}`"))
            .collect();
        if names.is_empty() {
            "no such part".to_owned()
        } else {
            names.join(", ")
        }
    }
}
