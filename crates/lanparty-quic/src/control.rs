//! The two ends of a connection's control stream.
//!
//! QUIC is given a datagram only when it has nothing else to send, and after a few of them everything else has its turn again
//! (see the engine's trains). So a control message leaves a saturated path within milliseconds, and no amount of messages stops
//! the datagrams.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use lanparty_wire::control::{ControlError, Message};

use crate::{Link, PathClosed};

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("a control message cannot be encoded")]
    Encode(#[from] ControlError),
    #[error("the control stream has ended")]
    Closed(#[source] PathClosed),
}

/// Why no message came.
#[derive(Debug, thiserror::Error)]
pub enum RecvError {
    #[error("the other side sent an invalid control message")]
    Decode(#[from] ControlError),
    #[error("the control stream has ended")]
    Closed(#[source] PathClosed),
}

/// The end that writes.
#[derive(Debug)]
pub struct ControlSender {
    link: Link,
}

impl ControlSender {
    pub(crate) fn new(link: Link) -> ControlSender {
        ControlSender { link }
    }

    /// Sends a message; returns when QUIC has taken it.
    ///
    /// # Errors
    /// It is too long, or the connection has ended.
    pub async fn send(&mut self, message: &Message) -> Result<(), SendError> {
        let bytes = message.encode()?;
        self.send_encoded(&bytes).await
    }

    /// Sends one message or several that were encoded before. Cancelled, it still sends all of them.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn send_encoded(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        let posted = {
            let mut letters = self.link.mailbox().state.lock();
            letters.outgoing.push(Bytes::copy_from_slice(bytes));
            letters.posted += bytes.len() as u64;
            letters.posted
        };
        self.link.ring();
        self.link
            .mailbox()
            .wait(|letters| {
                if letters.taken >= posted {
                    return Some(Ok(()));
                }
                let closed = letters.closed.clone()?;
                Some(Err(SendError::Closed(closed.into())))
            })
            .await
    }

    /// Ends the stream after what was sent, and waits until the other side has it, or `within` has passed.
    pub async fn finish(self, within: Duration) {
        self.link.mailbox().state.lock().finish = true;
        self.link.ring();
        let finished = self
            .link
            .mailbox()
            .wait(|letters| (letters.finished || letters.closed.is_some()).then_some(()));
        // The peer may have gone; then there is nobody left to wait for.
        let _ = tokio::time::timeout(within, finished).await;
    }
}

/// The end that reads.
#[derive(Debug)]
pub struct ControlReceiver {
    link: Link,
    buffer: BytesMut,
    consumed: u64,
}

/// What the mailbox had.
enum Letter {
    Bytes(BytesMut),
    End,
    Closed(PathClosed),
}

impl ControlReceiver {
    pub(crate) fn new(link: Link) -> ControlReceiver {
        ControlReceiver {
            link,
            buffer: BytesMut::new(),
            consumed: 0,
        }
    }

    /// Bytes of all messages that were handed out.
    pub fn consumed(&self) -> u64 {
        self.consumed
    }

    /// The next message; `None` when the other side has ended the stream. Cancel-safe.
    ///
    /// # Errors
    /// An invalid message, after which the stream is of no use, or the end of the connection.
    pub async fn recv(&mut self) -> Result<Option<Message>, RecvError> {
        loop {
            let waiting = self.buffer.len();
            if let Some(message) = Message::decode(&mut self.buffer)? {
                self.consumed += (waiting - self.buffer.len()) as u64;
                return Ok(Some(message));
            }
            match self.letter().await {
                Letter::Bytes(bytes) => self.buffer.unsplit(bytes),
                Letter::End => return Ok(None),
                Letter::Closed(closed) => return Err(RecvError::Closed(closed)),
            }
        }
    }

    async fn letter(&self) -> Letter {
        let mailbox = self.link.mailbox();
        let (letter, full) = mailbox
            .wait(|letters| {
                if let Some(bytes) = letters.take_incoming() {
                    return Some((Letter::Bytes(bytes), letters.full));
                }
                if letters.ended {
                    return Some((Letter::End, false));
                }
                let closed = letters.closed.clone()?;
                Some((Letter::Closed(closed.into()), false))
            })
            .await;
        if full {
            self.link.ring();
        }
        letter
    }
}
