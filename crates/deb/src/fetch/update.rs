//! Release files and the indexes that they list.

use std::io::Read;
use std::sync::Arc;

use bedstone_event::Unit;
use bedstone_store::{Digest, Store};

use super::download::{Small, Wanted};
use super::record::Record;
use super::transport::{Validators, address};
use super::{Fetcher, pool};
use crate::compression::Compression;
use crate::error::{Error, Result};
use crate::keyring::Keyring;
use crate::release::{Listed, Release, Verified};
use crate::sources::Source;

/// A `Packages` index that is in the store, as the verified Release file of its source lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedIndex {
    /// Name of the source.
    pub source: String,
    /// Component; empty for a flat repository.
    pub component: String,
    /// Architecture; empty for a flat repository.
    pub architecture: String,
    /// Path in the Release file, without the suffix of the compression.
    pub path: String,
    /// Digest of the object in the store. The same digest is the same index, so that what is derived from it can be
    /// kept under this name.
    pub digest: Digest,
    /// How the object is compressed.
    pub compression: Compression,
    /// The index without compression, where the Release file lists it.
    pub plain: Option<Listed>,
    /// The base addresses of the source to which `Filename` fields are relative, the one that answered first.
    pub uris: Vec<String>,
    /// The Release file.
    pub release: Arc<Verified>,
}

impl FetchedIndex {
    /// Reads the index decompressed, checking length and digest.
    pub fn read(&self, store: &Store) -> Result<Vec<u8>> {
        const LIMIT: u64 = 1 << 30;
        let limit = self.plain.map_or(LIMIT, |plain| plain.size);
        let object = std::io::BufReader::with_capacity(1 << 16, store.get(&self.digest)?);
        let path = store.path(&self.digest);
        let mut bytes =
            Vec::with_capacity(self.plain.map_or(0, |plain| plain.size.min(LIMIT)) as usize);
        self.compression
            .decoder(object)
            .and_then(|decoder| decoder.take(limit + 1).read_to_end(&mut bytes))
            .map_err(bedstone_store::Error::io("decompress", path))?;
        let wrong = bytes.len() as u64 > limit
            || self
                .plain
                .is_some_and(|plain| Digest::of(&bytes) != plain.digest);
        if wrong {
            return Err(Error::Index {
                what: self.path.clone(),
                reason: "is not what its Release file lists once decompressed".to_owned(),
            });
        }
        Ok(bytes)
    }
}

impl Fetcher<'_> {
    /// Fetches and verifies the Release file of every source, then the indexes it wants.
    ///
    /// The result is in the order of the sources, their components and architectures. With
    /// [`Options::offline`](super::Options::offline), the Release files that were verified last are verified again and
    /// used, and every index must be in the store.
    pub fn update(&self, sources: &[Source]) -> Result<Vec<FetchedIndex>> {
        for source in sources {
            source.check()?;
        }
        let span = self.reporter.start("update", "package indexes");
        let connections = self.options.connections;
        let releases = pool::each(
            sources,
            connections,
            || self.watch(),
            |source| self.release(source),
        )?;
        let mut indexes = Vec::new();
        let mut wanted = Vec::new();
        for (source, (release, base)) in sources.iter().zip(&releases) {
            for (index, listed) in select(source, release, base)? {
                let addresses = index_addresses(source, &index, &release.release);
                wanted.push(Wanted {
                    digest: listed.digest,
                    size: listed.size,
                    addresses,
                });
                indexes.push(index);
            }
        }
        let total = wanted.iter().map(|it| it.size).sum();
        let download =
            span.reporter()
                .start_counted("fetch", "package indexes", Some(total), Unit::Bytes);
        let cached = wanted.iter().all(|it| self.store.contains(&it.digest));
        pool::each(
            &wanted,
            connections,
            || self.watch(),
            |it| self.fetch(it, &download),
        )?;
        let text = format!("{} indexes", indexes.len());
        if cached {
            download.cached(text.as_str());
            span.cached(text);
        } else {
            download.finish(text.as_str());
            span.finish(text);
        }
        Ok(indexes)
    }

    /// The verified Release file of a source, and the base address that it came from.
    fn release(&self, source: &Source) -> Result<(Arc<Verified>, String)> {
        let keyring = source.signed_by.keyring()?;
        let record = Record::load(self.store, source)?;
        if self.options.offline {
            let record = record.ok_or_else(|| Error::Offline {
                what: format!("Release file of source {}", source.name),
            })?;
            let verified = self.load(source, &record, &keyring)?;
            return Ok((Arc::new(verified), record.uri));
        }
        let mut first_error = None;
        for uri in &source.uris {
            match self.release_from(source, uri, &keyring, record.as_ref()) {
                Ok((verified, base)) => return Ok((Arc::new(verified), base)),
                Err(error @ Error::Interrupted) => return Err(error),
                // An error of trust is worth more than one of the network.
                Err(error) => match (&first_error, &error) {
                    (None, _) => first_error = Some(error),
                    (Some(Error::Network { .. } | Error::NotFound { .. }), _) => {
                        first_error = Some(error);
                    }
                    _ => {}
                },
            }
        }
        Err(first_error.unwrap_or(Error::Interrupted))
    }

    fn release_from(
        &self,
        source: &Source,
        uri: &str,
        keyring: &Keyring,
        record: Option<&Record>,
    ) -> Result<(Verified, String)> {
        let span = self
            .reporter
            .start("release", format!("{} {}", source.name, source.suite));
        let known = record.filter(|record| record.uri == uri && self.holds(record));
        let Some((files, validators)) = self.signed_files(source, uri, known)? else {
            let record = known.ok_or_else(|| Error::Network {
                address: uri.to_owned(),
                reason: "answered that a file never fetched has not changed".to_owned(),
            })?;
            let verified = self.load(source, record, keyring)?;
            span.cached(format!("{} {} not modified", source.name, source.suite));
            return Ok((verified, uri.to_owned()));
        };
        let now = self.options.now;
        let verified = files.verify(keyring, now)?;
        let what = &files.address;
        verified.release.check(what, &source.expected(), now)?;
        let date = verified.release.date.as_second();
        if let Some(record) = record.filter(|it| it.date > date && self.holds(it)) {
            // Replaying an older, still valid file would hide updates; a mirror that lags does the same innocently.
            let newer = self.load(source, record, keyring)?;
            self.reporter.warn(
                format!(
                    "`{what}` of {} is older than the one of {} that was used before, which is kept",
                    verified.release.date, newer.release.date
                ),
                Some("the mirror may lag behind; try another one if this lasts".to_owned()),
            );
            span.finish(format!("{} {} older than known", source.name, source.suite));
            return Ok((newer, record.uri.clone()));
        }
        let signature = match &files.signature {
            Some(bytes) => Some(self.store.put(bytes)?),
            None => None,
        };
        Record {
            uri: uri.to_owned(),
            release: self.store.put(&files.release)?,
            signature,
            date,
            validators,
        }
        .save(self.store, source)?;
        span.finish(format!(
            "{} {} of {}",
            source.name, source.suite, verified.release.date
        ));
        Ok((verified, uri.to_owned()))
    }

    /// `InRelease`, else `Release` with `Release.gpg`; nothing when they are those that `known` stands for.
    fn signed_files(
        &self,
        source: &Source,
        uri: &str,
        known: Option<&Record>,
    ) -> Result<Option<(SignedFiles, Validators)>> {
        let directory = directory(source);
        let at = |name: &str| address(uri, &format!("{directory}{name}"));
        let inline = known.filter(|it| it.signature.is_none());
        match self.small(&at("InRelease"), inline.map(|it| &it.validators))? {
            Small::NotModified => return Ok(None),
            Small::Content(release, validators) => {
                let files = SignedFiles {
                    address: at("InRelease"),
                    release,
                    signature: None,
                };
                return Ok(Some((files, validators)));
            }
            Small::NotFound => {}
        }
        let detached = known.filter(|it| it.signature.is_some());
        let (release, validators) =
            match self.small(&at("Release"), detached.map(|it| &it.validators))? {
                Small::NotModified => return Ok(None),
                Small::Content(bytes, validators) => (bytes, validators),
                Small::NotFound => {
                    return Err(Error::NotFound {
                        address: at("InRelease"),
                    });
                }
            };
        match self.small(&at("Release.gpg"), None)? {
            Small::Content(signature, _) => {
                let files = SignedFiles {
                    address: at("Release"),
                    release,
                    signature: Some(signature),
                };
                Ok(Some((files, validators)))
            }
            _ => Err(Error::NotFound {
                address: at("Release.gpg"),
            }),
        }
    }

    fn holds(&self, record: &Record) -> bool {
        self.store.contains(&record.release)
            && record
                .signature
                .as_ref()
                .is_none_or(|digest| self.store.contains(digest))
    }

    /// Verifies again what was verified last: keys are revoked and files expire in the meantime.
    fn load(&self, source: &Source, record: &Record, keyring: &Keyring) -> Result<Verified> {
        let directory = directory(source);
        let signature = match &record.signature {
            Some(digest) => Some(self.store.read(digest)?),
            None => None,
        };
        let name = if signature.is_none() {
            "InRelease"
        } else {
            "Release"
        };
        let files = SignedFiles {
            address: address(&record.uri, &format!("{directory}{name}")),
            release: self.store.read(&record.release)?,
            signature,
        };
        let now = self.options.now;
        let verified = files.verify(keyring, now)?;
        let what = &files.address;
        verified.release.check(what, &source.expected(), now)?;
        Ok(verified)
    }
}

/// A Release file and its signature.
struct SignedFiles {
    address: String,
    release: Vec<u8>,
    signature: Option<Vec<u8>>,
}

impl SignedFiles {
    fn verify(&self, keyring: &Keyring, now: jiff::Timestamp) -> Result<Verified> {
        match &self.signature {
            None => Release::from_inrelease(&self.address, &self.release, keyring, now),
            Some(signature) => {
                Release::from_detached(&self.address, &self.release, signature, keyring, now)
            }
        }
    }
}

/// Where the Release file lies below the base address, with a slash at the end or empty.
fn directory(source: &Source) -> String {
    if source.is_flat() {
        match source.suite.trim_end_matches('/').trim_start_matches("./") {
            "" | "." => String::new(),
            path => format!("{path}/"),
        }
    } else {
        format!("dists/{}/", source.suite)
    }
}

/// The indexes that a source wants, each in the best compression that its Release file lists.
fn select(
    source: &Source,
    release: &Arc<Verified>,
    base: &str,
) -> Result<Vec<(FetchedIndex, Listed)>> {
    let mut uris = source.uris.clone();
    uris.sort_by_key(|uri| uri != base);
    let files = &release.release.files;
    let mut places = Vec::new();
    if source.is_flat() {
        places.push((String::new(), String::new(), "Packages".to_owned(), true));
    }
    for component in &source.components {
        for architecture in &source.architectures {
            let path = format!("{component}/binary-{architecture}/Packages");
            places.push((component.clone(), architecture.clone(), path, true));
        }
        if release.release.separate_all && !source.architectures.iter().any(|it| it == "all") {
            let path = format!("{component}/binary-all/Packages");
            places.push((component.clone(), "all".to_owned(), path, false));
        }
    }
    let mut selected = Vec::new();
    for (component, architecture, path, needed) in places {
        let best = Compression::ALL.into_iter().find_map(|compression| {
            let listed = files.get(&format!("{path}{}", compression.suffix()))?;
            Some((compression, *listed))
        });
        let Some((compression, listed)) = best else {
            if !needed {
                continue;
            }
            return Err(Error::Index {
                what: path,
                reason: format!(
                    "is not in `{}` of source `{}`, which has the components {} for {}",
                    source.suite,
                    source.name,
                    release.release.components.join(", "),
                    release.release.architectures.join(", "),
                ),
            });
        };
        let index = FetchedIndex {
            source: source.name.clone(),
            component,
            architecture,
            plain: files.get(&path).copied(),
            path,
            digest: listed.digest,
            compression,
            uris: uris.clone(),
            release: Arc::clone(release),
        };
        selected.push((index, listed));
    }
    Ok(selected)
}

/// Under its digest first: that file stays the same while the archive is being updated.
fn index_addresses(source: &Source, index: &FetchedIndex, release: &Release) -> Vec<String> {
    let directory = directory(source);
    let path = format!("{directory}{}{}", index.path, index.compression.suffix());
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let by_hash = format!("{folder}/by-hash/SHA256/{}", index.digest);
    let mut addresses = Vec::new();
    for uri in &index.uris {
        if release.acquire_by_hash {
            addresses.push(address(uri, by_hash.trim_start_matches('/')));
        }
        addresses.push(address(uri, &path));
    }
    addresses
}
