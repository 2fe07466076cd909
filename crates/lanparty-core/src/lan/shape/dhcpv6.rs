//! Options of DHCPv6 servers' messages (RFC 8415, section 7.3), taken out. There is no padding in DHCPv6, so messages become shorter.

/// DNS servers and domain list (23, 24, RFC 3646), SNTP and NTP servers (31, RFC 4075; 56, RFC 5908), DS-Lite's tunnel (64, RFC 6334), DNS
/// selection (74, RFC 6731), containers of MAP and lightweight 4over6 (94 to 96, RFC 7598), encrypted DNS (144, RFC 9463).
pub(crate) const REMOVED: [u16; 10] = [23, 24, 31, 56, 64, 74, 94, 95, 96, 144];

/// Advertise, reply, reconfigure: what servers say to clients.
const TO_CLIENT: [u8; 3] = [2, 7, 10];
/// The type and the transaction's number.
const HEADER: usize = 4;
const RELAY_REPLY: u8 = 13;
/// Type, hop count, link address, peer address.
const RELAY_HEADER: usize = 34;
/// What a relay agent passes on, a whole message in itself.
const RELAY_MESSAGE: u16 = 9;
/// RFC 8415, section 7.6: relay agents discard what has gone through more.
const MOST_RELAYS: usize = 8;

/// Takes the options out of a server's message; true if there were any.
pub(super) fn edit(message: &mut Vec<u8>) -> bool {
    match edited(message, 0) {
        Some(shorter) => {
            *message = shorter;
            true
        }
        None => false,
    }
}

/// The message without them, if that is another one. An option that runs over the end goes if it is one of them, else it stays as it is.
fn edited(message: &[u8], depth: usize) -> Option<Vec<u8>> {
    let header = match *message.first()? {
        kind if TO_CLIENT.contains(&kind) => HEADER,
        RELAY_REPLY => RELAY_HEADER,
        _ => return None,
    };
    let is_relayed = header == RELAY_HEADER;
    let mut kept = message.get(..header)?.to_vec();
    let mut rest = &message[header..];
    while let Some((code, option)) = next(rest) {
        rest = &rest[option.len()..];
        if is_relayed && code == RELAY_MESSAGE {
            if depth >= MOST_RELAYS {
                continue;
            }
            match edited(&option[4..], depth + 1) {
                None => kept.extend_from_slice(option),
                Some(inner) => {
                    // Shorter than the one that had this length.
                    let length = inner.len() as u16;
                    kept.extend(code.to_be_bytes());
                    kept.extend(length.to_be_bytes());
                    kept.extend(inner);
                }
            }
        } else if !REMOVED.contains(&code) {
            kept.extend_from_slice(option);
        }
    }
    let cut = rest.first_chunk().map(|code| u16::from_be_bytes(*code));
    if !cut.is_some_and(|code| REMOVED.contains(&code)) {
        kept.extend_from_slice(rest);
    }
    (kept.len() != message.len()).then_some(kept)
}

/// The first option, with its code and length in front; `None` at the end or where one is cut.
fn next(options: &[u8]) -> Option<(u16, &[u8])> {
    let [a, b, c, d, ..] = *options else {
        return None;
    };
    let length = 4 + usize::from(u16::from_be_bytes([c, d]));
    Some((u16::from_be_bytes([a, b]), options.get(..length)?))
}
