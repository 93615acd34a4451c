use super::{DevicePath, ucs2};
use crate::error::{Error, Result};

const WHAT: &str = "load option";

/// The content of a `Boot####` variable, an `EFI_LOAD_OPTION` (UEFI 2.10 §3.1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadOption {
    /// `LOAD_OPTION_*` flags, usually [`LoadOption::ACTIVE`].
    pub attributes: u32,
    /// What boot menus show.
    pub description: String,
    /// What to load.
    pub path: DevicePath,
    /// What the program gets as its load options.
    pub optional_data: Vec<u8>,
}

impl LoadOption {
    /// `LOAD_OPTION_ACTIVE`: tried in the boot order.
    pub const ACTIVE: u32 = 1;

    /// An active entry without optional data.
    pub fn active(description: &str, path: DevicePath) -> Self {
        Self {
            attributes: Self::ACTIVE,
            description: description.to_owned(),
            path,
            optional_data: Vec::new(),
        }
    }

    /// Encodes the variable's content.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let path = self.path.encode()?;
        let length = u16::try_from(path.len()).map_err(|_| {
            fault(format!(
                "its device path of {} bytes is too long",
                path.len()
            ))
        })?;
        let mut out = self.attributes.to_le_bytes().to_vec();
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&ucs2::encode(WHAT, &self.description)?);
        out.extend_from_slice(&path);
        out.extend_from_slice(&self.optional_data);
        Ok(out)
    }

    /// Decodes the variable's content.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let (attributes, rest) = bytes
            .split_first_chunk::<4>()
            .ok_or_else(|| fault("it is shorter than its header"))?;
        let (length, rest) = rest
            .split_first_chunk::<2>()
            .ok_or_else(|| fault("it is shorter than its header"))?;
        let length = usize::from(u16::from_le_bytes(*length));
        let (description, rest) = ucs2::decode(WHAT, rest)?;
        let (path, optional_data) = rest
            .split_at_checked(length)
            .ok_or_else(|| fault(format!("its device path of {length} bytes is cut short")))?;
        Ok(Self {
            attributes: u32::from_le_bytes(*attributes),
            description,
            path: DevicePath::decode(path)?,
            optional_data: optional_data.to_vec(),
        })
    }
}

fn fault(reason: impl Into<String>) -> Error {
    Error::EfiValue {
        what: WHAT,
        reason: reason.into(),
    }
}
