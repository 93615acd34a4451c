//! Access to the package archives as the user's machine is set up: mirrors, key ring, proxies.

use std::fs;
use std::path::{Path, PathBuf};

use bedstone_deb::fetch::{Fetcher, Options};
use bedstone_deb::release::Defect;
use bedstone_deb::sources::{Mirrors, SignedBy, apt};
use bedstone_image::archives::{Archives, archives};
use bedstone_image::locking::{Indexes, Repositories};
use bedstone_image::product::Product;
use bedstone_store::Store;
use jiff::Timestamp;

use crate::context::{Context, environment};
use crate::failure::{DISK_FULL, Failure, Kind, Result};

/// Debian's key ring as the package debian-archive-keyring installs it.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Where apt has its sources.
const APT_DIRECTORY: &str = "/etc/apt";

/// The archives of a product, with this machine's mirrors where the manifest names none.
pub(crate) fn of(product: &Product) -> Result<Archives> {
    let keyring = SignedBy {
        files: vec![PathBuf::from(KEYRING)],
        ..SignedBy::default()
    };
    Ok(archives(
        &product.composition.manifest.with_defaults(),
        &mirrors()?,
        &keyring,
    ))
}

/// Reads the indexes of the archives.
pub(crate) fn read(product: &Product, store: &Store, context: &Context) -> Result<Repositories> {
    let archives = of(product)?;
    let manifest = &product.composition.manifest;
    let local: Vec<PathBuf> = manifest
        .debian
        .local
        .iter()
        .map(|path| PathBuf::from(&**path))
        .collect();
    let indexes = Indexes {
        store,
        cache: &context.cache_directory()?.join("indexes"),
    };
    indexes
        .read(
            &archives,
            &local,
            manifest.debian.architecture.name(),
            &fetcher(store, context)?,
        )
        .map_err(refuse)
}

/// Fetches with this machine's proxies.
pub(crate) fn fetcher<'a>(store: &'a Store, context: &Context) -> Result<Fetcher<'a>> {
    let variable = |name: &str| {
        [name.to_owned(), name.to_uppercase()]
            .iter()
            .find_map(|name| std::env::var(name).ok())
            .filter(|value| !value.is_empty())
    };
    let options = Options {
        offline: context.offline,
        connections: context.jobs.clamp(4, 16),
        http_proxy: variable("http_proxy"),
        https_proxy: variable("https_proxy"),
        no_proxy: variable("no_proxy")
            .map(|list| list.split(',').map(|it| it.trim().to_owned()).collect())
            .unwrap_or_default(),
        interrupt: context.interrupt.clone(),
        ..Options::new(Timestamp::now())
    };
    Fetcher::new(store, options, context.reporter.clone()).map_err(|error| refuse(error.into()))
}

/// Gives an error of the image crate its kind and its hints.
pub(crate) fn refuse(error: bedstone_image::Error) -> Failure {
    use bedstone_deb::Error as DebError;
    use bedstone_image::Error as ImageError;
    let (kind, hint) = match &error {
        ImageError::Interrupted | ImageError::Deb(DebError::Interrupted) => {
            (Kind::Interrupted, None)
        }
        ImageError::Deb(DebError::Offline { .. }) => (
            Kind::Failed,
            Some("run the same command once without --offline"),
        ),
        ImageError::Deb(DebError::Superseded { .. }) => (
            Kind::Failed,
            Some(
                "take its successor with `bedstone lock --upgrade PKG`, or point the manifest at an archive that keeps old packages",
            ),
        ),
        ImageError::Deb(DebError::Release {
            defect: Defect::Expired(_),
            ..
        }) => (
            Kind::Failed,
            Some(
                "the mirror has not refreshed this suite: use another one (BEDSTONE_MIRROR), or say with `accept-expired` in the manifest why the old one will do",
            ),
        ),
        ImageError::Deb(DebError::NotFound { address }) if address.ends_with("Release") => (
            Kind::Failed,
            Some("does the mirror have this suite? `bedstone show` says where its name comes from"),
        ),
        ImageError::Deb(DebError::DiskFull { .. }) => (Kind::Failed, Some(DISK_FULL)),
        ImageError::Deb(DebError::Unsatisfiable(_))
        | ImageError::UnknownPackage(_)
        | ImageError::Pin { .. } => (Kind::Input, None),
        _ => (Kind::Failed, None),
    };
    let failure = Failure::caused_by(kind, error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// `BEDSTONE_MIRROR`, else what the host's apt uses.
fn mirrors() -> Result<Mirrors> {
    if let Some(value) = std::env::var_os(environment::MIRROR).filter(|value| !value.is_empty()) {
        return Mirrors::from_value(&value.to_string_lossy())
            .map_err(|error| Failure::caused_by(Kind::Input, error).context("BEDSTONE_MIRROR"));
    }
    let mut files = Vec::new();
    let mut names = vec![PathBuf::from(APT_DIRECTORY).join("sources.list")];
    if let Ok(entries) = fs::read_dir(Path::new(APT_DIRECTORY).join("sources.list.d")) {
        let mut parts: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        parts.sort();
        names.extend(parts);
    }
    for name in names {
        // A file that cannot be read is one that apt, run by this user, could not use either.
        if let Ok(bytes) = fs::read(&name) {
            files.push((name.display().to_string(), bytes));
        }
    }
    let entries = apt::parse(
        files
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice())),
    )
    .map_err(|error| {
        Failure::caused_by(Kind::Input, error).context("cannot read the host's apt configuration")
    })?;
    Ok(Mirrors::from_apt(&entries))
}
