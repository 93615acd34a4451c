use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::signer::{Signer, VerifyingKey};
use crate::statement::{Predicate, Statement};

/// The payload type of in-toto statements.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";
const WHAT: &str = "DSSE envelope";

/// A payload with signatures over it and its type: DSSE v1 (github.com/secure-systems-lab/dsse, `envelope.md`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    payload_type: String,
    payload: Vec<u8>,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Signature {
    key_id: String,
    bytes: Vec<u8>,
}

/// A payload that enough trusted keys have signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What was signed.
    pub payload: Vec<u8>,
    /// Its media type, signed too.
    pub payload_type: String,
    /// The [`VerifyingKey::id`]s of the trusted keys that signed, in the order in which the keys were given.
    pub key_ids: Vec<String>,
}

impl Envelope {
    /// Puts a statement into an envelope, signed by each of `signers`.
    pub fn seal<P: Predicate>(statement: &Statement<P>, signers: &[&dyn Signer]) -> Result<Self> {
        Self::sign(IN_TOTO, statement.to_json()?, signers)
    }

    /// Puts any payload into an envelope, signed by each of `signers`.
    pub fn sign(payload_type: &str, payload: Vec<u8>, signers: &[&dyn Signer]) -> Result<Self> {
        let message = pre_authentication_encoding(payload_type, &payload);
        let signatures = signers
            .iter()
            .map(|signer| {
                Ok(Signature {
                    key_id: signer.verifying_key().id(),
                    bytes: signer.sign(&message)?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            payload_type: payload_type.to_owned(),
            payload,
            signatures,
        })
    }

    /// Reads an envelope; fields that DSSE does not know are skipped, as it demands.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        let json: Json =
            serde_json::from_slice(bytes).map_err(|source| Error::Json { what: WHAT, source })?;
        if json.signatures.is_empty() {
            return Err(fault("signatures", "is empty"));
        }
        let signatures = json
            .signatures
            .into_iter()
            .map(|signature| {
                Ok(Signature {
                    key_id: signature.keyid.unwrap_or_default(),
                    bytes: decode("sig", &signature.sig)?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            payload: decode("payload", &json.payload)?,
            payload_type: json.payload_type,
            signatures,
        })
    }

    /// The envelope as JSON on one line.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(&Json {
            payload: STANDARD.encode(&self.payload),
            payload_type: self.payload_type.clone(),
            signatures: self
                .signatures
                .iter()
                .map(|signature| JsonSignature {
                    keyid: Some(signature.key_id.clone()),
                    sig: STANDARD.encode(&signature.bytes),
                })
                .collect(),
        })
        .map_err(|source| Error::Json { what: WHAT, source })
    }

    /// The payload, whoever signed it: to be shown or sorted, not to be relied upon.
    pub fn unverified_payload(&self) -> &[u8] {
        &self.payload
    }

    /// The statement in it, whoever signed it: to be shown or sorted, not to be relied upon.
    pub fn unverified_statement(&self) -> Result<Statement<Value>> {
        self.check_type()?;
        Statement::from_json_any(&self.payload)
    }

    /// Returns the payload if at least `threshold` of the `trusted` keys have signed it. A key counts once.
    ///
    /// Key ids in the envelope are hints that anyone can write; each signature is tried with each key.
    pub fn verify(&self, trusted: &[VerifyingKey], threshold: usize) -> Result<Verified> {
        let message = pre_authentication_encoding(&self.payload_type, &self.payload);
        let mut key_ids: Vec<String> = Vec::new();
        for key in trusted {
            let id = key.id();
            let signed = || {
                self.signatures
                    .iter()
                    .any(|signature| key.verifies(&message, &signature.bytes))
            };
            if !key_ids.contains(&id) && signed() {
                key_ids.push(id);
            }
        }
        if key_ids.len() < threshold.max(1) {
            return Err(Error::Untrusted {
                valid: key_ids.len(),
                needed: threshold.max(1),
                found: self.signatures.len(),
            });
        }
        Ok(Verified {
            payload: self.payload.clone(),
            payload_type: self.payload_type.clone(),
            key_ids,
        })
    }

    /// Verifies as [`Envelope::verify`] and reads the statement of the type wanted.
    pub fn open<P: Predicate>(
        &self,
        trusted: &[VerifyingKey],
        threshold: usize,
    ) -> Result<Statement<P>> {
        let verified = self.verify(trusted, threshold)?;
        self.check_type()?;
        Statement::from_json(&verified.payload)
    }

    fn check_type(&self) -> Result<()> {
        if self.payload_type != IN_TOTO {
            return Err(fault(
                "payloadType",
                &format!("is `{}`, not `{IN_TOTO}`", self.payload_type),
            ));
        }
        Ok(())
    }
}

/// The bytes that are signed: `"DSSEv1" SP LEN(type) SP type SP LEN(payload) SP payload`, lengths in decimal digits
/// (DSSE `protocol.md`, PAE).
pub fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    )
    .into_bytes();
    out.extend_from_slice(payload);
    out
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Json {
    payload: String,
    payload_type: String,
    signatures: Vec<JsonSignature>,
}

#[derive(Serialize, Deserialize)]
struct JsonSignature {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keyid: Option<String>,
    sig: String,
}

/// DSSE demands that readers take both alphabets.
fn decode(field: &'static str, text: &str) -> Result<Vec<u8>> {
    STANDARD
        .decode(text)
        .or_else(|_| URL_SAFE.decode(text))
        .map_err(|error| fault(field, &format!("is not base64: {error}")))
}

fn fault(field: &'static str, reason: &str) -> Error {
    Error::Field {
        what: WHAT,
        field,
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests;
