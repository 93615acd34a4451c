use proptest::prelude::*;

use super::apt::AptEntry;
use super::*;

fn entries(name: &str, text: &str) -> Result<Vec<AptEntry>> {
    apt::parse([(name, text.as_bytes())])
}

#[test]
fn one_line_style() {
    let text = "# comment\n\n  deb [ arch=amd64,arm64 signed-by=/k/a.gpg,ABCD! trusted=no ] \
        http://m.example/debian/ trixie main contrib # more\n\
        deb-src http://m.example/debian trixie main\n\
        deb [signed-by=/k/b.asc]file:///srv/repo ./\n";
    let found = entries("sources.list", text).unwrap();
    assert_eq!(found.len(), 3);
    assert_eq!(found[0].line, 3);
    assert_eq!(found[0].architectures, ["amd64", "arm64"]);
    assert_eq!(found[0].components, ["main", "contrib"]);
    let signed_by = found[0].signed_by.as_ref().unwrap();
    assert_eq!(signed_by.files, [PathBuf::from("/k/a.gpg")]);
    assert_eq!(signed_by.fingerprints, ["ABCD!"]);
    assert!(!found[1].binary);
    assert_eq!(found[2].suites, ["./"]);
}

#[test]
fn deb822_style() {
    let text = "Types: deb deb-src\nURIs: http://a.example/debian http://b.example/debian\n\
        # a comment\nSuites: trixie trixie-updates\nComponents: main\n non-free\n\
        Signed-By: /usr/share/keyrings/x.gpg\n\nTypes: deb\nEnabled: no\nURIs: https://c.example\n\
        Suites: deb/\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abcd\n -----END PGP PUBLIC KEY BLOCK-----\n";
    let found = entries("x.sources", text).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].uris.len(), 2);
    assert_eq!(found[0].components, ["main", "non-free"]);
    assert!(found[0].binary && found[0].enabled && !found[1].enabled);
    assert_eq!(found[1].line, 9);
    let signed_by = found[1].signed_by.as_ref().unwrap();
    assert_eq!(
        signed_by.inline,
        ["-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabcd\n-----END PGP PUBLIC KEY BLOCK-----\n"]
    );
}

#[test]
fn errors_name_the_line() {
    for (name, text, reason) in [
        (
            "a.list",
            "\nrpm http://x y z\n",
            "`a.list` line 2: expected `deb`",
        ),
        ("a.list", "deb\n", "line 1: expected `deb URI"),
        ("a.list", "deb [arch=x http://x y z\n", "line 1: options"),
        ("a.list", "deb http://x\n", "line 1: no suite"),
        (
            "a.list",
            "deb here trixie main\n",
            "line 1: a URI has no scheme",
        ),
        (
            "a.list",
            "deb http://x trixie\n",
            "line 1: a suite needs components",
        ),
        (
            "a.list",
            "deb http://x ./ main\n",
            "line 1: a suite needs components",
        ),
        ("a.sources", "URIs: http://x\n", "line 1: expected `Types"),
        ("a.sources", "\nTypes deb\n", "line 2: a field"),
    ] {
        let message = entries(name, text).unwrap_err().to_string();
        assert!(message.contains(reason), "{message} lacks {reason}");
    }
    assert!(
        apt::parse([("a.list", &b"\n\xff"[..])])
            .unwrap_err()
            .to_string()
            .contains("line 2")
    );
    assert_eq!(entries("a.sources.disabled", "rubbish").unwrap(), []);
}

fn mirrors(text: &str) -> Mirrors {
    Mirrors::from_apt(&entries("sources.list", text).unwrap())
}

#[test]
fn mirrors_of_the_host() {
    let found = mirrors(
        "deb http://vendor.example/apt nodistro main\n\
         deb cdrom:[Debian] trixie main\n\
         deb http://security.example/debian-security/ trixie-security main\n\
         deb http://a.example/debian/ trixie main\n\
         deb http://a.example/debian trixie-updates main\n\
         deb http://b.example/debian trixie main contrib\n",
    );
    assert_eq!(
        found.main,
        ["http://a.example/debian", "http://b.example/debian"]
    );
    assert_eq!(found.security, ["http://security.example/debian-security"]);
    assert_eq!(found.of("forky-security"), found.security);
    assert_eq!(found.of("forky"), found.main);

    let single = mirrors("deb http://a.example/debian sid main\ndeb http://v.example x main\n");
    assert_eq!(single.main, ["http://a.example/debian"]);
    assert_eq!(single.security, [""; 0]);
    assert_eq!(
        mirrors("deb-src http://a.example/debian sid main\n"),
        Mirrors::default()
    );
}

#[test]
fn mirrors_of_a_value() {
    let one = Mirrors::from_value("http://a.example/debian/").unwrap();
    assert_eq!(one.main, ["http://a.example/debian"]);
    assert_eq!(one.security, ["http://a.example/debian-security"]);
    let two = Mirrors::from_value("file:///srv/debian  https://b.example/sec").unwrap();
    assert_eq!(two.security, ["https://b.example/sec"]);
    for bad in [
        "",
        "a.example",
        "ftp://a.example/debian",
        "http://a http://b http://c",
    ] {
        assert!(Mirrors::from_value(bad).is_err(), "{bad}");
    }
}

#[test]
fn sources_are_checked() {
    let good = Source {
        name: "main".to_owned(),
        uris: vec!["http://a.example/debian".to_owned()],
        suite: "trixie".to_owned(),
        components: vec!["main".to_owned()],
        architectures: vec!["amd64".to_owned()],
        signed_by: SignedBy {
            files: vec![PathBuf::from("/k.gpg")],
            ..SignedBy::default()
        },
        ..Source::default()
    };
    good.check().unwrap();
    for change in [
        &(|it: &mut Source| it.uris.clear()) as &dyn Fn(&mut Source),
        &|it| it.uris = vec!["ftp://x".to_owned()],
        &|it| it.suite = "../etc".to_owned(),
        &|it| it.suite = "trixie/".to_owned(),
        &|it| it.components.clear(),
        &|it| it.architectures = vec!["a?b".to_owned()],
        &|it| it.architectures.clear(),
        &|it| it.signed_by.files.clear(),
    ] {
        let mut bad = good.clone();
        change(&mut bad);
        let message = bad.check().unwrap_err().to_string();
        assert!(message.starts_with("source `main` "), "{message}");
    }
    let missing = good.signed_by.keyring().unwrap_err().to_string();
    assert!(missing.contains("/k.gpg"), "{missing}");
}

#[test]
fn scans_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().join("tree/DEBIAN");
    fs::create_dir_all(&tree).unwrap();
    let control = |name: &str| {
        format!(
            "Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: T <t@t>\nDescription: t\n"
        )
    };
    for name in ["b", "a"] {
        fs::write(tree.join("control"), control(name)).unwrap();
        let output = directory.path().join(format!("{name}_1_all.deb"));
        let status = std::process::Command::new("dpkg-deb")
            .args(["--root-owner-group", "--build"])
            .args([tree.parent().unwrap(), &output])
            .output()
            .expect("cannot run `dpkg-deb`; install the package `dpkg`")
            .status;
        assert!(status.success());
    }
    let packages = scan(directory.path()).unwrap();
    assert_eq!(packages.len(), 2);
    assert_eq!(packages[0].filename, "a_1_all.deb");
    assert_eq!(packages[0].control, control("a").as_bytes());
    let bytes = fs::read(directory.path().join("a_1_all.deb")).unwrap();
    assert_eq!(packages[0].digest, bedstone_store::Digest::of(&bytes));
    let index = String::from_utf8(packages_index(&packages)).unwrap();
    let expected = format!(
        "{}Filename: a_1_all.deb\nSize: {}\nSHA256: {}\n\n{}Filename: b",
        control("a"),
        bytes.len(),
        packages[0].digest,
        control("b")
    );
    assert!(index.starts_with(&expected), "{index}");

    fs::write(directory.path().join("c.deb"), "rubbish").unwrap();
    let message = scan(directory.path()).unwrap_err().to_string();
    assert!(message.contains("c.deb"), "{message}");
}

proptest! {
    #[test]
    fn never_panics(noise: Vec<u8>, text in "(deb|Types: deb|URIs: |\\[|\\]|=|#|,| |\n|http://x|\\PC){0,40}") {
        let _ = apt::parse([("a.list", noise.as_slice()), ("a.sources", text.as_bytes())]);
        let _ = apt::parse([("a.sources", noise.as_slice())]);
        if let Ok(entries) = entries("a.list", &text) {
            let _ = Mirrors::from_apt(&entries);
        }
    }
}
