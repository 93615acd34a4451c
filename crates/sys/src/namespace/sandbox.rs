use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive,
    mount_change, unmount,
};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions, pivot_root, setsid, waitpid};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::error::{Error, Result};
use crate::process::{Drained, close_from, drain, exit_now, fork};

/// What in `/proc` is the kernel's and not a process's.
const KERNEL_SETTINGS: [&str; 5] = ["sys", "sysrq-trigger", "irq", "bus", "fs"];

/// Host name of every sandbox.
const HOST_NAME: &str = "bedstone";
/// The devices that programs may expect everywhere; bound from the host.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// How long processes that were killed may take to end.
const DYING: Duration = Duration::from_secs(20);

/// Whether a bound directory may be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading only.
    ReadOnly,
    /// Reading and writing.
    Writable,
}

/// What ends a program early.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'a> {
    /// Raised by the caller's signal handler.
    pub interrupt: &'a AtomicBool,
    /// Longest run time; none when absent.
    pub time: Option<Duration>,
}

/// How a program ended and what it said.
#[derive(Debug)]
pub struct Output {
    /// Exit status; a program killed by signal N shows as exit code 128 + N.
    pub status: ExitStatus,
    /// The first 64 MiB of standard output and standard error in the order written.
    pub log: Vec<u8>,
    /// Whether the time limit ended it.
    pub timed_out: bool,
}

/// A tree to run programs in, as root of the caller's user namespace.
///
/// Each run has its own mount, pid, IPC, network and UTS namespace: `/proc` is its own, `/dev` minimal, `/tmp` and `/run`
/// empty and forgotten afterwards, no network but a loopback that is down, no terminal, host name `bedstone`, umask 022,
/// environment only what [`Sandbox::environment`] gave. When the program ends, or this process dies in any way, the
/// kernel ends all that it started.
///
/// The caller must be root of a user and mount namespace ([`enter_user`](super::enter_user)).
#[derive(Debug, Clone)]
pub struct Sandbox {
    root: PathBuf,
    binds: Vec<Bind>,
    environment: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
struct Bind {
    source: PathBuf,
    target: PathBuf,
    access: Access,
}

impl Sandbox {
    /// A sandbox whose `/` is `root`. The tree needs the directories `proc`, `dev`, `tmp` and `run`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            binds: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Shows the host's `source` at `target` (absolute, inside). A target below `/run` or `/tmp` is made, others must
    /// exist in the tree.
    #[must_use]
    pub fn bind(
        mut self,
        source: impl Into<PathBuf>,
        target: impl Into<PathBuf>,
        access: Access,
    ) -> Self {
        self.binds.push(Bind {
            source: source.into(),
            target: target.into(),
            access,
        });
        self
    }

    /// Sets a variable for the program.
    #[must_use]
    pub fn environment(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Runs `program` (absolute path inside) to its end.
    pub fn run(&self, program: &str, arguments: &[&str], limits: Limits<'_>) -> Result<Output> {
        self.run_with_input(program, arguments, &[], limits)
    }

    /// Runs `program` with `input` on its standard input.
    pub fn run_with_input(
        &self,
        program: &str,
        arguments: &[&str],
        input: &[u8],
        limits: Limits<'_>,
    ) -> Result<Output> {
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(Error::call("make a pipe"));
        let (log_out, log_in) = pipe()?;
        let (steps_out, steps_in) = pipe()?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(input_file(input)?)
            .stdout(log_in.try_clone().map_err(Error::call("make a pipe"))?)
            .stderr(log_in);
        let setup = Setup {
            sandbox: self.clone(),
            steps: steps_in,
        };
        // SAFETY: the closure runs in the forked child, which has one thread. It allocates, which glibc allows after
        // fork from a process with threads, and takes no lock of this program.
        #[expect(unsafe_code, reason = "pre_exec")]
        unsafe {
            command.pre_exec(move || setup.enter());
        }
        let deadline = limits.time.map(|time| Instant::now() + time);
        let spawned = command.spawn();
        // The closure in the command holds the write ends: end of file needs it gone.
        drop(command);
        let mut child = spawned.map_err(|source| failed_step(steps_out, source))?;
        let mut log = Vec::new();
        let drained = drain(log_out.as_fd(), &mut log, limits.interrupt, deadline);
        if !matches!(drained, Ok(Drained::End)) {
            // The child's own child is the init of the pid namespace and dies with it, and all else with that.
            child.kill().map_err(Error::call("stop the sandbox"))?;
            // Until the last of them has closed the log, something may still write to what is bound.
            let never = AtomicBool::new(false);
            drain(
                log_out.as_fd(),
                &mut log,
                &never,
                Some(Instant::now() + DYING),
            )?;
        }
        let status = child.wait().map_err(Error::call("wait for the sandbox"))?;
        match drained? {
            Drained::Interrupted => Err(Error::Interrupted),
            Drained::Late => Ok(Output {
                status,
                log,
                timed_out: true,
            }),
            Drained::End => Ok(Output {
                status,
                log,
                timed_out: false,
            }),
        }
    }
}

/// `input` as something a child can read from its start without a writer that must be kept going.
fn input_file(input: &[u8]) -> Result<Stdio> {
    if input.is_empty() {
        return Ok(Stdio::null());
    }
    let fd = rustix::fs::memfd_create("input", rustix::fs::MemfdFlags::CLOEXEC)
        .map_err(Error::call("make a memory file"))?;
    let mut file = File::from(fd);
    file.write_all(input)
        .and_then(|()| io::Seek::rewind(&mut file))
        .map_err(Error::call("fill a memory file"))?;
    Ok(file.into())
}

/// The last step that the child announced before it failed.
fn failed_step(steps: OwnedFd, source: io::Error) -> Error {
    let mut text = String::new();
    // A child that failed before it could say anything leaves the program itself as the reason.
    let _ = File::from(steps).read_to_string(&mut text);
    Error::Sandbox {
        step: text
            .lines()
            .last()
            .unwrap_or("start the program")
            .to_owned(),
        source,
    }
}

/// What happens between fork and exec.
struct Setup {
    sandbox: Sandbox,
    steps: OwnedFd,
}

impl Setup {
    /// Returns in the process that shall exec; the two above it stay here until that one has ended.
    fn enter(&self) -> io::Result<()> {
        self.step("start a session")?;
        setsid()?;
        die_with_parent()?;
        self.step("unshare mount, pid, IPC, UTS and network namespaces")?;
        // SAFETY: this process was just forked and has one thread.
        #[expect(unsafe_code, reason = "unshare of a single-threaded process")]
        unsafe {
            unshare_unsafe(
                UnshareFlags::NEWNS
                    | UnshareFlags::NEWPID
                    | UnshareFlags::NEWIPC
                    | UnshareFlags::NEWUTS
                    | UnshareFlags::NEWNET,
            )
        }?;
        self.step("fork the namespace's init")?;
        if let Some(init) = fork()? {
            close_from(0);
            exit_now(wait_for(init));
        }
        die_with_parent()?;
        self.mounts()?;
        self.step("set the host name")?;
        rustix::system::sethostname(HOST_NAME.as_bytes())?;
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        self.step("fork the program")?;
        if let Some(program) = fork()? {
            close_from(0);
            exit_now(wait_for(program));
        }
        self.step("exec the program")
    }

    /// Announces what is tried next: the last line is what failed.
    fn step(&self, text: &str) -> io::Result<()> {
        let mut line = text.to_owned();
        line.push('\n');
        rustix::io::write(&self.steps, line.as_bytes())?;
        Ok(())
    }

    fn mounts(&self) -> io::Result<()> {
        let root = &self.sandbox.root;
        self.step("make mounts private")?;
        mount_change(
            "/",
            MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
        )?;
        self.step("bind the tree to itself")?;
        mount_bind_recursive(root, root)?;
        self.step("mount /proc")?;
        let quiet = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount("proc", root.join("proc"), "proc", quiet, None)?;
        // Root of a namespace in which numbers are the host's may write to all of it, such as kernel.core_pattern.
        self.step("make the kernel's settings in /proc read-only")?;
        for name in KERNEL_SETTINGS {
            let path = root.join("proc").join(name);
            if path.exists() {
                mount_bind(&path, &path)?;
                read_only(&path)?;
            }
        }
        self.step("mount /tmp and /run")?;
        memory(&root.join("tmp"), c"mode=1777")?;
        memory(&root.join("run"), c"mode=0755")?;
        make_directory(&root.join("run/lock"), 0o1777)?;
        self.devices(&root.join("dev"))?;
        for bind in &self.sandbox.binds {
            self.step(&format!(
                "bind `{}` to `{}`",
                bind.source.display(),
                bind.target.display()
            ))?;
            bind.apply(root)?;
        }
        self.step("change the root directory")?;
        rustix::process::chdir(root)?;
        pivot_root(".", ".")?;
        unmount(".", UnmountFlags::DETACH)?;
        rustix::process::chdir("/")?;
        Ok(())
    }

    fn devices(&self, dev: &Path) -> io::Result<()> {
        self.step("mount /dev")?;
        memory(dev, c"mode=0755")?;
        for name in DEVICES {
            self.step(&format!("bind /dev/{name}"))?;
            let target = dev.join(name);
            File::create(&target)?;
            mount_bind(Path::new("/dev").join(name), &target)?;
        }
        self.step("mount /dev/pts and /dev/shm")?;
        make_directory(&dev.join("pts"), 0o755)?;
        mount(
            "devpts",
            dev.join("pts"),
            "devpts",
            MountFlags::NOSUID | MountFlags::NOEXEC,
            Some(c"newinstance,ptmxmode=0666,mode=0620"),
        )?;
        symlink("pts/ptmx", dev.join("ptmx"))?;
        make_directory(&dev.join("shm"), 0o1777)?;
        memory(&dev.join("shm"), c"mode=1777")?;
        symlink("/proc/self/fd", dev.join("fd"))?;
        for (number, name) in ["stdin", "stdout", "stderr"].iter().enumerate() {
            symlink(format!("/proc/self/fd/{number}"), dev.join(name))?;
        }
        Ok(())
    }
}

impl Bind {
    fn apply(&self, root: &Path) -> io::Result<()> {
        let inside = self.target.strip_prefix("/").unwrap_or(&self.target);
        let target = root.join(inside);
        if inside.starts_with("run") || inside.starts_with("tmp") {
            if self.source.is_dir() {
                fs::create_dir_all(&target)?;
            } else {
                if let Some(parent) = target.parent() {
                    fs::create_dir_all(parent)?;
                }
                OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(false)
                    .mode(0o644)
                    .open(&target)?;
            }
        }
        mount_bind_recursive(&self.source, &target)?;
        if self.access == Access::ReadOnly {
            read_only(&target)?;
        }
        Ok(())
    }
}

fn memory(target: &Path, options: &std::ffi::CStr) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    Ok(mount("tmpfs", target, "tmpfs", flags, Some(options))?)
}

fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    fs::create_dir(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Makes a mount and those below it read-only, leaving their other flags, which a user namespace may not clear.
fn read_only(target: &Path) -> io::Result<()> {
    let directory = rustix::fs::open(
        target,
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    // SAFETY: mount_attr is plain data, and the kernel only reads the size given with it.
    #[expect(unsafe_code, reason = "mount_setattr has no safe wrapper")]
    let result = unsafe {
        let mut attributes: libc::mount_attr = std::mem::zeroed();
        attributes.attr_set = libc::MOUNT_ATTR_RDONLY;
        libc::syscall(
            libc::SYS_mount_setattr,
            directory.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Asks the kernel to kill this process when its parent ends.
fn die_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(
        Signal::KILL,
    ))?)
}

/// Reaps children until `child` has ended; returns its exit code, or 128 and its signal.
fn wait_for(child: Pid) -> i32 {
    loop {
        match waitpid(None, WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == child => {
                let status = ExitStatus::from_raw(status.as_raw());
                return status
                    .code()
                    .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return 255,
        }
    }
}
