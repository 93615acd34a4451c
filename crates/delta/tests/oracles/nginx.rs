//! A zchunk update from nginx, which sends many ranges as parts, and from nginx that was told not to.

use std::collections::BTreeSet;
use std::fs;
use std::io::Cursor;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use bedstone_delta::http::{self, Ranges};
use bedstone_delta::output::{Image, Prefix};
use bedstone_delta::zchunk::{Index, Options, Plan, apply, write};

use super::images::pair;

/// A server that ends with the test.
pub(crate) struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// Serves the files of `directory`; `directive` stands among its settings.
    pub(crate) fn start(directory: &Path, directive: &str) -> Self {
        // nginx's workers are another user.
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let place = directory.display();
        let configuration = format!(
            "daemon off; pid {place}/pid; error_log {place}/error.log;\n\
             events {{ worker_connections 64; }}\n\
             http {{ log_format connections '$connection'; access_log {place}/access.log; access_log {place}/connections.log connections; {directive}\n\
             client_body_temp_path {place}/t1; proxy_temp_path {place}/t2; fastcgi_temp_path {place}/t3; uwsgi_temp_path {place}/t4; scgi_temp_path {place}/t5;\n\
             server {{ listen 127.0.0.1:{port}; root {place}; }} }}\n"
        );
        fs::write(directory.join("nginx.conf"), configuration).unwrap();
        let child = Command::new("/usr/sbin/nginx")
            .arg("-c")
            .arg(directory.join("nginx.conf"))
            .args(["-e", "/dev/null"])
            .spawn()
            .expect("nginx starts: apt-get install nginx-light");
        let mut server = Self { child, port };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(server.child.try_wait().unwrap().is_none(), "nginx ended");
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "nginx does not answer"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// The address of a file.
    pub(crate) fn address(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM, so that it ends its workers.
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
    }
}

#[test]
fn an_update_fetches_what_is_missing_and_little_else() {
    let (old, new) = pair(30_000_000);
    let directory = tempfile::tempdir().unwrap();
    let mut file = Vec::new();
    let options = Options {
        level: 3,
        threads: 2,
    };
    let header = write(&mut &*new, options, &mut Cursor::new(Vec::new()), &mut file).unwrap();
    fs::write(directory.path().join("new.zck"), &file).unwrap();
    fs::set_permissions(
        directory.path().join("new.zck"),
        fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    let index = Index::of(&old, u64::MAX, header.checksum()).unwrap();
    let plan = Plan::new(&header, &index);
    let missing = plan.ranges(&header, 0);
    assert!((15..40).contains(&missing.len()), "{}", missing.len());
    for (directive, ranges_per_request, requests, exact) in [
        ("", 100, 1, true),
        ("", 5, missing.len().div_ceil(5), true),
        ("", 1, missing.len(), true),
        // Several ranges bring the whole file; single ones work.
        ("max_ranges 1;", 100, missing.len() + 1, true),
        ("max_ranges 0;", 100, 2, false),
    ] {
        let log = directory.path().join("access.log");
        let connections = directory.path().join("connections.log");
        for log in [&log, &connections] {
            let _ = fs::remove_file(log);
        }
        let server = Server::start(directory.path(), directive);
        let mut body = Ranges::new(
            ureq::Agent::config_builder().proxy(None).build().into(),
            server.address("new.zck"),
            missing.clone(),
            http::Options {
                ranges_per_request,
                attempts: 3,
            },
        );
        let mut made = Vec::new();
        apply(
            &header,
            &plan,
            &old,
            Some(&mut body),
            &Image::of(&new),
            Prefix::none(),
            &mut made,
        )
        .unwrap();
        assert!(made == new, "{directive}");
        assert_eq!(
            body.received() == plan.download(&header),
            exact,
            "{directive}"
        );
        drop((body, server));
        let log = fs::read_to_string(log).unwrap();
        assert_eq!(
            log.lines().count(),
            requests,
            "{directive} {ranges_per_request}\n{log}"
        );
        // One connection, and another one where a whole file was not wanted.
        let connections = fs::read_to_string(connections).unwrap();
        let distinct: BTreeSet<_> = connections.lines().collect();
        let dropped = usize::from(directive.starts_with("max_ranges"));
        assert_eq!(
            distinct.len(),
            1 + dropped,
            "{directive} {ranges_per_request}"
        );
    }
}
