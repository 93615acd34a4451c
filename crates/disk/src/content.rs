//! What goes into a file or partition: bytes at hand, or a file on the build machine.

use std::fs::{self, File};
use std::io::{Cursor, Read};
use std::path::PathBuf;

use crate::error::{Error, Result};

/// The content of a file, an archive member or a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// What is in this file, which is read when the content is written.
    File(PathBuf),
}

impl Content {
    /// The length in bytes.
    pub fn length(&self) -> Result<u64> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.len() as u64),
            Self::File(path) => Ok(fs::metadata(path)
                .map_err(Error::io("inspect", path))?
                .len()),
        }
    }

    /// A reader of the content from its start.
    pub fn open(&self) -> Result<Box<dyn Read + Send + '_>> {
        match self {
            Self::Bytes(bytes) => Ok(Box::new(Cursor::new(bytes))),
            Self::File(path) => Ok(Box::new(File::open(path).map_err(Error::io("open", path))?)),
        }
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl From<PathBuf> for Content {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}
