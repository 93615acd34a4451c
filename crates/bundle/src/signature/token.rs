//! Keys in PKCS #11 tokens: hardware security modules, smart cards, SoftHSM.

use std::fmt;
use std::path::Path;

use const_oid::db::rfc5912::{ECDSA_WITH_SHA_256, SHA_256_WITH_RSA_ENCRYPTION};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use der::Encode;
use der::asn1::UintRef;

use super::certificate::{parse, subject, verifies};
use super::key::{Scheme, Signer, suitable, to_der};
use crate::error::{Error, Result};

/// Which key of which token, as in a URI of RFC 7512 with the attributes `token` and `object`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Label of the token.
    pub token: String,
    /// Label of the private key.
    pub object: String,
}

impl Token {
    /// Whether a text is meant to be such a URI.
    pub fn is_uri(text: &str) -> bool {
        text.starts_with("pkcs11:")
    }

    /// Reads `pkcs11:token=TOKEN;object=OBJECT`; `%` with two digits stands for a byte.
    pub fn parse(uri: &str) -> Result<Self> {
        let refuse = |reason: &str| Error::Token(format!("`{uri}`: {reason}"));
        let (mut token, mut object) = (None, None);
        let path = uri.strip_prefix("pkcs11:");
        for pair in path.ok_or_else(|| refuse("no PKCS #11 URI"))?.split(';') {
            let (name, value) = pair
                .split_once('=')
                .ok_or_else(|| refuse("an attribute has no value"))?;
            let value = unescape(value).ok_or_else(|| refuse("a wrong escape"))?;
            let place = match name {
                "token" => &mut token,
                "object" => &mut object,
                "type" if value == "private" => continue,
                _ => return Err(refuse("only `token` and `object` are supported")),
            };
            if place.replace(value).is_some() {
                return Err(refuse("an attribute is given twice"));
            }
        }
        match (token, object) {
            (Some(token), Some(object)) => Ok(Self { token, object }),
            _ => Err(refuse("`token` and `object` are needed")),
        }
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.extend(crate::crypt::from_hex::<1>(digits)?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

/// A private key that stays in its token.
pub struct TokenKey {
    session: Session,
    key: ObjectHandle,
    certificate: Vec<u8>,
    scheme: Scheme,
}

impl TokenKey {
    /// Opens the key through the PKCS #11 library `module`. The certificate (PEM or DER) has to be one that a
    /// [`super::FileKey`] would take too, and to belong to the key.
    pub fn open(module: &Path, token: &Token, pin: &str, certificate: &[u8]) -> Result<Self> {
        let certificate = parse(certificate)?;
        let scheme = suitable(&certificate)?;
        let library = Pkcs11::new(module)
            .map_err(|error| failed(&format!("cannot load `{}`", module.display()), &error))?;
        library
            .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
            .map_err(|error| failed("cannot initialise the library", &error))?;
        let mut slots = library
            .get_slots_with_token()
            .map_err(|error| failed("cannot list tokens", &error))?
            .into_iter();
        let slot = slots.find(|slot| {
            library
                .get_token_info(*slot)
                .is_ok_and(|info| info.label().trim_end() == token.token)
        });
        let slot = slot.ok_or_else(|| Error::Token(format!("no token `{}`", token.token)))?;
        let session = library
            .open_ro_session(slot)
            .map_err(|error| failed("cannot open a session", &error))?;
        session
            .login(UserType::User, Some(&AuthPin::from(pin.to_owned())))
            .map_err(|error| failed("cannot log in", &error))?;
        let wanted = [
            Attribute::Class(ObjectClass::PRIVATE_KEY),
            Attribute::Label(token.object.clone().into_bytes()),
        ];
        let found = session
            .find_objects(&wanted)
            .map_err(|error| failed("cannot look for the key", &error))?;
        let [key] = found[..] else {
            return Err(Error::Token(format!(
                "{} private keys are labelled `{}`, one is needed",
                found.len(),
                token.object
            )));
        };
        let opened = Self {
            session,
            key,
            certificate: to_der(&certificate)?,
            scheme,
        };
        // Only a signature shows that key and certificate belong together.
        let probe = b"bedstone";
        let algorithm = match scheme {
            Scheme::RsaSha256 => SHA_256_WITH_RSA_ENCRYPTION,
            Scheme::EcdsaP256Sha256 => ECDSA_WITH_SHA_256,
        };
        if !verifies(&certificate, algorithm, None, probe, &opened.sign(probe)?)? {
            return Err(Error::Key(format!(
                "certificate of `{}` belongs to another key",
                subject(&certificate)
            )));
        }
        Ok(opened)
    }
}

impl Signer for TokenKey {
    fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    fn scheme(&self) -> Scheme {
        self.scheme
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let refuse = |error| failed("cannot sign", &error);
        match self.scheme {
            Scheme::RsaSha256 => self
                .session
                .sign(&Mechanism::Sha256RsaPkcs, self.key, message)
                .map_err(refuse),
            // Not every token hashes for ECDSA, so that is done here.
            Scheme::EcdsaP256Sha256 => {
                let digest = bedstone_store::Digest::of(message);
                let raw = self
                    .session
                    .sign(&Mechanism::Ecdsa, self.key, digest.as_bytes())
                    .map_err(refuse)?;
                ecdsa_der(&raw)
            }
        }
    }
}

/// From the two numbers side by side, as tokens give them, to `ECDSA-Sig-Value` (RFC 3279 §2.2.3).
fn ecdsa_der(raw: &[u8]) -> Result<Vec<u8>> {
    let broken = |_| Error::Token("a malformed signature".to_owned());
    let (r, s) = raw.split_at(raw.len() / 2);
    let mut body = Vec::new();
    for number in [r, s] {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        UintRef::new(&number[zeros.min(number.len().saturating_sub(1))..])
            .and_then(|number| number.encode_to_vec(&mut body))
            .map_err(broken)?;
    }
    der::Any::new(der::Tag::Sequence, body)
        .and_then(|sequence| sequence.to_der())
        .map_err(broken)
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey").finish_non_exhaustive()
    }
}

fn failed(what: &str, error: &cryptoki::error::Error) -> Error {
    Error::Token(format!("{what}: {error}"))
}
