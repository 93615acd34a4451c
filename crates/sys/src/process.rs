//! Forking, and waiting for children while watching an interrupt flag.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::process::Pid;

use crate::error::{Error, Result};

/// How often the interrupt flag is looked at while a child is silent.
const GLANCE: Duration = Duration::from_millis(50);

/// Bytes kept of one program's output.
const LOG_LIMIT: usize = 64 << 20;

/// Forks: the child's pid in the parent, `None` in the child.
///
/// The child must soon end or exec. It may allocate (glibc makes its allocator usable after fork), but must take no lock
/// that another thread of the parent may have held.
pub(crate) fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: fork has no preconditions; what the child may do is the caller's to observe.
    #[expect(unsafe_code, reason = "fork")]
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Pid::from_raw(pid))
}

/// Ends the process at once: no destructors, no buffers flushed, as a forked child must.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit has no preconditions.
    #[expect(unsafe_code, reason = "_exit")]
    unsafe {
        libc::_exit(status)
    }
}

/// Closes every descriptor from `first` up, in a forked child that goes on without exec.
pub(crate) fn close_from(first: u32) {
    // SAFETY: the caller is a forked child that uses none of these descriptors any more.
    #[expect(unsafe_code, reason = "close_range has no safe wrapper")]
    unsafe {
        libc::syscall(libc::SYS_close_range, first, u32::MAX, 0);
    }
}

/// Reads `fd` to its end into `log`, looking at `interrupt` and the deadline in between.
pub(crate) fn drain(
    fd: BorrowedFd<'_>,
    log: &mut Vec<u8>,
    interrupt: &AtomicBool,
    deadline: Option<Instant>,
) -> Result<Drained> {
    let mut buffer = [0; 1 << 14];
    loop {
        if interrupt.load(Ordering::Relaxed) {
            return Ok(Drained::Interrupted);
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(Drained::Late);
        }
        let mut ready = [PollFd::new(&fd, PollFlags::IN)];
        let timeout = Timespec::try_from(GLANCE).ok();
        match poll(&mut ready, timeout.as_ref()) {
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(errno) => return Err(Error::call("wait for a program's output")(errno)),
        }
        match rustix::io::read(fd, &mut buffer) {
            Ok(0) => return Ok(Drained::End),
            Ok(length) => {
                // A program gone wild is read on, so that it does not block, but not kept.
                let room = LOG_LIMIT.saturating_sub(log.len());
                log.extend_from_slice(&buffer[..length.min(room)]);
            }
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(errno) => return Err(Error::call("read a program's output")(errno)),
        }
    }
}

/// Why [`drain`] returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drained {
    /// All writers closed their end.
    End,
    /// The interrupt flag was raised.
    Interrupted,
    /// The deadline passed.
    Late,
}
