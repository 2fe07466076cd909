//! One member's control messages on their way out.
//!
//! Bounded by bytes, because envelopes are large and lifecycle messages small. A lifecycle message that finds no room ends the
//! member's connection: a member that has missed one would see a room that does not exist. Envelopes come from other members and
//! are dropped instead; they have a bound of their own, so that they never take a lifecycle message's room.

use std::collections::VecDeque;

use bytes::Bytes;
use lanparty_quic::ControlSender;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

/// Everything that a room of the largest size says when somebody joins, twice.
const MAX_BYTES: usize = 512 * 1024;
/// Envelopes that wait: the largest ones of a whole room at once.
const MAX_ENVELOPE_BYTES: usize = MAX_BYTES / 2;
/// What is written at once.
const BATCH_BYTES: usize = 32 * 1024;

/// Held by a message that somebody waits for; he goes on when it has been sent, or dropped.
pub type Receipt = mpsc::Sender<()>;

/// The queue.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: Mutex<Queue>,
    filled: Notify,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<(Bytes, Sort)>,
    /// Of lifecycle messages.
    bytes: usize,
    envelope_bytes: usize,
    /// A batch is being written.
    writing: bool,
}

#[derive(Debug)]
enum Sort {
    Lifecycle(Option<Receipt>),
    /// Counts as a lifecycle message; a newer one takes its place.
    Roster,
    Envelope,
}

/// There is no room for the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

impl Outbox {
    /// Queues an encoded lifecycle message.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn push(&self, message: Bytes, receipt: Option<Receipt>) -> Result<(), Full> {
        self.push_sort(message, Sort::Lifecycle(receipt))
    }

    /// Queues an encoded envelope.
    ///
    /// # Errors
    /// There is no room for another envelope.
    pub fn push_envelope(&self, message: Bytes) -> Result<(), Full> {
        self.push_sort(message, Sort::Envelope)
    }

    /// Queues an encoded roster, and takes back an older one that still waits: only the newest counts.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn push_roster(&self, message: Bytes) -> Result<(), Full> {
        let mut queue = self.queue.lock();
        let older = queue
            .messages
            .iter()
            .position(|(_, sort)| matches!(sort, Sort::Roster));
        if let Some((older, _)) = older.and_then(|at| queue.messages.remove(at)) {
            queue.bytes -= older.len();
        }
        drop(queue);
        self.push_sort(message, Sort::Roster)
    }

    fn push_sort(&self, message: Bytes, sort: Sort) -> Result<(), Full> {
        let mut queue = self.queue.lock();
        let (bytes, limit) = queue.bytes_of(&sort);
        if *bytes + message.len() > limit {
            return Err(Full);
        }
        *bytes += message.len();
        queue.messages.push_back((message, sort));
        drop(queue);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits until everything was handed to the connection.
    pub async fn flushed(&self) {
        loop {
            let emptied = self.emptied.notified();
            {
                let queue = self.queue.lock();
                if queue.messages.is_empty() && !queue.writing {
                    return;
                }
            }
            emptied.await;
        }
    }

    /// Sends what is queued, until the connection ends.
    pub async fn write_to(&self, mut sender: ControlSender) {
        let mut batch = Vec::new();
        let mut receipts = Vec::new();
        loop {
            self.take(&mut batch, &mut receipts);
            if batch.is_empty() {
                // A member at rest keeps no memory for what it was told when it came.
                batch = Vec::new();
                self.emptied.notify_waiters();
                self.filled.notified().await;
                continue;
            }
            if sender.send_encoded(&batch).await.is_err() {
                return;
            }
            receipts.clear();
        }
    }

    fn take(&self, batch: &mut Vec<u8>, receipts: &mut Vec<Receipt>) {
        batch.clear();
        let mut queue = self.queue.lock();
        while batch.len() < BATCH_BYTES {
            let Some((message, sort)) = queue.messages.pop_front() else {
                break;
            };
            *queue.bytes_of(&sort).0 -= message.len();
            batch.extend_from_slice(&message);
            match sort {
                Sort::Lifecycle(receipt) => receipts.extend(receipt),
                Sort::Roster | Sort::Envelope => {}
            }
        }
        if queue.messages.is_empty() {
            queue.messages = VecDeque::new();
        }
        queue.writing = !batch.is_empty();
    }
}

impl Queue {
    /// What a sort has queued, and its bound.
    fn bytes_of(&mut self, sort: &Sort) -> (&mut usize, usize) {
        match sort {
            Sort::Lifecycle(_) | Sort::Roster => (&mut self.bytes, MAX_BYTES),
            Sort::Envelope => (&mut self.envelope_bytes, MAX_ENVELOPE_BYTES),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes_take_no_room_from_what_must_be_told() {
        let outbox = Outbox::default();
        let envelope = Bytes::from(vec![0; MAX_ENVELOPE_BYTES / 2]);
        outbox.push_envelope(envelope.clone()).unwrap();
        outbox.push_envelope(envelope.clone()).unwrap();
        assert_eq!(outbox.push_envelope(Bytes::from_static(b"x")), Err(Full));
        outbox.push(Bytes::from(vec![0; MAX_BYTES]), None).unwrap();
        outbox.take(&mut Vec::new(), &mut Vec::new());
        outbox.push_envelope(envelope).unwrap();
    }

    #[test]
    fn a_newer_roster_takes_the_place_of_one_that_waits() {
        let outbox = Outbox::default();
        for _ in 0..4 {
            outbox.push_roster(Bytes::from(vec![1; MAX_BYTES / 2])).unwrap();
        }
        outbox.push_roster(Bytes::from_static(b"newest")).unwrap();
        let mut batch = Vec::new();
        outbox.take(&mut batch, &mut Vec::new());
        assert_eq!(batch, b"newest");
        outbox.push(Bytes::from(vec![0; MAX_BYTES]), None).unwrap();
    }

    #[test]
    fn the_bound_is_kept_and_room_comes_back() {
        let outbox = Outbox::default();
        let message = Bytes::from(vec![0; MAX_BYTES / 4]);
        for _ in 0..4 {
            outbox.push(message.clone(), None).unwrap();
        }
        assert_eq!(outbox.push(message.clone(), None), Err(Full));
        outbox.take(&mut Vec::new(), &mut Vec::new());
        outbox.push(message, None).unwrap();
    }

    #[tokio::test]
    async fn flushed_waits_for_what_is_queued() {
        let outbox = Outbox::default();
        outbox.flushed().await;
        outbox.push(Bytes::from_static(b"x"), None).unwrap();
        let waiting = tokio::time::timeout(std::time::Duration::from_millis(50), outbox.flushed());
        assert!(waiting.await.is_err());
    }
}
