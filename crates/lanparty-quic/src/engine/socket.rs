//! A UDP socket with batches: GSO out, `recvmmsg` and GRO in, as far as the platform has them; on one that refuses what they need,
//! packet by packet.

use std::{
    io::{self, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    str::FromStr,
    sync::Once,
};

use quinn_proto::Transmit;
use quinn_udp::{EcnCodepoint, RecvMeta, UdpSocketState};
use serde::Deserialize;

use super::{gso, ready::Readiness};

/// What one system call receives at most: so many buffers, each of which may hold a train of packets.
const BUFFERS: usize = 16;
/// The largest train that a kernel makes of packets, and the largest packet.
const BUFFER: usize = 64 * 1024;
/// The largest payload of a UDP packet over IPv4, and of a train (the kernel builds it as one packet).
const LARGEST_TRAIN: usize = 65_507;

/// Whether batches are given to the kernel in one piece, and taken from it so (UDP GSO and GRO).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SegmentationOffload {
    /// Given if a train over loopback arrives unharmed (some kernels corrupt them), taken as far as the kernel can.
    #[default]
    Auto,
    On,
    Off,
}

impl FromStr for SegmentationOffload {
    type Err = UnknownOffload;

    fn from_str(text: &str) -> Result<SegmentationOffload, UnknownOffload> {
        match text {
            "auto" => Ok(SegmentationOffload::Auto),
            "on" => Ok(SegmentationOffload::On),
            "off" => Ok(SegmentationOffload::Off),
            _ => Err(UnknownOffload),
        }
    }
}

/// A word that is no [`SegmentationOffload`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the UDP offload is one of auto, on and off")]
pub struct UnknownOffload;

#[derive(Debug)]
pub(crate) struct Socket {
    io: Readiness,
    exchange: Exchange,
    segments: usize,
}

/// How packets pass between us and the system.
#[derive(Debug)]
enum Exchange {
    Batched(UdpSocketState),
    /// One by one, without marks of congestion and without our own address; they may be cut on their way.
    Plain,
}

/// What Winsock says of options that it does not know (WSAENOPROTOOPT, WSAEOPNOTSUPP), as Wine has to of those for batches. No Unix
/// has errors of these numbers.
const REFUSED: [i32; 2] = [10042, 10045];

impl Exchange {
    fn over(socket: &UdpSocket) -> io::Result<Exchange> {
        match UdpSocketState::new(socket.into()) {
            Ok(state) => Ok(Exchange::Batched(state)),
            Err(error) if error.raw_os_error().is_some_and(|code| REFUSED.contains(&code)) => {
                static ONCE: Once = Once::new();
                ONCE.call_once(|| {
                    tracing::warn!(%error, "this system has no batches of UDP packets; they are sent and received one by one, which is slower");
                });
                Ok(Exchange::Plain)
            }
            Err(error) => Err(error),
        }
    }

    fn max_segments(&self) -> usize {
        match self {
            Exchange::Batched(state) => state.max_gso_segments(),
            Exchange::Plain => 1,
        }
    }

    fn may_fragment(&self) -> bool {
        match self {
            Exchange::Batched(state) => state.may_fragment(),
            Exchange::Plain => true,
        }
    }

    fn send(&self, socket: &UdpSocket, transmit: &quinn_udp::Transmit<'_>) -> io::Result<()> {
        match self {
            Exchange::Batched(state) => state.try_send(socket.into(), transmit),
            Exchange::Plain => socket.send_to(transmit.contents, transmit.destination).map(drop),
        }
    }

    /// True if a call that receives fewer trains than it could has found no more.
    fn tells_the_end(&self) -> bool {
        match self {
            Exchange::Batched(_) => cfg!(target_os = "linux"),
            Exchange::Plain => false,
        }
    }

    /// How many trains have come.
    fn receive(
        &self,
        socket: &UdpSocket,
        buffers: &mut [IoSliceMut<'_>; BUFFERS],
        metas: &mut [RecvMeta; BUFFERS],
    ) -> io::Result<usize> {
        match self {
            Exchange::Batched(state) => state.recv(socket.into(), buffers, metas),
            Exchange::Plain => {
                let (len, from) = socket.recv_from(&mut buffers[0])?;
                metas[0] = RecvMeta::default();
                (metas[0].len, metas[0].stride, metas[0].addr) = (len, len, from);
                Ok(1)
            }
        }
    }
}

/// The socket takes nothing more now.
pub(crate) struct Full;

impl Socket {
    /// # Errors
    /// The socket cannot be used by the runtime.
    pub(crate) fn new(socket: UdpSocket, offload: SegmentationOffload) -> io::Result<Socket> {
        let exchange = Exchange::over(&socket)?;
        let segments = match (offload, exchange.max_segments()) {
            (SegmentationOffload::Off, _) | (_, 1) => 1,
            (SegmentationOffload::On, most) => most,
            (SegmentationOffload::Auto, most) if gso::works() => most,
            (SegmentationOffload::Auto, _) => 1,
        };
        if offload == SegmentationOffload::Off {
            receive_single(&socket)?;
        }
        let io = Readiness::of(socket)?;
        Ok(Socket {
            io,
            exchange,
            segments,
        })
    }

    pub(crate) fn local_address(&self) -> io::Result<SocketAddr> {
        self.io.socket().local_addr()
    }

    /// False if packets may be cut on their way, so that larger ones prove nothing.
    pub(crate) fn finds_mtu(&self) -> bool {
        !self.exchange.may_fragment()
    }

    /// How many packets of `size` bytes may leave in one train.
    pub(crate) fn max_segments(&self, size: u16) -> usize {
        self.segments
            .min(self.exchange.max_segments())
            .min(LARGEST_TRAIN / usize::from(size).max(1))
            .max(1)
    }

    pub(crate) async fn readable(&self) {
        self.io.readable().await;
    }

    /// Only to be awaited after the socket was [`Full`].
    pub(crate) async fn writable(&self) {
        self.io.writable().await;
    }

    /// Sends a train. What the network refuses is lost, as it would be on the way.
    pub(crate) fn send(&self, transmit: &Transmit, contents: &[u8]) -> Result<(), Full> {
        match self.attempt(transmit, contents, transmit.segment_size) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Full),
            Err(error) => {
                self.send_in_pieces(transmit, contents, &error);
                Ok(())
            }
        }
    }

    /// Some drivers refuse trains; [`UdpSocketState`] remembers that, and what was in this one need not be lost.
    fn send_in_pieces(&self, transmit: &Transmit, contents: &[u8], error: &io::Error) {
        tracing::debug!(%error, to = %transmit.destination, "a packet was not sent");
        if let Some(size) = transmit.segment_size {
            for piece in contents.chunks(size) {
                // What is refused now is lost as on the way.
                let _ = self.attempt(transmit, piece, None);
            }
        }
    }

    fn attempt(&self, transmit: &Transmit, contents: &[u8], segment_size: Option<usize>) -> io::Result<()> {
        let transmit = quinn_udp::Transmit {
            destination: transmit.destination,
            ecn: transmit.ecn.map(|ecn| match ecn {
                quinn_proto::EcnCodepoint::Ect0 => EcnCodepoint::Ect0,
                quinn_proto::EcnCodepoint::Ect1 => EcnCodepoint::Ect1,
                quinn_proto::EcnCodepoint::Ce => EcnCodepoint::Ce,
            }),
            contents,
            segment_size,
            src_ip: transmit.src_ip,
        };
        self.io.try_write(|socket| self.exchange.send(socket, &transmit))
    }
}

/// Undoes that [`UdpSocketState`] lets the kernel join packets (UDP GRO).
#[cfg(target_os = "linux")]
fn receive_single(socket: &UdpSocket) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt::UdpGroSegment};
    match setsockopt(socket, UdpGroSegment, &false) {
        // A kernel that does not know it joins none.
        Ok(()) | Err(nix::Error::ENOPROTOOPT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// No other system joins packets without being asked.
#[cfg(not(target_os = "linux"))]
fn receive_single(_: &UdpSocket) -> io::Result<()> {
    Ok(())
}

/// Where packets are received into; used again and again.
pub(crate) struct Receiver {
    buffers: Box<[u8]>,
    metas: [RecvMeta; BUFFERS],
}

impl Receiver {
    pub(crate) fn new() -> Receiver {
        Receiver {
            buffers: vec![0; BUFFERS * BUFFER].into(),
            metas: [RecvMeta::default(); BUFFERS],
        }
    }

    /// Receives what one system call gives; returns how many trains, which may be none.
    pub(crate) fn receive(&mut self, socket: &Socket) -> usize {
        let mut chunks = self.buffers.chunks_mut(BUFFER).map(IoSliceMut::new);
        let mut slices: [IoSliceMut<'_>; BUFFERS] =
            std::array::from_fn(|_| chunks.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
        let mut trains = 0;
        let received = socket.io.try_read(|io| {
            trains = socket.exchange.receive(io, &mut slices, &mut self.metas)?;
            if socket.exchange.tells_the_end() && trains < BUFFERS {
                // The kernel has just found no more; to say so here saves the call that would find it again.
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(())
        });
        match received {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                // Anybody on the way can cause these with an ICMP message (RFC 9000, section 14.2.1), so they end nothing.
                tracing::debug!(%error, "nothing received");
            }
            Ok(()) | Err(_) => {}
        }
        trains
    }

    /// True if there may be more than the last call has received.
    pub(crate) fn was_full(socket: &Socket, trains: usize) -> bool {
        trains == BUFFERS || (!socket.exchange.tells_the_end() && trains > 0)
    }

    /// The train at `index` of the last call.
    pub(crate) fn train(&self, index: usize) -> (&RecvMeta, &[u8]) {
        let meta = &self.metas[index];
        (meta, &self.buffers[index * BUFFER..][..meta.len.min(BUFFER)])
    }
}

pub(crate) fn proto_ecn(ecn: EcnCodepoint) -> quinn_proto::EcnCodepoint {
    match ecn {
        EcnCodepoint::Ect0 => quinn_proto::EcnCodepoint::Ect0,
        EcnCodepoint::Ect1 => quinn_proto::EcnCodepoint::Ect1,
        EcnCodepoint::Ce => quinn_proto::EcnCodepoint::Ce,
    }
}

#[cfg(test)]
mod plain_tests {
    use super::*;

    #[tokio::test]
    async fn without_batches_packets_leave_and_come_all_the_same() {
        let open = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            Socket {
                io: Readiness::of(socket).unwrap(),
                exchange: Exchange::Plain,
                segments: 1,
            }
        };
        let (here, there) = (open(), open());
        let transmit = Transmit {
            destination: there.local_address().unwrap(),
            ecn: None,
            size: 4,
            segment_size: None,
            src_ip: None,
        };
        for text in [b"one.", b"two."] {
            // A runtime may not know yet that there is room.
            while here.send(&transmit, text).is_err() {
                here.writable().await;
            }
        }
        let mut receiver = Receiver::new();
        for text in [b"one.", b"two."] {
            let mut trains = 0;
            while trains == 0 {
                there.readable().await;
                trains = receiver.receive(&there);
            }
            assert!(Receiver::was_full(&there, trains), "there may be more");
            let (meta, bytes) = receiver.train(0);
            assert_eq!((meta.addr, bytes), (here.local_address().unwrap(), &text[..]));
        }
        assert_eq!((receiver.receive(&there), there.max_segments(1200)), (0, 1));
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use nix::sys::socket::{getsockopt, sockopt::UdpGroSegment};

    use super::*;

    #[tokio::test]
    async fn without_offload_packets_leave_and_come_one_by_one() {
        let open = |offload| {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            Socket::new(socket, offload).unwrap()
        };
        let (on, off) = (open(SegmentationOffload::On), open(SegmentationOffload::Off));
        assert!(
            getsockopt(on.io.socket(), UdpGroSegment).unwrap()
                && !getsockopt(off.io.socket(), UdpGroSegment).unwrap()
        );
        assert_eq!(off.max_segments(1200), 1);
        assert!(on.max_segments(1200) > 1);
        assert_eq!("twice".parse::<SegmentationOffload>(), Err(UnknownOffload));
    }
}
