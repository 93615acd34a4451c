//! Release files and indexes of signed repositories.

use std::io::Write;

use super::*;
use crate::gpg::{Gpg, MADE, SIGNED};
use crate::keyring::SignatureDefect;
use crate::release::{Defect, ValidUntil};
use crate::sources::{SignedBy, Source};

const PACKAGES: &str = "Package: a\nVersion: 1\nArchitecture: amd64\n";

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A signed repository on the server of a bench.
struct Repository {
    bench: Bench,
    gpg: Gpg,
    source: Source,
}

impl Repository {
    fn new() -> Self {
        let bench = Bench::new();
        let gpg = Gpg::new();
        gpg.key(MADE, "a", &["ed25519", "sign", "never"]);
        let armour = gpg.run(SIGNED, &["--armor", "--export", "a"], b"");
        let source = Source {
            name: "main".to_owned(),
            uris: vec![bench.server.uri.clone()],
            suite: "stable".to_owned(),
            components: vec!["main".to_owned()],
            architectures: vec!["amd64".to_owned()],
            signed_by: SignedBy {
                inline: vec![String::from_utf8(armour).unwrap()],
                ..SignedBy::default()
            },
            ..Source::default()
        };
        let repository = Self { bench, gpg, source };
        repository.publish("01 Feb", PACKAGES);
        repository
    }

    fn text(date: &str, packages: &str) -> String {
        let listed =
            |path: &str, bytes: &[u8]| format!(" {} {} {path}\n", Digest::of(bytes), bytes.len());
        let plain = packages.as_bytes();
        format!(
            "Suite: stable\nDate: {date} 2026 00:00:00 UTC\nValid-Until: 08 Mar 2026 00:00:00 UTC\n\
             Acquire-By-Hash: yes\nArchitectures: amd64\nComponents: main\nSHA256:\n{}{}",
            listed("main/binary-amd64/Packages", plain),
            listed("main/binary-amd64/Packages.xz", &xz(plain)),
        )
    }

    /// Puts an index, and a Release file of that date that lists it, on the server.
    fn publish(&self, date: &str, packages: &str) {
        let server = &self.bench.server;
        let text = Self::text(date, packages);
        server.put(
            "/dists/stable/InRelease",
            self.gpg.clearsign(SIGNED, "a", &[], &text),
        );
        server.put(&by_hash(packages), xz(packages.as_bytes()));
        server.put(
            "/dists/stable/main/binary-amd64/Packages.xz",
            xz(packages.as_bytes()),
        );
    }

    fn update(&self) -> Result<Vec<FetchedIndex>> {
        self.bench
            .fetcher()
            .update(std::slice::from_ref(&self.source))
    }

    fn read(&self) -> String {
        let indexes = self.update().unwrap();
        assert_eq!(indexes.len(), 1);
        String::from_utf8(indexes[0].read(&self.bench.store).unwrap()).unwrap()
    }
}

fn by_hash(packages: &str) -> String {
    let digest = Digest::of(&xz(packages.as_bytes()));
    format!("/dists/stable/main/binary-amd64/by-hash/SHA256/{digest}")
}

#[test]
fn fetches_by_hash_and_asks_whether_it_changed() {
    let mut repository = Repository::new();
    let server = repository.bench.server.clone();
    let indexes = repository.update().unwrap();
    let index = &indexes[0];
    assert_eq!(
        index.read(&repository.bench.store).unwrap(),
        PACKAGES.as_bytes()
    );
    assert_eq!(
        (index.source.as_str(), index.component.as_str()),
        ("main", "main")
    );
    assert_eq!(index.uris, repository.source.uris);
    assert_eq!(index.release.signers.len(), 1);
    let release = "/dists/stable/InRelease";
    assert_eq!(
        server.log(),
        [
            format!("{release} 200"),
            format!("{} 200", by_hash(PACKAGES))
        ]
    );

    assert_eq!(repository.update().unwrap(), indexes);
    assert_eq!(server.log(), [format!("{release} 304")]);

    repository.bench.options.offline = true;
    assert_eq!(repository.update().unwrap(), indexes);
    assert_eq!(server.log(), [""; 0]);

    // Offline or not, what was good once is good no longer when it has expired.
    repository.bench.options.now = "2026-03-09T00:00:00Z".parse().unwrap();
    let error = repository.update().unwrap_err();
    assert!(
        matches!(
            &error,
            Error::Release {
                defect: Defect::Expired(_),
                ..
            }
        ),
        "{error}"
    );
    repository.source.valid_until = ValidUntil::Ignore {
        reason: "the archive is frozen".to_owned(),
    };
    repository.update().unwrap();
}

#[test]
fn offline_needs_an_earlier_run() {
    let mut repository = Repository::new();
    repository.bench.options.offline = true;
    let error = repository.update().unwrap_err();
    assert!(matches!(error, Error::Offline { .. }), "{error}");
    assert_eq!(repository.bench.server.log(), [""; 0]);
}

#[test]
fn falls_back_to_the_plain_path() {
    let repository = Repository::new();
    repository.bench.server.remove(&by_hash(PACKAGES));
    assert_eq!(repository.read(), PACKAGES);
}

#[test]
fn falls_back_to_a_detached_signature() {
    let repository = Repository::new();
    let server = &repository.bench.server;
    let text = Repository::text("01 Feb", PACKAGES);
    server.remove("/dists/stable/InRelease");
    server.put("/dists/stable/Release", text.as_str());
    let error = repository.update().unwrap_err();
    assert!(
        error.to_string().contains("Release.gpg` does not exist"),
        "{error}"
    );
    server.put(
        "/dists/stable/Release.gpg",
        repository.gpg.detach(SIGNED, "a", &[], &text),
    );
    assert_eq!(repository.read(), PACKAGES);
    server.log();
    assert_eq!(repository.read(), PACKAGES);
    assert_eq!(
        server.log(),
        ["/dists/stable/InRelease 404", "/dists/stable/Release 304"]
    );
    server.remove("/dists/stable/Release");
    let error = repository.update().unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
}

#[test]
fn refuses_tampering_and_keeps_nothing() {
    let repository = Repository::new();
    let server = &repository.bench.server;
    let release = "/dists/stable/InRelease";
    server.faults(release, &[Fault::Flip(100)]);
    let error = repository.update().unwrap_err();
    let Error::Untrusted { refused, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(refused[0].defect, SignatureDefect::Bad);
    assert_eq!(
        repository.bench.store.usage().unwrap(),
        bedstone_store::Usage::default()
    );
    assert!(!repository.bench.store.root().join("releases").exists());

    // An index with a flipped byte, at both of its addresses.
    for path in [
        &by_hash(PACKAGES),
        "/dists/stable/main/binary-amd64/Packages.xz",
    ] {
        server.faults(path, &[Fault::Flip(20)]);
    }
    let error = repository.update().unwrap_err();
    assert!(matches!(error, Error::WrongContent { .. }), "{error}");
    let digest = Digest::of(&xz(PACKAGES.as_bytes()));
    assert!(!repository.bench.store.contains(&digest));
    assert!(!repository.bench.store.partial(&digest).exists());
    assert_eq!(repository.read(), PACKAGES);
}

#[test]
fn another_address_may_be_better() {
    let mut repository = Repository::new();
    let broken = Server::start();
    broken.put("/dists/stable/InRelease", "rubbish");
    repository.source.uris.insert(0, broken.uri.clone());
    let index = repository.update().unwrap().remove(0);
    assert_eq!(
        index.uris,
        [repository.bench.server.uri.clone(), broken.uri.clone()]
    );
    repository.source.uris.pop();
    let error = repository.update().unwrap_err();
    assert!(matches!(error, Error::Release { .. }), "{error}");
}

#[test]
fn never_goes_back_in_time() {
    let repository = Repository::new();
    let newer = format!("{PACKAGES}\nPackage: b\n");
    repository.publish("02 Feb", &newer);
    assert_eq!(repository.read(), newer);
    repository.publish("01 Feb", PACKAGES);
    assert_eq!(repository.read(), newer);
    let events = repository.bench.events.0.lock().unwrap();
    let warned = events.iter().any(|event| {
        matches!(event, Event::Warning { text, .. } if text.contains("is older than the one"))
    });
    assert!(warned, "{events:?}");
}

#[test]
fn says_what_a_source_does_not_have() {
    let mut repository = Repository::new();
    for (component, architecture, suite) in [
        ("contrib", "amd64", "stable"),
        ("main", "arm64", "stable"),
        ("main", "amd64", "testing"),
    ] {
        repository.source.components = vec![component.to_owned()];
        repository.source.architectures = vec![architecture.to_owned()];
        repository.source.suite = suite.to_owned();
        let message = repository.update().unwrap_err().to_string();
        if suite == "stable" {
            assert!(
                message.contains("has the components main for amd64"),
                "{message}"
            );
        } else {
            assert!(message.contains("does not exist"), "{message}");
        }
    }
}

#[test]
fn reads_a_flat_repository() {
    let mut repository = Repository::new();
    let server = repository.bench.server.clone();
    repository.source.suite = "./".to_owned();
    repository.source.components.clear();
    let text = format!(
        "Date: 01 Feb 2026 00:00:00 UTC\nSHA256:\n {} {} Packages\n",
        Digest::of(PACKAGES.as_bytes()),
        PACKAGES.len()
    );
    server.put(
        "/InRelease",
        repository.gpg.clearsign(SIGNED, "a", &[], &text),
    );
    server.put("/Packages", PACKAGES);
    assert_eq!(repository.read(), PACKAGES);
    assert_eq!(server.log(), ["/InRelease 200", "/Packages 200"]);
}

#[test]
fn an_index_must_decompress_to_what_is_listed() {
    let repository = Repository::new();
    let mut index = repository.update().unwrap().remove(0);
    let store = &repository.bench.store;
    let plain = index.plain.unwrap();
    for wrong in [
        crate::release::Listed {
            size: plain.size - 1,
            ..plain
        },
        crate::release::Listed {
            digest: Digest::of(b""),
            ..plain
        },
    ] {
        index.plain = Some(wrong);
        let error = index.read(store).unwrap_err();
        assert!(matches!(error, Error::Index { .. }), "{error}");
    }
}
