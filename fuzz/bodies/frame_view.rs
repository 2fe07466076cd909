//! Bytes as a frame: view, class, flow and the clamping of TCP's segment size.

use lanparty_core::{
    guard::{class_of, flow_hash},
    mss,
};
use lanparty_wire::{Class, ETHERNET_HEADER_LEN, EtherView};

pub fn run(data: &[u8]) {
    let [high, low, frame @ ..] = data else {
        return;
    };
    let budget = u16::from_be_bytes([*high, *low]);
    let Ok(view) = EtherView::parse(frame) else {
        assert!(frame.len() < ETHERNET_HEADER_LEN);
        assert_eq!(class_of(frame), Class::Bulk);
        return;
    };
    let kind = view.type_or_length().to_be_bytes();
    let parts = [&view.destination().0[..], &view.source().0, &kind, view.payload()].concat();
    assert_eq!(parts, frame);

    let mut clamped = frame.to_vec();
    let changed = mss::clamp(&mut clamped, budget);
    assert_eq!(clamped.len(), frame.len());
    assert_eq!(changed, clamped != frame);
    let differing = clamped.iter().zip(frame).filter(|(new, old)| new != old).count();
    assert!(
        differing <= 4,
        "more than an option's value and a checksum was written"
    );
    assert!(!mss::clamp(&mut clamped.clone(), budget), "clamped twice");
    assert_eq!(class_of(&clamped), class_of(frame));
    assert_eq!(flow_hash(7, &clamped), flow_hash(7, frame));
}
