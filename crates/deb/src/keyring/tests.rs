use super::*;
use crate::gpg::{Gpg, MADE, SIGNED, now};
use crate::release::tests::TEXT;
use crate::release::{Defect, Release, Verified};

fn keyring(bytes: &[u8]) -> Keyring {
    Keyring::parse([("test.gpg", bytes)]).unwrap()
}

/// A key with these options, a document signed with it, and what comes of it.
fn verdict(key: &[&str], options: &[&str]) -> Result<Verified> {
    let gpg = Gpg::new();
    gpg.key(MADE, "a", key);
    let signed = gpg.clearsign(SIGNED, "a", options, TEXT);
    Release::from_inrelease("InRelease", &signed, &keyring(&gpg.export("a")), now())
}

fn refusal(result: Result<Verified>) -> SignatureDefect {
    match result.unwrap_err() {
        Error::Untrusted { mut refused, .. } => refused.pop().unwrap().defect,
        other => panic!("{other}"),
    }
}

#[test]
fn accepts_every_strong_algorithm() {
    for algorithm in ["rsa2048", "nistp256", "nistp384", "nistp521", "ed25519"] {
        verdict(&[algorithm, "sign", "never"], &[]).unwrap();
    }
    for hash in ["SHA384", "SHA512"] {
        verdict(&["ed25519", "sign", "never"], &["--digest-algo", hash]).unwrap();
    }
}

#[test]
fn refuses_weak_algorithms() {
    assert_eq!(
        refusal(verdict(&["rsa1024", "sign", "never"], &[])),
        SignatureDefect::WeakKey("RSA of 1024 bits".to_owned())
    );
    for hash in ["SHA1", "SHA224", "RIPEMD160"] {
        let options = ["--digest-algo", hash, "--allow-weak-digest-algos"];
        let defect = refusal(verdict(&["rsa2048", "sign", "never"], &options));
        assert!(
            matches!(defect, SignatureDefect::WeakHash(_)),
            "{hash}: {defect}"
        );
    }
}

#[test]
fn refuses_a_binding_with_a_weak_hash() {
    let gpg = Gpg::new();
    gpg.run(
        MADE,
        &[
            "--cert-digest-algo",
            "SHA1",
            "--quick-gen-key",
            "a",
            "rsa2048",
            "sign",
            "never",
        ],
        b"",
    );
    let signed = gpg.clearsign(SIGNED, "a", &[], TEXT);
    let keyring = keyring(&gpg.export("a"));
    let result = Release::from_inrelease("InRelease", &signed, &keyring, now());
    assert_eq!(
        refusal(result),
        SignatureDefect::WeakHash("SHA1".to_owned())
    );
}

#[test]
fn refuses_a_key_that_may_not_sign() {
    let gpg = Gpg::new();
    gpg.key(MADE, "a", &["ed25519", "cert,sign", "never"]);
    let signed = gpg.clearsign(SIGNED, "a", &[], TEXT);
    let fingerprint = gpg.fingerprint("a");
    // From now on the primary key only certifies; the newest self-signature counts.
    gpg.run(
        "20260215T000000",
        &["--command-fd", "0", "--expert", "--edit-key", &fingerprint],
        b"change-usage\nS\nQ\nsave\n",
    );
    let keyring = keyring(&gpg.export("a"));
    let result = Release::from_inrelease("InRelease", &signed, &keyring, now());
    assert_eq!(refusal(result), SignatureDefect::NotForSigning);
}

#[test]
fn subkeys_sign_for_their_certificate() {
    let gpg = Gpg::new();
    gpg.key(MADE, "a", &["ed25519", "cert", "never"]);
    let fingerprint = gpg.fingerprint("a");
    gpg.run(
        MADE,
        &["--quick-add-key", &fingerprint, "rsa2048", "sign", "60d"],
        b"",
    );
    let signed = gpg.clearsign(SIGNED, "a", &[], TEXT);
    let certificate = gpg.export("a");
    let keyring = keyring(&certificate);
    let verify =
        |keyring: &Keyring, now| Release::from_inrelease("InRelease", &signed, keyring, now);
    let verified = verify(&keyring, now()).unwrap();
    let signer = &verified.signers[0];
    assert_eq!(signer.certificate, fingerprint);
    assert_ne!(signer.key, fingerprint);

    let lower = fingerprint.to_lowercase();
    verify(&keyring.clone().restricted(&[lower]), now()).unwrap();
    verify(
        &keyring.clone().restricted(&[format!("{}!", signer.key)]),
        now(),
    )
    .unwrap();
    let other = keyring.clone().restricted(&["00".repeat(20)]);
    assert_eq!(refusal(verify(&other, now())), SignatureDefect::UnknownKey);

    let later = "2026-03-03T00:00:00Z".parse().unwrap();
    let defect = refusal(verify(&keyring, later));
    assert!(matches!(defect, SignatureDefect::KeyExpired(_)), "{defect}");

    // Every flipped byte of the certificate takes the trust away or does not matter; it never panics.
    let mut broken = certificate.clone();
    let mut refused = 0;
    for index in (0..broken.len()).step_by(7) {
        broken[index] ^= 4;
        if let Ok(keyring) = Keyring::parse([("broken", broken.as_slice())]) {
            refused += u32::from(verify(&keyring, now()).is_err());
        }
        broken[index] ^= 4;
    }
    assert!(refused > 50, "{refused}");

    gpg.run(
        "20260220T000000",
        &["--command-fd", "0", "--edit-key", &fingerprint],
        b"key 1\nrevkey\ny\n0\n\ny\nsave\n",
    );
    let revoked = Keyring::parse([("new", &*gpg.export("a"))]).unwrap();
    assert_eq!(refusal(verify(&revoked, now())), SignatureDefect::Revoked);
    // What one file knows holds for the same certificate in another.
    let both = Keyring::parse([("old", &*certificate), ("new", &*gpg.export("a"))]).unwrap();
    assert_eq!(refusal(verify(&both, now())), SignatureDefect::Revoked);
}

#[test]
fn refuses_expired_and_revoked_keys() {
    let gpg = Gpg::new();
    gpg.key(MADE, "a", &["ed25519", "sign", "40d"]);
    gpg.key(MADE, "b", &["ed25519", "sign", "never"]);
    for name in ["a", "b"] {
        let signed = gpg.clearsign(SIGNED, name, &[], TEXT);
        if name == "b" {
            gpg.revoke(name);
        }
        let keyring = keyring(&gpg.export(name));
        let result = Release::from_inrelease("InRelease", &signed, &keyring, now());
        match (name, refusal(result)) {
            ("a", SignatureDefect::KeyExpired(_)) | ("b", SignatureDefect::Revoked) => {}
            (_, other) => panic!("{other}"),
        }
    }
    // A key whose end was moved is good again, and the newest self-signature tells.
    let signed = gpg.clearsign(SIGNED, "a", &[], TEXT);
    gpg.run(
        "20260205T000000",
        &["--quick-set-expire", &gpg.fingerprint("a"), "1y"],
        b"",
    );
    let keyring = keyring(&gpg.export("a"));
    Release::from_inrelease("InRelease", &signed, &keyring, now()).unwrap();
}

#[test]
fn refuses_wrong_times_of_signatures() {
    let gpg = Gpg::new();
    gpg.key(MADE, "a", &["ed25519", "sign", "never"]);
    let keyring = keyring(&gpg.export("a"));
    let verify = |at, options: &[&str]| {
        let signed = gpg.clearsign(at, "a", options, TEXT);
        refusal(Release::from_inrelease(
            "InRelease",
            &signed,
            &keyring,
            now(),
        ))
    };
    assert_eq!(
        verify("20260401T000000", &[]),
        SignatureDefect::FromTheFuture
    );
    let expired = verify(SIGNED, &["--default-sig-expire", "10d"]);
    assert_eq!(expired, SignatureDefect::Expired);
    let older = ["--ignore-time-conflict", "--ignore-valid-from"];
    assert_eq!(
        verify("20251201T000000", &older),
        SignatureDefect::OlderThanKey
    );
}

#[test]
fn refuses_wrong_keys_and_tampering() {
    let gpg = Gpg::new();
    for name in ["a", "b"] {
        gpg.key(MADE, name, &["ed25519", "sign", "never"]);
    }
    let keyring = keyring(&gpg.export("a"));
    let verify = |bytes: &[u8]| Release::from_inrelease("InRelease", bytes, &keyring, now());
    let by_other = gpg.clearsign(SIGNED, "b", &[], TEXT);
    assert_eq!(refusal(verify(&by_other)), SignatureDefect::UnknownKey);

    // As in Debian's own files: one signature by a known key is enough.
    let by_both = gpg.clearsign(SIGNED, "a", &["--local-user", "b"], TEXT);
    assert_eq!(verify(&by_both).unwrap().signers.len(), 1);

    let signed = String::from_utf8(gpg.clearsign(SIGNED, "a", &[], TEXT)).unwrap();
    verify(signed.as_bytes()).unwrap();
    for (from, to) in [
        ("contrib", "contreb"),
        ("Date: Sun", "Date:  Sun"),
        ("\nLabel", "\n\nLabel"),
    ] {
        let tampered = signed.replacen(from, to, 1);
        assert_eq!(
            refusal(verify(tampered.as_bytes())),
            SignatureDefect::Bad,
            "{to}"
        );
    }
    // Blanks at line ends are not signed, and not read either.
    let blanks = signed.replacen("contrib\n", "contrib \t\n", 1);
    assert_eq!(
        verify(blanks.as_bytes()).unwrap(),
        verify(signed.as_bytes()).unwrap()
    );

    let appended = format!("{signed}SHA256:\n");
    let prefixed = format!("Suite: x\n{signed}");
    let (unsigned, _) = signed.split_once("-----BEGIN PGP SIGNATURE").unwrap();
    for bytes in [&appended, &prefixed, unsigned, TEXT, ""] {
        let error = verify(bytes.as_bytes()).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Release {
                    defect: Defect::Clearsign(_),
                    ..
                }
            ),
            "{error}"
        );
    }
    let armour = signed
        .rsplit_once("\n\n")
        .unwrap()
        .1
        .lines()
        .next()
        .unwrap();
    for other in ["", "!!!!", "AAAA"] {
        assert!(verify(signed.replace(armour, other).as_bytes()).is_err());
    }
}

#[test]
fn detached_signatures_agree_with_gpgv_and_sqv() {
    let gpg = Gpg::new();
    for (name, algorithm) in [("a", "ed25519"), ("b", "rsa3072"), ("c", "rsa1024")] {
        gpg.key(MADE, name, &[algorithm, "sign", "never"]);
    }
    gpg.key(MADE, "d", &["ed25519", "sign", "never"]);
    let text = TEXT.to_owned();
    let before = gpg.detach(SIGNED, "d", &[], &text);
    gpg.revoke("d");
    let tampered = text.replace("contrib", "non-free");
    // Signer, signature, text, whether it is good.
    let sign = |name, options: &[&str]| gpg.detach(SIGNED, name, options, &text);
    let cases = [
        ("a", sign("a", &[]), &text, true),
        ("a", sign("a", &["--armor"]), &text, true),
        ("b", sign("b", &["--textmode"]), &text, true),
        ("a", sign("a", &["--local-user", "b"]), &text, true),
        ("a", sign("b", &[]), &text, false),
        ("a", sign("a", &[]), &tampered, false),
        ("b", sign("b", &["--digest-algo", "SHA1"]), &text, false),
        ("d", before, &text, false),
    ];
    for (index, (name, signature, text, good)) in cases.into_iter().enumerate() {
        let key = gpg.export(name);
        let ours = Release::from_detached(
            "Release",
            text.as_bytes(),
            &signature,
            &keyring(&key),
            now(),
        );
        assert_eq!(ours.is_ok(), good, "case {index}: {ours:?}");
        let [gpgv, sqv] = gpg.others_accept(&key, text.as_bytes(), &signature);
        // By its exit status alone, gpgv of GnuPG 2.2 refuses a second, unknown key, and takes SHA-1 and revoked keys.
        assert!(
            gpgv == good || [3, 6, 7].contains(&index),
            "gpgv, case {index}"
        );
        assert_eq!(sqv, good, "sqv, case {index}");
    }
    // GnuPG 2.2 takes RSA of 1024 bits; we and Sequoia do not.
    let signature = sign("c", &[]);
    let key = gpg.export("c");
    assert_eq!(
        gpg.others_accept(&key, text.as_bytes(), &signature),
        [true, false]
    );
    assert!(
        Release::from_detached(
            "Release",
            text.as_bytes(),
            &signature,
            &keyring(&key),
            now()
        )
        .is_err()
    );
}

#[test]
fn reads_armoured_and_joined_keyrings() {
    let gpg = Gpg::new();
    for name in ["a", "b"] {
        gpg.key(MADE, name, &["ed25519", "sign", "never"]);
    }
    let signed = gpg.clearsign(SIGNED, "b", &[], TEXT);
    let armour = |name| gpg.run(SIGNED, &["--armor", "--export", name], b"");
    let joined = [armour("a"), b"a comment between\n".to_vec(), armour("b")].concat();
    let binary = [gpg.export("a"), gpg.export("b")].concat();
    for bytes in [joined, binary] {
        Release::from_inrelease("InRelease", &signed, &keyring(&bytes), now()).unwrap();
    }
    for bad in [
        &b""[..],
        b"no keyring",
        b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n",
        b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n!\n-----END PGP PUBLIC KEY BLOCK-----\n",
        &signed,
        &[0xff; 100],
    ] {
        assert!(
            Keyring::parse([("bad", bad)]).is_err(),
            "{}",
            bad.escape_ascii()
        );
    }
}
