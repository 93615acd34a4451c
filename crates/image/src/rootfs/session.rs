//! Running programs in a tree: which variables, which stand-ins, what an error shows.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use bedstone_sys::mount::{self, Mounted, Upper};
use bedstone_sys::namespace::{Limits, Output, Sandbox};

use super::cache::Scratch;
use super::layer::Layer;
use super::link;
use super::unpacked::write_file;
use crate::error::{Error, Result};

/// Where programs are looked for; dpkg refuses to work without the sbin directories.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How much of a failed program's log goes into the error.
const SHOWN_LINES: usize = 40;
/// A valid machine id for the scripts of packages; it never gets into the tree.
const MACHINE_ID: &str = "6265647374306e6562656473746f6e65\n";
/// Says no to every service action of a maintainer script (policy-rc.d interface, invoke-rc.d(8)).
const POLICY: &str = "#!/bin/sh\nexit 101\n";
/// Does as if a daemon had been started or stopped.
const NO_DAEMONS: &str = "#!/bin/sh\nexit 0\n";
/// Host keys whose presence keeps openssh-server's scripts from making some, which would take seconds and then be
/// removed: a device makes its own.
const HOST_KEYS: [&str; 3] = ["rsa", "ecdsa", "ed25519"];

/// A stack of layers, lowest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Stack(Vec<PathBuf>);

impl Stack {
    /// Puts a layer on top.
    pub(super) fn push(&mut self, layer: PathBuf) {
        self.0.push(layer);
    }

    /// The layers that programs wrote, lowest first.
    pub(super) fn changes(&self) -> impl Iterator<Item = &Path> {
        self.0
            .iter()
            .map(PathBuf::as_path)
            .filter(|layer| !layer.ends_with(link::FILES))
    }

    /// Whether there is no layer.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Mounts the stack at `target`, with `above` on top of it and changes going to `upper` if there is one.
    pub(super) fn mount(
        &self,
        target: &Path,
        base: &Path,
        above: Option<&Path>,
        upper: Option<&Upper>,
    ) -> Result<Mounted> {
        let mut lowers: Vec<PathBuf> = above.into_iter().map(Path::to_path_buf).collect();
        lowers.extend(self.0.iter().rev().cloned());
        // An overlay wants two directories at least.
        if upper.is_none() && lowers.len() == 1 {
            lowers.push(empty(target)?);
        }
        Ok(mount::overlay(target, base, &lowers, upper)?)
    }
}

/// An empty directory beside a mount point.
fn empty(target: &Path) -> Result<PathBuf> {
    let path = target.with_extension("empty");
    fs::create_dir_all(&path).map_err(Error::io("create directory", &path))?;
    Ok(path)
}

/// Programs' surroundings that do not depend on the host.
pub(super) fn sandbox(root: &Path, epoch: i64) -> Sandbox {
    [
        ("PATH", PATH),
        ("HOME", "/root"),
        ("LANG", "C.UTF-8"),
        ("LC_ALL", "C.UTF-8"),
        ("TZ", "UTC"),
        ("TERM", "dumb"),
        ("SHELL", "/bin/sh"),
        ("SOURCE_DATE_EPOCH", &epoch.to_string()),
        ("PYTHONHASHSEED", "0"),
        // Importing would leave byte code with times in it; compiling for a package leaves it with hashes.
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("DEBIAN_FRONTEND", "noninteractive"),
        ("DEBCONF_NONINTERACTIVE_SEEN", "true"),
        ("DEBCONF_NOWARNINGS", "yes"),
        ("INITRD", "No"),
    ]
    .into_iter()
    .fold(Sandbox::new(root), |sandbox, (name, value)| {
        sandbox.environment(name, value)
    })
}

/// Runs a program that must succeed; `what` says in errors what it was to do.
pub(super) fn run(
    sandbox: &Sandbox,
    what: &str,
    program: &str,
    arguments: &[&str],
    input: &[u8],
    interrupt: &AtomicBool,
) -> Result<Output> {
    let limits = Limits {
        interrupt,
        time: None,
    };
    let output = sandbox.run_with_input(program, arguments, input, limits)?;
    if output.status.success() {
        return Ok(output);
    }
    Err(Error::Program {
        what: what.to_owned(),
        status: output.status.to_string(),
        log: tail(&output.log),
    })
}

/// The last lines of a log.
pub(super) fn tail(log: &[u8]) -> String {
    let text = String::from_utf8_lossy(log);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}

/// Makes the layer of stand-ins that lies above a tree while maintainer scripts run, and is not part of the result.
///
/// `below` is the tree, whose directories' attributes the layer takes over; `awk` the program that `/usr/bin/awk` is
/// until update-alternatives has made the link; `host_keys` whether openssh-server's scripts will run.
pub(super) fn stand_ins(
    scratch: &Scratch,
    below: &Path,
    awk: Option<&str>,
    host_keys: bool,
) -> Result<PathBuf> {
    let root = scratch.directory("stand-ins")?;
    let mut layer = Layer::new(&root, Some(below))?;
    let mut files = vec![
        ("usr/sbin/policy-rc.d".to_owned(), 0o755, POLICY),
        ("usr/sbin/start-stop-daemon".to_owned(), 0o755, NO_DAEMONS),
        ("etc/machine-id".to_owned(), 0o444, MACHINE_ID),
    ];
    if host_keys {
        for kind in HOST_KEYS {
            files.push((format!("etc/ssh/ssh_host_{kind}_key"), 0o600, ""));
            files.push((format!("etc/ssh/ssh_host_{kind}_key.pub"), 0o644, ""));
        }
    }
    for (path, mode, content) in files {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        layer.directory(parent, None)?;
        write_file(&root.join(&path), mode, (0, 0), 0, &mut content.as_bytes())?;
    }
    if let Some(awk) = awk {
        layer.directory("usr/bin", None)?;
        let link = root.join("usr/bin/awk");
        std::os::unix::fs::symlink(awk, &link).map_err(Error::io("create", link))?;
    }
    layer.finish()?;
    Ok(root)
}
