//! Binary values in their one form: what is signed, hashed or compared must not be writable in two ways.

/// Takes values off the front of bytes; `None` once there are too few.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    /// UTF-8 behind its length in one byte.
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let len = self.u8()?;
        std::str::from_utf8(self.bytes(usize::from(len))?).ok()
    }

    pub(crate) fn remaining(&self) -> usize {
        self.0.len()
    }

    /// `None` if something is left.
    pub(crate) fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// Writes what [`Reader::text`] reads. Longer texts are cut at a character's boundary.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str, max: u8) {
    let text = clip(text, max);
    // At most `max`, which is a byte.
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

/// The longest beginning of `text` that has at most `max` bytes and ends at a character's boundary.
pub(crate) fn clip(text: &str, max: u8) -> &str {
    let mut end = text.len().min(usize::from(max));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
