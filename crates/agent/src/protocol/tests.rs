use proptest::prelude::*;

use super::*;

fn read(bytes: &[u8]) -> Result<Option<Request>, Wrong> {
    Request::read(&mut &*bytes)
}

#[test]
fn reads_requests() {
    let text = br#"{"request": "install", "bundle": "http://server/new.swu", "reboot": true}

        {"request":"status"}
{"request":"rollback","reason":"odd"}
"#;
    let mut reader = &text[..];
    let install = Request::Install(Install {
        reboot: true,
        ..Install::new(Source::Url("http://server/new.swu".to_owned()))
    });
    assert_eq!(Request::read(&mut reader).unwrap(), Some(install));
    assert_eq!(
        Request::read(&mut reader).unwrap(),
        Some(Request::Status {})
    );
    let rollback = Request::Rollback {
        reason: "odd".to_owned(),
    };
    assert_eq!(Request::read(&mut reader).unwrap(), Some(rollback));
    assert_eq!(Request::read(&mut reader).unwrap(), None);
}

#[test]
fn takes_no_more_than_the_line() {
    let mut reader = &b"{\"request\":\"install\",\"bundle\":\"-\"}\n070702"[..];
    let request = Request::read(&mut reader).unwrap();
    assert_eq!(
        request,
        Some(Request::Install(Install::new(Source::Stream)))
    );
    assert_eq!(reader, b"070702");
}

#[test]
fn refuses_what_is_no_request() {
    for line in [
        "{}",
        "[]",
        "\"status\"",
        "{\"request\":\"dance\"}",
        "{\"request\":\"install\"}",
        "{\"request\":\"install\",\"bundle\":\"\"}",
        "{\"request\":\"install\",\"bundle\":\"https://server/x\"}",
        "{\"request\":\"install\",\"bundle\":\"x\",\"force\":true}",
        "{\"request\":\"status\",\"slot\":\"a\"}",
        "{\"request\":\"status\",\"request\":\"repair\"}",
        "{\"request\":\"rollback\"}",
        "\u{0}",
    ] {
        let error = read(format!("{line}\n").as_bytes()).unwrap_err();
        assert!(matches!(error, Wrong::Malformed(_)), "{line}: {error}");
    }
    assert!(matches!(
        read(b"{\"request\":\"status\"}"),
        Err(Wrong::Unfinished)
    ));
    let longest = [b"{\"request\":\"status\"}".as_slice(), &[b' '; LINE]].concat();
    let just = [&longest[..LINE - 1], b"\n"].concat();
    assert_eq!(read(&just).unwrap(), Some(Request::Status {}));
    assert!(matches!(read(&longest), Err(Wrong::TooLong)));
}

#[test]
fn understands_sources() {
    for (text, source) in [
        ("-", Source::Stream),
        ("x.swu", Source::File("x.swu".into())),
        ("/dev/sda1", Source::File("/dev/sda1".into())),
        ("./a://b", Source::File("./a://b".into())),
        ("HTTP://x", Source::Url("HTTP://x".to_owned())),
    ] {
        assert_eq!(Source::parse(text), Ok(source), "{text}");
    }
    for text in ["https://x/y", "ftp://x", ""] {
        assert!(Source::parse(text).is_err(), "{text}");
    }
}

fn request() -> impl Strategy<Value = Request> {
    let source = prop_oneof![
        Just(Source::Stream),
        "http://[a-z./]{1,20}".prop_map(Source::Url),
        "/.{0,20}".prop_map(|path| Source::File(path.into())),
    ];
    let install = (
        source,
        any::<[bool; 3]>(),
        proptest::option::of("/.{0,20}".prop_map(PathBuf::from)),
    )
        .prop_map(|(bundle, [reboot, allow_downgrade, reinstall], key)| {
            Request::Install(Install {
                bundle,
                reboot,
                allow_downgrade,
                reinstall,
                key,
            })
        });
    prop_oneof![
        install,
        ".{0,100}".prop_map(|reason| Request::Rollback { reason }),
        Just(Request::Status {}),
        Just(Request::Confirm {}),
        Just(Request::Repair {}),
        Just(Request::Subscribe {}),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(request in request()) {
        let mut line = serde_json::to_vec(&request).unwrap();
        line.push(b'\n');
        prop_assert_eq!(read(&line).unwrap(), Some(request));
    }

    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut reader = &*bytes;
        while let Ok(Some(_)) = Request::read(&mut reader) {}
    }
}
