//! Sockets that a service manager opened for us (sd_listen_fds(3)).

use std::ffi::OsStr;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::net::SocketType;

/// The first descriptor that is passed.
const FIRST: i32 = 3;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The listening socket that was passed, if there is one, from the values of `LISTEN_PID` and `LISTEN_FDS`.
///
/// `None` as well when they are another process's, and from the second call on. Fails when more than one descriptor was
/// passed, or one that is no listening stream socket of the Unix family.
pub fn listener(pid: Option<&OsStr>, count: Option<&OsStr>) -> io::Result<Option<UnixListener>> {
    let number = |value: Option<&OsStr>| value?.to_str()?.parse::<u32>().ok();
    if number(pid) != Some(std::process::id()) {
        return Ok(None);
    }
    match number(count) {
        None | Some(0) => return Ok(None),
        Some(1) => {}
        Some(count) => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{count} sockets were passed, not one"),
            ));
        }
    }
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(None);
    }
    // SAFETY: the service manager passed the descriptor to this very process, which takes it this once; should it be closed
    // all the same, the first call below fails and nothing is dropped that others own.
    let descriptor = unsafe { rustix::fd::BorrowedFd::borrow_raw(FIRST) };
    let flags = fcntl_getfd(descriptor)?;
    fcntl_setfd(descriptor, flags | FdFlags::CLOEXEC)?;
    let is_listener = rustix::net::sockopt::socket_type(descriptor)? == SocketType::STREAM
        && rustix::net::sockopt::socket_acceptconn(descriptor)?
        && rustix::net::sockopt::socket_domain(descriptor)? == rustix::net::AddressFamily::UNIX;
    if !is_listener {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "what was passed is no listening Unix stream socket",
        ));
    }
    // SAFETY: it is open, as was just seen, and was handed over.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(FIRST) }.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_only_what_was_meant_for_it() {
        let own = std::process::id().to_string();
        let own = Some(OsStr::new(&own));
        for (pid, count) in [
            (None, None),
            (None, Some("1")),
            (Some(OsStr::new("1")), Some("1")),
            (own, None),
            (own, Some("0")),
            (own, Some("x")),
        ] {
            assert!(listener(pid, count.map(OsStr::new)).unwrap().is_none());
        }
        assert!(listener(own, Some(OsStr::new("2"))).is_err());
    }
}
