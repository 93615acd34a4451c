//! `bedstone bundle` as its users run it, on a small image directory.

// Failing loudly is what tests are for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::process::Command;

use bedstone_store::Digest;
use bedstone_tests::program::{Workshop, files, tool};
use serde_json::{Value, json};

const INPUT: i32 = 3;
const CHECK_SAYS_NO: i32 = 4;
const KEY: &str = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4 \
    000102030405060708090a0b0c0d0e0f\n";

/// A workshop with an image directory `image`, and a key `NAME.key` with its certificate `NAME.crt` for each name.
fn workshop(names: &[&str]) -> Workshop {
    let workshop = Workshop::new();
    let artifacts: Vec<Value> = [
        ("rootfs", "root.img", "root file system\n".repeat(10_000)),
        ("uki", "linux.efi", "kernel image\n".repeat(1000)),
        (
            "boot-loader",
            "efibootguardx64.efi",
            "boot loader\n".repeat(100),
        ),
    ]
    .into_iter()
    .map(|(kind, file, content)| {
        workshop.write(&format!("image/{file}"), &content);
        let sha256 = Digest::of(content.as_bytes());
        json!({"kind": kind, "file": file, "size": content.len(), "sha256": sha256})
    })
    .collect();
    let partitions: Vec<Value> = ["esp", "root-a", "root-b"]
        .iter()
        .map(|label| {
            json!({"label": label, "start": 1 << 20, "size": 1 << 20, "type": "T", "guid": format!("guid-of-{label}")})
        })
        .collect();
    let nothing = Digest::of(b"");
    let record = json!({
        "version": 1, "kind": "bedstone.image", "product": {"name": "demo", "version": "2.1"},
        "suite": "trixie", "architecture": "amd64", "epoch": 1_750_000_000, "lock": nothing, "manifest": nothing,
        "packages": 1, "artifacts": artifacts, "partitions": partitions,
        "root": {"type": "erofs", "hash": nothing, "salt": "00", "data_blocks": 1, "hash_offset": 4096, "uuid": "u"},
        "kernel": {"release": "6.12", "followed": 1, "accepted": 0},
        "signing": {"development": true, "certificate": nothing}, "steps": [],
    });
    workshop.write("image/image.json", &record.to_string());
    for name in names {
        let key = workshop.path(&format!("{name}.key"));
        let certificate = workshop.path(&format!("{name}.crt"));
        let mut openssl = Command::new("openssl");
        openssl.args([
            "req", "-x509", "-nodes", "-newkey", "rsa:3072", "-days", "30",
        ]);
        openssl.args([
            "-subj",
            &format!("/CN={name}"),
            "-addext",
            "keyUsage=digitalSignature",
        ]);
        openssl.arg("-keyout").arg(key).arg("-out").arg(certificate);
        tool("openssl", &mut openssl);
    }
    workshop.write("aes", KEY);
    workshop
}

const CREATE: [&str; 9] = [
    "bundle",
    "create",
    "image",
    "--key",
    "own.key",
    "--certificate",
    "own.crt",
    "--hardware",
    "rev1",
];

fn json_of(workshop: &Workshop, words: &[&str]) -> (Option<i32>, Value) {
    let output = workshop.command(words).arg("--json").output().unwrap();
    let value = serde_json::from_slice(&output.stdout);
    (output.status.code(), value.unwrap())
}

#[test]
fn creates_shows_and_verifies() {
    let workshop = workshop(&["own"]);
    let encrypted = [
        "--encrypt",
        "aes",
        "--boot-loader",
        "--syntax",
        "json",
        "-o",
        "x.swu",
    ];
    let (code, created) = json_of(&workshop, &[&CREATE[..], &encrypted].concat());
    assert_eq!(code, Some(0));
    let bytes = fs::read(workshop.path("x.swu")).unwrap();
    assert_eq!(created["sha256"], json!(Digest::of(&bytes)));
    assert_eq!(created["size"], bytes.len());

    let (code, shown) = json_of(&workshop, &["bundle", "show", "x.swu"]);
    assert_eq!(code, Some(0));
    assert_eq!(shown["bundle_version"], "2.1");
    assert_eq!(shown["signer"]["subject"], "CN=own");
    let base = &shown["sections"][0];
    assert_eq!(base["hardware"], json!(["rev1"]));
    assert_eq!(
        base["images"][0]["device"],
        "C:BOOT0:linux.efi->guid-of-root-a,C:BOOT1:linux.efi->guid-of-root-b"
    );
    assert_eq!(base["files"][1]["path"], "/EFI/BOOT/BOOTX64.EFI");
    assert_eq!(
        base["files"][1]["device"],
        "/dev/disk/by-partuuid/guid-of-esp"
    );
    assert_eq!(shown["members"][0]["content_size"], Value::Null);

    let verify = ["bundle", "verify", "x.swu", "--certificate", "own.crt"];
    workshop.run(verify).succeeds();
    let (code, verified) = json_of(&workshop, &[&verify[..], &["--decrypt", "aes"]].concat());
    assert_eq!((code, &verified["verdict"]), (Some(0), &json!("accepted")));
    let root = fs::read(workshop.path("image/root.img")).unwrap();
    assert_eq!(
        verified["members"][1]["content_sha256"],
        json!(Digest::of(&root))
    );

    workshop
        .run([&CREATE[..], &encrypted[..6], &["y.swu"]].concat())
        .succeeds();
    assert!(bytes == fs::read(workshop.path("y.swu")).unwrap());
    workshop.run(CREATE).succeeds();
    let text = workshop.run(["bundle", "show", "image/demo-2.1.swu"]);
    text.succeeds();
    for words in [
        "demo 2.1",
        "root.img: roundrobin, zstd",
        "guid-of-root-b",
        "not checked for trust",
    ] {
        assert!(text.said.contains(words), "{words}: {}", text.said);
    }
    // Nothing is left of what was under way.
    assert_eq!(files(&workshop.path("image")).len(), 5);
}

#[test]
fn differences_name_what_they_are_for() {
    let workshop = workshop(&["own"]);
    let root = fs::read(workshop.path("image/root.img")).unwrap();
    let old = [&root[..100_000], b"another line\n"].concat();
    fs::write(workshop.path("old.img"), &old).unwrap();
    let rdiff = ["--delta", "rdiff", "--base", "old.img"];
    let words = [&CREATE[..], &rdiff, &["-o", "rdiff.swu"]].concat();
    workshop.run(words).succeeds();
    let url = "http://updates.example/demo.zck";
    let zchunk = ["--delta", "zchunk", "--url", url];
    let words = [&CREATE[..], &zchunk, &["--with-full", "-o", "zchunk.swu"]].concat();
    let (code, created) = json_of(&workshop, &words);
    assert_eq!(code, Some(0));
    let zck = fs::read(workshop.path("zchunk.zck")).unwrap();
    assert_eq!(created["zchunk"]["sha256"], json!(Digest::of(&zck)));

    let property =
        |shown: &Value, name: &str| shown["sections"][0]["images"][0]["properties"][name].clone();
    let size_and_digest = |bytes: &[u8]| (json!(bytes.len().to_string()), json!(Digest::of(bytes)));
    for (file, chain, members) in [("rdiff.swu", "rdiff_image", 2), ("zchunk.swu", "delta", 3)] {
        let (code, shown) = json_of(&workshop, &["bundle", "show", file]);
        assert_eq!(code, Some(0));
        assert_eq!(property(&shown, "chainhandler"), chain);
        let output =
            ["size", "sha256"].map(|it| property(&shown, &format!("bedstone-output-{it}")));
        assert_eq!(output, <[Value; 2]>::from(size_and_digest(&root)));
        assert_eq!(shown["members"].as_array().unwrap().len(), members);
        let verify = ["bundle", "verify", file, "--certificate", "own.crt"];
        workshop.run(verify).succeeds();
        if file == "rdiff.swu" {
            let base =
                ["size", "sha256"].map(|it| property(&shown, &format!("bedstone-base-{it}")));
            assert_eq!(base, <[Value; 2]>::from(size_and_digest(&old)));
        } else {
            assert_eq!(property(&shown, "url"), url);
            assert_eq!(
                shown["sections"][1]["selection"],
                json!(["bedstone", "full"])
            );
            let size = &shown["members"][0]["size"];
            assert!(zck.len() as u64 > size.as_u64().unwrap());
        }
    }

    for (options, said) in [
        (
            &["--delta", "rdiff", "--base", "image/root.img"][..],
            "this image's root file system",
        ),
        (&["--delta", "rdiff", "--base", "none.img"], "none.img"),
        (&["--delta", "zchunk", "--url", "https://x/y"], "http://"),
        (
            &["--delta", "zchunk", "--url", url, "--encrypt", "aes"],
            "--encrypt would hide nothing",
        ),
        (
            &["--delta", "zchunk", "--url", url, "--base", "old.img"],
            "--base goes with",
        ),
        (&["--base", "old.img"], "--base goes with"),
    ] {
        workshop
            .run([&CREATE[..], options].concat())
            .refuses(INPUT, &[said]);
    }
    for options in [
        &["--delta", "rdiff"][..],
        &["--delta", "zchunk"],
        &["--with-full"],
    ] {
        workshop
            .run([&CREATE[..], options].concat())
            .refuses(2, &[]);
    }
    assert_eq!(files(&workshop.path("image")).len(), 4);
}

#[test]
fn refuses_what_a_device_would() {
    let workshop = workshop(&["own", "other"]);
    workshop
        .run([&CREATE[..], &["-o", "x.swu"]].concat())
        .succeeds();
    let bytes = fs::read(workshop.path("x.swu")).unwrap();
    let mut flipped = bytes.clone();
    let at = bytes.len() * 3 / 4;
    flipped[at] ^= 1;
    fs::write(workshop.path("flipped.swu"), flipped).unwrap();
    fs::write(workshop.path("short.swu"), &bytes[..at]).unwrap();
    for (file, options, refusal) in [
        ("x.swu", &["--certificate", "other.crt"][..], "wrong-key"),
        (
            "x.swu",
            &["--certificate", "own.crt", "--at", "2100-01-01T00:00:00Z"],
            "expired",
        ),
        (
            "flipped.swu",
            &["--certificate", "own.crt"],
            "hash-mismatch",
        ),
        ("short.swu", &["--certificate", "own.crt"], "truncated"),
        ("own.crt", &["--certificate", "own.crt"], "malformed"),
    ] {
        let words = [&["bundle", "verify", file][..], options].concat();
        workshop.run(&words).refuses(CHECK_SAYS_NO, &[refusal]);
        let (code, verdict) = json_of(&workshop, &words);
        assert_eq!(code, Some(CHECK_SAYS_NO));
        assert_eq!(verdict["refusal"], refusal);
    }
    let clockless = [
        "bundle",
        "verify",
        "x.swu",
        "--certificate",
        "own.crt",
        "--no-clock",
    ];
    workshop.run(clockless).succeeds();
    workshop
        .run(["bundle", "show", "flipped.swu"])
        .refuses(INPUT, &["flipped.swu"]);
}

#[test]
fn refuses_what_it_cannot_bundle() {
    let workshop = workshop(&["own", "other"]);
    for (position, word, named) in [
        (2, "nowhere", "nowhere"),
        (4, "none.key", "none.key"),
        (4, "own.crt", "`CERTIFICATE`"),
        (4, "pkcs11:token=a;object=b", "--pkcs11-module"),
        (6, "other.crt", "belongs to another key"),
    ] {
        let mut words = CREATE;
        words[position] = word;
        workshop.run(words).refuses(INPUT, &[named]);
    }
    workshop.run(&CREATE[..7]).refuses(INPUT, &["--hardware"]);
    workshop
        .run([&CREATE[..], &["--encrypt", "own.crt"]].concat())
        .refuses(INPUT, &["own.crt"]);
    workshop.write("image/linux.efi", "another kernel");
    workshop
        .run(CREATE)
        .refuses(INPUT, &["linux.efi", "not the file that was built"]);
    assert_eq!(files(&workshop.path("image")).len(), 4);
}
