//! Development keys: made on first use, so that everything can be signed from the first minute, and marked so clearly that
//! none ends in a product.
//!
//! ```text
//! DIR/README                          says what these are
//! DIR/development-{pk,kek,db}.key.pem   RSA private keys of Secure Boot, PKCS #8
//! DIR/development-{pk,kek,db}.cert.pem  their self-signed certificates
//! DIR/development-update.{key,cert}.pem  RSA private key that signs update bundles, and its certificate
//! DIR/development-evidence.key.pem      Ed25519 private key that signs evidence, PKCS #8
//! DIR/development-evidence.pub.pem      its public key
//! DIR/.lock                             held while keys are made
//! ```
//!
//! The directory has mode 0700, private keys 0600. Certificates and public keys follow from the private keys, so a run that
//! was cut off is completed by the next one.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bedstone_store::atomic::{self, AtomicFile};
use bedstone_store::{FileLock, Mode};
use ring::rand::SecureRandom;

use crate::error::{Error, Result};
use crate::signer::{FileKey, Signer, VerifyingKey, decode_pem, encode_pem};

mod certificate;
mod openssl;

#[cfg(test)]
mod tests;

use certificate::Purpose;
pub use openssl::{Openssl, RsaGenerator};

/// The common name of every development certificate.
pub const COMMON_NAME: &str = "Bedstone DEVELOPMENT key - not for products";
/// Bits of the RSA keys: what NIST SP 800-57 asks for beyond 2030, and what all firmware takes.
const RSA_BITS: u32 = 3072;
const README: &str = "\
These are DEVELOPMENT keys, made by bedstone on first use. They are not for products.

Whoever has this directory can sign images and evidence that your development machines trust.
Make product keys in a key ceremony, keep them in a hardware token, and name them in the manifest.
Deleting this directory is safe: new keys are made, and what the old ones signed is no longer trusted.
";

/// A key with its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedKey {
    /// The file with the private key, PKCS #8 in PEM.
    pub key_path: PathBuf,
    /// The file with the certificate, PEM.
    pub certificate_path: PathBuf,
    /// The self-signed X.509 certificate, DER.
    pub certificate: Vec<u8>,
}

/// All development keys.
#[derive(Debug)]
pub struct DevKeys {
    /// Platform key.
    pub pk: CertifiedKey,
    /// Key exchange key.
    pub kek: CertifiedKey,
    /// The key that signs what boots.
    pub db: CertifiedKey,
    /// The key that signs update bundles.
    pub update: CertifiedKey,
    /// The key that signs evidence.
    pub evidence: FileKey,
    /// Whether any key was made by this call; worth telling the user.
    pub created: bool,
}

impl CertifiedKey {
    /// Reads the private key, PEM.
    pub fn private_key(&self) -> Result<Vec<u8>> {
        fs::read(&self.key_path).map_err(io("read", &self.key_path))
    }
}

impl DevKeys {
    /// Loads the keys in `directory`, making those that are missing.
    ///
    /// Of several processes that come first together, one makes the keys and the others wait. A key file that is there but
    /// damaged is an error; it is never replaced.
    pub fn load_or_create(
        directory: &Path,
        rsa: &dyn RsaGenerator,
        random: &dyn SecureRandom,
    ) -> Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(io("create directory", directory))?;
        let _lock = FileLock::acquire(directory.join(".lock"), Mode::Exclusive)?;
        write_missing(&directory.join("README"), README.as_bytes())?;
        let mut created = false;
        let mut certified = |name: &str, unit: &str, purpose| -> Result<CertifiedKey> {
            let (key, new) = load(directory, name, || {
                encode_pem("PRIVATE KEY", &rsa.generate_pkcs8(RSA_BITS)?)
            })?;
            created |= new;
            let private = decode_pem("PRIVATE KEY", &key)?;
            let certificate = certificate::self_signed(&private, COMMON_NAME, unit, purpose)?;
            let certificate_path = file(directory, name, "cert");
            let pem = encode_pem("CERTIFICATE", &certificate)?;
            write_missing(&certificate_path, pem.as_bytes())?;
            Ok(CertifiedKey {
                key_path: file(directory, name, "key"),
                certificate_path,
                certificate,
            })
        };
        let (pk, kek, db, update) = (
            certified("pk", "Secure Boot PK", Purpose::Authority)?,
            certified("kek", "Secure Boot KEK", Purpose::Authority)?,
            certified("db", "Secure Boot db", Purpose::Authority)?,
            certified("update", "Update bundles", Purpose::Signing)?,
        );
        let (key, new) = load(directory, "evidence", || FileKey::generate_pem(random))?;
        created |= new;
        let evidence = FileKey::from_pkcs8(&key)?;
        let public = evidence.verifying_key().to_pem()?;
        write_missing(&file(directory, "evidence", "pub"), public.as_bytes())?;
        Ok(Self {
            pk,
            kek,
            db,
            update,
            evidence,
            created,
        })
    }

    /// The key that verifies the evidence signed here.
    pub fn evidence_key(&self) -> VerifyingKey {
        self.evidence.verifying_key()
    }
}

/// Reads a private key, or makes it; tells which.
fn load(
    directory: &Path,
    name: &str,
    make: impl FnOnce() -> Result<String>,
) -> Result<(Vec<u8>, bool)> {
    let path = file(directory, name, "key");
    match fs::read(&path) {
        Ok(bytes) => Ok((bytes, false)),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let pem = make()?.into_bytes();
            let mut target = AtomicFile::create(&path)?;
            target
                .file()
                .set_permissions(Permissions::from_mode(0o600))
                .map_err(io("protect", &path))?;
            target.write_all(&pem).map_err(io("write", &path))?;
            target.commit()?;
            Ok((pem, true))
        }
        Err(error) => Err(io("read", &path)(error)),
    }
}

fn write_missing(path: &Path, bytes: &[u8]) -> Result<()> {
    match fs::read(path) {
        Ok(present) if present == bytes => Ok(()),
        _ => Ok(atomic::write(path, bytes)?),
    }
}

fn file(directory: &Path, name: &str, kind: &str) -> PathBuf {
    directory.join(format!("development-{name}.{kind}.pem"))
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let wrap = bedstone_store::Error::io(action, path);
    move |error| wrap(error).into()
}
