//! DSSE envelopes and the statements in them.

#![no_main]

use bedstone_evidence::provenance::Provenance;
use bedstone_evidence::{Envelope, Statement, VerifyingKey};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = VerifyingKey::from_pem(data);
    let _ = VerifyingKey::from_spki(data);
    let _ = Statement::<Provenance>::from_json(data);
    let Ok(envelope) = Envelope::from_json(data) else {
        return;
    };
    let _ = envelope.unverified_statement();
    let bytes = envelope.to_json().expect("what was read can be written");
    assert_eq!(Envelope::from_json(&bytes).ok(), Some(envelope));
});
