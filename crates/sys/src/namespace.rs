//! Unprivileged root: user namespaces for the building process, and sandboxes for the programs it runs.
//!
//! - [`enter_user`] makes the calling process root of a new user and mount namespace. Everything that changes owners,
//!   mounts or runs sandboxes comes after it. As real root it does the same, with every id mapped to itself, so that
//!   both ways of building take the same path.
//! - [`user_command`] starts another program that way, for processes that have threads already.
//! - [`Sandbox`] runs a program in a tree: own pid, mount, network, IPC and host name, nothing of the host but what is
//!   bound into it, and everything it started ends with it.

mod idmap;
mod sandbox;

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{self, Command};

use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Gid, Pid, Uid, WaitOptions, waitpid};
use rustix::thread::{
    UnshareFlags, set_thread_groups, set_thread_res_gid, set_thread_res_uid, unshare_unsafe,
};

pub use idmap::{Extent, IdMap};
pub use sandbox::{Access, Limits, Output, Sandbox};

use crate::error::{Error, Result};

/// Makes the calling process root of a new user and mount namespace.
///
/// Root maps every id that it has to itself; other users map themselves to 0 and their range in `/etc/subuid` and
/// `/etc/subgid` to 1 and up, through `newuidmap` and `newgidmap`. Mounts made afterwards are seen by this process and
/// its children only and end with them.
///
/// The process must have one thread only: call it first thing in `main`.
pub fn enter_user() -> Result<()> {
    let plan = idmap::Plan::for_this_process()?;
    enter(&plan)
}

/// A command that runs `program` as root of a new user and mount namespace, as [`enter_user`] would.
pub fn user_command(program: &str) -> Result<Command> {
    let plan = idmap::Plan::for_this_process()?;
    let mut command = Command::new(program);
    // SAFETY: the closure runs in the forked child, which has one thread. It allocates, which glibc allows after fork
    // from a process with threads, and takes no lock of this program.
    #[expect(unsafe_code, reason = "pre_exec")]
    unsafe {
        command.pre_exec(move || {
            enter(&plan).map_err(|error| {
                // Only an error number passes to the parent; the reason goes where the child's errors go.
                let _ = writeln!(io::stderr(), "{error}");
                io::Error::from(Errno::PERM)
            })
        });
    }
    Ok(command)
}

fn enter(plan: &idmap::Plan) -> Result<()> {
    let threads = fs::read_dir("/proc/self/task")
        .map_err(Error::path("list", "/proc/self/task"))?
        .count();
    if threads != 1 {
        return Err(Error::Threads(threads));
    }
    let mapper = Mapper::start(plan)?;
    // SAFETY: the process has one thread, and no descriptor table or file system state is unshared.
    #[expect(unsafe_code, reason = "unshare of a single-threaded process")]
    unsafe { unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNS) }.map_err(forbidden)?;
    mapper.finish()?;
    set_thread_groups(&[]).map_err(Error::call("drop supplementary groups"))?;
    set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)
        .map_err(Error::call("become group 0 of the namespace"))?;
    set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)
        .map_err(Error::call("become user 0 of the namespace"))?;
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .map_err(Error::path("make mounts private below", "/"))
}

fn forbidden(errno: Errno) -> Error {
    let source = io::Error::from(errno);
    let setting = |path: &str| {
        fs::read_to_string(path)
            .ok()
            .map(|value| value.trim().to_owned())
    };
    let sysctl = if setting("/proc/sys/kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        "kernel.unprivileged_userns_clone=1"
    } else if setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").as_deref()
        == Some("1")
    {
        "kernel.apparmor_restrict_unprivileged_userns=0"
    } else {
        "user.max_user_namespaces=10000"
    };
    Error::NamespacesForbidden { sysctl, source }
}

/// A child that stays in the outer namespace and writes the id maps once its parent is in the new one.
struct Mapper {
    child: Pid,
    go: rustix::fd::OwnedFd,
    report: rustix::fd::OwnedFd,
}

impl Mapper {
    fn start(plan: &idmap::Plan) -> Result<Self> {
        let parent = process::id();
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(Error::call("make a pipe"));
        let (wait, go) = pipe()?;
        let (report, failure) = pipe()?;
        if let Some(child) = crate::process::fork().map_err(Error::call("start the id mapper"))? {
            return Ok(Self { child, go, report });
        }
        drop(go);
        drop(report);
        let mut byte = [0; 1];
        // End of file means that the parent failed to unshare and has nothing to map.
        let ordered = fs::File::from(wait).read(&mut byte).unwrap_or(0) == 1;
        if ordered && let Err(error) = plan.apply(parent) {
            let _ = fs::File::from(failure).write_all(error.to_string().as_bytes());
        }
        crate::process::exit_now(0)
    }

    fn finish(self) -> Result<()> {
        fs::File::from(self.go)
            .write_all(b"1")
            .map_err(Error::call("start the id mapper"))?;
        let mut failure = String::new();
        fs::File::from(self.report)
            .read_to_string(&mut failure)
            .map_err(Error::call("hear from the id mapper"))?;
        waitpid(Some(self.child), WaitOptions::empty())
            .map_err(Error::call("wait for the id mapper"))?;
        if failure.is_empty() {
            Ok(())
        } else {
            Err(Error::MapIds(failure))
        }
    }
}
