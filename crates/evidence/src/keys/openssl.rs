use std::path::PathBuf;
use std::process::Command;

use crate::error::{Error, Result};
use crate::signer::decode_pem;

/// Makes RSA keys, which `ring` cannot.
pub trait RsaGenerator {
    /// A new key of `bits` bits, unencrypted PKCS #8, DER.
    fn generate_pkcs8(&self, bits: u32) -> Result<Vec<u8>>;
}

/// The `openssl` program as the maker of RSA keys.
#[derive(Debug, Clone)]
pub struct Openssl {
    /// The program, by path or by a name looked up in `PATH`.
    pub program: PathBuf,
}

impl Default for Openssl {
    fn default() -> Self {
        Self {
            program: "openssl".into(),
        }
    }
}

impl RsaGenerator for Openssl {
    fn generate_pkcs8(&self, bits: u32) -> Result<Vec<u8>> {
        let failed = |reason: String, source| Error::Generator {
            program: self.program.clone(),
            reason,
            source,
        };
        // PEM, because OpenSSL 3.0 writes DER as PKCS #1.
        let output = Command::new(&self.program)
            .args(["genpkey", "-quiet", "-algorithm", "RSA", "-outform", "PEM"])
            .arg("-pkeyopt")
            .arg(format!("rsa_keygen_bits:{bits}"))
            .output()
            .map_err(|source| {
                failed(
                    "it does not run (Debian: apt-get install openssl)".to_owned(),
                    Some(source),
                )
            })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(failed(format!("{}: {said}", output.status), None));
        }
        decode_pem("PRIVATE KEY", &output.stdout)
    }
}
