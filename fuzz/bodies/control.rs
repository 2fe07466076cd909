//! Bytes as a control stream: whatever is read can be written and read again, and how the bytes come in pieces changes nothing.

use bytes::BytesMut;
use lanparty_wire::control::{ControlError, MAX_MESSAGE, Message};

pub fn run(data: &[u8]) {
    let whole = read(data, data.len().max(1));
    let piecewise = read(data, 7);
    assert_eq!(whole, piecewise);
    for message in &whole.0 {
        match message.encode() {
            Ok(bytes) => {
                let again = read(&bytes, bytes.len()).0;
                assert_eq!(again.as_slice(), std::slice::from_ref(message));
            }
            // What has escapes in it can be longer when it is written than it was when it was read.
            Err(ControlError::TooLong(length)) => assert!(length > MAX_MESSAGE),
            Err(error) => panic!("{error}"),
        }
    }
}

/// The messages of a stream that comes in pieces of `size` bytes, and whether it ended in an error.
fn read(data: &[u8], size: usize) -> (Vec<Message>, bool) {
    let mut buffer = BytesMut::new();
    let mut messages = Vec::new();
    for piece in data.chunks(size) {
        buffer.extend_from_slice(piece);
        loop {
            match Message::decode(&mut buffer) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(_) => return (messages, true),
            }
        }
    }
    (messages, false)
}
