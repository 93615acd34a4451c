use super::{Index, NameId};

/// A part of an index: its first byte and its length.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) length: u32,
}

/// A short text in one of the indexes, or in the arena for texts that no index holds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Text {
    pub(super) start: u32,
    pub(super) length: u16,
    pub(super) place: u16,
}

impl Text {
    /// The `place` of texts that were composed here.
    const ARENA: u16 = u16::MAX;

    pub(super) const fn is_empty(self) -> bool {
        self.length == 0
    }
}

/// Package names, each once, found by apt's hash.
#[derive(Debug, Default)]
pub(super) struct Names {
    groups: Vec<Group>,
    table: Vec<u32>,
    arena: Vec<u8>,
}

#[derive(Debug)]
struct Group {
    text: Text,
    hash: u32,
    first: Option<NameId>,
}

const EMPTY: u32 = u32::MAX;

impl Names {
    pub(super) fn with_capacity(names: usize) -> Self {
        let size = (names * 2).next_power_of_two().max(64);
        Self {
            groups: Vec::with_capacity(names),
            table: vec![EMPTY; size],
            arena: Vec::new(),
        }
    }

    pub(super) fn bytes<'a>(&'a self, indexes: &'a [Index], text: Text) -> &'a [u8] {
        let whole = match text.place {
            Text::ARENA => &self.arena,
            place => match indexes.get(place as usize) {
                Some(index) => &index.packages,
                None => return &[],
            },
        };
        &whole[text.start as usize..text.start as usize + text.length as usize]
    }

    /// Keeps a composed text.
    pub(super) fn compose(&mut self, text: &[u8]) -> Text {
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(text);
        Text {
            start,
            length: text.len() as u16,
            place: Text::ARENA,
        }
    }

    /// The group of that name, made where it is new.
    pub(super) fn group(&mut self, indexes: &[Index], text: Text, hash: u32) -> u32 {
        let name = self.bytes(indexes, text);
        let slot = match self.probe(indexes, name, hash) {
            Ok(group) => return group,
            Err(slot) => slot,
        };
        let group = self.groups.len() as u32;
        self.groups.push(Group {
            text,
            hash,
            first: None,
        });
        self.table[slot] = group;
        if self.groups.len() * 2 > self.table.len() {
            self.grow();
        }
        group
    }

    /// The group of a composed name.
    pub(super) fn composed_group(&mut self, indexes: &[Index], name: &[u8]) -> u32 {
        let hash = hash(name);
        if let Ok(group) = self.probe(indexes, name, hash) {
            return group;
        }
        let text = self.compose(name);
        self.group(indexes, text, hash)
    }

    /// The first entry under that name.
    pub(super) fn find(&self, indexes: &[Index], name: &[u8]) -> Option<NameId> {
        let group = self.probe(indexes, name, hash(name)).ok()?;
        self.first(group)
    }

    pub(super) fn first(&self, group: u32) -> Option<NameId> {
        self.groups[group as usize].first
    }

    pub(super) fn set_first(&mut self, group: u32, entry: NameId) {
        self.groups[group as usize].first = Some(entry);
    }

    pub(super) fn name<'a>(&'a self, indexes: &'a [Index], group: u32) -> &'a str {
        // Names were read from UTF-8 fields; composed ones join such names.
        std::str::from_utf8(self.bytes(indexes, self.groups[group as usize].text)).unwrap_or("")
    }

    pub(super) fn hash(&self, group: u32) -> u32 {
        self.groups[group as usize].hash
    }

    fn probe(&self, indexes: &[Index], name: &[u8], hash: u32) -> Result<u32, usize> {
        if self.table.is_empty() {
            return Err(0);
        }
        let mask = self.table.len() - 1;
        // apt's hash is weak in its low bits for names with a common ending; the multiplication spreads it.
        let mut slot = (hash.wrapping_mul(0x9e37_79b1) >> 7) as usize & mask;
        loop {
            let group = self.table[slot];
            if group == EMPTY {
                return Err(slot);
            }
            let known = &self.groups[group as usize];
            if known.hash == hash && self.bytes(indexes, known.text) == name {
                return Ok(group);
            }
            slot = (slot + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let mut table = vec![EMPTY; self.table.len() * 2];
        let mask = table.len() - 1;
        for (group, known) in self.groups.iter().enumerate() {
            let mut slot = (known.hash.wrapping_mul(0x9e37_79b1) >> 7) as usize & mask;
            while table[slot] != EMPTY {
                slot = (slot + 1) & mask;
            }
            table[slot] = group as u32;
        }
        self.table = table;
    }
}

/// apt's hash of a name: 33 times and add, from 5381, over the bytes with bit 5 set.
pub(super) fn hash(name: &[u8]) -> u32 {
    name.iter().fold(5381, |hash: u32, &byte| {
        hash.wrapping_mul(33).wrapping_add(u32::from(byte | 0x20))
    })
}
