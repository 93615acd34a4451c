//! What PID 1 asks of the whole machine: kernel modules, restart, memory that stays, real-time priority.

use std::ffi::{CString, c_int};
use std::io;
use std::os::fd::AsFd;

use rustix::mm::MlockAllFlags;
use rustix::system::RebootCommand;

/// Loads the kernel module in `file` with `parameters` (`name=value`, separated by blanks).
///
/// A module that is already there counts as loaded.
pub fn load_module(file: impl AsFd, parameters: &str) -> io::Result<()> {
    let parameters = CString::new(parameters).map_err(|_| io::ErrorKind::InvalidInput)?;
    match rustix::system::finit_module(file, &parameters, 0) {
        Err(error) if error != rustix::io::Errno::EXIST => Err(error.into()),
        _ => Ok(()),
    }
}

/// Restarts the machine at once, without stopping anything; returns only when the kernel refuses.
pub fn restart() -> io::Result<()> {
    rustix::system::reboot(RebootCommand::Restart).map_err(Into::into)
}

/// Keeps every page of this process in memory, now and later.
pub fn lock_memory() -> io::Result<()> {
    rustix::mm::mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE).map_err(Into::into)
}

/// Lets this process run before every ordinary one (`SCHED_FIFO`, lowest real-time priority).
pub fn become_real_time() -> io::Result<()> {
    #[repr(C)]
    struct SchedParam {
        priority: c_int,
    }
    unsafe extern "C" {
        fn sched_setscheduler(pid: c_int, policy: c_int, param: *const SchedParam) -> c_int;
    }
    const SCHED_FIFO: c_int = 1;
    let param = SchedParam { priority: 1 };
    // SAFETY: the C library's declaration on Linux; `param` lives through the call, which only reads it.
    if unsafe { sched_setscheduler(0, SCHED_FIFO, &raw const param) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_no_module() {
        let file = tempfile::tempfile().unwrap();
        assert!(load_module(&file, "").is_err());
        assert!(load_module(&file, "a\0b").is_err());
    }
}
