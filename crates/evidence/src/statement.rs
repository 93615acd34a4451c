use std::collections::BTreeMap;
use std::fmt::Write as _;

use bedstone_store::Digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const WHAT: &str = "in-toto statement";

/// What is said: one type, named by a URI that fixes the meaning of its fields for ever.
pub trait Predicate: Serialize + DeserializeOwned {
    /// The predicate type's URI.
    const TYPE: &'static str;
}

/// A claim about artifacts: in-toto Attestation Framework, Statement v1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement<P> {
    #[serde(rename = "_type")]
    version: String,
    /// The artifacts that the claim is about, each with a digest.
    pub subject: Vec<Descriptor>,
    /// The URI that says how to read the predicate.
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// The claim.
    pub predicate: P,
}

/// An artifact: in-toto `ResourceDescriptor` v1. Every field is optional, but one of the first three must be there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// A name that tells the artifact from its neighbours, such as a file name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A URI that identifies it wherever it is kept, such as a package URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Digests by algorithm (`sha256`), in lower-case hexadecimal digits.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digest: BTreeMap<String, String>,
    /// The type of the content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Anything else worth knowing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, Value>,
}

impl Descriptor {
    /// An artifact with its name and SHA-256.
    pub fn new(name: impl Into<String>, digest: &Digest) -> Self {
        Self {
            name: Some(name.into()),
            digest: BTreeMap::from([("sha256".to_owned(), digest.to_string())]),
            ..Self::default()
        }
    }

    /// A Debian package with its package URL (purl specification, type `deb`).
    pub fn debian_package(name: &str, version: &str, architecture: &str, digest: &Digest) -> Self {
        Self {
            uri: Some(format!(
                "pkg:deb/debian/{}@{}?arch={}",
                encoded(name),
                encoded(version),
                encoded(architecture)
            )),
            ..Self::new(name, digest)
        }
    }

    /// Adds something worth knowing.
    #[must_use]
    pub fn annotated(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.annotations.insert(key.into(), value.into());
        self
    }

    /// The SHA-256, if there is a well formed one.
    pub fn sha256(&self) -> Option<Digest> {
        self.digest.get("sha256")?.parse().ok()
    }
}

impl<P: Predicate> Statement<P> {
    /// States `predicate` about `subject`, which is sorted by name.
    pub fn new(mut subject: Vec<Descriptor>, predicate: P) -> Self {
        subject.sort_by(|a, b| (&a.name, &a.uri, &a.digest).cmp(&(&b.name, &b.uri, &b.digest)));
        Self {
            version: STATEMENT.to_owned(),
            subject,
            predicate_type: P::TYPE.to_owned(),
            predicate,
        }
    }

    /// Reads a statement with a predicate of this type.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        let statement: Self = parse(bytes)?;
        if statement.predicate_type != P::TYPE {
            return Err(fault(
                "predicateType",
                format!("is `{}`, not `{}`", statement.predicate_type, P::TYPE),
            ));
        }
        Ok(statement)
    }
}

impl Statement<Value> {
    /// Reads a statement whatever its predicate is.
    pub fn from_json_any(bytes: &[u8]) -> Result<Self> {
        parse(bytes)
    }
}

impl<P: Serialize> Statement<P> {
    /// The JSON that gets signed; equal statements give equal bytes.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|source| Error::Json { what: WHAT, source })
    }
}

fn parse<P: DeserializeOwned>(bytes: &[u8]) -> Result<Statement<P>> {
    let statement: Statement<P> =
        serde_json::from_slice(bytes).map_err(|source| Error::Json { what: WHAT, source })?;
    if statement.version != STATEMENT {
        return Err(fault(
            "_type",
            format!("is `{}`, not `{STATEMENT}`", statement.version),
        ));
    }
    if statement.subject.iter().any(|s| s.digest.is_empty()) {
        return Err(fault("subject", "has an artifact without digest"));
    }
    Ok(statement)
}

/// Percent-encodes all but what a package URL leaves as it is.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' => {
                out.push(char::from(byte));
            }
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

fn fault(field: &'static str, reason: impl Into<String>) -> Error {
    Error::Field {
        what: WHAT,
        field,
        reason: reason.into(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
