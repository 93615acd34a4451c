use super::{boot_order, ucs2};
use crate::error::{Error, Result};
use crate::guid::Guid;

/// `EFI_SYSTEM_NV_DATA_FV_GUID`: a firmware volume of variables.
const NV_DATA: Guid = Guid::from_bytes(0xfff12b8d_7696_4c8b_a985_2747075b4f50_u128.to_be_bytes());
/// `gEfiAuthenticatedVariableGuid`: a store whose variables carry authentication data.
const AUTHENTICATED: Guid =
    Guid::from_bytes(0xaaf32c78_947b_439a_a180_2e144ec37792_u128.to_be_bytes());
/// Bytes of `VARIABLE_STORE_HEADER`.
const STORE_HEADER: usize = 28;
/// Bytes of `AUTHENTICATED_VARIABLE_HEADER`.
const VARIABLE_HEADER: usize = 60;
/// `VARIABLE_STORE_FORMATTED` and `VARIABLE_STORE_HEALTHY`.
const FORMATTED_HEALTHY: [u8; 2] = [0x5a, 0xfe];
/// `StartId` of a variable.
const START: [u8; 2] = [0xaa, 0x55];
/// `State` of a variable that counts: added, not deleted, not being deleted.
const ADDED: u8 = 0x3f;
/// `State` of a variable that is being replaced, and counts until its successor is `ADDED`.
const IN_DELETED_TRANSITION: u8 = 0x3e;

/// When an authenticated variable was last signed, an `EFI_TIME` in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timestamp {
    /// Year, 1900 and later; 0 in variables that have no time.
    pub year: u16,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day, 1 to 31.
    pub day: u8,
    /// Hour, minute and second.
    pub time: [u8; 3],
}

impl Timestamp {
    fn encode(self) -> [u8; 16] {
        let mut out = [0; 16];
        out[..2].copy_from_slice(&self.year.to_le_bytes());
        out[2] = self.month;
        out[3] = self.day;
        out[4..7].copy_from_slice(&self.time);
        out
    }

    fn decode(bytes: &[u8]) -> Self {
        Self {
            year: u16::from_le_bytes([bytes[0], bytes[1]]),
            month: bytes[2],
            day: bytes[3],
            time: [bytes[4], bytes[5], bytes[6]],
        }
    }
}

/// One variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// The name.
    pub name: String,
    /// The name space that the name belongs to.
    pub vendor: Guid,
    /// `EFI_VARIABLE_*` flags, see [`super::attributes`].
    pub attributes: u32,
    /// When it was signed; zero in variables without time-based authentication.
    pub timestamp: Timestamp,
    /// The value.
    pub data: Vec<u8>,
}

/// The variable store in a flash file, as OVMF and AAVMF keep it.
///
/// The file is a firmware volume whose first part is the variable store; what follows in the file (event log, spare blocks
/// for fault tolerant writes) is kept as it is. Writing lays the variables out anew in a fixed order, without the deleted
/// ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariableStore {
    head: Vec<u8>,
    capacity: usize,
    tail: Vec<u8>,
    variables: Vec<Variable>,
}

impl VariableStore {
    /// Reads a flash file that begins with the variables' firmware volume.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let start = volume(bytes)?;
        let header = bytes
            .get(start..start + STORE_HEADER)
            .ok_or_else(|| malformed(start, "file ends in the store header"))?;
        if guid(header) != AUTHENTICATED {
            return Err(malformed(
                start,
                "store is not one of authenticated variables",
            ));
        }
        let size = u32::from_le_bytes([header[16], header[17], header[18], header[19]]) as usize;
        if header[20..22] != FORMATTED_HEALTHY {
            return Err(malformed(start + 20, "store is not formatted and healthy"));
        }
        let first = start + STORE_HEADER;
        let area = start
            .checked_add(size)
            .and_then(|end| bytes.get(first..end))
            .ok_or_else(|| malformed(start + 16, "`Size` of the store exceeds the file"))?;
        Ok(Self {
            head: bytes[..first].to_vec(),
            capacity: area.len(),
            tail: bytes[first + area.len()..].to_vec(),
            variables: variables(area, first)?,
        })
    }

    /// Writes the flash file; equal variables give equal bytes, in whatever order they were set.
    pub fn write(&self) -> Result<Vec<u8>> {
        let mut area = Vec::new();
        for variable in &self.variables {
            let name = ucs2::encode("variable name", &variable.name)?;
            area.extend_from_slice(&START);
            area.extend_from_slice(&[ADDED, 0]);
            area.extend_from_slice(&variable.attributes.to_le_bytes());
            // `MonotonicCount` and `PubKeyIndex` belong to a form of authentication that UEFI 2.8 removed.
            area.extend_from_slice(&[0; 8]);
            area.extend_from_slice(&variable.timestamp.encode());
            area.extend_from_slice(&[0; 4]);
            area.extend_from_slice(&length(name.len())?);
            area.extend_from_slice(&length(variable.data.len())?);
            area.extend_from_slice(&variable.vendor.to_disk());
            area.extend_from_slice(&name);
            area.extend_from_slice(&variable.data);
            area.resize(area.len().next_multiple_of(4), 0xff);
        }
        if area.len() > self.capacity {
            return Err(Error::VariableStoreFull {
                needed: area.len(),
                available: self.capacity,
            });
        }
        area.resize(self.capacity, 0xff);
        Ok([self.head.as_slice(), &area, &self.tail].concat())
    }

    /// The variables in the order of writing: by vendor, then by name.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// The value of a variable.
    pub fn get(&self, name: &str, vendor: Guid) -> Option<&Variable> {
        self.find(name, vendor).ok().map(|at| &self.variables[at])
    }

    /// Adds a variable or replaces the one of the same name and vendor.
    pub fn set(&mut self, variable: Variable) {
        match self.find(&variable.name, variable.vendor) {
            Ok(at) => self.variables[at] = variable,
            Err(at) => self.variables.insert(at, variable),
        }
    }

    /// Removes a variable, and tells whether there was one.
    pub fn remove(&mut self, name: &str, vendor: Guid) -> bool {
        let found = self.find(name, vendor);
        if let Ok(at) = found {
            self.variables.remove(at);
        }
        found.is_ok()
    }

    /// Makes `entries` the only boot entries, `Boot0000` and on, and the boot order.
    ///
    /// Firmware adds entries of its own behind them for the devices that it finds.
    pub fn set_boot_entries(&mut self, entries: &[super::LoadOption]) -> Result<()> {
        let encoded = entries
            .iter()
            .map(super::LoadOption::encode)
            .collect::<Result<Vec<_>>>()?;
        self.variables
            .retain(|v| v.vendor != super::GLOBAL || boot_order::entry(&v.name).is_none());
        let numbers: Vec<u16> = (0..=u16::MAX).take(encoded.len()).collect();
        for (number, data) in numbers.iter().zip(encoded) {
            self.set_plain(boot_order::name(*number), data);
        }
        self.set_plain("BootOrder".to_owned(), boot_order::encode(&numbers));
        Ok(())
    }

    fn set_plain(&mut self, name: String, data: Vec<u8>) {
        self.set(Variable {
            name,
            vendor: super::GLOBAL,
            attributes: super::attributes::BOOT_ENTRY,
            timestamp: Timestamp::default(),
            data,
        });
    }

    fn find(&self, name: &str, vendor: Guid) -> std::result::Result<usize, usize> {
        self.variables
            .binary_search_by(|v| (v.vendor, v.name.as_str()).cmp(&(vendor, name)))
    }
}

/// Checks the firmware volume header (`EFI_FIRMWARE_VOLUME_HEADER`, PI 1.8 vol. 3 §3.2.1) and returns its length.
fn volume(bytes: &[u8]) -> Result<usize> {
    let header = bytes
        .get(..56)
        .ok_or_else(|| malformed(0, "file is shorter than a firmware volume header"))?;
    if guid(&header[16..]) != NV_DATA || &header[40..44] != b"_FVH" {
        return Err(malformed(16, "file does not begin with a variable volume"));
    }
    let length = usize::from(u16::from_le_bytes([header[48], header[49]]));
    let whole = bytes
        .get(..length)
        .filter(|_| length >= 56)
        .ok_or_else(|| malformed(48, "`HeaderLength` exceeds the file"))?;
    let sum = whole.chunks_exact(2).fold(0_u16, |sum, word| {
        sum.wrapping_add(u16::from_le_bytes([word[0], word[1]]))
    });
    if sum != 0 {
        return Err(malformed(50, "`Checksum` of the volume header is wrong"));
    }
    Ok(length)
}

/// Reads the variables of `area`, which begins at `base` in the file.
fn variables(area: &[u8], base: usize) -> Result<Vec<Variable>> {
    let mut found: Vec<(bool, Variable)> = Vec::new();
    let mut at = 0;
    while let Some(header) = area.get(at..at + VARIABLE_HEADER) {
        if header[..2] != START {
            break;
        }
        let word = |i: usize| {
            u32::from_le_bytes([header[i], header[i + 1], header[i + 2], header[i + 3]]) as usize
        };
        let (name_size, data_size) = (word(36), word(40));
        let content = at + VARIABLE_HEADER;
        let data_start = content.checked_add(name_size);
        let end = data_start.and_then(|start| start.checked_add(data_size));
        let (Some(data_start), Some(end)) = (data_start, end.filter(|end| *end <= area.len()))
        else {
            return Err(malformed(base + at + 36, "variable exceeds the store"));
        };
        let state = header[2];
        if state == ADDED || state == IN_DELETED_TRANSITION {
            let (name, rest) = ucs2::decode("variable name", &area[content..data_start])?;
            if !rest.is_empty() {
                return Err(malformed(
                    base + content,
                    "variable name ends before its size",
                ));
            }
            found.push((
                state == ADDED,
                Variable {
                    name,
                    vendor: guid(&header[44..]),
                    attributes: word(4) as u32,
                    timestamp: Timestamp::decode(&header[16..32]),
                    data: area[data_start..end].to_vec(),
                },
            ));
        }
        at = end.next_multiple_of(4);
    }
    Ok(current(found))
}

/// Of several of the same name, the added one counts; one in transition counts where its successor is missing.
fn current(mut found: Vec<(bool, Variable)>) -> Vec<Variable> {
    found.sort_by(|(a_added, a), (b_added, b)| {
        (a.vendor, &a.name)
            .cmp(&(b.vendor, &b.name))
            .then(b_added.cmp(a_added))
    });
    found.dedup_by(|(_, later), (_, first)| {
        later.vendor == first.vendor && later.name == first.name
    });
    found.into_iter().map(|(_, variable)| variable).collect()
}

fn guid(bytes: &[u8]) -> Guid {
    let mut raw = [0; 16];
    raw.copy_from_slice(&bytes[..16]);
    Guid::from_disk(raw)
}

fn length(bytes: usize) -> Result<[u8; 4]> {
    u32::try_from(bytes)
        .map(u32::to_le_bytes)
        .map_err(|_| Error::EfiValue {
            what: "variable",
            reason: format!("{bytes} bytes are too many"),
        })
}

fn malformed(offset: usize, reason: &str) -> Error {
    Error::VariableStore {
        offset,
        reason: reason.to_owned(),
    }
}
