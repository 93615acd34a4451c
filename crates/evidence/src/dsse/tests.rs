use super::*;
use crate::provenance::Provenance;
use crate::statement::Descriptor;
use bedstone_store::Digest;
use proptest::prelude::*;
use ring::rand::SystemRandom;
use std::path::Path;
use std::process::Command;

fn ed25519() -> crate::FileKey {
    let pem = crate::FileKey::generate_pem(&SystemRandom::new()).unwrap();
    crate::FileKey::from_pkcs8(pem.as_bytes()).unwrap()
}

/// A P-256 key made by openssl, its PEM written to `directory`.
fn p256(directory: &Path) -> crate::FileKey {
    let path = directory.join("p256.pem");
    let output = Command::new("openssl")
        .args(["genpkey", "-algorithm", "EC", "-pkeyopt"])
        .args(["ec_paramgen_curve:P-256", "-out"])
        .arg(&path)
        .output()
        .expect("install Debian's package openssl");
    assert!(output.status.success());
    crate::FileKey::from_pkcs8(&std::fs::read(path).unwrap()).unwrap()
}

fn statement() -> Statement<Provenance> {
    crate::statement::tests::sample()
}

fn python(script: &str, arguments: &[&Path]) -> String {
    let output = Command::new("python3")
        .arg("-c")
        .arg(script)
        .args(arguments)
        .output()
        .expect("install Debian's package python3");
    assert!(
        output.status.success(),
        "install securesystemslib with `pip install securesystemslib cryptography` if it is missing: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn pae_vector_of_the_specification() {
    assert_eq!(
        pre_authentication_encoding("http://example.com/HelloWorld", b"hello world"),
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    );
}

#[test]
fn seals_and_opens() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (ed25519(), p256(directory.path()));
    let keys = [one.verifying_key(), two.verifying_key()];
    let envelope = Envelope::seal(&statement(), &[&one, &two]).unwrap();
    let again = Envelope::from_json(&envelope.to_json().unwrap()).unwrap();
    assert_eq!(again, envelope);
    assert_eq!(again.open::<Provenance>(&keys, 2).unwrap(), statement());
    let verified = again.verify(&keys, 1).unwrap();
    assert_eq!(verified.key_ids, [keys[0].id(), keys[1].id()]);
    // Ed25519 is deterministic.
    let alone = Envelope::seal(&statement(), &[&one]).unwrap();
    assert_eq!(alone, Envelope::seal(&statement(), &[&one]).unwrap());
}

#[test]
fn counts_distinct_trusted_keys() {
    let (one, other) = (ed25519(), ed25519());
    let key = one.verifying_key();
    let twice = Envelope::seal(&statement(), &[&one, &one]).unwrap();
    let error = twice.verify(&[key.clone(), key.clone()], 2).unwrap_err();
    assert_eq!(
        error.to_string(),
        "1 of 2 required signatures are by trusted keys (the envelope has 2)"
    );
    assert!(twice.verify(&[other.verifying_key()], 1).is_err());
    assert!(twice.verify(&[], 0).is_err());
    // A key id is a hint only: a wrong one does not hide a right signature.
    let mut renamed = twice.clone();
    renamed.signatures[0].key_id = "someone".to_owned();
    assert!(renamed.verify(&[key], 1).is_ok());
}

#[test]
fn every_part_is_signed() {
    let key = ed25519();
    let trusted = [key.verifying_key()];
    let good = Envelope::seal(&statement(), &[&key]).unwrap();
    let mut other_type = good.clone();
    other_type.payload_type = "text/plain".to_owned();
    let mut other_payload = good.clone();
    other_payload.payload[10] ^= 1;
    let mut other_signature = good.clone();
    other_signature.signatures[0].bytes[5] ^= 1;
    for bad in [other_type, other_payload, other_signature] {
        assert!(matches!(
            bad.verify(&trusted, 1),
            Err(Error::Untrusted { .. })
        ));
    }
    let text = Envelope::sign("text/plain", b"hi".to_vec(), &[&key]).unwrap();
    assert!(text.verify(&trusted, 1).is_ok());
    let error = text.open::<Provenance>(&trusted, 1).unwrap_err();
    assert!(error.to_string().contains("payloadType"), "{error}");
}

#[test]
fn refuses_with_the_field_named() {
    for (json, part) in [
        ("{", "malformed DSSE envelope"),
        (
            r#"{"payload":"","payloadType":"x","signatures":[]}"#,
            "`signatures` is empty",
        ),
        (
            r#"{"payload":"!","payloadType":"x","signatures":[{"sig":""}]}"#,
            "`payload` is not base64",
        ),
        (
            r#"{"payload":"","payloadType":"x","signatures":[{"sig":"!"}]}"#,
            "`sig` is not base64",
        ),
    ] {
        let error = Envelope::from_json(json.as_bytes())
            .unwrap_err()
            .to_string();
        assert!(error.contains(part), "{error}");
    }
    // Other fields and the URL alphabet are allowed.
    let json = r#"{"payload":"-_8=","payloadType":"x","signatures":[{"sig":"","x":1}],"y":2}"#;
    let envelope = Envelope::from_json(json.as_bytes()).unwrap();
    assert_eq!(envelope.unverified_payload(), [0xfb, 0xff]);
}

#[test]
fn securesystemslib_verifies_ours() {
    let directory = tempfile::tempdir().unwrap();
    for key in [ed25519(), p256(directory.path())] {
        let envelope = Envelope::seal(&statement(), &[&key]).unwrap();
        let (file, public) = (
            directory.path().join("e.json"),
            directory.path().join("k.pem"),
        );
        std::fs::write(&file, envelope.to_json().unwrap()).unwrap();
        std::fs::write(&public, key.verifying_key().to_pem().unwrap()).unwrap();
        let script = "
import json, sys
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey
data = json.load(open(sys.argv[1]))
keyid = data['signatures'][0]['keyid']
envelope = Envelope.from_dict(data)
public = load_pem_public_key(open(sys.argv[2], 'rb').read())
key = SSlibKey.from_crypto(public, keyid=keyid)
envelope.verify([key], 1)
print(json.loads(envelope.payload)['predicateType'], end='')
envelope.payload += b' '
try:
    envelope.verify([key], 1)
except Exception:
    sys.exit(0)
sys.exit('altered payload was accepted')
";
        assert_eq!(python(script, &[&file, &public]), Provenance::TYPE);
    }
}

#[test]
fn verifies_what_securesystemslib_signs() {
    let directory = tempfile::tempdir().unwrap();
    let (file, public) = (
        directory.path().join("e.json"),
        directory.path().join("k.pem"),
    );
    let script = "
import json, sys
from cryptography.hazmat.primitives import serialization as s
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner
for name, signer in (('e', CryptoSigner.generate_ed25519()), ('p', CryptoSigner.generate_ecdsa())):
    envelope = Envelope(b'payload', 'text/plain', {})
    envelope.sign(signer)
    json.dump(envelope.to_dict(), open(sys.argv[1] + name, 'w'))
    pem = signer.private_key.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
    open(sys.argv[2] + name, 'wb').write(pem)
";
    let script = script.replace("signer.private_key", "signer._private_key");
    python(&script, &[&file, &public]);
    for name in ["e", "p"] {
        let read = |path: &Path| std::fs::read(format!("{}{name}", path.display())).unwrap();
        let envelope = Envelope::from_json(&read(&file)).unwrap();
        let key = VerifyingKey::from_pem(&read(&public)).unwrap();
        let verified = envelope.verify(&[key], 1).unwrap();
        assert_eq!(verified.payload, b"payload");
    }
}

#[test]
fn openssl_verifies_the_signature_itself() {
    let directory = tempfile::tempdir().unwrap();
    let key = p256(directory.path());
    let envelope = Envelope::sign("text/plain", b"hi".to_vec(), &[&key]).unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("pub"), key.verifying_key().to_pem().unwrap()).unwrap();
    std::fs::write(path("sig"), &envelope.signatures[0].bytes).unwrap();
    std::fs::write(
        path("message"),
        pre_authentication_encoding("text/plain", b"hi"),
    )
    .unwrap();
    let output = Command::new("openssl")
        .args(["dgst", "-sha256", "-verify"])
        .arg(path("pub"))
        .arg("-signature")
        .arg(path("sig"))
        .arg(path("message"))
        .output()
        .expect("install Debian's package openssl");
    assert!(output.status.success(), "{output:?}");
}

proptest! {
    #[test]
    fn round_trips(payload_type in "[ -~]{0,30}", payload: Vec<u8>) {
        let key = ed25519();
        let envelope = Envelope::sign(&payload_type, payload, &[&key]).unwrap();
        let again = Envelope::from_json(&envelope.to_json().unwrap()).unwrap();
        prop_assert!(again.verify(&[key.verifying_key()], 1).is_ok());
        prop_assert_eq!(again, envelope);
    }

    #[test]
    fn altered_envelopes(at: prop::sample::Index, value: u8, cut: prop::sample::Index) {
        let statement = Statement::new(
            vec![Descriptor::new("x", &Digest::of(b"x"))],
            statement().predicate,
        );
        let mut bytes = Envelope::seal(&statement, &[&ed25519()]).unwrap().to_json().unwrap();
        let at = at.index(bytes.len());
        bytes[at] = value;
        if let Ok(envelope) = Envelope::from_json(&bytes) {
            let _ = envelope.unverified_statement();
        }
        bytes.truncate(cut.index(bytes.len()));
        let _ = Envelope::from_json(&bytes);
    }
}
