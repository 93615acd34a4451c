use proptest::prelude::*;

use super::*;
use crate::gpg::{Gpg, MADE, SIGNED, now};

/// A Release file with every field that is read.
pub(crate) const TEXT: &str = "Origin: Example\nLabel: Example-Security\nSuite: stable-security\n\
Codename: trixie-security\nDate: Sun, 01 Feb 2026 00:00:00 UTC\n\
Valid-Until: Sun, 08 Mar 2026 00:00:00 UTC\nAcquire-By-Hash: yes\nArchitectures: all amd64\n\
Components: main contrib\nSHA256:\n \
e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 main/binary-amd64/Packages\n \
ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad 3 main/binary-amd64/Packages.xz\n";

#[test]
fn reads_a_signed_release() {
    let gpg = Gpg::new();
    gpg.key(MADE, "a", &["ed25519", "sign", "never"]);
    let signed = gpg.clearsign(SIGNED, "a", &[], TEXT);
    let keyring = Keyring::parse([("a", &*gpg.export("a"))]).unwrap();
    let verified = Release::from_inrelease("InRelease", &signed, &keyring, now()).unwrap();
    assert_eq!(verified.signers.len(), 1);
    assert_eq!(
        verified.signers[0].made,
        "2026-02-01T00:00:00Z".parse().unwrap()
    );
    let release = verified.release;
    assert_eq!(release.suite.as_deref(), Some("stable-security"));
    assert_eq!(release.components, ["main", "contrib"]);
    assert!(release.acquire_by_hash && !release.not_automatic);
    assert_eq!(release.files.len(), 2);
    assert_eq!(release.files["main/binary-amd64/Packages.xz"].size, 3);
    assert_eq!(release.date, "2026-02-01T00:00:00Z".parse().unwrap());
}

#[test]
fn checks_names_and_times() {
    let release = Release::parse("Release", TEXT.as_bytes()).unwrap();
    let check = |change: &dyn Fn(&mut Expected), now: &str| {
        let mut expected = Expected {
            suite: "trixie-security".to_owned(),
            origin: Some("Example".to_owned()),
            ..Expected::default()
        };
        change(&mut expected);
        match release.check("Release", &expected, now.parse().unwrap()) {
            Ok(()) => None,
            Err(Error::Release { defect, .. }) => Some(defect),
            Err(other) => panic!("{other}"),
        }
    };
    let now = "2026-03-01T00:00:00Z";
    let late = "2026-03-08T00:00:01Z";
    assert_eq!(check(&|_| {}, now), None);
    assert_eq!(
        check(&|it| it.suite = "stable-security".to_owned(), now),
        None
    );
    assert_eq!(check(&|it| it.suite = "./".to_owned(), now), None);
    let other = |defect| matches!(defect, Some(Defect::Other { .. }));
    assert!(other(check(&|it| it.suite = "trixie".to_owned(), now)));
    assert!(other(check(&|it| it.origin = Some("Evil".to_owned()), now)));
    assert!(other(check(
        &|it| it.label = Some("Example".to_owned()),
        now
    )));
    assert!(matches!(check(&|_| {}, late), Some(Defect::Expired(_))));
    let ignore = |reason: &str| {
        let reason = reason.to_owned();
        move |it: &mut Expected| {
            it.valid_until = ValidUntil::Ignore {
                reason: reason.clone(),
            }
        }
    };
    assert_eq!(check(&ignore("archived suite"), late), None);
    assert_eq!(check(&ignore(" "), now), Some(Defect::NoReason));
    let early = "2026-01-31T00:00:00Z";
    assert!(matches!(
        check(&|_| {}, early),
        Some(Defect::FromTheFuture(_))
    ));
}

#[test]
fn refuses_malformed_fields() {
    for (from, to, reason) in [
        ("Date: Sun", "Date: Mon", "`Date`"),
        ("Date: Sun, 01 Feb 2026 00:00:00 UTC\n", "", "`Date`"),
        ("Valid-Until: Sun", "Valid-Until: some", "`Valid-Until`"),
        ("By-Hash: yes", "By-Hash: maybe", "`maybe`"),
        ("SHA256:", "SHA1:", "`SHA256`"),
        (" 3 main", " x main", "malformed size"),
        (" 3 main", " 3 ../main", "leaves"),
        (" 3 main", " 3 /main", "leaves"),
        (" 3 main", " 3 main main", "expected digest"),
        (" e3b0", " E3b0", "malformed digest"),
        ("Packages.xz", "Packages", "second"),
        ("Label:", "Origin:", "twice"),
        ("Label:", "\nLabel:", "2 stanzas"),
        ("Label:", "Label", "line 2"),
        ("Origin: Example", " Origin: Example", "line 1"),
    ] {
        let changed = TEXT.replacen(from, to, 1);
        let message = Release::parse("Release", changed.as_bytes())
            .unwrap_err()
            .to_string();
        assert!(
            message.starts_with("`Release`") && message.contains(reason),
            "{message}"
        );
    }
    assert!(Release::parse("Release", b"Origin: \xff\n").is_err());
}

proptest! {
    #[test]
    fn parsers_never_panic(noise: Vec<u8>, index: prop::sample::Index, value: u8) {
        let _ = Release::parse("noise", &noise);
        let _ = Keyring::parse([("noise", noise.as_slice())]);
        let _ = Signatures::parse("noise", &noise);
        let mut bytes = TEXT.as_bytes().to_vec();
        let at = index.index(bytes.len());
        bytes[at] = value;
        let _ = Release::parse("flipped", &bytes);
        let _ = Release::parse("cut", &bytes[..at]);
    }
}
