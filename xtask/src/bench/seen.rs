//! Which numbered packets have arrived. Redundancy may deliver one twice, which must not hide that another is missing.

/// A set of sequence numbers.
#[derive(Default)]
pub struct Seen {
    words: Vec<u64>,
    count: u64,
}

impl Seen {
    /// Notes one; false if it was there already, or is too large to be one of ours.
    pub fn insert(&mut self, number: u64) -> bool {
        /// Far more than any trial sends.
        const MOST: u64 = 1 << 28;
        let Some(index) = (number < MOST)
            .then(|| usize::try_from(number / 64).ok())
            .flatten()
        else {
            return false;
        };
        if index >= self.words.len() {
            self.words.resize(index + 1, 0);
        }
        let bit = 1 << (number % 64);
        let fresh = self.words[index] & bit == 0;
        self.words[index] |= bit;
        self.count += u64::from(fresh);
        fresh
    }

    /// How many different ones have come.
    pub fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_counted_once() {
        let mut seen = Seen::default();
        assert!(seen.insert(3) && !seen.insert(3) && seen.insert(1000));
        assert!(!seen.insert(u64::MAX));
        assert_eq!(seen.count(), 2);
    }
}
