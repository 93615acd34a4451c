//! Child processes that never outlive us, waited for with a deadline.
//!
//! A [`BoundChild`] leads its own process group (a terminal's Ctrl-C does not reach it), is killed by the kernel when
//! this process dies in whatever way (`PR_SET_PDEATHSIG`), and is killed and reaped when dropped.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, getppid, kill_process_group, pidfd_open,
    set_parent_process_death_signal,
};

/// How long a drop waits for a killed process; one that hangs in the kernel is left to init.
const REAP: Duration = Duration::from_secs(5);

/// A running child process that ends at the latest when this value or this process does.
pub struct BoundChild {
    child: Child,
    pidfd: OwnedFd,
    status: Option<ExitStatus>,
}

impl BoundChild {
    /// Starts `command` with the descriptors of `inherit` open under the numbers they have here.
    ///
    /// The numbers are known before the start ([`AsRawFd`]), so that they can be named in the arguments.
    ///
    /// # Errors
    /// The program cannot be started, or the kernel knows no pidfd (Linux older than 5.3).
    pub fn spawn(command: Command, inherit: Vec<OwnedFd>) -> io::Result<Self> {
        let (reply, answer) = channel();
        spawner()?
            .send(Request {
                command,
                inherit,
                reply,
            })
            .map_err(|_| io::Error::other("the thread that starts processes ended"))?;
        answer
            .recv()
            .map_err(|_| io::Error::other("the thread that starts processes ended"))?
    }

    /// The process id, also the id of its process group.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits at most `limit` for the end; `None` when the process still runs.
    pub fn wait_for(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        if self.status.is_some() {
            return Ok(self.status);
        }
        let deadline = Instant::now().checked_add(limit);
        loop {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let timeout = left.map(|left| Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            });
            let mut descriptors = [PollFd::from_borrowed_fd(self.pidfd.as_fd(), PollFlags::IN)];
            match poll(&mut descriptors, timeout.as_ref()) {
                Ok(0) => return Ok(None),
                Ok(_) => {
                    self.status = Some(self.child.wait()?);
                    return Ok(self.status);
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Asks the process group to end (SIGTERM). Nothing happens when it ended already.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Kills the process group (SIGKILL). Nothing happens when it ended already.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        // Until it is reaped nobody else can have its number.
        if self.status.is_none()
            && let Ok(raw) = i32::try_from(self.child.id())
            && let Some(pid) = Pid::from_raw(raw)
        {
            let _ = kill_process_group(pid, signal);
        }
    }
}

impl Drop for BoundChild {
    fn drop(&mut self) {
        self.kill();
        let _ = self.wait_for(REAP);
    }
}

impl fmt::Debug for BoundChild {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BoundChild({})", self.child.id())
    }
}

struct Request {
    command: Command,
    inherit: Vec<OwnedFd>,
    reply: Sender<io::Result<BoundChild>>,
}

/// The thread that forks. `PR_SET_PDEATHSIG` fires at the end of the *thread* that forked, so that this one lives as
/// long as the process does.
fn spawner() -> io::Result<&'static Sender<Request>> {
    static SPAWNER: OnceLock<Option<Sender<Request>>> = OnceLock::new();
    SPAWNER
        .get_or_init(|| {
            let (sender, requests) = channel::<Request>();
            thread::Builder::new()
                .name("spawner".into())
                .spawn(move || {
                    for request in requests {
                        let _ = request.reply.send(start(request.command, &request.inherit));
                    }
                })
                .ok()
                .map(|_| sender)
        })
        .as_ref()
        .ok_or_else(|| io::Error::other("cannot start the thread that starts processes"))
}

fn start(mut command: Command, inherit: &[OwnedFd]) -> io::Result<BoundChild> {
    let parent = getpid();
    let numbers: Vec<_> = inherit.iter().map(AsRawFd::as_raw_fd).collect();
    command.process_group(0);
    // SAFETY: between fork and exec the closure makes only system calls, allocates nothing, and the descriptors are
    // open in the child because `inherit` outlives `spawn`.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            if getppid() != Some(parent) {
                return Err(Errno::SRCH.into());
            }
            for number in &numbers {
                fcntl_setfd(
                    std::os::fd::BorrowedFd::borrow_raw(*number),
                    FdFlags::empty(),
                )?;
            }
            Ok(())
        });
    }
    let mut child = command.spawn()?;
    let pidfd = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or(Errno::SRCH)
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
    match pidfd {
        Ok(pidfd) => Ok(BoundChild {
            child,
            pidfd,
            status: None,
        }),
        Err(errno) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(errno.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::process::Stdio;

    fn sleep() -> Command {
        let mut command = Command::new("sleep");
        command.arg("300");
        command
    }

    fn runs(pid: u32) -> bool {
        fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").starts_with(" Z"))
    }

    #[test]
    fn waits_with_a_deadline_and_kills_on_drop() {
        let mut child = BoundChild::spawn(sleep(), Vec::new()).unwrap();
        let begun = Instant::now();
        assert!(child.wait_for(Duration::from_millis(50)).unwrap().is_none());
        assert!(begun.elapsed() >= Duration::from_millis(50));
        let pid = child.id();
        assert!(runs(pid));
        drop(child);
        assert!(!runs(pid));
    }

    #[test]
    fn outlives_the_thread_that_asked_for_it() {
        let mut child = thread::spawn(|| BoundChild::spawn(sleep(), Vec::new()).unwrap())
            .join()
            .unwrap();
        assert!(
            child
                .wait_for(Duration::from_millis(100))
                .unwrap()
                .is_none()
        );
        child.terminate();
        assert!(child.wait_for(Duration::from_secs(5)).unwrap().is_some());
    }

    #[test]
    fn passes_descriptors_on() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let theirs = OwnedFd::from(theirs);
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(format!("cat <&{0} >&{0}", theirs.as_raw_fd()))
            .stdin(Stdio::null());
        let mut child = BoundChild::spawn(command, vec![theirs]).unwrap();
        ours.write_all(b"there and back").unwrap();
        let mut back = [0; 14];
        ours.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"there and back");
        ours.shutdown(std::net::Shutdown::Both).unwrap();
        assert!(
            child
                .wait_for(Duration::from_secs(5))
                .unwrap()
                .unwrap()
                .success()
        );
    }

    #[test]
    fn dies_with_a_killed_parent() {
        // The test binary runs itself, so that a whole process can be killed without warning.
        const MARK: &str = "BEDSTONE_SYS_PARENT";
        if std::env::var_os(MARK).is_some() {
            let child = BoundChild::spawn(sleep(), Vec::new()).unwrap();
            fs::write(std::env::var_os(MARK).unwrap(), child.id().to_string()).unwrap();
            thread::sleep(Duration::from_secs(60));
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        let mut parent = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "pidfd::tests::dies_with_a_killed_parent"])
            .env(MARK, &file)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pid = (0..500)
            .find_map(|_| {
                thread::sleep(Duration::from_millis(20));
                fs::read_to_string(&file).ok()?.parse().ok()
            })
            .expect("the parent wrote its child's id");
        assert!(runs(pid));
        parent.kill().unwrap();
        parent.wait().unwrap();
        let gone = (0..250).any(|_| {
            thread::sleep(Duration::from_millis(20));
            !runs(pid)
        });
        assert!(gone);
    }
}
