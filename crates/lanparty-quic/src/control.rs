//! The two ends of a connection's control stream.
//!
//! A message holds datagrams back until it is on its way, because quinn would send them first. After every hold they go on for
//! at least as long as they were held, so that whoever makes others send messages cannot stop their games with that.

use std::time::Duration;

use bytes::BytesMut;
use lanparty_wire::control::{ControlError, Message};
use quinn::{ReadError, RecvStream, SendStream, WriteError};
use tokio::time::{Instant, timeout_at};

use crate::{Link, PathClosed};

/// How long datagrams wait for a control message at once. A path that is this slow must not stop the game as well.
const HOLD: Duration = Duration::from_millis(250);
/// How often the progress of a message is looked up; quinn has no event for it.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(1);
/// The largest piece that is taken from the stream at once.
const READ_SIZE: usize = 16 * 1024;

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
    stream: SendStream,
    link: Link,
    /// Until then datagrams have the path, in turn for the last hold.
    rest_until: Instant,
}

impl ControlSender {
    pub(crate) fn new(stream: SendStream, link: Link) -> ControlSender {
        ControlSender {
            stream,
            link,
            rest_until: Instant::now(),
        }
    }

    /// Sends a message, ahead of the datagrams that come after it.
    ///
    /// # Errors
    /// It is too long, or the connection has ended.
    pub async fn send(&mut self, message: &Message) -> Result<(), SendError> {
        let bytes = message.encode()?;
        self.send_encoded(&bytes).await
    }

    /// Sends one message or several that were encoded before.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn send_encoded(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        let (link, stream) = (&self.link, &mut self.stream);
        let before = stream_frames(link);
        let sent = async {
            stream
                .write_all(bytes)
                .await
                .map_err(|error| closed(link, error))?;
            while !is_sent(link, before, bytes.len()) && link.close_reason().is_none() {
                tokio::time::sleep(PROGRESS_INTERVAL).await;
            }
            Ok(())
        };
        tokio::pin!(sent);
        loop {
            if let Ok(result) = timeout_at(self.rest_until, &mut sent).await {
                return result;
            }
            let begun = Instant::now();
            let held = {
                let _hold = link.hold();
                timeout_at(begun + HOLD, &mut sent).await
            };
            self.rest_until = Instant::now() + begun.elapsed();
            if let Ok(result) = held {
                return result;
            }
        }
    }

    /// Ends the stream after what was sent, and waits until the other side has it, or `within` has passed.
    pub async fn finish(mut self, within: Duration) {
        if self.stream.finish().is_ok() {
            // The peer may have gone; then there is nobody left to wait for.
            let _ = tokio::time::timeout(within, self.stream.stopped()).await;
        }
    }
}

/// The end that reads.
#[derive(Debug)]
pub struct ControlReceiver {
    stream: RecvStream,
    link: Link,
    buffer: BytesMut,
    consumed: u64,
}

impl ControlReceiver {
    pub(crate) fn new(stream: RecvStream, link: Link) -> ControlReceiver {
        ControlReceiver {
            stream,
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
            match self.stream.read_chunk(READ_SIZE, true).await {
                Ok(Some(chunk)) => self.buffer.extend_from_slice(&chunk.bytes),
                Ok(None) => return Ok(None),
                Err(ReadError::ConnectionLost(error)) => return Err(RecvError::Closed(error.into())),
                Err(error) => {
                    let closed = self.link.close_reason();
                    let closed = closed.unwrap_or_else(|| PathClosed::Failed(error.to_string()));
                    return Err(RecvError::Closed(closed));
                }
            }
        }
    }
}

/// True when as many frames have left as `bytes` need at least. quinn fills each packet, so a look at the larger MTU is enough.
fn is_sent(link: &Link, before: u64, bytes: usize) -> bool {
    let stats = link.connection().stats();
    let needed = bytes.div_ceil(usize::from(stats.path.current_mtu).max(1));
    stats.frame_tx.stream.saturating_sub(before) >= needed as u64
}

fn stream_frames(link: &Link) -> u64 {
    link.connection().stats().frame_tx.stream
}

fn closed(link: &Link, error: WriteError) -> SendError {
    SendError::Closed(match error {
        WriteError::ConnectionLost(error) => error.into(),
        error => link
            .close_reason()
            .unwrap_or_else(|| PathClosed::Failed(error.to_string())),
    })
}
