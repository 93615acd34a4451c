//! Running the maintainer scripts of a stage, and catching what they change.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use bedstone_sys::mount::Upper;
use bedstone_sys::namespace::Access;

use super::cache::{self, CacheDirs};
use super::change::Preseed;
use super::layer::look;
use super::normalise::normalise;
use super::session::{self, Stack};
use super::unpacked::Unpacked;
use crate::error::{Error, Result};

/// Where scripts see the control files of packages whose preinst runs.
const CONTROL: &str = "/run/bedstone/control";
/// Where they see the answers for debconf.
const ANSWERS: &str = "/run/bedstone/answers";

/// Scripts of a stage to run.
pub(super) struct Session<'a> {
    /// The packages of the stage.
    pub(super) packages: &'a [&'a Unpacked],
    /// Those whose preinst runs, in order.
    pub(super) preinst: &'a [&'a Unpacked],
    /// Answers for debconf.
    pub(super) preseeds: &'a [&'a Preseed],
    /// Whether `dpkg --configure` runs.
    pub(super) configure: bool,
    /// Time that new files get, seconds since 1970.
    pub(super) epoch: i64,
}

impl Session<'_> {
    /// Runs the scripts in the tree that `stack` is, and leaves what they changed in the new directory `changes`.
    pub(super) fn run(
        &self,
        stack: &Stack,
        changes: &Path,
        cache: &CacheDirs,
        interrupt: &AtomicBool,
    ) -> Result<()> {
        let scratch = cache.scratch()?;
        let upper = Upper {
            changes: changes.to_path_buf(),
            work: changes.with_extension("work"),
        };
        for directory in [&upper.changes, &upper.work] {
            fs::create_dir(directory).map_err(Error::io("create directory", directory))?;
        }
        let below = stack.mount(&scratch.directory("below")?, cache.root(), None, None)?;
        // The upper directory's own attributes are those of the root directory.
        let metadata = fs::metadata(below.path()).map_err(Error::io("inspect", below.path()))?;
        fs::set_permissions(&upper.changes, metadata.permissions())
            .map_err(Error::io("set attributes of", &upper.changes))?;
        let host_keys = self
            .packages
            .iter()
            .any(|package| package.control.name == "openssh-server");
        let stand_ins = session::stand_ins(&scratch, below.path(), awk(below.path())?, host_keys)?;
        drop(below);
        let root = scratch.directory("root")?;
        let view = stack.mount(&root, cache.root(), Some(&stand_ins), Some(&upper))?;
        let answers = scratch.directory("answers")?;
        for (index, preseed) in self.preseeds.iter().enumerate() {
            let path = answers.join(index.to_string());
            fs::write(&path, &preseed.selections).map_err(Error::io("write", path))?;
        }
        let mut sandbox =
            session::sandbox(view.path(), self.epoch).bind(&answers, ANSWERS, Access::ReadOnly);
        for package in self.preinst {
            let target = format!("{CONTROL}/{}", package.control.name);
            sandbox = sandbox.bind(&package.control_files, target, Access::ReadOnly);
        }
        session::run(
            &sandbox,
            "configuring packages",
            "/bin/sh",
            &["-e", "-s"],
            self.script().as_bytes(),
            interrupt,
        )?;
        drop(view);
        cache::remove(&upper.work)?;
        normalise(changes, self.epoch)
    }

    fn script(&self) -> String {
        let mut script = String::from("cd /\nci=/var/lib/dpkg/tmp.ci\n");
        for package in self.preinst {
            let control = &package.control;
            // As dpkg does it: from `tmp.ci`, which is also where debconf looks for templates.
            let _ = write!(
                script,
                "rm -rf $ci; cp -r {CONTROL}/{name} $ci\n\
                 DPKG_MAINTSCRIPT_NAME=preinst DPKG_MAINTSCRIPT_PACKAGE={name} DPKG_MAINTSCRIPT_ARCH={architecture} \
                 DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1 DPKG_MAINTSCRIPT_DEBUG=0 DPKG_ADMINDIR=/var/lib/dpkg DPKG_ROOT= \
                 $ci/preinst install </dev/null || {{ echo 'preinst of {name} failed'; exit 1; }}\n",
                name = control.name,
                architecture = control.architecture,
            );
        }
        if !self.preinst.is_empty() {
            script.push_str("rm -rf $ci\n");
        }
        for index in 0..self.preseeds.len() {
            let _ = writeln!(script, "debconf-set-selections {ANSWERS}/{index}");
        }
        if self.configure {
            // Flushing each file to a layer that is renamed into place as a whole would be in vain.
            script.push_str("dpkg --configure --pending --force-unsafe-io </dev/null\n");
        }
        script
    }
}

/// The program to be `/usr/bin/awk` where there is none: base-files' postinst wants one before that of mawk has run.
fn awk(view: &Path) -> Result<Option<&'static str>> {
    let programs = view.join("usr/bin");
    if look(&programs.join("awk"))?.is_some() {
        return Ok(None);
    }
    for name in ["mawk", "gawk", "original-awk"] {
        if look(&programs.join(name))?.is_some() {
            return Ok(Some(name));
        }
    }
    Ok(None)
}
