use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use bedstone_bundle::signature::{Clock, Trust};
use bedstone_deb::fetch::WantedFile;
use bedstone_deb::lock::Lock;
use bedstone_disk::authenticode::RsaKey;
use bedstone_disk::authenticode::Signer as _;
use bedstone_evidence::keys::{DevKeys, Openssl};
use bedstone_image::archives::Archives;
use bedstone_image::build::{Build, Certificates, Forms, Keys, build};
use bedstone_image::is_static;
use bedstone_image::locking::LOCAL;
use bedstone_image::manifest::Manifest;
use bedstone_image::product::Product;
use bedstone_image::record::ImageRecord;
use bedstone_store::{Store, atomic};
use ring::rand::SystemRandom;

use crate::args::{BuildArgs, ImageForm};
use crate::commands::{archive_access, lock, product};
use crate::context::{Context, environment};
use crate::failure::{Failure, Kind, Result};

/// The program that becomes PID 1 of the initramfs.
const INIT_NAME: &str = "bedstone-init";
/// The program that takes updates on the device.
const AGENT_NAME: &str = "bedstone-agent";

pub(crate) fn run(arguments: &BuildArgs, context: &Context) -> Result<()> {
    let product = product::load(&arguments.layers)?;
    let manifest = &product.composition.manifest;
    let lock_path = product::lock_file(&arguments.layers);
    let store = Store::open(context.store_directory()?)?;
    if lock::read_if_there(&lock_path)?.is_none() {
        context.reporter.note(format!(
            "There is no `{}` yet: resolving.",
            lock_path.display()
        ));
        lock::write(&product, &lock_path, &store, context)?;
    }
    let locked = lock::read(&lock_path)?;
    lock::fits(&product, &locked, &lock_path)?;
    let init = program(INIT_NAME, environment::INIT)?;
    let agent = if manifest.update.agent {
        program(AGENT_NAME, environment::AGENT)?
    } else {
        Vec::new()
    };
    let keys = keys(arguments, manifest, context)?;
    fetch(&product, &locked, &store, context)?;

    let output = arguments
        .output
        .clone()
        .unwrap_or_else(|| Path::new("build").join(&*manifest.product.name));
    let scratch;
    let cache = if arguments.no_cache {
        scratch = context
            .cache_directory()?
            .join(format!("once-{}", std::process::id()));
        scratch.clone()
    } else {
        context.cache_directory()?
    };
    let built = build(&Build {
        product: &product,
        lock: &locked,
        store: &store,
        cache: &cache,
        output: &output,
        keys: &keys,
        init: &init,
        agent: &agent,
        jobs: NonZeroUsize::new(context.jobs).unwrap_or(NonZeroUsize::MIN),
        forms: Forms {
            zstd: arguments.also.contains(&ImageForm::Zstd),
            qcow2: arguments.also.contains(&ImageForm::Qcow2),
        },
        clock: now,
        version: env!("CARGO_PKG_VERSION"),
        reporter: &context.reporter,
        interrupt: &context.interrupt,
    })
    .map_err(|error| {
        archive_access::refuse(error).context(format!("cannot build `{}`", &*manifest.product.name))
    });
    if arguments.no_cache {
        // A cache that was used once is of no use to anybody.
        let _ = std::fs::remove_dir_all(&cache);
    }
    let built = built?;
    if built.lock != locked {
        atomic::write(&lock_path, built.lock.to_text().as_bytes())?;
        context.reporter.note(format!(
            "User and group numbers were recorded in `{}`; commit it.",
            lock_path.display()
        ));
    }
    context.print(&built.record, || render(&built.record, &output))
}

/// Brings every locked package into the store.
fn fetch(product: &Product, lock: &Lock, store: &Store, context: &Context) -> Result<()> {
    let archives = archive_access::of(product)?;
    let files: Vec<WantedFile> = lock
        .packages
        .iter()
        .chain(&lock.tools)
        .chain(&lock.boot)
        .map(|locked| WantedFile {
            name: format!("{} {}", locked.name, locked.version),
            filename: locked.filename.clone(),
            digest: locked.sha256,
            size: locked.size,
            uris: uris(&archives, product, &locked.origin, &locked.filename),
        })
        .collect();
    archive_access::fetcher(store, context)?
        .packages(&files)
        .map_err(|error| archive_access::refuse(error.into()))
}

/// Base addresses of a source; for local packages the directories that the manifest names.
fn uris(archives: &Archives, product: &Product, origin: &str, filename: &str) -> Vec<String> {
    if origin == LOCAL {
        let local = &product.composition.manifest.debian.local;
        return local
            .iter()
            .filter_map(|path| {
                let path = std::path::absolute(&**path).ok()?;
                let directory = if path.file_name().is_some_and(|name| name == filename) {
                    path.parent()?.to_path_buf()
                } else {
                    path
                };
                Some(format!("file://{}", directory.display()))
            })
            .collect();
    }
    archives
        .image
        .iter()
        .chain(std::iter::once(&archives.boot))
        .find(|source| source.name == origin)
        .map(|source| source.uris.clone())
        .unwrap_or_default()
}

/// The keys that the manifest names, else development keys, made on first use.
fn keys(arguments: &BuildArgs, manifest: &Manifest, context: &Context) -> Result<Keys> {
    let directory = match &arguments.keys {
        Some(directory) => directory.clone(),
        None => Context::keys_directory()?,
    };
    let fail = |error: bedstone_evidence::Error| {
        Failure::caused_by(Kind::Failed, error)
            .context(format!("cannot use the keys in `{}`", directory.display()))
    };
    let development =
        DevKeys::load_or_create(&directory, &Openssl::default(), &SystemRandom::new())
            .map_err(fail)?;
    if development.created {
        context.reporter.warn(
            format!("development keys were made in `{}`", directory.display()),
            Some(
                "an image that they sign is not a product; name its keys in [secure-boot]"
                    .to_owned(),
            ),
        );
    }
    let refuse = |error: bedstone_disk::Error| {
        Failure::caused_by(Kind::Input, error).context("cannot use the Secure Boot key")
    };
    let mut update = Vec::new();
    for path in &manifest.update.certificates {
        let bytes = read(Path::new(&**path))?;
        if !bytes.trim_ascii_start().starts_with(b"-----BEGIN ") {
            return Err(Failure::new(
                Kind::Input,
                format!("`{}`, a certificate of [update], is not PEM", &**path),
            ));
        }
        Trust::new(&bytes, Clock::Unknown).map_err(|error| {
            Failure::caused_by(Kind::Input, error).context(format!(
                "cannot use `{}`, a certificate of [update]",
                &**path
            ))
        })?;
        update.extend(bytes);
        update.push(b'\n');
    }
    if update.is_empty() {
        update = read(&development.update.certificate_path)?;
    }
    match (&manifest.secure_boot.key, &manifest.secure_boot.certificate) {
        (Some(key), Some(certificate)) => {
            let boot = RsaKey::new(&read(Path::new(&**key))?, &read(Path::new(&**certificate))?)
                .map_err(refuse)?;
            let own = boot.certificate_der().to_vec();
            Ok(Keys {
                certificates: Certificates {
                    pk: own.clone(),
                    kek: own.clone(),
                    db: own,
                },
                boot,
                update,
                evidence: development.evidence,
                development: false,
            })
        }
        (None, None) => Ok(Keys {
            boot: RsaKey::new(
                &development.db.private_key().map_err(fail)?,
                &development.db.certificate,
            )
            .map_err(refuse)?,
            certificates: Certificates {
                pk: development.pk.certificate,
                kek: development.kek.certificate,
                db: development.db.certificate,
            },
            update,
            evidence: development.evidence,
            development: true,
        }),
        _ => Err(Failure::new(
            Kind::Input,
            "[secure-boot] needs both `key` and `certificate`",
        )),
    }
}

/// A program that goes into the image: named by an environment variable, else where packages put it, else beside this
/// program. It must need nothing of the image.
fn program(name: &str, variable: &str) -> Result<Vec<u8>> {
    let path = match std::env::var_os(variable).filter(|value| !value.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => beside(name, variable)?,
    };
    let bytes = read(&path)?;
    let reason = match is_static(&bytes) {
        Ok(true) => return Ok(bytes),
        Ok(false) => "it is linked dynamically",
        Err(reason) => reason,
    };
    Err(Failure::new(
        Kind::Input,
        format!(
            "`{}` is no statically linked program, and would not start on a device: {reason}",
            path.display()
        ),
    )
    .hint("`cargo build` puts a dynamically linked one there; `make build` makes the right one"))
}

fn beside(name: &str, variable: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().map_err(|error| {
        Failure::caused_by(Kind::Failed, error).context("cannot find this program")
    })?;
    let directory = own.parent().unwrap_or(Path::new("/"));
    [
        directory.join("../lib/bedstone").join(name),
        directory.join(name),
    ]
    .into_iter()
    .find(|path| path.is_file())
    .ok_or_else(|| {
        Failure::new(
            Kind::Failed,
            format!(
                "`{name}` is neither in `../lib/bedstone` of `{}` nor beside it",
                own.display()
            ),
        )
        .hint(format!(
            "build it with `make build`, or name it in {variable}"
        ))
    })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Failure::caused_by(Kind::Input, error).context(format!("cannot read `{}`", path.display()))
    })
}

/// Seconds since 1970.
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn render(record: &ImageRecord, output: &Path) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "\n{} {} for {}, Debian {}, {} packages, in {}",
        record.product.name,
        record.product.version,
        record.architecture,
        record.suite,
        record.packages,
        output.display()
    );
    let _ = writeln!(
        text,
        "  root hash   {} ({})",
        record.root.hash, record.root.file_system
    );
    let _ = writeln!(
        text,
        "  kernel      {}: {} recommendations followed, {} deviations accepted",
        record.kernel.release, record.kernel.followed, record.kernel.accepted
    );
    if record.signing.development {
        let _ = writeln!(text, "  keys        DEVELOPMENT keys: not for products");
    }
    let _ = writeln!(text, "\n  partition        start        size  PARTUUID");
    for partition in &record.partitions {
        let _ = writeln!(
            text,
            "  {:<10} {:>10} K {:>8} M  {}",
            partition.label,
            partition.start >> 10,
            partition.size >> 20,
            partition.guid
        );
    }
    let _ = writeln!(text, "\n  artifact                    size  sha256");
    for artifact in &record.artifacts {
        let _ = writeln!(
            text,
            "  {:<20} {:>11}  {}",
            artifact.file, artifact.size, artifact.sha256
        );
    }
    let _ = writeln!(text, "\n  step            seconds");
    for step in &record.steps {
        let _ = writeln!(
            text,
            "  {:<14} {:>8.1}{}",
            step.task,
            step.seconds,
            if step.cached { "  from the cache" } else { "" }
        );
    }
    text
}
