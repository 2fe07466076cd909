//! Bytes as what an envelope carries, and as what is inside a letter: what is read can be written, and has one form only.

use lanparty_wire::seal::{Letter, MAX_PARCEL, Parcel};

pub fn run(data: &[u8]) {
    if let Ok(parcel) = Parcel::decode(data) {
        assert!(data.len() <= MAX_PARCEL);
        assert_eq!(parcel.encode(), data);
    }
    if let Ok(letter) = Letter::decode(data) {
        assert_eq!(letter.encode(), data);
    }
}
