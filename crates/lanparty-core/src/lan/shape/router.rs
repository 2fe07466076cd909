//! Router advertisements (RFC 4861, section 4.2) that are no router's: prefixes for addresses stay, ways out go.

/// Route information (24, RFC 4191), DNS servers and search list (25, 31, RFC 8106), NAT64's prefix (38, RFC 8781), encrypted DNS (144,
/// RFC 9463).
pub(crate) const REMOVED: [u8; 5] = [24, 25, 31, 38, 144];

const FLAGS: usize = 5;
/// Whether the router is preferred to others; zero if it is none (RFC 4191, section 2.2).
const PREFERENCE: u8 = 0b0001_1000;
const LIFETIME: std::ops::Range<usize> = 6..8;
const OPTIONS: usize = 16;

const PREFIX: u8 = 3;
/// Offsets in a prefix information option (RFC 4861, section 4.6.2).
const PREFIX_LENGTH: usize = 2;
const PREFIX_FLAGS: usize = 3;
const ON_LINK: u8 = 0x80;
/// What addresses are made from on Ethernet (RFC 2464, section 4). A shorter prefix on the link would be a route to half of the internet.
const SHORTEST_ON_LINK: u8 = 64;

/// Takes out of an advertisement what makes its sender a way out; true if there was any. What cannot be read is cut off: receivers
/// discard such a message as a whole (RFC 4861, section 6.1.2).
pub(super) fn edit(message: &mut Vec<u8>) -> bool {
    let Some(fixed) = message.get(..OPTIONS) else {
        return false;
    };
    let mut kept = fixed.to_vec();
    kept[LIFETIME].fill(0);
    kept[FLAGS] &= !PREFERENCE;
    let mut rest = &message[OPTIONS..];
    while let Some(option) = next(rest) {
        rest = &rest[option.len()..];
        if REMOVED.contains(&option[0]) {
            continue;
        }
        let at = kept.len();
        kept.extend_from_slice(option);
        if option[0] == PREFIX && option[PREFIX_LENGTH] < SHORTEST_ON_LINK {
            kept[at + PREFIX_FLAGS] &= !ON_LINK;
        }
    }
    let changed = kept != *message;
    *message = kept;
    changed
}

/// The first option, at least 8 bytes; `None` at the end, or where its length is zero or too large.
fn next(options: &[u8]) -> Option<&[u8]> {
    let length = usize::from(*options.get(1)?) * 8;
    (length > 0).then_some(())?;
    options.get(..length)
}
