//! The guard as its callers see it.

mod classes;
mod filters;
mod hidden;
mod limits;
mod strangers;

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use lanparty_wire::{Class, DropReason, ETHERNET_HEADER_LEN, Frame, MIN_FRAME_LEN, Mac};

use super::{Guard, Limits, Origin, crafted::*};

/// The same for a whole test. Which instant it is does not matter: guards count from their first.
#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    *START
}

fn after(milliseconds: u64) -> Instant {
    start() + Duration::from_millis(milliseconds)
}

fn of_member() -> Guard {
    Guard::new(Origin::Member { mac: MEMBER }, 1500, &Limits::default(), start())
}

fn of_lan() -> Guard {
    Guard::new(Origin::Lan, 1500, &Limits::default(), start())
}

fn from_member(frame: &[u8]) -> Result<Class, DropReason> {
    of_member().admit(start(), Frame::plain(frame))
}

fn from_lan(frame: &[u8]) -> Result<Class, DropReason> {
    of_lan().admit(start(), Frame::plain(frame))
}

#[track_caller]
fn passes(frame: &[u8]) {
    assert!(
        from_member(frame).is_ok(),
        "{:?} for {frame:02x?}",
        from_member(frame)
    );
    passes_from_lan(frame);
}

#[track_caller]
fn passes_from_lan(frame: &[u8]) {
    assert!(
        from_lan(frame).is_ok(),
        "{:?} from the LAN for {frame:02x?}",
        from_lan(frame)
    );
}

/// Refused from a member, for this reason; the LAN may send it.
#[track_caller]
fn refused_from_members(reason: DropReason, frame: &[u8]) {
    assert_eq!(from_member(frame), Err(reason), "{frame:02x?}");
    passes_from_lan(frame);
    if reason != DropReason::Malformed {
        // What a frame ends too early for, padding may complete; the verdict on it as it is was the one above.
        assert_eq!(from_member(&padded(frame)), Err(reason), "padded {frame:02x?}");
    }
}

/// Refused whoever sends it.
#[track_caller]
fn refused(reason: DropReason, frame: &[u8]) {
    for frame in [frame, &padded(frame)] {
        assert_eq!(from_member(frame), Err(reason), "{frame:02x?}");
        assert_eq!(from_lan(frame), Err(reason), "from the LAN: {frame:02x?}");
    }
}

/// As the LAN gateway sends it: of the least length that a wire takes. What is no frame stays so.
fn padded(frame: &[u8]) -> Vec<u8> {
    let mut padded = frame.to_vec();
    if frame.len() >= ETHERNET_HEADER_LEN {
        padded.resize(frame.len().max(MIN_FRAME_LEN), 0);
    }
    padded
}

fn group(last: u8) -> Mac {
    Mac([0x01, 0x80, 0xc2, 0, 0, last])
}
