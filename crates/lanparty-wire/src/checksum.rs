//! The internet's checksum (RFC 1071), over as many bytes at a time as the processor adds.
//!
//! Every byte that crosses a kernel boundary in a super-frame is summed once, so this is one of the few loops whose speed a user
//! notices. It adds 32-bit words into lanes of 64 bits, which compilers turn into vector instructions: a sum of ones' complement
//! does not care in which order, nor how many words at a time, it is made.

/// Bytes that go into all lanes at once.
const BLOCK: usize = 32;

/// A ones' complement sum of 16-bit words in network byte order, not folded yet.
#[derive(Clone, Copy, Default, Debug)]
pub struct Sum(u64);

impl Sum {
    /// The sum of nothing.
    pub const fn new() -> Sum {
        Sum(0)
    }

    /// Adds bytes that begin at an even offset of what is summed. An odd last byte counts as if a zero followed.
    #[must_use]
    pub fn add_bytes(self, bytes: &[u8]) -> Sum {
        let (blocks, rest) = bytes.as_chunks::<BLOCK>();
        let mut lanes = [0_u64; BLOCK / 4];
        for block in blocks {
            let (words, _) = block.as_chunks::<4>();
            for (lane, word) in lanes.iter_mut().zip(words) {
                *lane += u64::from(u32::from_ne_bytes(*word));
            }
        }
        let (words, rest) = rest.as_chunks::<4>();
        let whole = lanes.into_iter().sum::<u64>()
            + words
                .iter()
                .map(|word| u64::from(u32::from_ne_bytes(*word)))
                .sum::<u64>();
        let mut last = [0; 4];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        // A sum of 64 KiB has less than 48 bits; halved here, no number of calls can overflow it.
        let added = whole + u64::from(u32::from_ne_bytes(last));
        Sum(halved(self.0 + halved(added)))
    }

    /// Adds one word.
    #[must_use]
    pub fn add_word(self, word: u16) -> Sum {
        Sum(halved(self.0 + u64::from(word.to_be())))
    }

    /// The sum in 16 bits: what stands in a checksum field that somebody else completes.
    pub fn fold(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u16::from_be(sum as u16)
    }

    /// The checksum: the complement of the sum. Zero if bytes with a right checksum were summed.
    pub fn checksum(self) -> u16 {
        !self.fold()
    }
}

/// The same sum in half of the bits and one.
fn halved(sum: u64) -> u64 {
    (sum & 0xffff_ffff) + (sum >> 32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_the_rfc_comes_out() {
        // RFC 1071, section 3.
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::new().add_bytes(&bytes).fold(), 0xddf2);
        assert_eq!(Sum::new().add_bytes(&bytes).checksum(), 0x220d);
    }

    #[test]
    fn a_sum_of_all_ones_does_not_overflow() {
        let ones = vec![0xff; 65_536];
        let mut sum = Sum::new();
        for _ in 0..5000 {
            sum = sum.add_bytes(&ones);
        }
        assert_eq!(sum.fold(), 0xffff);
    }

    proptest! {
        #[test]
        fn it_is_the_sum_of_words_one_by_one(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            cut in 0usize..300,
            word: u16,
        ) {
            let mut slow = u64::from(word);
            for pair in bytes.chunks(2) {
                slow += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
            }
            while slow > 0xffff {
                slow = (slow & 0xffff) + (slow >> 16);
            }
            let cut = (cut & !1).min(bytes.len());
            let parts = Sum::new().add_bytes(&bytes[..cut]).add_word(word).add_bytes(&bytes[cut..]);
            prop_assert_eq!(parts.fold(), slow as u16);
        }
    }
}
