//! One connection of an engine: its datagrams are pulled and sent here, its control stream is read and written.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use quinn_proto::{
    ConnectionError, ConnectionHandle, Dir, Event, ReadError, Side, StreamEvent, StreamId, Transmit, VarInt,
    WriteError,
};
use rustls::pki_types::CertificateDer;
use std::collections::VecDeque;

use super::{
    LinkId, Traffic,
    desk::{Letters, Mailbox},
    train::{self, Turn},
};
use crate::{PathStats, transport::DATAGRAM_SEND_BUFFER};

/// Control messages that wait for their reader; a message has at most 64 KiB.
const UNREAD: usize = 128 * 1024;
/// The largest piece that is taken from the stream at once.
const READ_SIZE: usize = 16 * 1024;

pub(crate) struct Connection {
    pub id: LinkId,
    pub handle: ConnectionHandle,
    pub quic: quinn_proto::Connection,
    pub mailbox: Arc<Mailbox>,
    /// When its earliest timer is due, as the engine's deadlines know it.
    pub due: Option<Instant>,
    /// On the engine's list of connections that something has happened to.
    pub touched: bool,
    /// On the engine's list of connections that may have something to send.
    pub active: bool,
    pub heard: Instant,
    turn: Turn,
    stream: Option<StreamId>,
    /// Control messages that QUIC has not taken yet.
    unwritten: VecDeque<Bytes>,
    taken: u64,
    /// The stream is to end after them.
    finish: bool,
    readable: bool,
    oversized: u64,
    /// Something has changed that handles may wait for.
    news: bool,
}

/// What became of an attempt to make a packet.
pub(crate) enum Made {
    Train(Transmit),
    /// The path takes nothing more now.
    Blocked,
    /// There is nothing to send.
    Nothing,
}

impl Connection {
    pub(crate) fn new(
        id: LinkId,
        handle: ConnectionHandle,
        quic: quinn_proto::Connection,
        now: Instant,
    ) -> Connection {
        Connection {
            id,
            handle,
            mailbox: Arc::new(Mailbox::new(quic.remote_address(), now)),
            quic,
            due: None,
            touched: false,
            active: false,
            heard: now,
            turn: Turn::default(),
            stream: None,
            unwritten: VecDeque::new(),
            taken: 0,
            finish: false,
            readable: false,
            oversized: 0,
            news: false,
        }
    }

    /// Fills `buffer` with the next packets. Datagrams are pulled when QUIC has none left; in between, everything else has
    /// its turn, so that neither starves the other: quinn puts datagrams into a packet before stream data.
    pub(crate) fn make(
        &mut self,
        now: Instant,
        max_segments: usize,
        buffer: &mut Vec<u8>,
        traffic: &mut impl Traffic,
    ) -> Made {
        if self.turn == Turn::Datagrams && self.is_empty() {
            self.pull(now, traffic);
        }
        loop {
            if let Some(transmit) = self.quic.poll_transmit(now, max_segments, buffer) {
                if self.is_empty() {
                    self.turn = match self.turn {
                        Turn::Datagrams => Turn::Others,
                        Turn::Others => Turn::Datagrams,
                    };
                }
                return Made::Train(transmit);
            }
            if !self.is_empty() {
                return Made::Blocked;
            }
            let others_had_theirs = std::mem::take(&mut self.turn) == Turn::Others;
            if !others_had_theirs || !self.pull(now, traffic) {
                return Made::Nothing;
            }
        }
    }

    /// Moves datagrams to QUIC, as many as the path takes in about a millisecond. False if there are none.
    fn pull(&mut self, now: Instant, traffic: &mut impl Traffic) -> bool {
        let Some(budget) = self.budget() else { return false };
        let mut pulled = false;
        for _ in 0..train::length(&self.quic) {
            let Some(datagram) = traffic.next(now, self.id, budget) else {
                break;
            };
            if self.quic.datagrams().send(datagram, false).is_ok() {
                pulled = true;
            } else {
                self.oversized += 1;
            }
        }
        pulled
    }

    fn is_empty(&mut self) -> bool {
        self.quic.datagrams().send_buffer_space() == DATAGRAM_SEND_BUFFER - size_of::<quinn_proto::Datagram>()
    }

    /// The largest datagram now; `None` while there is no connection, or if the other side takes none.
    fn budget(&mut self) -> Option<u16> {
        if self.quic.is_handshaking() || self.quic.is_closed() {
            return None;
        }
        let bytes = self.quic.datagrams().max_size()?;
        Some(u16::try_from(bytes).unwrap_or(u16::MAX))
    }

    /// Shows what came.
    pub(crate) fn deliver(&mut self, now: Instant, traffic: &mut impl Traffic) {
        while let Some(datagram) = self.quic.datagrams().recv() {
            traffic.received(now, self.id, datagram);
        }
    }

    /// Takes in what QUIC says about itself.
    pub(crate) fn handle_events(&mut self) {
        while let Some(event) = self.quic.poll() {
            match event {
                Event::Connected => self.connected(),
                Event::ConnectionLost { reason } => self.lost(reason),
                Event::Stream(StreamEvent::Opened { dir: Dir::Bi }) => self.accept_stream(),
                Event::Stream(StreamEvent::Readable { .. }) => self.readable = true,
                Event::Stream(StreamEvent::Finished { .. } | StreamEvent::Stopped { .. }) => {
                    self.mailbox.state.lock().finished = true;
                    self.news = true;
                }
                Event::Stream(StreamEvent::Writable { .. }) => {}
                Event::Stream(StreamEvent::Opened { dir: Dir::Uni } | StreamEvent::Available { .. })
                | Event::HandshakeDataReady
                | Event::DatagramReceived
                | Event::DatagramsUnblocked => {}
            }
        }
        self.write();
    }

    fn connected(&mut self) {
        if self.quic.side() == Side::Client {
            self.stream = self.quic.streams().open(Dir::Bi);
        }
        let identity = self.quic.crypto_session().peer_identity();
        let chain = identity.and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok());
        self.tell_budget();
        let mut letters = self.mailbox.state.lock();
        letters.identity = chain.map(|chain| *chain);
        letters.connected = true;
        letters.opened = self.stream.is_some();
        self.news = true;
    }

    fn accept_stream(&mut self) {
        if self.stream.is_none() {
            self.stream = self.quic.streams().accept(Dir::Bi);
            self.readable = true;
            self.mailbox.state.lock().opened = self.stream.is_some();
            self.news = true;
        }
    }

    pub(crate) fn lost(&mut self, reason: ConnectionError) {
        // What came before the end is still good.
        self.read();
        self.mailbox.state.lock().closed.get_or_insert(reason);
        self.news = true;
    }

    /// Takes what handles have left for this connection.
    pub(crate) fn take_letters(&mut self, now: Instant) {
        let mailbox = self.mailbox.clone();
        let mut letters = mailbox.state.lock();
        self.unwritten.extend(letters.outgoing.drain(..));
        if std::mem::take(&mut letters.full) {
            self.readable = true;
        }
        self.finish |= std::mem::take(&mut letters.finish);
        let close = letters.close.take();
        drop(letters);
        self.write();
        if let Some(reason) = close {
            self.close(now, &reason);
        }
    }

    pub(crate) fn close(&mut self, now: Instant, reason: &lanparty_wire::LeaveReason) {
        let text = serde_json::to_vec(reason).unwrap_or_default();
        if !self.quic.is_closed() {
            self.quic.close(now, VarInt::from_u32(0), text.into());
        }
        self.lost(ConnectionError::LocallyClosed);
    }

    fn write(&mut self) {
        let Some(id) = self.stream else { return };
        let before = self.taken;
        while let Some(bytes) = self.unwritten.front_mut() {
            match self.quic.send_stream(id).write(bytes) {
                Ok(written) => {
                    self.taken += written as u64;
                    let _ = bytes.split_to(written);
                    if bytes.is_empty() {
                        self.unwritten.pop_front();
                    }
                }
                Err(WriteError::Blocked) => break,
                // The reader hears of the end; nothing of this can be sent any more.
                Err(WriteError::Stopped(_) | WriteError::ClosedStream) => {
                    self.taken += self
                        .unwritten
                        .drain(..)
                        .map(|bytes| bytes.len() as u64)
                        .sum::<u64>();
                }
            }
        }
        self.news |= self.taken != before;
        if self.unwritten.is_empty() && std::mem::take(&mut self.finish) {
            // It fails only if the other side wants nothing more.
            if self.quic.send_stream(id).finish().is_err() {
                self.mailbox.state.lock().finished = true;
                self.news = true;
            }
        }
    }

    /// Moves control messages to their reader, as long as he keeps up.
    fn read(&mut self) {
        let (true, Some(id)) = (self.readable, self.stream) else {
            return;
        };
        self.readable = false;
        let mut letters = self.mailbox.state.lock();
        let mut stream = self.quic.recv_stream(id);
        let Ok(mut chunks) = stream.read(true) else { return };
        loop {
            if letters.incoming.len() >= UNREAD {
                letters.full = true;
                break;
            }
            match chunks.next(READ_SIZE) {
                Ok(Some(chunk)) => letters.incoming.extend_from_slice(&chunk.bytes),
                Ok(None) | Err(ReadError::Reset(_)) => {
                    letters.ended = true;
                    break;
                }
                Err(ReadError::Blocked) => break,
            }
        }
        let _ = chunks.finalize();
        self.news = true;
    }

    /// Brings everybody up to date after a batch.
    pub(crate) fn settle(&mut self) {
        self.read();
        self.tell_budget();
        let stats = self.stats();
        let mut letters = self.mailbox.state.lock();
        letters.taken = self.taken;
        letters.heard = self.heard;
        letters.stats = stats;
        letters.remote = self.quic.remote_address();
        drop(letters);
        if std::mem::take(&mut self.news) {
            self.mailbox.changed.notify_waiters();
        }
    }

    fn tell_budget(&mut self) {
        if let Some(budget) = self.budget() {
            self.mailbox
                .budget
                .send_if_modified(|known| std::mem::replace(known, budget) != budget);
        }
    }

    /// It is gone for good.
    pub(crate) fn end(&mut self, reason: ConnectionError) {
        self.lost(reason);
        self.mailbox.state.lock().drained = true;
        self.settle();
    }

    fn stats(&self) -> PathStats {
        let stats = self.quic.stats();
        let frames = &stats.frame_tx;
        let eliciting = frames.datagram + frames.stream + frames.ping + frames.crypto;
        PathStats {
            rtt: stats.path.rtt,
            mtu: stats.path.current_mtu,
            congestion_window: stats.path.cwnd,
            sent_packets: stats.path.sent_packets,
            // Several of these frames may share a packet.
            eliciting_packets: eliciting.min(stats.path.sent_packets),
            lost_packets: stats.path.lost_packets,
            congestion_events: stats.path.congestion_events,
            black_holes: stats.path.black_holes_detected,
            sent_bytes: stats.udp_tx.bytes,
            received_bytes: stats.udp_rx.bytes,
            sent_datagrams: stats.frame_tx.datagram,
            received_datagrams: stats.frame_rx.datagram,
            oversized_datagrams: self.oversized,
        }
    }
}

impl Letters {
    /// Control messages that came and were not read yet.
    pub(crate) fn take_incoming(&mut self) -> Option<bytes::BytesMut> {
        (!self.incoming.is_empty()).then(|| std::mem::take(&mut self.incoming))
    }
}
