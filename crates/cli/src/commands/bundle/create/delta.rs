//! The root file system as a difference to what devices hold.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use bedstone_bundle::Artifact;
use bedstone_bundle::description::Compression;
use bedstone_bundle::layout::{Delta, Image, Root};
use bedstone_delta::base::VerifiedBase;
use bedstone_delta::output::{self, Prefix};
use bedstone_delta::{rdiff, zchunk};
use bedstone_disk::content::Content;
use bedstone_image::record::Artifact as Built;
use bedstone_store::Digest;
use bedstone_store::atomic::AtomicFile;

use super::PIECE;
use crate::args::{BundleCreateArgs, BundleDelta};
use crate::context::Context;
use crate::failure::{Failure, Kind, Result};

/// Bytes per block of the base: those of a file system.
const BLOCK: u32 = 4096;

/// A file that a bundle refers to and that lies beside it until it is on a server.
pub(super) struct Beside {
    pub(super) path: PathBuf,
    pub(super) size: u64,
    pub(super) digest: Digest,
}

/// Makes the member that replaces the whole root file system `built`, or precedes it with `--with-full`.
///
/// `scratch` is a directory for files that are as large as the root file system.
pub(super) fn replace(
    arguments: &BundleCreateArgs,
    built: &Built,
    artifacts: &mut Vec<Artifact>,
    (output, scratch): (&Path, &Path),
    context: &Context,
) -> Result<(Root, Option<Beside>)> {
    let full = built.file.clone();
    let (kind, base, url) = match (arguments.delta, &arguments.base, &arguments.url) {
        (None, None, None) => return Ok((Root::Full(full), None)),
        (Some(BundleDelta::Rdiff), Some(base), None) => (BundleDelta::Rdiff, Some(base), None),
        (Some(BundleDelta::Zchunk), None, Some(url)) => (BundleDelta::Zchunk, None, Some(url)),
        _ => {
            let message = "--base goes with --delta rdiff, --url with --delta zchunk";
            return Err(Failure::new(Kind::Input, message));
        }
    };
    let new = arguments.image.join(&full);
    let image = Image {
        size: built.size,
        sha256: built.sha256,
    };
    let place = artifacts.iter().position(|artifact| artifact.name == full);
    let place = place.unwrap_or(0);
    let mut artifact = artifacts[place].clone();
    let (delta, beside) = match (kind, base, url) {
        (BundleDelta::Rdiff, Some(base), _) => {
            artifact.name = format!("{full}.rdiff");
            let path = scratch.join(&artifact.name);
            let base = rdiff_between(base, &new, image, &path)?;
            artifact.content = path.into();
            let output = image;
            (Delta::Rdiff { base, output }, None)
        }
        (_, _, url) => {
            let url = address(arguments, url.map_or("", |url| url))?;
            artifact.name = format!("{full}.zck.header");
            let file = output.with_extension("zck");
            let spool = scratch.join("spool");
            let (header, beside) = zchunk_of(&new, &file, &spool, arguments.level, context.jobs)?;
            artifact.content = Content::Bytes(header);
            // Digests do not compress, and SWUpdate reads it as it is.
            artifact.compression = Compression::None;
            let output = image;
            (Delta::Zchunk { url, output }, Some(beside))
        }
    };
    let root = Root::Delta {
        member: artifact.name.clone(),
        delta,
        full: arguments.with_full.then_some(full),
    };
    if arguments.with_full {
        artifacts.insert(place, artifact);
    } else {
        artifacts[place] = artifact;
    }
    Ok((root, beside))
}

/// Writes the delta from `old` to `new`, and applies it once: strong sums may collide.
fn rdiff_between(old: &Path, new: &Path, expected: Image, path: &Path) -> Result<Image> {
    let base = open(old)?;
    let image = output::Image::of_reader(&mut BufReader::with_capacity(PIECE, &base))
        .map_err(failed("read", old))?;
    if image.digest == expected.sha256 {
        let message = format!("`{}` is this image's root file system", old.display());
        return Err(Failure::new(Kind::Input, message)
            .hint("name the one that devices run before the update with --base"));
    }
    let failure = |error: bedstone_delta::Error| {
        Failure::caused_by(Kind::Failed, error).context(format!(
            "cannot make the difference from `{}` to `{}`",
            old.display(),
            new.display()
        ))
    };
    let options = rdiff::Options {
        block_length: BLOCK,
        ..rdiff::Options::recommended(image.length)
    };
    let mut signature = Vec::new();
    rdiff::signature(&mut open(old)?, options, &mut signature).map_err(failure)?;
    let signature = rdiff::Signature::read(&mut signature.as_slice()).map_err(failure)?;
    let file = File::create(path).map_err(failed("create", path))?;
    let mut delta = BufWriter::with_capacity(PIECE, file);
    rdiff::delta(&signature, &mut open(new)?, &mut delta).map_err(failure)?;
    delta.flush().map_err(failed("write", path))?;

    let output = output::Image {
        length: expected.size,
        digest: expected.sha256,
    };
    let verified = VerifiedBase::check(&base, image).map_err(failure)?;
    let delta = open(path)?;
    rdiff::apply(&verified, delta, &output, Prefix::none(), &mut io::sink()).map_err(failure)?;
    Ok(Image {
        size: image.length,
        sha256: image.digest,
    })
}

/// The address at which devices will look, if they can.
fn address(arguments: &BundleCreateArgs, url: &str) -> Result<String> {
    if arguments.encrypt.is_some() {
        let message = "a zchunk file lies on its server as it is, so --encrypt would hide nothing";
        return Err(Failure::new(Kind::Input, message).hint("use --delta rdiff"));
    }
    if !url.starts_with("http://") {
        let message = format!("`{url}` does not begin with http://, all that the agent speaks");
        return Err(Failure::new(Kind::Input, message)
            .hint("what is fetched is compared with signed digests, whoever sends it"));
    }
    Ok(url.to_owned())
}

/// Writes the zchunk file of `new`; returns its header.
fn zchunk_of(
    new: &Path,
    file: &Path,
    spool: &Path,
    level: i32,
    threads: usize,
) -> Result<(Vec<u8>, Beside)> {
    let mut written = AtomicFile::create(file)?;
    let mut body = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(spool)
        .map_err(failed("create", spool))?;
    let options = zchunk::Options { level, threads };
    let header =
        zchunk::write(&mut open(new)?, options, &mut body, written.file()).map_err(|error| {
            Failure::caused_by(Kind::Failed, error)
                .context(format!("cannot make `{}`", file.display()))
        })?;
    let (digest, size) =
        Digest::of_reader(&mut open(written.path())?).map_err(failed("read", file))?;
    written.commit()?;
    let beside = Beside {
        path: file.to_path_buf(),
        size,
        digest,
    };
    Ok((header.to_bytes(), beside))
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|error| {
        Failure::caused_by(Kind::Input, error).context(format!("cannot read `{}`", path.display()))
    })
}

fn failed<'a>(action: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> Failure + 'a {
    move |error| {
        Failure::caused_by(Kind::Failed, error)
            .context(format!("cannot {action} `{}`", path.display()))
    }
}
