//! Frames that are harmless one by one.

use std::net::Ipv4Addr;

use lanparty_testkit::lab::frame::{ARP, BROADCAST, Frame};

/// A type for experiments that, unlike the one of decent frames, nothing of ours uses: to a guard it is a game's.
pub const GAME: u16 = 0x88b6;
/// Which of the frames to everybody is chatter.
const CHATTER: usize = 2;

/// Frames to everybody with their marks: a game's broadcast, ARP, mDNS, and a game's multicast in IPv6.
pub fn to_everybody(mac: [u8; 6]) -> [([u8; 8], Vec<u8>); 4] {
    let marks = [*b"storm 0!", *b"storm 1!", *b"storm 2!", *b"storm 3!"];
    let ipv4 = Ipv4Addr::new(10, 73, 42, 66);
    let ipv6 = "fe80::66".parse().unwrap();
    let question = [
        &[0, 1, 8, 0, 6, 4, 0, 1][..],
        &mac,
        &ipv4.octets(),
        &[0; 6],
        &[10, 73, 42, 67],
        // Where padding would be.
        &marks[1],
        &[0; 10],
    ];
    let frames = [
        Frame::new(BROADCAST, mac, GAME, &[&marks[0][..], &[0; 46]].concat()),
        Frame::new(BROADCAST, mac, ARP, &question.concat()),
        Frame::udp4(
            ([1, 0, 0x5e, 0, 0, 0xfb], mac),
            (ipv4, 5353),
            (Ipv4Addr::new(224, 0, 0, 251), 5353),
            &[&marks[CHATTER][..], &[0; 16]].concat(),
        ),
        Frame::udp6(
            ([0x33, 0x33, 0, 0, 0, 1], mac),
            (ipv6, 4000),
            ("ff02::1".parse().unwrap(), 4000),
            &marks[3],
        ),
    ];
    let mut frames = frames.into_iter();
    marks.map(|mark| (mark, frames.next().expect("as many as marks").bytes().to_vec()))
}

/// Makes the `number`th frame of a storm from one of [`to_everybody`] in its place: what is not chatter as it is, and chatter with words of its own,
/// because a guard lets the same ones pass once only.
pub fn nth(frames: &mut [([u8; 8], Vec<u8>); 4], number: u32) -> &[u8] {
    let which = number as usize % frames.len();
    let (_, frame) = &mut frames[which];
    if which == CHATTER {
        let end = frame.len() - 4;
        frame[end..].copy_from_slice(&number.to_be_bytes());
    }
    frame
}
