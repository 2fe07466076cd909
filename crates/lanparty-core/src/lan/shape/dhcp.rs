//! Options of DHCP and BOOTP replies (RFC 2131, RFC 2132), taken out in place.
//!
//! A reply keeps its length: what is kept moves to the front of its field in its order, an end option follows and zeros (RFC 2132, section
//! 3.1) fill the rest. So a message that was long enough for old clients stays so. With option overload (section 9.3) the fields for file
//! and server name hold options too, and are treated alike. Where an option runs over the end of its field, it and what follows is gone:
//! nobody can say what it was.

use std::ops::Range;

/// What would move a player's internet or name service into the party's network, and what points at its proxies: router (3), DNS servers
/// (6), domain name (15), static routes (33), NetBIOS name and datagram servers (44, 45), node type (46), domain search (119), classless
/// static routes (121, and 249 as Windows asks for it), encrypted DNS (162, RFC 9463), proxy discovery (252).
pub(crate) const REMOVED: [u8; 12] = [3, 6, 15, 33, 44, 45, 46, 119, 121, 162, 249, 252];

const REPLY: u8 = 2;
const SERVER_NAME: Range<usize> = 44..108;
const FILE: Range<usize> = 108..236;
/// What tells options from what vendors had there before (RFC 2131, section 3).
pub(crate) const COOKIE: [u8; 4] = [99, 130, 83, 99];
const OPTIONS: usize = 240;

const PAD: u8 = 0;
const OVERLOAD: u8 = 52;
const END: u8 = 255;

/// Takes the options out of a reply; true if there were any.
pub(super) fn edit(message: &mut [u8]) -> bool {
    let has_options = message.first() == Some(&REPLY) && message.get(FILE.end..OPTIONS) == Some(&COOKIE);
    if !has_options {
        return false;
    }
    let overload = overload(&message[OPTIONS..]);
    let mut changed = filter(&mut message[OPTIONS..]);
    for (bit, field) in [(1, FILE), (2, SERVER_NAME)] {
        if overload & bit != 0 {
            changed |= filter(&mut message[field]);
        }
    }
    changed
}

/// Which of the other fields hold options as well: 1 for the file, 2 for the server's name.
fn overload(options: &[u8]) -> u8 {
    Options(options)
        .filter(|option| option.code == OVERLOAD)
        .filter_map(|option| option.value.first())
        .fold(0, |bits, value| bits | value)
}

/// Takes forbidden options out of one field, and what cannot be read; true if that has changed it.
fn filter(field: &mut [u8]) -> bool {
    let mut kept = Vec::with_capacity(field.len());
    let mut walk = Options(field);
    let mut removed = false;
    for option in walk.by_ref() {
        if REMOVED.contains(&option.code) {
            removed = true;
        } else {
            kept.extend_from_slice(option.bytes);
        }
    }
    let is_cut = walk.0.first().is_some_and(|&code| code != END);
    if !removed && !is_cut {
        return false;
    }
    // Something is missing, so there is room.
    kept.push(END);
    kept.resize(field.len(), PAD);
    field.copy_from_slice(&kept);
    true
}

/// One option, padding included.
pub(crate) struct DhcpOption<'a> {
    pub(crate) code: u8,
    pub(crate) value: &'a [u8],
    /// With its code and length.
    bytes: &'a [u8],
}

/// The options of a field up to its end option, or to one that is cut; what is left is in `.0`.
pub(crate) struct Options<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = DhcpOption<'a>;

    fn next(&mut self) -> Option<DhcpOption<'a>> {
        let length = match *self.0 {
            [] | [END, ..] => return None,
            [PAD, ..] => 1,
            [_, length, ..] => 2 + usize::from(length),
            [_] => return None,
        };
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(DhcpOption {
            code: bytes[0],
            value: bytes.get(2..).unwrap_or_default(),
            bytes,
        })
    }
}
