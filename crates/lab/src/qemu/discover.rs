use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bedstone_sys::pidfd::BoundChild;

use super::directory::RunDirectory;
use crate::error::{Error, Result};

/// The oldest QEMU in use with us; bookworm has 7.2.
const NEEDED: (u64, u64, &str) = (7, 0, "7.0");
const PROGRAM: &str = "qemu-system-x86_64";
/// How long a program may take for a word about itself or a file of some MB.
const LIMIT: Duration = Duration::from_secs(20);

/// The host's programs and firmware files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    /// `qemu-system-x86_64`.
    pub qemu: PathBuf,
    /// What it says it is: `7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)`.
    pub qemu_version: String,
    /// `qemu-img`.
    pub qemu_img: PathBuf,
    /// The directories in which programs are searched.
    path: Vec<PathBuf>,
    /// The directory of the OVMF files, `/usr/share/OVMF` with Debian.
    ovmf: PathBuf,
    /// Where the machines have their temporary files.
    work: PathBuf,
}

impl Tools {
    /// Finds QEMU in the directories of `path` and asks for its version. OVMF's files will be looked for in `ovmf`;
    /// machines have their temporary directories in `work`.
    pub fn discover(path: &[PathBuf], ovmf: &Path, work: &Path) -> Result<Self> {
        let qemu = program(path, PROGRAM, "qemu-system-x86")?;
        let qemu_img = program(path, "qemu-img", "qemu-utils")?;
        let directory = RunDirectory::create(work)?;
        let mut command = Command::new(&qemu);
        command.arg("--version");
        let answer = output(command, directory.path())?;
        let (qemu_version, major, minor) =
            parse_version(&answer).ok_or_else(|| Error::Strange {
                program: PROGRAM.into(),
                answer: answer.chars().take(100).collect(),
            })?;
        if (major, minor) < (NEEDED.0, NEEDED.1) {
            return Err(Error::TooOld {
                program: qemu,
                found: qemu_version,
                needed: NEEDED.2,
            });
        }
        Ok(Self {
            qemu,
            qemu_version,
            qemu_img,
            path: path.to_vec(),
            ovmf: ovmf.to_path_buf(),
            work: work.to_path_buf(),
        })
    }

    /// The software TPM.
    pub fn swtpm(&self) -> Result<PathBuf> {
        program(&self.path, "swtpm", "swtpm")
    }

    /// OVMF's code; with `secure_boot` the build that protects its variables by system management mode.
    pub fn ovmf_code(&self, secure_boot: bool) -> Result<PathBuf> {
        self.ovmf_file(if secure_boot {
            "OVMF_CODE_4M.secboot.fd"
        } else {
            "OVMF_CODE_4M.fd"
        })
    }

    /// OVMF's variable store without keys and boot entries.
    pub fn ovmf_variables(&self) -> Result<PathBuf> {
        self.ovmf_file("OVMF_VARS_4M.fd")
    }

    /// Where the machines have their temporary files.
    pub fn work(&self) -> &Path {
        &self.work
    }

    fn ovmf_file(&self, name: &str) -> Result<PathBuf> {
        let path = self.ovmf.join(name);
        if path.is_file() {
            return Ok(path);
        }
        Err(Error::Missing {
            what: path.display().to_string(),
            package: "ovmf",
        })
    }
}

/// Runs a program to its end and gives its standard output; `directory` takes what it writes.
pub(crate) fn output(mut command: Command, directory: &Path) -> Result<String> {
    let program = PathBuf::from(command.get_program());
    let (out, err) = (directory.join("stdout"), directory.join("stderr"));
    let create = |path: &Path| File::create(path).map_err(Error::io("create", path));
    command
        .stdin(Stdio::null())
        .stdout(create(&out)?)
        .stderr(create(&err)?);
    let mut child = BoundChild::spawn(command, Vec::new()).map_err(|source| Error::Start {
        program: program.clone(),
        source,
    })?;
    let status = child
        .wait_for(LIMIT)
        .map_err(Error::io("wait for", &program))?;
    let read = |path: &Path| {
        std::fs::read(path)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(Error::io("read", path))
    };
    match status {
        Some(status) if status.success() => read(&out),
        Some(status) => Err(Error::Ended {
            program,
            status,
            message: read(&err)?.trim().to_owned(),
        }),
        None => Err(Error::Timeout {
            what: format!("the end of `{}`", program.display()),
            limit: LIMIT,
            tail: read(&err)?,
        }),
    }
}

fn program(path: &[PathBuf], name: &str, package: &'static str) -> Result<PathBuf> {
    path.iter()
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
        .ok_or_else(|| Error::Missing {
            what: name.to_owned(),
            package,
        })
}

/// `QEMU emulator version 7.2.22 (Debian …)` as the text after `version`, major and minor number.
fn parse_version(answer: &str) -> Option<(String, u64, u64)> {
    let (_, version) = answer.lines().next()?.split_once("version ")?;
    let mut numbers = version.split(['.', ' ', '(']);
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next()?.parse().ok()?;
    Some((version.trim().to_owned(), major, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        let debian = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright\n";
        assert_eq!(
            parse_version(debian),
            Some(("7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)".into(), 7, 2))
        );
        assert_eq!(
            parse_version("QEMU emulator version 10.0.50\n"),
            Some(("10.0.50".into(), 10, 0))
        );
        assert_eq!(parse_version("command not found"), None);
    }

    #[test]
    fn names_the_package_of_what_is_missing() {
        let directory = tempfile::tempdir().unwrap();
        let error = Tools::discover(&[], directory.path(), directory.path()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`qemu-system-x86_64` is missing; install it with `apt-get install qemu-system-x86`"
        );
    }

    #[test]
    fn refuses_an_old_qemu_and_one_that_fails() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        for (name, says) in [(PROGRAM, "QEMU emulator version 5.2.0"), ("qemu-img", "")] {
            let program = path.join(name);
            std::fs::write(&program, format!("#!/bin/sh\necho '{says}'\n")).unwrap();
            std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        }
        let error = Tools::discover(&[path.to_path_buf()], path, path).unwrap_err();
        assert!(
            matches!(&error, Error::TooOld { found, .. } if found == "5.2.0"),
            "{error}"
        );
        std::fs::write(path.join(PROGRAM), "#!/bin/sh\necho sad >&2; exit 3\n").unwrap();
        let error = Tools::discover(&[path.to_path_buf()], path, path).unwrap_err();
        assert!(
            matches!(&error, Error::Ended { message, .. } if message == "sad"),
            "{error}"
        );
    }
}
