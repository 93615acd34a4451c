//! Weak sums that move along by one byte at constant cost.

/// A weak sum of a stretch of bytes.
pub(super) trait Roll {
    /// The sum of `bytes`.
    fn of(bytes: &[u8]) -> Self;

    /// Moves on by one byte: `out` leaves in front, `into` joins behind.
    fn rotate(&mut self, out: u8, into: u8);

    /// Shortens the stretch by the byte `out` in front.
    fn shorten(&mut self, out: u8);

    /// The sum as it stands in a signature.
    fn value(&self) -> u32;
}

/// What the sum of rsync adds to each byte.
const CHARACTER_OFFSET: u32 = 31;

/// The sum of rsync: two 16-bit sums, the second of which weighs bytes by their position.
pub(super) struct Rsync {
    length: u32,
    low: u32,
    high: u32,
}

impl Roll for Rsync {
    fn of(bytes: &[u8]) -> Self {
        let (mut low, mut high) = (0_u32, 0_u32);
        for &byte in bytes {
            low = low.wrapping_add(byte as u32 + CHARACTER_OFFSET);
            high = high.wrapping_add(low);
        }
        Self {
            length: bytes.len() as u32,
            low,
            high,
        }
    }

    fn rotate(&mut self, out: u8, into: u8) {
        self.low = self.low.wrapping_add(into as u32).wrapping_sub(out as u32);
        self.high = self
            .high
            .wrapping_add(self.low)
            .wrapping_sub(self.length.wrapping_mul(out as u32 + CHARACTER_OFFSET));
    }

    fn shorten(&mut self, out: u8) {
        let out = out as u32 + CHARACTER_OFFSET;
        self.low = self.low.wrapping_sub(out);
        self.high = self.high.wrapping_sub(self.length.wrapping_mul(out));
        self.length = self.length.wrapping_sub(1);
    }

    fn value(&self) -> u32 {
        self.high << 16 | self.low & 0xffff
    }
}

/// Multiplier of the Rabin-Karp sum, a constant of the format.
const MULTIPLIER: u32 = 0x0810_4225;
/// Its inverse modulo 2^32.
const INVERSE: u32 = 0x98f0_09ad;
/// What takes the seed, 1, out again together with a byte.
const SEED_ADJUSTMENT: u32 = MULTIPLIER - 1;

/// The Rabin-Karp sum: a polynomial in [`MULTIPLIER`] modulo 2^32, with seed 1.
pub(super) struct RabinKarp {
    sum: u32,
    /// [`MULTIPLIER`] to the power of the length.
    power: u32,
}

impl Roll for RabinKarp {
    fn of(bytes: &[u8]) -> Self {
        const POWERS: [u32; 9] = {
            let mut powers = [1_u32; 9];
            let mut at = 1;
            while at < 9 {
                powers[at] = powers[at - 1].wrapping_mul(MULTIPLIER);
                at += 1;
            }
            powers
        };
        // Eight bytes at a time: their products do not wait for each other.
        let mut sum = 1_u32;
        let (eights, rest) = bytes.as_chunks::<8>();
        for eight in eights {
            let mut term = 0_u32;
            for (at, &byte) in eight.iter().enumerate() {
                term = term.wrapping_add(POWERS[7 - at].wrapping_mul(byte as u32));
            }
            sum = sum.wrapping_mul(POWERS[8]).wrapping_add(term);
        }
        for &byte in rest {
            sum = sum.wrapping_mul(MULTIPLIER).wrapping_add(byte as u32);
        }
        Self {
            sum,
            power: MULTIPLIER.wrapping_pow(bytes.len() as u32),
        }
    }

    fn rotate(&mut self, out: u8, into: u8) {
        let leaving = self
            .power
            .wrapping_mul((out as u32).wrapping_add(SEED_ADJUSTMENT));
        self.sum = self
            .sum
            .wrapping_mul(MULTIPLIER)
            .wrapping_add(into as u32)
            .wrapping_sub(leaving);
    }

    fn shorten(&mut self, out: u8) {
        self.power = self.power.wrapping_mul(INVERSE);
        self.sum = self.sum.wrapping_sub(
            self.power
                .wrapping_mul((out as u32).wrapping_add(SEED_ADJUSTMENT)),
        );
    }

    fn value(&self) -> u32 {
        self.sum
    }
}
