use super::signature_list::{self, Entry};
use super::{GLOBAL, IMAGE_SECURITY, Timestamp, Variable, VariableStore, attributes};
use crate::error::Result;
use crate::guid::Guid;

/// `gEfiSecureBootEnableDisableGuid` of edk2.
const SECURE_BOOT_ENABLE: Guid =
    Guid::from_bytes(0xf0a30bc7_af08_4556_99c4_001009c93a44_u128.to_be_bytes());
/// `gEfiCustomModeEnableGuid` of edk2.
const CUSTOM_MODE: Guid =
    Guid::from_bytes(0xc076ec0c_7028_4399_a072_71ee5c448b9f_u128.to_be_bytes());
/// When the keys count as signed: firmware takes later updates only, so it lies before any.
const ENROLLED: Timestamp = Timestamp {
    year: 2010,
    month: 1,
    day: 1,
    time: [0; 3],
};

/// The keys of Secure Boot (UEFI 2.10 §32.3), each a list of X.509 certificates (DER).
#[derive(Debug, Clone, Copy)]
pub struct SecureBootKeys<'a> {
    /// Who is noted as the keys' owner.
    pub owner: Guid,
    /// The platform key: may replace all others.
    pub pk: &'a [u8],
    /// Key exchange keys: may change `db` and `dbx`.
    pub kek: &'a [&'a [u8]],
    /// What may be booted: programs signed by these.
    pub db: &'a [&'a [u8]],
}

impl SecureBootKeys<'_> {
    /// Puts exactly these keys into the store, empties the list of forbidden programs, and turns Secure Boot on.
    ///
    /// The firmware must be one that protects its variables (`OVMF_CODE*.secboot.fd`, SMM on), or an attacker in the guest
    /// could do the same.
    pub fn enrol(&self, store: &mut VariableStore) -> Result<()> {
        store.set(self.database("PK", GLOBAL, &[self.pk])?);
        store.set(self.database("KEK", GLOBAL, self.kek)?);
        store.set(self.database("db", IMAGE_SECURITY, self.db)?);
        // With no `dbx` at all edk2 would create one at the first update only; the digest of nothing forbids nothing.
        let mut dbx = self.database("dbx", IMAGE_SECURITY, &[])?;
        dbx.data = signature_list::encode(&[Entry {
            kind: signature_list::SHA256,
            owner: self.owner,
            data: bedstone_store::Digest::of(b"").as_bytes(),
        }])?;
        store.set(dbx);
        store.set(switch("SecureBootEnable", SECURE_BOOT_ENABLE, 1));
        store.set(switch("CustomMode", CUSTOM_MODE, 0));
        Ok(())
    }

    fn database(&self, name: &str, vendor: Guid, certificates: &[&[u8]]) -> Result<Variable> {
        let entries: Vec<_> = certificates
            .iter()
            .map(|certificate| Entry {
                kind: signature_list::X509,
                owner: self.owner,
                data: certificate,
            })
            .collect();
        Ok(Variable {
            name: name.to_owned(),
            vendor,
            attributes: attributes::BOOT_ENTRY | attributes::TIME_BASED_AUTHENTICATED,
            timestamp: ENROLLED,
            data: signature_list::encode(&entries)?,
        })
    }
}

fn switch(name: &str, vendor: Guid, value: u8) -> Variable {
    Variable {
        name: name.to_owned(),
        vendor,
        attributes: attributes::NON_VOLATILE | attributes::BOOT_SERVICE,
        timestamp: Timestamp::default(),
        data: vec![value],
    }
}
