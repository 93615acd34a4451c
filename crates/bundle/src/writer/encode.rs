use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use bedstone_disk::compress::compress;
use bedstone_disk::content::Content;
use bedstone_store::Digest;
use flate2::GzBuilder;

use super::{Artifact, Options};
use crate::crypt;
use crate::description::{Compression, Encryption};
use crate::error::{Error, Result};

/// An artifact in the form in which it is stored.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) name: String,
    pub(super) content: Content,
    pub(super) size: u64,
    pub(super) sha256: Digest,
    pub(super) compression: Compression,
    pub(super) encryption: Option<Encryption>,
}

/// Compresses, then encrypts, as SWUpdate undoes it: the digest is over the result.
pub(super) fn encode(artifact: &Artifact, options: &Options<'_>) -> Result<Encoded> {
    let refuse = |reason: &str| Error::Unwritable {
        what: artifact.name.clone(),
        reason: reason.to_owned(),
    };
    let path = |ending: &str| options.scratch.join(format!("{}.{ending}", artifact.name));
    let compressed = match artifact.compression {
        Compression::None => artifact.content.clone(),
        Compression::Zlib => zlib(&artifact.content, path("gz"))?,
        Compression::Zstd => zstd(&artifact.content, path("zst"), options)?,
    };
    let mut digest = digest(&compressed)?;
    let mut content = compressed;
    let mut encryption = None;
    if artifact.encrypted {
        let key = options
            .key
            .ok_or_else(|| refuse("is to be encrypted, and there is no key"))?;
        if !key.is_aes_256() {
            return Err(refuse("is to be encrypted, and the key has not 256 bits"));
        }
        let iv = key.iv_for(&digest.0);
        let path = path("aes");
        let mut output = create(&path)?;
        crypt::encrypt(&mut content.open()?, &mut output, key, iv)
            .and_then(|()| output.flush())
            .map_err(Error::io("write", &path))?;
        content = Content::File(path);
        digest = self::digest(&content)?;
        encryption = Some(Encryption { iv: Some(iv) });
    }
    Ok(Encoded {
        name: artifact.name.clone(),
        content,
        size: digest.1,
        sha256: digest.0,
        compression: artifact.compression,
        encryption,
    })
}

fn digest(content: &Content) -> Result<(Digest, u64)> {
    Digest::of_reader(&mut content.open()?).map_err(|error| match content {
        Content::File(path) => Error::io("read", path)(error),
        Content::Bytes(_) => Error::Input(error),
    })
}

fn zstd(content: &Content, path: PathBuf, options: &Options<'_>) -> Result<Content> {
    let size = content.length()?;
    let output = create(&path)?;
    compress(
        &mut content.open()?,
        size,
        output,
        options.level.clamp(1, 19),
        options.workers,
    )?
    .flush()
    .map_err(Error::io("write", &path))?;
    Ok(Content::File(path))
}

/// gzip without name and time (RFC 1952 §2.3), so that nothing but the content decides about the bytes.
fn zlib(content: &Content, path: PathBuf) -> Result<Content> {
    /// OS 255: unknown.
    const UNKNOWN_SYSTEM: u8 = 255;
    let mut encoder = GzBuilder::new()
        .mtime(0)
        .operating_system(UNKNOWN_SYSTEM)
        .write(create(&path)?, flate2::Compression::best());
    copy(&mut content.open()?, &mut encoder)
        .and_then(|()| encoder.finish()?.flush())
        .map_err(Error::io("write", &path))?;
    Ok(Content::File(path))
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    File::create_new(path)
        .map(|file| BufWriter::with_capacity(256 << 10, file))
        .map_err(Error::io("create", path))
}

fn copy(input: &mut impl Read, output: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => output.write_all(&buffer[..length])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
