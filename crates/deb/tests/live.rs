//! Fetching from the real archive, at the mirrors that the host's apt configuration names.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use bedstone_deb::archive::Deb;
use bedstone_deb::deb822::Stanzas;
use bedstone_deb::fetch::{FetchedIndex, Fetcher, Options, WantedFile};
use bedstone_deb::sources::{Mirrors, SignedBy, Source, apt};
use bedstone_event::Reporter;
use bedstone_store::{Digest, Store};
use jiff::Timestamp;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The host's source files, as apt would read them.
fn apt_files() -> Vec<(String, Vec<u8>)> {
    let mut paths = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        paths.extend(entries.map(|entry| entry.unwrap().path()));
    }
    paths.sort();
    paths
        .into_iter()
        .filter(|path| path.is_file())
        .map(|path| (path.display().to_string(), fs::read(&path).unwrap()))
        .collect()
}

fn sources() -> Vec<Source> {
    let files = apt_files();
    let files = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    let mirrors = Mirrors::from_apt(&apt::parse(files).unwrap());
    ["bookworm", "trixie", "bookworm-security"]
        .map(|suite| Source {
            name: suite.to_owned(),
            uris: mirrors.of(suite).to_vec(),
            suite: suite.to_owned(),
            components: vec!["main".to_owned()],
            architectures: vec!["amd64".to_owned()],
            signed_by: SignedBy {
                files: vec![PathBuf::from(KEYRING)],
                ..SignedBy::default()
            },
            origin: Some("Debian".to_owned()),
            ..Source::default()
        })
        .to_vec()
}

/// The package `name` of an index.
fn wanted(index: &FetchedIndex, packages: &[u8], name: &str) -> WantedFile {
    let stanza = Stanzas::new("Packages", packages)
        .find(|stanza| stanza.get("Package").unwrap() == Some(name))
        .unwrap();
    let field = |name: &str| stanza.get(name).unwrap().unwrap();
    WantedFile {
        name: format!("{name} {}", field("Version")),
        filename: field("Filename").to_owned(),
        digest: field("SHA256").parse().unwrap(),
        size: field("Size").parse().unwrap(),
        uris: index.uris.clone(),
    }
}

#[test]
fn updates_verifies_and_fetches() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let mut options = Options::new(Timestamp::now());
    let fetcher = Fetcher::new(&store, options.clone(), Reporter::quiet()).unwrap();
    let indexes = fetcher.update(&sources()).unwrap();
    assert_eq!(indexes.len(), 3);
    for index in &indexes {
        let release = &index.release.release;
        assert_eq!(release.codename.as_deref(), Some(index.source.as_str()));
        assert!(!index.release.signers.is_empty());
        assert!(index.plain.is_some());
    }
    gpgv_agrees(&store, directory.path());

    let trixie = &indexes[1];
    let packages = trixie.read(&store).unwrap();
    let files = ["hello", "base-files", "dash"].map(|name| wanted(trixie, &packages, name));
    fetcher.packages(&files).unwrap();
    for file in &files {
        let mut deb = Deb::open(file.name.as_str(), store.get(&file.digest).unwrap()).unwrap();
        let mut entries = 0;
        while deb.next_entry().unwrap().is_some() {
            io::copy(&mut deb, &mut io::sink()).unwrap();
            entries += 1;
        }
        assert!(entries > 10, "{}: {entries}", file.name);
    }

    options.offline = true;
    let fetcher = Fetcher::new(&store, options, Reporter::quiet()).unwrap();
    assert_eq!(fetcher.update(&sources()).unwrap(), indexes);
    fetcher.packages(&files).unwrap();
}

/// Every Release file that was kept is one that gpgv accepts with the same keyring.
fn gpgv_agrees(store: &Store, root: &Path) {
    let mut checked = 0;
    for record in fs::read_dir(root.join("releases")).unwrap() {
        let record = fs::read(record.unwrap().path()).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        let digest: Digest = record["release"].as_str().unwrap().parse().unwrap();
        let output = Command::new("gpgv")
            .args(["--keyring", KEYRING])
            .arg(store.path(&digest))
            .output()
            .expect("cannot run `gpgv`; install the package `gpgv`");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        checked += 1;
    }
    assert_eq!(checked, 3);
}
