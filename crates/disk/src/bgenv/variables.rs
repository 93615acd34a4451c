use super::FORMAT;
use crate::error::{Error, Result};
use crate::storage::{le32, le64};

/// Bytes of the area that holds the variables.
const AREA: usize = 131_072;
/// Bytes of a record's payload before its data: length (4) and type (8).
const HEAD: usize = 12;
/// The bits of the type that say how the data are to be read; bits 32 to 48 are free for the user.
const STANDARD: u64 = 0xffff_ffff;
/// The bit by which the C library is told to delete; a stored record never carries it.
const DELETED: u64 = 1 << 63;

/// User variables, in the order in which they are stored.
///
/// A record is the name, NUL, u32 length of all that follows including itself, u64 type, data. The list ends with a zero
/// byte where a name would start, and that byte must be there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Variables(Vec<Variable>);

/// One user variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name: not empty, without NUL.
    pub name: String,
    /// Its type word: a standard type in bits 0..32, user's bits in 32..49.
    pub kind: u64,
    /// Its data as stored.
    pub data: Vec<u8>,
}

/// What a variable holds, by its standard type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Type 1: a character of C.
    Char(u8),
    /// Type 2.
    U8(u8),
    /// Type 3.
    U16(u16),
    /// Type 4.
    U32(u32),
    /// Type 5.
    U64(u64),
    /// Type 6.
    I8(i8),
    /// Type 7.
    I16(i16),
    /// Type 8.
    I32(i32),
    /// Type 9.
    I64(i64),
    /// Type 32: ASCII, stored with its NUL.
    String(String),
    /// Type 64.
    Bool(bool),
}

impl Value {
    fn kind(&self) -> u64 {
        match self {
            Self::Char(_) => 1,
            Self::U8(_) => 2,
            Self::U16(_) => 3,
            Self::U32(_) => 4,
            Self::U64(_) => 5,
            Self::I8(_) => 6,
            Self::I16(_) => 7,
            Self::I32(_) => 8,
            Self::I64(_) => 9,
            Self::String(_) => 32,
            Self::Bool(_) => 64,
        }
    }

    fn data(&self) -> Vec<u8> {
        match self {
            Self::Char(value) | Self::U8(value) => vec![*value],
            Self::U16(value) => value.to_le_bytes().to_vec(),
            Self::U32(value) => value.to_le_bytes().to_vec(),
            Self::U64(value) => value.to_le_bytes().to_vec(),
            Self::I8(value) => value.to_le_bytes().to_vec(),
            Self::I16(value) => value.to_le_bytes().to_vec(),
            Self::I32(value) => value.to_le_bytes().to_vec(),
            Self::I64(value) => value.to_le_bytes().to_vec(),
            Self::String(value) => [value.as_bytes(), b"\0"].concat(),
            Self::Bool(value) => vec![u8::from(*value)],
        }
    }
}

impl Variable {
    /// What the variable holds; nothing when its type is not a standard one or its data do not fit it.
    pub fn value(&self) -> Option<Value> {
        let data = self.data.as_slice();
        Some(match self.kind & STANDARD {
            1 => Value::Char(u8::from_le_bytes(data.try_into().ok()?)),
            2 => Value::U8(u8::from_le_bytes(data.try_into().ok()?)),
            3 => Value::U16(u16::from_le_bytes(data.try_into().ok()?)),
            4 => Value::U32(u32::from_le_bytes(data.try_into().ok()?)),
            5 => Value::U64(u64::from_le_bytes(data.try_into().ok()?)),
            6 => Value::I8(i8::from_le_bytes(data.try_into().ok()?)),
            7 => Value::I16(i16::from_le_bytes(data.try_into().ok()?)),
            8 => Value::I32(i32::from_le_bytes(data.try_into().ok()?)),
            9 => Value::I64(i64::from_le_bytes(data.try_into().ok()?)),
            32 => {
                let (nul, text) = data.split_last()?;
                let text = std::str::from_utf8(text).ok().filter(|_| *nul == 0)?;
                Value::String(text.to_owned())
            }
            64 => match data {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                _ => return None,
            },
            _ => return None,
        })
    }

    fn record_length(&self) -> usize {
        self.name.len() + 1 + HEAD + self.data.len()
    }
}

impl Variables {
    /// The variables, in stored order.
    pub fn iter(&self) -> impl Iterator<Item = &Variable> {
        self.0.iter()
    }

    /// The variable named `name`.
    pub fn get(&self, name: &str) -> Option<&Variable> {
        self.0.iter().find(|variable| variable.name == name)
    }

    /// Sets a variable of a standard type.
    ///
    /// As in the C library, a record of the same length is replaced in its place; any other goes to the end.
    pub fn set(&mut self, name: &str, value: &Value) -> Result<()> {
        self.insert(Variable {
            name: name.to_owned(),
            kind: value.kind(),
            data: value.data(),
        })
    }

    /// Sets a variable of any type, with the rule of [`Variables::set`].
    pub fn insert(&mut self, variable: Variable) -> Result<()> {
        let name = &variable.name;
        let refuse = |reason| Err(Error::unwritable(FORMAT, name, reason));
        if name.is_empty() || name.contains('\0') {
            return refuse("a variable's name is not empty and has no NUL");
        }
        if variable.kind & DELETED != 0 {
            return refuse("a stored variable cannot carry the delete flag");
        }
        let place = self.0.iter().position(|old| old.name == *name);
        let replaced = place.map_or(0, |place| self.0[place].record_length());
        if self.length() - replaced + variable.record_length() >= AREA {
            return refuse("no room left for the variable");
        }
        match place {
            Some(place) if replaced == variable.record_length() => self.0[place] = variable,
            Some(place) => {
                self.0.remove(place);
                self.0.push(variable);
            }
            None => self.0.push(variable),
        }
        Ok(())
    }

    /// Removes a variable; those behind it move up. Returns what was removed.
    pub fn remove(&mut self, name: &str) -> Option<Variable> {
        let place = self.0.iter().position(|variable| variable.name == name)?;
        Some(self.0.remove(place))
    }

    fn length(&self) -> usize {
        self.0.iter().map(Variable::record_length).sum()
    }

    pub(super) fn from_bytes(area: &[u8]) -> Result<Self> {
        let bad = |reason: &str| Err(Error::malformed(FORMAT, "user variables", reason));
        let mut variables = Vec::new();
        let mut rest = area;
        while rest.first().is_some_and(|byte| *byte != 0) {
            let Some(end) = rest.iter().position(|byte| *byte == 0) else {
                return bad("a name without an end");
            };
            let (name, tail) = (&rest[..end], &rest[end + 1..]);
            if tail.len() < HEAD {
                return bad("a record without type");
            }
            let length = le32(tail, 0) as usize;
            if length < HEAD || length >= tail.len() {
                return bad("a record that leaves the area or its own header");
            }
            let Ok(name) = std::str::from_utf8(name) else {
                return bad("a name that is not UTF-8");
            };
            variables.push(Variable {
                name: name.to_owned(),
                kind: le64(tail, 4),
                data: tail[HEAD..length].to_vec(),
            });
            rest = &tail[length..];
        }
        Ok(Self(variables))
    }

    pub(super) fn write(&self, area: &mut [u8]) -> Result<()> {
        if self.length() >= area.len() {
            return Err(Error::unwritable(FORMAT, "user variables", "no room left"));
        }
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            area[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        for variable in &self.0 {
            put(variable.name.as_bytes());
            put(&[0]);
            put(&((HEAD + variable.data.len()) as u32).to_le_bytes());
            put(&variable.kind.to_le_bytes());
            put(&variable.data);
        }
        Ok(())
    }
}
