//! Where each chunk of a new image comes from.

use std::ops::Range;

use super::header::Header;
use super::index::Index;

/// Marks a chunk that the old image does not have.
const MISSING: u64 = u64::MAX;

/// For each chunk of a header: its place in the old image, or that it has to be fetched.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Offsets in the old image, in the order of the header's chunks; the dictionary counts as missing.
    sources: Vec<u64>,
}

impl Plan {
    /// Looks up all chunks of `header`, which must have the kind of checksum that `index` was made with.
    ///
    /// A header without plain digests finds nothing.
    pub fn new(header: &Header, index: &Index) -> Self {
        let sources = (0..header.chunks().len())
            .map(|number| {
                header
                    .plain_digest(number)
                    .filter(|_| number > 0)
                    .and_then(|digest| index.find(digest))
                    .unwrap_or(MISSING)
            })
            .collect();
        Self { sources }
    }

    /// The offset of chunk `number` in the old image, if that has it.
    pub(super) fn source(&self, number: usize) -> Option<u64> {
        self.sources
            .get(number)
            .copied()
            .filter(|&source| source != MISSING)
    }

    /// The numbers of the chunks to fetch when the first `written` bytes of the new image are there already.
    ///
    /// The dictionary is among them when any other is.
    pub(super) fn missing<'a>(
        &'a self,
        header: &'a Header,
        written: u64,
    ) -> impl Iterator<Item = usize> + 'a {
        let wanted = move |number: usize| {
            let chunk = header.chunks()[number];
            self.source(number).is_none() && chunk.length > 0 && chunk.plain_end() > written
        };
        let mut others = (1..header.chunks().len())
            .filter(move |&number| wanted(number))
            .peekable();
        let dictionary =
            header.chunks().first().is_some_and(|it| it.length > 0) && others.peek().is_some();
        dictionary.then_some(0).into_iter().chain(others)
    }

    /// The byte ranges of the zchunk file to fetch when the first `written` bytes of the new image are there already:
    /// in rising order, none touching the next.
    pub fn ranges(&self, header: &Header, written: u64) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for number in self.missing(header, written) {
            let chunk = header.chunks()[number];
            let end = chunk.offset + chunk.length as u64;
            match ranges.last_mut() {
                Some(last) if last.end == chunk.offset => last.end = end,
                _ => ranges.push(chunk.offset..end),
            }
        }
        ranges
    }

    /// Bytes to fetch in all.
    pub fn download(&self, header: &Header) -> u64 {
        self.ranges(header, 0)
            .iter()
            .map(|range| range.end - range.start)
            .sum()
    }
}
