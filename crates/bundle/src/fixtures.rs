//! Keys, certificates and signatures by openssl: the other side of every test.

#![allow(dead_code, reason = "every test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use tempfile::TempDir;

/// What a certificate for signing bundles has.
pub(crate) const SIGNING: &[&str] = &[
    "keyUsage=critical,digitalSignature",
    "extendedKeyUsage=emailProtection,codeSigning",
    "basicConstraints=critical,CA:FALSE",
];

/// A directory with keys and certificates.
#[derive(Debug)]
pub(crate) struct Workshop(TempDir);

impl Workshop {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// Runs openssl in the directory.
    pub(crate) fn try_openssl(&self, arguments: &[&str]) -> Output {
        Command::new("openssl")
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .unwrap_or_else(|error| panic!("openssl: {error}; apt-get install openssl"))
    }

    /// Runs openssl in the directory, which must succeed.
    #[track_caller]
    pub(crate) fn openssl(&self, arguments: &[&str]) {
        let output = self.try_openssl(arguments);
        assert!(
            output.status.success(),
            "openssl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Makes `NAME.key` and a self-signed `NAME.crt`. `algorithm` is as `-newkey` takes it.
    pub(crate) fn self_signed(&self, name: &str, algorithm: &[&str], extensions: &[&str]) {
        let (key, certificate, subject) = names(name);
        let mut arguments = vec!["req", "-x509", "-nodes", "-days", "30", "-subj", &subject];
        arguments.extend(["-keyout", &key, "-out", &certificate, "-newkey"]);
        arguments.extend(algorithm);
        for extension in extensions {
            arguments.extend(["-addext", extension]);
        }
        self.openssl(&arguments);
    }

    /// Makes `NAME.key` and `NAME.crt`, issued by `issuer`.
    pub(crate) fn issued(&self, name: &str, issuer: &str, extensions: &[&str]) {
        let (key, certificate, subject) = names(name);
        let request = format!("{name}.csr");
        let file = format!("{name}.ext");
        self.write(&file, extensions.join("\n").as_bytes());
        self.openssl(&[
            "req", "-new", "-nodes", "-newkey", "rsa:3072", "-keyout", &key, "-out", &request,
            "-subj", &subject,
        ]);
        let (issuer_key, issuer_certificate, _) = names(issuer);
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            &issuer_certificate,
            "-CAkey",
            &issuer_key,
            "-days",
            "30",
            "-extfile",
            &file,
            "-out",
            &certificate,
        ]);
    }

    /// Signs the file `input` as the facts' plain recipe does, with more `options`, and returns the signature.
    pub(crate) fn cms(&self, input: &str, name: &str, options: &[&str]) -> Vec<u8> {
        let (key, certificate, _) = names(name);
        let output = format!("{input}.sig");
        let mut arguments = vec!["cms", "-sign", "-in", input, "-out", &output];
        arguments.extend(["-signer", &certificate, "-inkey", &key]);
        arguments.extend(["-outform", "DER", "-nosmimecap", "-binary"]);
        arguments.extend(options);
        self.openssl(&arguments);
        self.read(&output)
    }

    /// Packs files of the directory with GNU cpio.
    pub(crate) fn cpio(&self, format: &str, members: &[&str]) -> Vec<u8> {
        use std::io::Write as _;
        let mut child = Command::new("cpio")
            .args(["-oL", "--quiet", "-H", format])
            .current_dir(self.0.path())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cpio: {error}; apt-get install cpio"));
        let list = members.join("\n");
        child
            .stdin
            .take()
            .unwrap()
            .write_all(list.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        output.stdout
    }

    pub(crate) fn directory(&self) -> &Path {
        self.0.path()
    }
}

fn names(name: &str) -> (String, String, String) {
    (
        format!("{name}.key"),
        format!("{name}.crt"),
        format!("/CN={name}"),
    )
}

/// Keys that many tests share: `rsa`, `ec` for signing, `other` of somebody else.
pub(crate) fn shared() -> &'static Workshop {
    static SHARED: OnceLock<Workshop> = OnceLock::new();
    SHARED.get_or_init(|| {
        let workshop = Workshop::new();
        workshop.self_signed("rsa", &["rsa:3072"], SIGNING);
        workshop.self_signed("other", &["rsa:3072"], SIGNING);
        let curve = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
        workshop.self_signed("ec", &curve, SIGNING);
        workshop
    })
}
