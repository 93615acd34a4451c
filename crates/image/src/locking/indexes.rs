use std::fs;
use std::path::{Path, PathBuf};

use bedstone_deb::deb822::Stanzas;
use bedstone_deb::fetch::{FetchedIndex, Fetcher};
use bedstone_deb::index::{Index, Universe};
use bedstone_deb::lock;
use bedstone_deb::sources::{self, LocalPackage, Source};
use bedstone_store::{Digest, Store, atomic};
use rayon::prelude::*;

use super::BOOT_PACKAGES;
use crate::archives::{self, Archives};
use crate::error::Result;

/// Name that local packages have as a source.
pub const LOCAL: &str = "local";
/// Priority of local packages: they win over every repository, also against a newer version there (apt_preferences(5)).
const LOCAL_PRIORITY: i16 = 1001;

/// The packages to choose from.
#[derive(Debug)]
pub struct Repositories {
    /// For the image and the tools.
    pub image: Universe,
    /// For the boot chain.
    pub boot: Universe,
    /// What was read, for the lock.
    pub sources: Vec<lock::Source>,
}

impl Repositories {
    /// The newest date among the sources: `SOURCE_DATE_EPOCH`.
    pub fn epoch(&self) -> u64 {
        self.sources
            .iter()
            .map(|source| source.release_date)
            .max()
            .unwrap_or(0)
    }
}

/// Reads indexes, keeping what is costly to derive from them.
#[derive(Debug)]
pub struct Indexes<'a> {
    /// Holds the indexes as fetched.
    pub store: &'a Store,
    /// Directory for derived files, each named by the digest of the index it was made from.
    pub cache: &'a Path,
}

impl Indexes<'_> {
    /// Fetches and reads the indexes of all archives, and the local packages.
    pub fn read(
        &self,
        archives: &Archives,
        local: &[PathBuf],
        architecture: &str,
        fetcher: &Fetcher<'_>,
    ) -> Result<Repositories> {
        let mut all: Vec<Source> = archives.image.clone();
        all.push(archives.boot.clone());
        let fetched = fetcher.update(&all)?;
        let priority = |name: &str| -> Option<i16> {
            let source = all.iter().find(|source| source.name == name)?;
            source.priority.and_then(|it| i16::try_from(it).ok())
        };
        let (boot, image): (Vec<&FetchedIndex>, Vec<&FetchedIndex>) = fetched
            .iter()
            .partition(|index| index.source == archives::BOOT);
        let read = |indexes: &[&FetchedIndex], whole: bool| -> Result<Vec<Index>> {
            indexes
                .par_iter()
                .map(|index| {
                    let packages = if whole {
                        self.plain(index)?
                    } else {
                        self.boot_stanzas(index)?
                    };
                    Ok(describe(index, priority(&index.source), packages))
                })
                .collect()
        };
        let mut image_indexes = read(&image, true)?;
        let mut sources = sources_of(&all, &fetched);
        if let Some(index) = self.local(local)? {
            sources.push(lock::Source {
                name: LOCAL.to_owned(),
                suite: LOCAL.to_owned(),
                components: Vec::new(),
                release_sha256: Digest::of(&index.packages),
                release_date: 0,
            });
            image_indexes.push(index);
        }
        Ok(Repositories {
            image: Universe::new(&[architecture], image_indexes)?,
            boot: Universe::new(&[architecture], read(&boot, false)?)?,
            sources,
        })
    }

    /// The decompressed index. Decompressing takes longer than all the rest of locking, so it is kept.
    fn plain(&self, index: &FetchedIndex) -> Result<Vec<u8>> {
        let path = self.cache.join(format!("{}.packages", index.digest));
        if let (Ok(bytes), Some(plain)) = (fs::read(&path), index.plain)
            && Digest::of(&bytes) == plain.digest
        {
            return Ok(bytes);
        }
        let bytes = index.read(self.store)?;
        atomic::write(&path, &bytes)?;
        Ok(bytes)
    }

    /// The stanzas of the boot packages alone: nothing else of that suite is ever looked at.
    fn boot_stanzas(&self, index: &FetchedIndex) -> Result<Vec<u8>> {
        let path = self.cache.join(format!("{}.boot", index.digest));
        if let Ok(bytes) = fs::read(&path) {
            return Ok(bytes);
        }
        let whole = index.read(self.store)?;
        let mut bytes = Vec::new();
        for stanza in Stanzas::new(&index.path, &whole) {
            let named = stanza.get("Package")?.unwrap_or_default();
            if BOOT_PACKAGES.contains(&named) {
                bytes.extend_from_slice(stanza.bytes());
                bytes.extend_from_slice(b"\n\n");
            }
        }
        atomic::write(&path, &bytes)?;
        Ok(bytes)
    }

    /// Local packages as an index, their files brought into the store.
    fn local(&self, paths: &[PathBuf]) -> Result<Option<Index>> {
        if paths.is_empty() {
            return Ok(None);
        }
        let mut packages: Vec<LocalPackage> = Vec::new();
        for path in paths {
            for package in local_packages(path)? {
                if path.is_dir() {
                    self.store.import(&path.join(&package.filename))?;
                } else {
                    self.store.import(path)?;
                }
                packages.push(package);
            }
        }
        Ok(Some(Index {
            source: LOCAL.to_owned(),
            priority: LOCAL_PRIORITY,
            packages: sources::packages_index(&packages),
            ..Index::default()
        }))
    }
}

/// The package in a file, or those in a directory.
pub(super) fn local_packages(path: &Path) -> Result<Vec<LocalPackage>> {
    Ok(if path.is_dir() {
        sources::scan(path)?
    } else {
        vec![sources::scan_file(path)?]
    })
}

fn describe(index: &FetchedIndex, priority: Option<i16>, packages: Vec<u8>) -> Index {
    let release = &index.release.release;
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    Index {
        source: index.source.clone(),
        suite: text(&release.suite),
        codename: text(&release.codename),
        release: text(&release.version),
        origin: text(&release.origin),
        label: text(&release.label),
        component: index.component.clone(),
        site: String::new(),
        priority: priority.unwrap_or(Index::default_priority(
            release.not_automatic,
            release.but_automatic_upgrades,
        )),
        packages,
    }
}

/// What the lock says of each source; a source without an index for the architecture is left out.
fn sources_of(all: &[Source], fetched: &[FetchedIndex]) -> Vec<lock::Source> {
    all.iter()
        .filter_map(|source| {
            let index = fetched.iter().find(|index| index.source == source.name)?;
            Some(lock::Source {
                name: source.name.clone(),
                suite: source.suite.clone(),
                components: source.components.clone(),
                release_sha256: index.release.digest,
                release_date: u64::try_from(index.release.release.date.as_second()).unwrap_or(0),
            })
        })
        .collect()
}
