//! The two ends of a connection's control stream.

use std::time::Duration;

use bytes::BytesMut;
use lanparty_wire::{
    control::{ControlError, Message},
    mtu,
};
use quinn::{ReadError, RecvStream, SendStream, WriteError};
use tokio::time::Instant;

use crate::{Link, PathClosed};

/// How long datagrams wait for a control message at most. A path that is this slow must not stop the game as well.
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
}

impl ControlSender {
    pub(crate) fn new(stream: SendStream, link: Link) -> ControlSender {
        ControlSender { stream, link }
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
        let link = self.link.clone();
        let mut hold = Some(link.hold());
        let until = Instant::now() + HOLD;
        let before = stream_frames(&link);
        let written = {
            let write = self.stream.write_all(bytes);
            tokio::pin!(write);
            tokio::select! {
                result = &mut write => result,
                () = tokio::time::sleep_until(until) => {
                    hold = None;
                    write.await
                }
            }
        };
        written.map_err(|error| closed(&link, error))?;
        let expected = before + 1 + (bytes.len() / usize::from(mtu::MIN_BUDGET)) as u64;
        while hold.is_some()
            && stream_frames(&link) < expected
            && Instant::now() < until
            && link.close_reason().is_none()
        {
            tokio::time::sleep(PROGRESS_INTERVAL).await;
        }
        Ok(())
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
}

impl ControlReceiver {
    pub(crate) fn new(stream: RecvStream, link: Link) -> ControlReceiver {
        ControlReceiver {
            stream,
            link,
            buffer: BytesMut::new(),
        }
    }

    /// The next message; `None` when the other side has ended the stream. Cancel-safe.
    ///
    /// # Errors
    /// An invalid message, after which the stream is of no use, or the end of the connection.
    pub async fn recv(&mut self) -> Result<Option<Message>, RecvError> {
        loop {
            if let Some(message) = Message::decode(&mut self.buffer)? {
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
