//! Whose signatures count.

use const_oid::db::rfc5280::{ANY_EXTENDED_KEY_USAGE, ID_KP_CODE_SIGNING, ID_KP_EMAIL_PROTECTION};
use x509_cert::Certificate;
use x509_cert::ext::pkix::KeyUsages;

use super::certificate::{Extensions, issued_by, parse_all, subject};
use crate::error::{Error, Result};

/// Most certificates between a signer and a trusted one.
const CHAIN_LIMIT: usize = 4;

/// What is known about the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// Seconds since 1970: validity periods are enforced.
    At(u64),
    /// Nothing, or nothing that can be relied on: validity periods are not looked at. For devices without a clock, and for
    /// those that have to take updates for longer than any certificate lasts; what such a device trusts has to be withdrawn
    /// by other means.
    Unknown,
}

/// The certificates that are trusted: signers themselves, or authorities that issue to signers.
#[derive(Debug, Clone)]
pub struct Trust {
    anchors: Vec<Certificate>,
    clock: Clock,
}

impl Trust {
    /// Trusts every certificate in `certificates`: a PEM file of one or more, or one in DER.
    pub fn new(certificates: &[u8], clock: Clock) -> Result<Self> {
        let anchors = parse_all(certificates)?;
        if anchors.is_empty() {
            return Err(Error::Key("there is no certificate in it".to_owned()));
        }
        Ok(Self { anchors, clock })
    }

    /// Checks that `signer` is trusted, by itself or through `others`, may sign, and is valid.
    pub(super) fn check(&self, signer: &Certificate, others: &[&Certificate]) -> Result<()> {
        let chain = self.chain(signer, others)?;
        may_sign(signer)?;
        for (depth, authority) in chain.iter().enumerate().skip(1) {
            may_issue(authority, depth - 1)?;
        }
        chain
            .iter()
            .try_for_each(|certificate| self.valid(certificate))
    }

    /// From the signer to a trusted certificate.
    fn chain<'a>(
        &'a self,
        signer: &'a Certificate,
        others: &[&'a Certificate],
    ) -> Result<Vec<&'a Certificate>> {
        let untrusted = || Error::Untrusted {
            subject: subject(signer),
        };
        let mut chain = vec![signer];
        while chain.len() <= CHAIN_LIMIT + 1 {
            let last = chain[chain.len() - 1];
            if self.anchors.contains(last) {
                return Ok(chain);
            }
            let issuer = self
                .anchors
                .iter()
                .chain(others.iter().copied())
                .filter(|candidate| !chain.contains(candidate))
                .find(|candidate| issued_by(last, candidate).unwrap_or(false));
            chain.push(issuer.ok_or_else(untrusted)?);
        }
        Err(untrusted())
    }

    fn valid(&self, certificate: &Certificate) -> Result<()> {
        let Clock::At(now) = self.clock else {
            return Ok(());
        };
        let validity = &certificate.tbs_certificate.validity;
        let (from, to) = (&validity.not_before, &validity.not_after);
        if from.to_unix_duration().as_secs() <= now && now <= to.to_unix_duration().as_secs() {
            return Ok(());
        }
        Err(Error::Expired {
            subject: subject(certificate),
            not_before: from.to_date_time().to_string(),
            not_after: to.to_date_time().to_string(),
        })
    }
}

/// Checks key usage, and extended key usage as SWUpdate does with either of its two purposes.
pub(super) fn may_sign(certificate: &Certificate) -> Result<()> {
    let refuse = |reason| {
        Err(Error::Purpose {
            subject: subject(certificate),
            reason,
        })
    };
    let extensions = Extensions::of(certificate)?;
    if !extensions.allows(KeyUsages::DigitalSignature)
        && !extensions.allows(KeyUsages::NonRepudiation)
    {
        return refuse("may not make signatures (key usage)");
    }
    let purposes = [
        ID_KP_EMAIL_PROTECTION,
        ID_KP_CODE_SIGNING,
        ANY_EXTENDED_KEY_USAGE,
    ];
    match &extensions.extended {
        Some(extended) if !extended.0.iter().any(|purpose| purposes.contains(purpose)) => {
            refuse("is neither for e-mail protection nor for code signing (extended key usage)")
        }
        _ => Ok(()),
    }
}

/// Checks that a certificate is an authority's, with at most `below` authorities under it.
fn may_issue(certificate: &Certificate, below: usize) -> Result<()> {
    let refuse = |reason| {
        Err(Error::Purpose {
            subject: subject(certificate),
            reason,
        })
    };
    let extensions = Extensions::of(certificate)?;
    match &extensions.basic {
        Some(basic) if basic.ca => {
            if basic
                .path_len_constraint
                .is_some_and(|most| below > usize::from(most))
            {
                return refuse("has too many authorities under it (path length)");
            }
        }
        _ => return refuse("is no authority's (basic constraints)"),
    }
    if !extensions.allows(KeyUsages::KeyCertSign) {
        return refuse("may not issue certificates (key usage)");
    }
    Ok(())
}
