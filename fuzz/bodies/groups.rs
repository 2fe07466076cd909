//! Bytes as a frame about groups: what is read of a report can be written, and is read again as it was written.

use lanparty_core::lan::groups::rewrite_report;
use lanparty_wire::Frame;

pub fn run(data: &[u8]) {
    for written in rewrite_report(Frame::plain(data)).into_iter().flatten() {
        assert!(written.len() >= 60 && written.len() <= 1514);
        assert_eq!(
            rewrite_report(Frame::plain(&written)),
            Some(vec![written.clone()])
        );
    }
}
