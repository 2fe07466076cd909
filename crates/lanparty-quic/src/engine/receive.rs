//! From the socket to the traffic.

use std::time::Instant;

use bytes::BytesMut;
use quinn_proto::DatagramEvent;

use super::{
    Engine, Packet, Traffic, shard,
    socket::{Receiver, proto_ecn},
};

impl Engine {
    /// One batch, so that sending has its turn before the next.
    pub(super) fn receive(&mut self, now: Instant, traffic: &mut impl Traffic) {
        if let Some(previous) = self.previous.take() {
            self.receive_from(now, &previous, traffic);
            self.previous = Some(previous);
        }
        let trains = self.receiver.receive(&self.socket);
        self.unread = Receiver::was_full(&self.socket, trains);
        self.handle_trains(now, trains, traffic);
        if trains > 0 {
            self.previous = None;
        }
    }

    fn receive_from(&mut self, now: Instant, socket: &super::Socket, traffic: &mut impl Traffic) {
        let trains = self.receiver.receive(socket);
        self.handle_trains(now, trains, traffic);
    }

    fn handle_trains(&mut self, now: Instant, trains: usize, traffic: &mut impl Traffic) {
        for index in 0..trains {
            let (meta, bytes) = self.receiver.train(index);
            let (remote, local, ecn) = (meta.addr, meta.dst_ip, meta.ecn.map(proto_ecn));
            let stride = meta.stride.max(1);
            // One piece of memory for the whole train; the datagrams in it stay where they are decrypted.
            let mut data = BytesMut::from(bytes);
            while !data.is_empty() {
                let data = data.split_to(stride.min(data.len()));
                self.handle_packet(
                    now,
                    Packet {
                        remote,
                        local,
                        ecn,
                        data,
                    },
                );
            }
            self.deliver(now, traffic);
        }
    }

    /// Takes in a packet that came in at another engine's socket; its datagrams are shown at the next [`Engine::drive`].
    pub fn inject(&mut self, now: Instant, packet: Packet) {
        self.handle_own(now, packet);
        // A round has to follow, even if the socket stays silent.
        self.unread = true;
    }

    /// Packets that came in here and belong to another engine of the same listener, each with that engine's number. They are
    /// for its [`Engine::inject`]. Always empty if there is only one engine.
    pub fn strays(&mut self) -> impl Iterator<Item = (usize, Packet)> + '_ {
        self.strays.drain(..)
    }

    fn handle_packet(&mut self, now: Instant, packet: Packet) {
        if self.engines > 1
            && let Some(number) = shard::of(&packet.data)
            && number != self.number
            && usize::from(number) < self.engines
        {
            self.strays.push((usize::from(number), packet));
            return;
        }
        self.handle_own(now, packet);
    }

    fn handle_own(&mut self, now: Instant, packet: Packet) {
        let Packet {
            remote,
            local,
            ecn,
            data,
        } = packet;
        let mut response = std::mem::take(&mut self.sender.response);
        response.clear();
        match self.endpoint.handle(now, remote, local, ecn, data, &mut response) {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                self.touch(handle.0);
                if let Some(connection) = &mut self.connections[handle.0] {
                    connection.heard = now;
                    connection.quic.handle_event(event);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => self.knock(Box::new(incoming)),
            Some(DatagramEvent::Response(transmit)) => {
                // Stateless: if the socket is full now, whoever asked asks again.
                let _ = self.socket.send(&transmit, &response[..transmit.size]);
            }
            None => {}
        }
        self.sender.response = response;
    }

    /// Shows the datagrams of everybody who was touched, before QUIC has to drop any.
    fn deliver(&mut self, now: Instant, traffic: &mut impl Traffic) {
        for &slot in &self.touched {
            if let Some(connection) = &mut self.connections[slot] {
                connection.deliver(now, traffic);
            }
        }
    }
}
