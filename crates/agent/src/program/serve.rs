//! The daemon: the commands, asked for on a socket.

use std::env;
use std::fs;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use bedstone_agent::daemon::{self, Access, Limits, Operations};
use bedstone_agent::protocol::Request;
use bedstone_agent::{Error, Result};
use serde_json::{Value, json};

use super::Context;
use super::progress::{Event, Pace};
use super::show::{self, Reply};

/// Without a client before a daemon that systemd started ends: systemd starts it for the next one.
const IDLE: Duration = Duration::from_secs(60);

/// Serves a socket that systemd passed, or one at `path`, until the process is asked to end.
pub(super) fn serve(context: &Context, path: &Path) -> Result<Reply> {
    let passed = bedstone_sys::activation::listener(
        env::var_os("LISTEN_PID").as_deref(),
        env::var_os("LISTEN_FDS").as_deref(),
    )
    .map_err(socket_error("take over", path))?;
    let limits = Limits {
        idle: passed.as_ref().map(|_| IDLE),
        ..Limits::default()
    };
    let own = passed.is_none();
    let listener = match passed {
        Some(listener) => listener,
        None => bind(path)?,
    };
    let access = Access::of(&listener);
    let served = daemon::serve(&listener, context, access, &limits, &context.interrupt);
    if own {
        // The next daemon replaces what is left of it.
        let _ = fs::remove_file(path);
    }
    served.map(|()| Reply::Silent)
}

/// Makes a socket for root alone, in place of one that nobody serves any more.
fn bind(path: &Path) -> Result<UnixListener> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket());
    if is_socket {
        match UnixStream::connect(path) {
            Ok(_) => return Err(Error::Busy),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(socket_error("replace", path))?;
            }
            Err(error) => return Err(socket_error("replace", path)(error)),
        }
    }
    // Nobody else may connect before the mode is set.
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    let listener = bound.map_err(socket_error("make", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .map_err(socket_error("protect", path))?;
    Ok(listener)
}

fn socket_error(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Io {
        action,
        path,
        source,
    }
}

impl Operations for Context {
    fn status(&self) -> Value {
        match Context::status(self) {
            Ok(status) => json!({"version": 1, "result": "status", "status": status}),
            Err(error) => show::error_json(&error),
        }
    }

    fn change(
        &self,
        request: &Request,
        stream: &mut dyn Read,
        tell: &mut dyn FnMut(&Value),
    ) -> Value {
        let mut pace = Pace::default();
        let mut tell = |event: Event| {
            if pace.lets_through(&event) {
                tell(&event.json());
            }
        };
        let reply = match request {
            Request::Install(install) => self.install(install, || Box::new(stream), &mut tell),
            Request::Confirm {} => self.confirm(),
            Request::Rollback { reason } => self.rollback(reason),
            Request::Repair {} => self.repair(&mut tell),
            Request::Status {} | Request::Subscribe {} => Ok(Reply::Silent),
        };
        match reply {
            Ok(reply) => reply.json(),
            Err(error) => show::error_json(&error),
        }
    }
}
