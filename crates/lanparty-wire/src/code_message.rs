//! What newcomer and host say to each other over a short code, in envelopes.
//!
//! The first byte is 16 to 20, which no parcel between members begins with, so that both kinds share the envelopes.

use crate::{AdmissionRefusal, ShortNumber};

/// Bytes of a SPAKE2 message of the library, its side included.
pub const PAKE_LEN: usize = 33;
/// Bytes of a key confirmation.
pub const CONFIRMATION_LEN: usize = 32;
/// Bytes of a sealed grant at most.
pub const MAX_GRANT: usize = 2048;

const START: u8 = 16;
const REPLY: u8 = 17;
const CONFIRM: u8 = 18;
const GRANT: u8 = 19;
const REFUSED: u8 = 20;

/// One of the messages, in the order in which they go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CodeMessage {
    /// Newcomer to host: 16, the code's number (2), the newcomer's share (33).
    Start {
        number: ShortNumber,
        share: [u8; PAKE_LEN],
    },
    /// Host to newcomer: 17, the host's share (33), and the proof that it knows the words (32).
    Reply {
        share: [u8; PAKE_LEN],
        confirmation: [u8; CONFIRMATION_LEN],
    },
    /// Newcomer to host: 18, and the proof that it knows the words (32).
    Confirm { confirmation: [u8; CONFIRMATION_LEN] },
    /// Host to newcomer: 19, and an invite sealed under the key that both have now.
    Grant { sealed: Vec<u8> },
    /// Either side: 20, and why not (1).
    Refused(AdmissionRefusal),
}

/// The bytes are no message about a short code.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("it is no message about a short code")]
pub struct CodeMessageError;

impl CodeMessage {
    /// True if an envelope's bytes are to be read as one of these.
    pub fn is_one(bytes: &[u8]) -> bool {
        matches!(bytes.first(), Some(START..=REFUSED))
    }

    /// Writes it.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            CodeMessage::Start { number, share } => {
                [&[START][..], &number.value().to_be_bytes(), share].concat()
            }
            CodeMessage::Reply { share, confirmation } => [&[REPLY][..], share, confirmation].concat(),
            CodeMessage::Confirm { confirmation } => [&[CONFIRM][..], confirmation].concat(),
            CodeMessage::Grant { sealed } => [&[GRANT][..], sealed].concat(),
            CodeMessage::Refused(refusal) => vec![REFUSED, *refusal as u8],
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// Another kind or length than these have.
    pub fn decode(bytes: &[u8]) -> Result<CodeMessage, CodeMessageError> {
        let (&kind, rest) = bytes.split_first().ok_or(CodeMessageError)?;
        let read = || match kind {
            START => {
                let (number, share) = rest.split_first_chunk()?;
                Some(CodeMessage::Start {
                    number: ShortNumber::new(u16::from_be_bytes(*number))?,
                    share: share.try_into().ok()?,
                })
            }
            REPLY => {
                let (share, confirmation) = rest.split_first_chunk()?;
                Some(CodeMessage::Reply {
                    share: *share,
                    confirmation: confirmation.try_into().ok()?,
                })
            }
            CONFIRM => Some(CodeMessage::Confirm {
                confirmation: rest.try_into().ok()?,
            }),
            GRANT if rest.len() <= MAX_GRANT => Some(CodeMessage::Grant {
                sealed: rest.to_vec(),
            }),
            REFUSED => match *rest {
                [reason] => Some(CodeMessage::Refused(AdmissionRefusal::from_wire(reason))),
                _ => None,
            },
            _ => None,
        };
        read().ok_or(CodeMessageError)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_are_read_as_they_were_written() {
        for message in [
            CodeMessage::Start {
                number: ShortNumber::new(4711).unwrap(),
                share: [1; 33],
            },
            CodeMessage::Reply {
                share: [2; 33],
                confirmation: [3; 32],
            },
            CodeMessage::Confirm {
                confirmation: [4; 32],
            },
            CodeMessage::Grant { sealed: vec![5; 200] },
            CodeMessage::Refused(AdmissionRefusal::WrongCode),
        ] {
            let bytes = message.encode();
            assert!(CodeMessage::is_one(&bytes));
            assert!(crate::seal::Parcel::decode(&bytes).is_err(), "a parcel too");
            assert_eq!(CodeMessage::decode(&bytes), Ok(message));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(kind in 14_u8..22, bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let bytes = [&[kind][..], &bytes].concat();
            if let Ok(message) = CodeMessage::decode(&bytes) {
                prop_assert!(CodeMessage::decode(&message.encode()).is_ok());
            }
        }
    }
}
