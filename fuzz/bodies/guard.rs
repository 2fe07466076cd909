//! Bytes as a frame that a guard decides about, next to a host that reads frames in its own, naive way: what the guard lets
//! through from a member must be no server's message to it.

use std::time::Instant;

use lanparty_core::guard::{Guard, Limits, Origin};
use lanparty_wire::{EtherView, Frame, MIN_FRAME_LEN, Mac, Offload};

const MEMBER: Mac = Mac([2, 0, 0, 0, 0, 1]);

pub fn run(data: &[u8]) {
    let [choice, a, b, c, d, bytes @ ..] = data else {
        return;
    };
    let mut bytes = bytes.to_vec();
    if let (true, Some(source)) = (choice & 1 == 0, bytes.get_mut(6..12)) {
        // Else hardly any input would get past the source check.
        source.copy_from_slice(&MEMBER.0);
    }
    let (first, second) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
    let offload = match choice >> 1 & 3 {
        0 => Offload::None,
        1 => Offload::ChecksumNeeded {
            start: first,
            offset: second,
        },
        2 => Offload::TcpSegments {
            size: first,
            header_len: second,
        },
        _ => Offload::UdpSegments {
            size: first,
            header_len: second,
        },
    };
    let frame = Frame {
        bytes: &bytes,
        offload,
    };
    let Ok(class) = admit(Origin::Member { mac: MEMBER }, frame) else {
        let _ = admit(Origin::Lan, frame);
        return;
    };
    assert!(
        admit(Origin::Lan, frame).is_ok(),
        "the LAN may send what a member may"
    );
    let view = EtherView::parse(&bytes).expect("a runt does not pass");
    assert_eq!(view.source(), MEMBER);
    assert_ne!(view.destination().0[..5], [1, 0x80, 0xc2, 0, 0]);
    if offload != Offload::None {
        return;
    }
    assert!(bytes.len() <= 1514);
    assert!(!is_hazard(&bytes), "a host would take this");
    let mut padded = bytes.clone();
    padded.resize(bytes.len().max(MIN_FRAME_LEN), 0);
    assert_eq!(
        admit(Origin::Member { mac: MEMBER }, Frame::plain(&padded)),
        Ok(class),
        "padded"
    );
}

#[allow(clippy::disallowed_methods)]
fn admit(origin: Origin, frame: Frame<'_>) -> Result<lanparty_wire::Class, lanparty_wire::DropReason> {
    // Each verdict is a new guard's first: limits are not what is looked for here.
    let now = Instant::now();
    let mut guard = Guard::new(origin, 1500, &Limits::default(), now);
    let _ = guard.admit_unknown_unicast(now, frame);
    guard.admit(now, frame)
}

/// True if a host could take the frame for a server's or a switch's.
fn is_hazard(frame: &[u8]) -> bool {
    let mut rest = &frame[12..];
    if let [high, low, 0xaa, 0xaa, 3, 0, 0, 0, ..] = *rest
        && u16::from_be_bytes([high, low]) < 0x600
    {
        rest = &rest[8..];
    }
    match *rest {
        [0x88, 0x8e | 0xcc | 0x09 | 0xa8, ..] | [0x81, 0x00, ..] | [0..=5, _, 0x42, 0x42, 3, ..] => true,
        [0x08, 0x00, ref packet @ ..] => ipv4_hazard(packet),
        [0x86, 0xdd, ref packet @ ..] => ipv6_hazard(packet).unwrap_or(false),
        _ => false,
    }
}

fn ipv4_hazard(packet: &[u8]) -> bool {
    let Some(&first) = packet.first() else {
        return false;
    };
    let Some(datagram) = packet.get(usize::from(first & 15) * 4..) else {
        return false;
    };
    let is_first = packet.len() > 20 && packet[6] & 0x1f == 0 && packet[7] == 0;
    if first >> 4 != 4 || !is_first || packet[9] != 17 {
        return false;
    }
    matches!(*datagram, [0, 67, ..] | [_, _, 0, 68, ..])
}

fn ipv6_hazard(packet: &[u8]) -> Option<bool> {
    if packet.first()? >> 4 != 6 {
        return Some(false);
    }
    let mut next = *packet.get(6)?;
    let mut rest = packet.get(40..)?;
    loop {
        let skip = match next {
            0 | 43 | 60 | 135 => 8 + usize::from(*rest.get(1)?) * 8,
            44 => return Some(true),
            58 => return Some(matches!(rest.first()?, 134 | 137)),
            17 => return Some(matches!(*rest, [2, 35, ..] | [_, _, 2, 34, ..])),
            _ => return Some(false),
        };
        next = *rest.first()?;
        rest = rest.get(skip..)?;
    }
}
