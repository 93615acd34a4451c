use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};

use crate::protocol::{Install, Request, Source};

/// Every permission of those who are neither the owner nor in the group.
const OTHERS: u32 = 0o007;

/// Who may ask for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Whether everybody who can connect is of the socket's group, so that connecting says enough.
    group: bool,
}

/// What a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Root, or whoever runs the daemon.
    Owner,
    /// A member of the socket's group.
    Group,
}

impl Access {
    /// Takes members of the group where the socket's mode keeps all others away. Connecting needs write permission, which
    /// the kernel checks with every group of a process; `SO_PEERCRED` tells the first one only.
    pub fn of(listener: &UnixListener) -> Self {
        let mode = listener
            .local_addr()
            .ok()
            .and_then(|address| fs::metadata(address.as_pathname()?).ok())
            .map(|metadata| metadata.permissions().mode());
        Self {
            group: mode.is_some_and(|mode| mode & OTHERS == 0),
        }
    }

    /// What the other end of a connection is; `None`: nobody who may ask.
    pub(super) fn role(self, stream: &UnixStream) -> Option<Role> {
        let peer = rustix::net::sockopt::socket_peercred(stream).ok()?;
        self.role_of(peer.uid.as_raw(), rustix::process::geteuid().as_raw())
    }

    fn role_of(self, peer: u32, own: u32) -> Option<Role> {
        if peer == 0 || peer == own {
            return Some(Role::Owner);
        }
        self.group.then_some(Role::Group)
    }
}

impl Role {
    /// Whether it may ask for this. Files are opened by the daemon, which can read what the group cannot.
    pub(super) fn may(self, request: &Request) -> bool {
        let names_files = matches!(
            request,
            Request::Install(
                Install {
                    bundle: Source::File(_),
                    ..
                } | Install { key: Some(_), .. }
            )
        );
        self == Self::Owner || !names_files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_says_who_is_in_the_group() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        for (mode, group) in [(0o600, false), (0o660, false), (0o666, true)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let access = Access::of(&listener);
            assert_eq!(access.group, !group, "{mode:o}");
            assert_eq!(access.role_of(0, 7), Some(Role::Owner));
            assert_eq!(access.role_of(7, 7), Some(Role::Owner));
            assert_eq!(access.role_of(8, 7), (!group).then_some(Role::Group));
        }
    }

    #[test]
    fn the_group_names_no_files() {
        let file = Install::new(Source::File("/etc/shadow".into()));
        let keyed = Install {
            key: Some("/etc/shadow".into()),
            ..Install::new(Source::Stream)
        };
        for install in [file, keyed] {
            let request = Request::Install(install);
            assert!(Role::Owner.may(&request));
            assert!(!Role::Group.may(&request));
        }
        for request in [
            Request::Install(Install::new(Source::Stream)),
            Request::Confirm {},
        ] {
            assert!(Role::Group.may(&request));
        }
    }
}
