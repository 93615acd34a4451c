//! From a weak sum to the blocks that have it.

/// Marks an empty place.
const EMPTY: u32 = u32::MAX;
/// Spreads sums over places: rsync's are poor in their upper bits (Knuth, volume 3, 6.4: multiplicative hashing).
const SPREAD: u32 = 0x9e37_79b1;

/// An open-addressed table of block numbers, with a bit filter before it that fits in the processor's cache.
#[derive(Debug)]
pub(super) struct Table {
    places: Vec<u32>,
    place_shift: u32,
    filter: Vec<u64>,
    filter_shift: u32,
}

impl Table {
    /// Indexes blocks by their weak sums. Of blocks that are `same`, having equal weak sums, only the first is kept:
    /// a thousand blocks of zeros would be a thousand places to look at.
    pub(super) fn new(weak: &[u32], same: impl Fn(usize, usize) -> bool) -> Self {
        let bits = (usize::BITS - weak.len().leading_zeros() + 1).clamp(4, 31);
        let filter_bits = (bits + 3).min(31);
        let mut table = Self {
            places: vec![EMPTY; 1 << bits],
            place_shift: 32 - bits,
            filter: vec![0; 1 << (filter_bits - 6)],
            filter_shift: 32 - filter_bits,
        };
        for (block, &sum) in weak.iter().enumerate() {
            let mut place = table.place(sum);
            let known = loop {
                match table.places[place] {
                    EMPTY => break false,
                    other if weak[other as usize] == sum && same(other as usize, block) => {
                        break true;
                    }
                    _ => place = (place + 1) & (table.places.len() - 1),
                }
            };
            if !known {
                table.places[place] = block as u32;
                let bit = sum.wrapping_mul(SPREAD) >> table.filter_shift;
                table.filter[bit as usize / 64] |= 1 << (bit % 64);
            }
        }
        table
    }

    pub(super) fn may_have(&self, weak: u32) -> bool {
        let bit = weak.wrapping_mul(SPREAD) >> self.filter_shift;
        self.filter[bit as usize / 64] >> (bit % 64) & 1 == 1
    }

    /// The blocks that may have this weak sum, among others; those that have it in rising order of their numbers.
    pub(super) fn candidates(&self, weak: u32) -> impl Iterator<Item = usize> + '_ {
        let start = self.place(weak);
        (0..self.places.len())
            .map(move |step| self.places[(start + step) & (self.places.len() - 1)])
            .take_while(|&block| block != EMPTY)
            .map(|block| block as usize)
    }

    fn place(&self, weak: u32) -> usize {
        (weak.wrapping_mul(SPREAD) >> self.place_shift) as usize
    }
}
