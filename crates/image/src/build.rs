//! From a product and its lock to signed images: `bedstone build`.
//!
//! Every step takes digests in and gives a digest out. What needs nothing of each other runs side by side; what a step makes
//! depends on the lock, the manifest, the keys and this program alone, so that the same inputs give the same bytes on any
//! machine.

mod boot_chain;
mod command_line;
mod evidence;
mod kernel;
mod output;
mod root;
mod steps;
mod update;

use std::fmt::Write as _;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use bedstone_deb::lock::{Lock, Locked};
use bedstone_disk::assemble::assemble;
use bedstone_disk::authenticode::RsaKey;
use bedstone_disk::bmap::Bmap;
use bedstone_disk::content::Content;
use bedstone_disk::layout::{self, Parts, Sizes};
use bedstone_disk::verity::RootArguments;
use bedstone_event::Reporter;
use bedstone_evidence::FileKey;
use bedstone_store::atomic;
use bedstone_store::{Digest, Hasher, Store};

use crate::error::{Error, Result};
use crate::manifest::Manifest;
use crate::product::Product;
use crate::record::{self, ImageRecord, Partition, Signing};
use crate::rootfs::Package;
use crate::rootfs::cache::CacheDirs;
use command_line::CommandLine;
use kernel::Kernel;
use output::Output;
use steps::{Steps, Told};

/// The keys that sign an image.
#[derive(Debug)]
pub struct Keys {
    /// Signs boot loader and kernel.
    pub boot: RsaKey,
    /// Certificates (DER) for the firmware's `PK`, `KEK` and `db`.
    pub certificates: Certificates,
    /// Certificates whose bundles the image takes, PEM.
    pub update: Vec<u8>,
    /// Signs the provenance.
    pub evidence: FileKey,
    /// Whether a development key signs the boot chain.
    pub development: bool,
}

/// X.509 certificates in DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificates {
    /// Platform key.
    pub pk: Vec<u8>,
    /// Key exchange key.
    pub kek: Vec<u8>,
    /// What boots must be signed by this.
    pub db: Vec<u8>,
}

/// Forms of the disk image beside the raw one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forms {
    /// `disk.img.zst`.
    pub zstd: bool,
    /// `disk.qcow2`.
    pub qcow2: bool,
}

/// All that a build works on.
#[derive(Debug)]
pub struct Build<'a> {
    /// The product.
    pub product: &'a Product,
    /// Its lock, every package of which is in the store.
    pub lock: &'a Lock,
    /// Where the packages are.
    pub store: &'a Store,
    /// Unpacked trees, layers and file systems; only speeds things up.
    pub cache: &'a Path,
    /// Where the artifacts go.
    pub output: &'a Path,
    /// What signs.
    pub keys: &'a Keys,
    /// The static program that becomes `/init` of the initramfs.
    pub init: &'a [u8],
    /// The static program that takes updates on the device.
    pub agent: &'a [u8],
    /// Threads and processes at a time.
    pub jobs: NonZeroUsize,
    /// Further forms of the disk image.
    pub forms: Forms,
    /// The build's start and its clock, in seconds since 1970; they go into the provenance and nowhere else.
    pub clock: fn() -> i64,
    /// Version of this program.
    pub version: &'a str,
    /// Where events go.
    pub reporter: &'a Reporter,
    /// Ends the build early; what is complete stays in the cache.
    pub interrupt: &'a Arc<AtomicBool>,
}

/// What a build gave.
#[derive(Debug)]
pub struct Built {
    /// The content of `image.json`.
    pub record: ImageRecord,
    /// The lock with the numbers of all users and groups that the image has. Where it differs from the one that was
    /// built, it must take its place, so that the next release keeps these numbers.
    pub lock: Lock,
}

/// Builds the image. The caller is root of a user namespace ([`bedstone_sys::namespace::enter_user`]).
pub fn build(build: &Build<'_>) -> Result<Built> {
    let output = Output::open(build.output)?;
    let cache = CacheDirs::open(build.cache)?;
    std::thread::scope(|scope| {
        // What earlier builds left in the cache becomes safe against a power cut while this one works; should that fail, the
        // next boot makes it again.
        scope.spawn(|| cache.settle());
        make(build, &cache, output)
    })
}

fn make(build: &Build<'_>, cache: &CacheDirs, mut output: Output<'_>) -> Result<Built> {
    let begun = (build.clock)();
    let manifest = build.product.composition.manifest.with_defaults();
    let mut steps = Steps::new(build.reporter, build.interrupt);

    let packages = packages(build, &build.lock.packages);
    // The kernel's large package is looked into while the packages before it are configured.
    let prepared = OnceLock::new();
    let mut configuring = Steps::new(build.reporter, build.interrupt);
    let configured = std::thread::scope(|scope| {
        scope.spawn(|| {
            let _answer = Answer(&prepared);
            let kernel = kernel::prepare(build, &manifest, &packages, cache, &mut steps);
            prepared.get_or_init(|| kernel);
        });
        root::configure(
            build,
            &manifest,
            &packages,
            &prepared,
            cache,
            &mut configuring,
        )
    });
    let kernel = prepared.into_inner().ok_or(Error::Interrupted)??;
    let configured = configured?;
    steps.append(configuring);
    output.write("kernel-check", "kernel-check.json", &kernel.report_json()?)?;
    output.write("kernel-config", "kernel.config", &kernel.config)?;
    let tree = root::finish(build, &manifest, &configured, &kernel, cache, &mut steps)?;
    let mut checking = Steps::new(build.reporter, build.interrupt);
    let (made, checked) = std::thread::scope(|scope| {
        // dpkg reads the tree while it is written and the disk is assembled; nothing counts before it has agreed.
        let check = scope.spawn(|| tree.check(build, cache, &mut checking));
        let made = images(
            build,
            &manifest,
            &kernel,
            &tree,
            cache,
            &mut steps,
            &mut output,
        );
        match check.join() {
            Ok(checked) => (made, checked),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    });
    let (mut record, lock) = made?;
    checked?;
    steps.append(checking);
    steps.check()?;
    let envelope = evidence::provenance(build, &record, &lock, &output.artifacts, begun)?;
    // Times and invocation differ from run to run, so the provenance stands beside what it is about, not in it.
    atomic::write(build.output.join("provenance.dsse.json"), &envelope)?;
    record.artifacts = output.artifacts;
    record.steps = steps.taken();
    record.write(build.output)?;
    Ok(Built { record, lock })
}

/// Sees to it that who waits for the kernel is answered, also when its thread ends without an outcome.
struct Answer<'a>(&'a OnceLock<Result<Kernel>>);

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        self.0.get_or_init(|| Err(Error::Interrupted));
    }
}

/// Makes all images of the finished tree; the record still lacks artifacts and steps.
fn images<'a>(
    build: &Build<'a>,
    manifest: &Manifest,
    kernel: &Kernel,
    tree: &root::Tree,
    cache: &CacheDirs,
    steps: &mut Steps<'a>,
    output: &mut Output<'_>,
) -> Result<(ImageRecord, Lock)> {
    let mut packing = Steps::new(build.reporter, build.interrupt);
    let (root, initramfs) = rayon::join(
        || root::image(build, manifest, tree, cache, steps),
        || kernel::initramfs(build, kernel, &tree.view, cache, &mut packing),
    );
    let (root, initramfs) = (root?, initramfs?);
    steps.append(packing);
    output.adopt("rootfs", "root.img")?;
    output.write("dpkg-status", "dpkg-status", &root.dpkg_status)?;
    let mut lock = build.lock.clone();
    lock.users.extend(root.users.clone());
    lock.groups.extend(root.groups.clone());
    let lock_text = lock.to_text();
    output.write("lock", "bedstone.lock", lock_text.as_bytes())?;
    let decided = build.product.decided();
    output.write("manifest", "manifest.json", decided.as_bytes())?;
    output.write("kernel", "vmlinuz", &kernel.image)?;
    output.write("initramfs", "initramfs.cpio.zst", &initramfs)?;

    let product_digest = product_identity(manifest);
    let arguments = RootArguments::new(&root.verity, root.file_system);
    let command_line = CommandLine {
        root: &arguments,
        disk: layout::disk_guid(&product_digest),
        data: manifest.partitions.data_encryption,
        own: &build.product.plan.kernel.command_line,
    }
    .text();
    let chain = boot_chain::sign(
        build,
        kernel,
        &initramfs,
        &command_line,
        &root.os_release,
        steps,
    )?;
    output.write("uki", "linux.efi", &chain.kernel)?;
    output.write("boot-loader", chain.loader_name, &chain.loader)?;
    for (kind, name, certificate) in [
        ("pk-certificate", "pk.der", &build.keys.certificates.pk),
        ("kek-certificate", "kek.der", &build.keys.certificates.kek),
        ("db-certificate", "db.der", &build.keys.certificates.db),
    ] {
        output.write(kind, name, certificate)?;
    }

    let parts = Parts {
        product: product_digest,
        time: build.lock.epoch,
        boot_loader: Content::Bytes(chain.loader),
        boot_loader_name: chain.loader_target.to_owned(),
        kernel: Content::Bytes(chain.kernel),
        root: build.output.join("root.img"),
        watchdog_seconds: manifest.boot.watchdog,
        sizes: Sizes {
            esp: manifest.partitions.esp.bytes(),
            boot: manifest.partitions.boot.bytes(),
            root: manifest.partitions.root.bytes(),
            data: manifest.partitions.data.bytes(),
        },
    };
    let disk = build.output.join("disk.img");
    let assembled = steps.run("assemble", "Assembling the disk image", |_| {
        let assembled = assemble(&layout::standard(&parts)?, &disk)?;
        let told = format!(
            "Disk image of {:.0} MB, {} partitions",
            assembled.size as f64 / 1e6,
            assembled.partitions.len()
        );
        Ok((assembled, Told::done(told)))
    })?;
    steps.run("forms", "Writing block map and further forms", |_| {
        let image = fs::File::open(&disk).map_err(Error::io("open", &disk))?;
        let map = Bmap::new(&image, &assembled.mapped)?;
        output.adopt_known("disk", "disk.img", assembled.size, assembled.digest);
        output.write("bmap", "disk.img.bmap", map.to_xml().as_bytes())?;
        output::forms(build, &disk, output)?;
        Ok(((), Told::done("Block map and further forms written")))
    })?;

    let release = kernel.release.clone();
    let record = ImageRecord {
        version: record::VERSION,
        kind: "bedstone.image".to_owned(),
        product: record::Product {
            name: manifest.product.name.to_string(),
            version: manifest.product.version.to_string(),
        },
        suite: manifest.debian.suite.to_string(),
        architecture: build.lock.architecture.clone(),
        epoch: epoch(build.lock),
        lock: Digest::of(lock_text.as_bytes()),
        manifest: Digest::of(decided.as_bytes()),
        packages: build.lock.packages.len(),
        artifacts: Vec::new(),
        root: record::Root {
            file_system: root.file_system.to_owned(),
            hash: arguments.hash,
            salt: hex(&arguments.salt),
            data_blocks: arguments.data_blocks,
            hash_offset: arguments.hash_offset,
            uuid: arguments.uuid.to_string(),
        },
        partitions: assembled
            .partitions
            .iter()
            .map(|row| Partition {
                label: row.label.clone(),
                start: row.start,
                size: row.size,
                kind: row.kind.to_string(),
                guid: row.guid.to_string(),
            })
            .collect(),
        kernel: record::Kernel {
            release,
            followed: kernel.followed,
            accepted: kernel.accepted,
        },
        signing: Signing {
            development: build.keys.development,
            certificate: Digest::of(&build.keys.certificates.db),
        },
        hardware: manifest.update.agent.then(|| update::hardware(manifest)),
        steps: Vec::new(),
    };
    Ok((record, lock))
}

/// The packages of a lock, each with its file in the store.
fn packages(build: &Build<'_>, locked: &[Locked]) -> Vec<Package> {
    locked
        .iter()
        .map(|locked| Package {
            name: locked.name.clone(),
            version: locked.version.clone(),
            architecture: locked.architecture.clone(),
            digest: locked.sha256,
            path: build.store.path(&locked.sha256),
        })
        .collect()
}

/// What stays the same from release to release: disk and partitions are found by identifiers derived from it.
fn product_identity(manifest: &Manifest) -> Digest {
    let vendor = manifest.product.vendor.as_deref().unwrap_or_default();
    let mut hasher = Hasher::new();
    for text in ["bedstone product 1", vendor, &manifest.product.name] {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finish()
}

fn epoch(lock: &Lock) -> i64 {
    i64::try_from(lock.epoch).unwrap_or(i64::MAX)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
