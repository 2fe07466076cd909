//! From the traffic to the socket.

use std::{collections::VecDeque, time::Instant};

use quinn_proto::Transmit;

use super::{
    Engine, LinkId, Traffic,
    connection::{Connection, Made},
    socket::Full,
};

/// Trains that one round sends at most, so that receiving has its turn.
const ROUND: usize = 16;

/// What an engine has to send, and where it is made.
#[derive(Default)]
pub(super) struct Sender {
    /// Slots that may have something to send; each train goes to the one at the front, which then goes to the back.
    active: VecDeque<usize>,
    buffer: Vec<u8>,
    /// What the full socket has not taken; it stands in `buffer`.
    stalled: Option<Transmit>,
    wanting: Vec<LinkId>,
    /// For answers that no connection gives.
    pub response: Vec<u8>,
}

impl Sender {
    pub(super) fn activate(&mut self, connection: &mut Connection) {
        if !std::mem::replace(&mut connection.active, true) {
            self.active.push_back(connection.handle.0);
        }
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.is_some()
    }

    /// The last round ended before everything was sent, and not because the socket is full.
    pub(super) fn has_more(&self) -> bool {
        !self.active.is_empty() && self.stalled.is_none()
    }
}

impl Engine {
    pub(super) fn send(&mut self, now: Instant, traffic: &mut impl Traffic) {
        let mut wanting = std::mem::take(&mut self.sender.wanting);
        traffic.wanting(&mut wanting);
        for id in wanting.drain(..) {
            if let Some(slot) = self.slot(id)
                && let Some(connection) = &mut self.connections[slot]
            {
                self.sender.activate(connection);
            }
        }
        self.sender.wanting = wanting;
        if self.flush().is_err() {
            return;
        }
        for _ in 0..ROUND {
            let Some(slot) = self.sender.active.pop_front() else {
                return;
            };
            if self.send_train(now, slot, traffic).is_err() {
                return;
            }
        }
    }

    fn send_train(&mut self, now: Instant, slot: usize, traffic: &mut impl Traffic) -> Result<(), Full> {
        self.touch(slot);
        let Some(connection) = &mut self.connections[slot] else {
            return Ok(());
        };
        self.sender.buffer.clear();
        let segments = self.socket.max_segments(connection.quic.current_mtu());
        match connection.make(now, segments, &mut self.sender.buffer, traffic) {
            Made::Train(transmit) => {
                self.sender.active.push_back(slot);
                self.sender.stalled = Some(transmit);
                self.flush()
            }
            // An acknowledgement or a timer brings it back.
            Made::Blocked | Made::Nothing => {
                connection.active = false;
                Ok(())
            }
        }
    }

    /// Sends what stands in the buffer.
    fn flush(&mut self) -> Result<(), Full> {
        if let Some(transmit) = &self.sender.stalled {
            self.socket.send(transmit, &self.sender.buffer[..transmit.size])?;
            self.sender.stalled = None;
        }
        Ok(())
    }
}
