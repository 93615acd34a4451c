//! The kernel's device events (`NETLINK_KOBJECT_UEVENT`, group 1).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};

/// The group that the kernel itself sends to; udev sends its own messages to group 2.
const KERNEL_GROUP: u32 = 1;
/// The kernel's own limit is 2 KiB of variables and the header line (`UEVENT_BUFFER_SIZE`).
const BUFFER: usize = 8 * 1024;

/// One event: what happened to which device, with the kernel's variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uevent {
    /// `add`, `remove`, `change`, …
    pub action: String,
    /// The path below `/sys`.
    pub device: String,
    variables: Vec<(String, String)>,
}

impl Uevent {
    /// Reads a message: a line `ACTION@DEVPATH`, then `KEY=VALUE`, each ended by NUL. Bytes that are not UTF-8 are
    /// replaced; returns nothing for a message without that first line (udev's begin with `libudev`).
    pub fn parse(message: &[u8]) -> Option<Self> {
        let mut parts = message.split(|&byte| byte == 0);
        let first = String::from_utf8_lossy(parts.next()?);
        let (action, device) = first.split_once('@')?;
        let variables = parts
            .filter_map(|part| {
                let text = String::from_utf8_lossy(part);
                let (key, value) = text.split_once('=')?;
                Some((key.to_owned(), value.to_owned()))
            })
            .collect();
        Some(Self {
            action: action.to_owned(),
            device: device.to_owned(),
            variables,
        })
    }

    /// The value of a variable such as `SUBSYSTEM`, `DEVNAME` or `DM_VERITY_ERR_BLOCK_NR`.
    pub fn get(&self, key: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str())
    }
}

/// A socket that receives every event from its opening on.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// Opens the socket; it does not block: wait with [`rustix::event::poll`].
    pub fn open() -> io::Result<Self> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            Some(netlink::KOBJECT_UEVENT),
        )?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP))?;
        Ok(Self(socket))
    }

    /// The next event, or nothing when none waits. `ENOBUFS` says that events were lost.
    pub fn receive(&self) -> io::Result<Option<Uevent>> {
        let mut buffer = [0_u8; BUFFER];
        loop {
            match rustix::net::recv(&self.0, &mut buffer[..], RecvFlags::empty()) {
                Ok((length, _)) => {
                    if let Some(event) = Uevent::parse(&buffer[..length.min(BUFFER)]) {
                        return Ok(Some(event));
                    }
                }
                Err(rustix::io::Errno::AGAIN) => return Ok(None),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_the_kernels_message() {
        let message = b"change@/devices/virtual/block/dm-0\0ACTION=change\0SUBSYSTEM=block\0\
            DM_VERITY_ERR_BLOCK_NR=0,1234\0DEVNAME=dm-0\0";
        let event = Uevent::parse(message).unwrap();
        assert_eq!(event.action, "change");
        assert_eq!(event.device, "/devices/virtual/block/dm-0");
        assert_eq!(event.get("DM_VERITY_ERR_BLOCK_NR"), Some("0,1234"));
        assert_eq!(event.get("PARTN"), None);
        assert_eq!(Uevent::parse(b"libudev\0\xfe\xed\xca\xfe"), None);
    }

    proptest! {
        #[test]
        fn never_panics(message: Vec<u8>) {
            let _ = Uevent::parse(&message);
        }
    }
}
