mod delta;

use std::fmt::Write as _;
use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use bedstone_bundle::description::{Compression, Syntax};
use bedstone_bundle::layout::{BootLoader, Root, Slots, TwoSlots};
use bedstone_bundle::signature::{FileKey, Signer, Token, TokenKey};
use bedstone_bundle::{Artifact, Error, Options, Written, write};
use bedstone_disk::cpio::Format;
use bedstone_evidence::keys::{DevKeys, Openssl};
use bedstone_image::record::{Artifact as Built, ImageRecord};
use bedstone_store::Digest;
use bedstone_store::atomic::AtomicFile;
use ring::rand::SystemRandom;
use serde_json::json;

use super::{PIECE, decryption_key, read, unusable};
use crate::args::{BundleCompression, BundleCreateArgs, BundleFormat, BundleSyntax};
use crate::context::Context;
use crate::failure::{Failure, Kind, Result};

pub(super) fn run(arguments: &BundleCreateArgs, context: &Context) -> Result<()> {
    let directory = &arguments.image;
    let record = ImageRecord::read(directory).map_err(|error| {
        Failure::caused_by(Kind::Input, error)
            .context(format!("`{}` is no built image", directory.display()))
            .hint("build one with `bedstone build LAYERS --output DIR`")
    })?;
    let signer = signer(arguments, &record)?;
    let key = arguments
        .encrypt
        .as_deref()
        .map(decryption_key)
        .transpose()?;
    let root = unaltered(arguments, &record, "rootfs")?;
    let (mut two, mut artifacts) = plan(arguments, &record, root)?;

    let name = format!("{}-{}.swu", record.product.name, record.product.version);
    let output = arguments
        .output
        .clone()
        .unwrap_or_else(|| directory.join(name));
    let refuse = |error: Error| {
        let kind = match error {
            Error::Io { .. } | Error::Output(_) | Error::Archive(_) => Kind::Failed,
            _ => Kind::Input,
        };
        Failure::caused_by(kind, error).context(format!("cannot make `{}`", output.display()))
    };
    let mut file = AtomicFile::create(&output)?;
    let scratch = Scratch::beside(file.path())?;
    let places = (output.as_path(), scratch.0.as_path());
    let (root, beside) = delta::replace(arguments, root, &mut artifacts, places, context)?;
    two.root = root;
    let stored = scratch.directory("stored")?;
    let options = Options {
        format: match arguments.format {
            BundleFormat::Crc => Format::Crc,
            BundleFormat::Newc => Format::Newc,
        },
        syntax: match arguments.syntax {
            BundleSyntax::Libconfig => Syntax::Libconfig,
            BundleSyntax::Json => Syntax::Json,
        },
        time: u32::try_from(record.epoch).unwrap_or(0),
        level: arguments.level,
        workers: u32::try_from(context.jobs).unwrap_or(1),
        key: key.as_ref(),
        signer: &*signer,
        scratch: &stored,
    };
    let buffered = BufWriter::with_capacity(PIECE, file.file());
    let (mut buffered, written) =
        write(buffered, two.describe(), &artifacts, &options).map_err(refuse)?;
    buffered
        .flush()
        .map_err(|error| Failure::caused_by(Kind::Failed, error).context("cannot write"))?;
    drop(buffered);
    let (digest, size) = fs::File::open(file.path())
        .and_then(|mut bundle| Digest::of_reader(&mut bundle))
        .map_err(|error| {
            Failure::caused_by(Kind::Failed, error)
                .context(format!("cannot read `{}` back", output.display()))
        })?;
    file.commit()?;
    print(&output, &written, (digest, size), beside.as_ref(), context)
}

/// The key, in a file or a token.
fn signer(arguments: &BundleCreateArgs, record: &ImageRecord) -> Result<Box<dyn Signer>> {
    let (Some(uri), Some(certificate)) = (&arguments.key, &arguments.certificate) else {
        return development(arguments, record);
    };
    let certificate = read(certificate)?;
    let key = Path::new(uri);
    if !Token::is_uri(uri) {
        return file_key(key, &certificate);
    }
    let (Some(module), Some(pin)) = (&arguments.pkcs11_module, &arguments.pin_file) else {
        return Err(
            Failure::new(Kind::Input, "a key in a token needs its library and PIN")
                .hint("name them with --pkcs11-module and --pin-file"),
        );
    };
    let pin = read(pin)?;
    let pin = String::from_utf8_lossy(&pin);
    let opened = Token::parse(uri)
        .and_then(|token| TokenKey::open(module, &token, pin.trim_end(), &certificate));
    match opened {
        Ok(key) => Ok(Box::new(key)),
        Err(error) => Err(unusable(error, key)),
    }
}

fn file_key(key: &Path, certificate: &[u8]) -> Result<Box<dyn Signer>> {
    match FileKey::new(&read(key)?, certificate) {
        Ok(key) => Ok(Box::new(key)),
        Err(error) => Err(unusable(error, key)),
    }
}

/// The development key, which only an image that is none of a product's takes.
fn development(arguments: &BundleCreateArgs, record: &ImageRecord) -> Result<Box<dyn Signer>> {
    if !record.signing.development {
        return Err(Failure::new(
            Kind::Input,
            "product keys signed this image, so a key must sign its bundle too",
        )
        .hint("name it with --key and --certificate"));
    }
    let directory = match &arguments.keys {
        Some(directory) => directory.clone(),
        None => Context::keys_directory()?,
    };
    let keys = DevKeys::load_or_create(&directory, &Openssl::default(), &SystemRandom::new())
        .map_err(|error| {
            Failure::caused_by(Kind::Failed, error)
                .context(format!("cannot use the keys in `{}`", directory.display()))
        })?;
    file_key(&keys.update.key_path, &read(&keys.update.certificate_path)?)
}

/// What the bundle is for.
fn hardware(arguments: &BundleCreateArgs, record: &ImageRecord) -> Result<Vec<String>> {
    if !arguments.hardware.is_empty() {
        return Ok(arguments.hardware.clone());
    }
    match &record.hardware {
        Some(hardware) => Ok(vec![hardware.clone()]),
        None => Err(Failure::new(
            Kind::Input,
            "the image does not say which hardware it is for, because it takes no updates itself",
        )
        .hint("name it with --hardware")),
    }
}

/// What of the image goes where.
fn plan(
    arguments: &BundleCreateArgs,
    record: &ImageRecord,
    root: &Built,
) -> Result<(TwoSlots, Vec<Artifact>)> {
    let compression = match arguments.compression {
        BundleCompression::None => Compression::None,
        BundleCompression::Zlib => Compression::Zlib,
        BundleCompression::Zstd => Compression::Zstd,
    };
    let mut artifacts = Vec::new();
    let mut add = |built: &Built| {
        artifacts.push(Artifact {
            name: built.file.clone(),
            content: arguments.image.join(&built.file).into(),
            compression,
            encrypted: arguments.encrypt.is_some(),
        });
        built.file.clone()
    };
    let kernel = unaltered(arguments, record, "uki")?;
    let slot = partition(record, "root-a")?.size;
    if root.size > slot {
        let message = format!("`{}` is larger than the slot of {slot} bytes", root.file);
        return Err(Failure::new(Kind::Input, message));
    }
    // The kernel image comes first: it says what the root file system must be.
    let kernel = add(kernel);
    let two = TwoSlots {
        version: record.product.version.clone(),
        name: record.product.name.clone(),
        hardware: hardware(arguments, record)?,
        slots: Slots {
            roots: [
                partition(record, "root-a")?.guid.clone(),
                partition(record, "root-b")?.guid.clone(),
            ],
            boots: ["BOOT0", "BOOT1"].map(str::to_owned),
            kernel: "linux.efi".to_owned(),
        },
        root: Root::Full(add(root)),
        kernel,
        boot_loader: if arguments.boot_loader {
            let built = unaltered(arguments, record, "boot-loader")?;
            Some(BootLoader {
                member: add(built),
                partition: partition(record, "esp")?.guid.clone(),
                path: format!("/EFI/BOOT/{}", boot_name(&record.architecture)?),
            })
        } else {
            None
        },
    };
    Ok((two, artifacts))
}

/// The name under which firmware looks for a boot loader (UEFI 2.10 §3.5.1.1).
fn boot_name(architecture: &str) -> Result<&'static str> {
    match architecture {
        "amd64" => Ok("BOOTX64.EFI"),
        "arm64" => Ok("BOOTAA64.EFI"),
        "armhf" => Ok("BOOTARM.EFI"),
        "riscv64" => Ok("BOOTRISCV64.EFI"),
        other => Err(Failure::new(
            Kind::Input,
            format!("firmware of `{other}` has no boot loader of a fixed name"),
        )),
    }
}

/// An artifact of the build, if its file is still the one that was built.
fn unaltered<'a>(
    arguments: &BundleCreateArgs,
    record: &'a ImageRecord,
    kind: &str,
) -> Result<&'a Built> {
    let built = record.artifact(kind).ok_or_else(|| {
        Failure::new(
            Kind::Input,
            format!("image.json names no artifact `{kind}`"),
        )
    })?;
    let path = arguments.image.join(&built.file);
    let (digest, _) = fs::File::open(&path)
        .and_then(|mut file| Digest::of_reader(&mut file))
        .map_err(|error| {
            Failure::caused_by(Kind::Input, error)
                .context(format!("cannot read `{}`", path.display()))
        })?;
    if digest == built.sha256 {
        return Ok(built);
    }
    Err(Failure::new(
        Kind::Input,
        format!("`{}` is not the file that was built", path.display()),
    )
    .hint("build the image again"))
}

fn partition<'a>(
    record: &'a ImageRecord,
    label: &str,
) -> Result<&'a bedstone_image::record::Partition> {
    record
        .partitions
        .iter()
        .find(|partition| partition.label == label)
        .ok_or_else(|| {
            Failure::new(
                Kind::Input,
                format!("image.json names no partition `{label}`"),
            )
        })
}

fn print(
    output: &Path,
    written: &Written,
    (digest, size): (Digest, u64),
    beside: Option<&delta::Beside>,
    context: &Context,
) -> Result<()> {
    let members: Vec<_> = written
        .members
        .iter()
        .map(|member| json!({"name": member.name, "size": member.size, "sha256": member.sha256}))
        .collect();
    let value = json!({
        "version": 1,
        "kind": "bedstone.bundle",
        "file": output,
        "size": size,
        "sha256": digest,
        "bundle_version": written.description.version,
        "members": members,
        "zchunk": beside.map(|it| json!({"file": it.path, "size": it.size, "sha256": it.digest})),
    });
    context.print(&value, || {
        let mut text = format!(
            "{}\n  version {}, {size} bytes\n  sha256:{digest}\n",
            output.display(),
            written.description.version
        );
        for member in &written.members {
            let _ = writeln!(
                text,
                "  {:<20} {:>12}  {}",
                member.name, member.size, member.sha256
            );
        }
        if let Some(beside) = beside {
            let _ = writeln!(
                text,
                "{}, for the server\n  {} bytes\n  sha256:{}",
                beside.path.display(),
                beside.size,
                beside.digest
            );
        }
        text
    })
}

fn create(directory: &Path) -> Result<()> {
    fs::create_dir(directory).map_err(|error| {
        Failure::caused_by(Kind::Failed, error)
            .context(format!("cannot create `{}`", directory.display()))
    })
}

/// A directory that goes away with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn beside(path: &Path) -> Result<Self> {
        let mut name = path.as_os_str().to_owned();
        name.push(".parts");
        let directory = PathBuf::from(name);
        create(&directory)?;
        Ok(Self(directory))
    }

    /// An empty directory in it.
    fn directory(&self, name: &str) -> Result<PathBuf> {
        let directory = self.0.join(name);
        create(&directory)?;
        Ok(directory)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays behind is only space.
        let _ = fs::remove_dir_all(&self.0);
    }
}
