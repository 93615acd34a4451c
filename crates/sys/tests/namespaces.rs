//! Sandboxes and user namespaces as programs inside see them.
//!
//! Each test starts itself again through [`bedstone_sys::namespace::user_command`], as root of a new user namespace, because a process with
//! threads cannot enter one.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

#[path = "namespaces/inside.rs"]
mod inside;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bedstone_sys::namespace::{Access, IdMap, Limits, Output, Sandbox};
use bedstone_sys::{Error, mount};
use inside::inside;

static CALM: AtomicBool = AtomicBool::new(false);

/// A tree that borrows the host's programs.
fn tree(directory: &Path) -> Sandbox {
    for name in ["usr", "proc", "dev", "tmp", "run", "etc"] {
        fs::create_dir(directory.join(name)).unwrap();
    }
    for name in ["bin", "sbin", "lib", "lib64"] {
        symlink(format!("usr/{name}"), directory.join(name)).unwrap();
    }
    Sandbox::new(directory)
        .bind("/usr", "/usr", Access::ReadOnly)
        .environment("PATH", "/usr/sbin:/usr/bin")
}

fn shell(sandbox: &Sandbox, script: &str) -> Output {
    let limits = Limits {
        interrupt: &CALM,
        time: None,
    };
    sandbox.run("/bin/sh", &["-c", script], limits).unwrap()
}

#[test]
fn owners_can_be_changed() {
    inside("owners_can_be_changed", || {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, b"").unwrap();
        chown(&file, Some(106), Some(65_534)).unwrap();
        let metadata = fs::metadata(&file).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (106, 65_534));
        assert!(IdMap::current().unwrap().identity().starts_with("users 0 "));
    });
}

#[test]
fn a_program_sees_only_its_sandbox() {
    inside("a_program_sees_only_its_sandbox", || {
        let directory = tempfile::tempdir().unwrap();
        let sandbox = tree(directory.path()).environment("COLOUR", "blue");
        let script = "id -u; echo $$; hostname; umask; echo $COLOUR; ls / | tr '\\n' ' '; echo; ls /dev/ | tr '\\n' ' '; \
                      echo; echo x > /dev/null; wc -l < /proc/net/dev; echo oops >&2; ls /tmp /run/; exit 7";
        let output = shell(&sandbox, script);
        let log = String::from_utf8(output.log).unwrap();
        assert_eq!(output.status.code(), Some(7), "{log}");
        assert_eq!(
            log,
            "0\n2\nbedstone\n0022\nblue\nbin dev etc lib lib64 proc run sbin tmp usr \n\
             fd full null ptmx pts random shm stderr stdin stdout tty urandom zero \n3\noops\n/run/:\nlock\n\n/tmp:\n"
        );
        let writable = "test -w /proc/sys/kernel/core_pattern || test -w /proc/sysrq-trigger";
        assert_eq!(shell(&sandbox, writable).status.code(), Some(1));
        let refused = shell(&sandbox, "echo x > /usr/bin/x");
        assert!(String::from_utf8_lossy(&refused.log).contains("Read-only"));
    });
}

#[test]
fn what_a_program_started_ends_with_it() {
    inside("what_a_program_started_ends_with_it", || {
        let directory = tempfile::tempdir().unwrap();
        let sandbox = tree(directory.path());
        let begun = Instant::now();
        let output = shell(&sandbox, "sleep 100 & (setsid sleep 100 &) ; echo done");
        assert_eq!(output.log, b"done\n");
        assert!(begun.elapsed() < Duration::from_secs(20));
    });
}

#[test]
fn interrupt_and_time_limit_end_a_program() {
    inside("interrupt_and_time_limit_end_a_program", || {
        let directory = tempfile::tempdir().unwrap();
        let sandbox = tree(directory.path());
        let time = Some(Duration::from_millis(200));
        let limits = Limits {
            interrupt: &CALM,
            time,
        };
        let arguments = ["-c", "trap '' TERM INT; echo begun; sleep 100"];
        let output = sandbox.run("/bin/sh", &arguments, limits).unwrap();
        assert!(output.timed_out);
        assert_eq!(output.log, b"begun\n");
        let raised = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(200));
                raised.store(true, Ordering::Relaxed);
            });
            let limits = Limits {
                interrupt: &raised,
                time: None,
            };
            let error = sandbox.run("/bin/sh", &arguments, limits).unwrap_err();
            assert!(matches!(error, Error::Interrupted), "{error}");
        });
    });
}

#[test]
fn failures_name_the_step() {
    inside("failures_name_the_step", || {
        let directory = tempfile::tempdir().unwrap();
        let sandbox = tree(directory.path());
        let limits = Limits {
            interrupt: &CALM,
            time: None,
        };
        let error = sandbox.run("/bin/missing", &[], limits).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot set up the sandbox: exec the program"
        );
        let error = sandbox
            .bind("/missing", "/run/x", Access::ReadOnly)
            .run("/bin/true", &[], limits)
            .unwrap_err();
        assert!(error.to_string().contains("bind `/missing`"), "{error}");
    });
}

#[test]
fn overlays_catch_changes() {
    inside("overlays_catch_changes", || {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path();
        for name in ["low", "high", "changes", "work", "view"] {
            fs::create_dir(base.join(name)).unwrap();
        }
        fs::write(base.join("low/a"), "low").unwrap();
        fs::write(base.join("low/b"), "low").unwrap();
        fs::write(base.join("high/b"), "high").unwrap();
        fs::set_permissions(base.join("low/a"), fs::Permissions::from_mode(0o640)).unwrap();
        let lowers = [base.join("high"), base.join("low")];
        let upper = mount::Upper {
            changes: base.join("changes"),
            work: base.join("work"),
        };
        let view = mount::overlay(&base.join("view"), base, &lowers, Some(&upper)).unwrap();
        assert_eq!(fs::read(view.path().join("b")).unwrap(), b"high");
        fs::write(view.path().join("a"), "new").unwrap();
        assert_eq!(fs::read(base.join("low/a")).unwrap(), b"low");
        assert_eq!(fs::read(base.join("changes/a")).unwrap(), b"new");
        drop(view);
        let view = mount::overlay(&base.join("view"), base, &lowers, None).unwrap();
        assert_eq!(fs::read(view.path().join("a")).unwrap(), b"low");
        assert!(fs::write(view.path().join("a"), "new").is_err());
    });
}
