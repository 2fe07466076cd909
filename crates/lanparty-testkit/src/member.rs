//! A member that speaks the protocol by itself, without a client's guard: whatever it is told to send, it sends.
//!
//! The lab uses it to show that the LAN gateway alone keeps a hostile member off the LAN, and the relay's tests use it as any member.
//! It blocks its caller, which is a test; what drives QUIC are threads of its own.

use std::{
    net::{SocketAddr, UdpSocket},
    ops::RangeInclusive,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use lanparty_quic::{ControlReceiver, ControlSender, DialConfig, Dialer, Identity, Link, Trust};
use lanparty_wire::{
    Class, Destination, Header, Kind, Mac, MemberId, RelayAddress, RelayToken, RoomId, VERSION,
    control::{Hello, Member, Message, Role, Welcome},
    mtu,
};
use tokio::runtime::Runtime;

use crate::pump::{self, Arrivals, Departures};

/// How a member joins.
#[derive(Clone, Debug)]
pub struct Join<'a> {
    pub relay: SocketAddr,
    /// The relay's own certificate, as `--dev-cert-der-out` writes it.
    pub certificate: &'a Path,
    /// Keeps the member's identity: the same directory is the same member.
    pub state_dir: &'a Path,
    pub room: &'a str,
    pub role: Role,
    pub mac: Option<Mac>,
    /// For a relay that wants one of those who open rooms.
    pub token: Option<RelayToken>,
}

/// A member of a room that follows no rule.
pub struct BareMember {
    runtime: Arc<Runtime>,
    link: Link,
    departures: Departures,
    arrivals: Arrivals,
    sender: ControlSender,
    receiver: ControlReceiver,
    welcome: Welcome,
    sequence: u64,
}

impl BareMember {
    /// Joins over `socket`, which decides by the namespace that it was made in where the member is.
    ///
    /// # Errors
    /// The relay cannot be reached, is not the one of the certificate, or refuses.
    pub fn join(socket: UdpSocket, join: &Join<'_>) -> Result<BareMember> {
        Self::join_on(Arc::new(runtime(1)?), socket, join)
    }

    /// As [`BareMember::join`], as one that speaks these versions of the protocol only.
    ///
    /// # Errors
    /// As there.
    pub fn join_speaking(
        socket: UdpSocket,
        join: &Join<'_>,
        versions: RangeInclusive<u8>,
    ) -> Result<BareMember> {
        let hello = Hello {
            min_version: *versions.start(),
            max_version: *versions.end(),
            ..hello(join)?
        };
        Self::join_with(Arc::new(runtime(1)?), socket, join, &hello)
    }

    /// As [`BareMember::join`], for many members that share what drives their connections.
    ///
    /// # Errors
    /// As there.
    pub fn join_on(runtime: Arc<Runtime>, socket: UdpSocket, join: &Join<'_>) -> Result<BareMember> {
        Self::join_with(runtime, socket, join, &hello(join)?)
    }

    fn join_with(
        runtime: Arc<Runtime>,
        socket: UdpSocket,
        join: &Join<'_>,
        hello: &Hello,
    ) -> Result<BareMember> {
        let identity = Identity::load_or_create(&join.state_dir.join("identity.pem"))?;
        let trust = Trust {
            pin: None,
            ca_cert: Some(join.certificate.to_owned()),
            server_name: None,
            store: join.state_dir.join("known-relays.json"),
        };
        let relay: RelayAddress = join.relay.to_string().parse()?;
        let (path, welcome) = runtime.block_on(async {
            let dialer = Dialer::new(DialConfig::new(identity, trust, relay))?;
            dialer.dial(socket, join.relay, hello).await
        })?;
        let (engine, link, sender, receiver) = path.split();
        let (departures, arrivals) = {
            let _inside = runtime.enter();
            pump::start(engine, &link)
        };
        Ok(BareMember {
            runtime,
            link,
            departures,
            arrivals,
            sender,
            receiver,
            welcome,
            sequence: 0,
        })
    }

    /// What the relay has said.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    pub fn id(&self) -> MemberId {
        self.welcome.member
    }

    /// Sends a frame in one datagram, or in fragments if it does not fit, as a member of this id would.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn send_frame(&mut self, destination: Destination, class: Class, frame: &[u8]) -> Result<()> {
        let header = Header {
            kind: Kind::Frame,
            fragment: false,
            congested: false,
            class,
            key_id: 0,
            flow: 0,
            source: self.id(),
            destination,
            sequence: self.sequence,
        };
        self.sequence += 1;
        if frame.len() <= mtu::whole_payload(self.link.budget()) {
            return self.send_datagram([&header.encode()[..], frame].concat());
        }
        let half = frame.len() / 2;
        for (offset, piece) in [(0, &frame[..half]), (half, &frame[half..])] {
            let part = lanparty_wire::FragmentHeader {
                offset: u16::try_from(offset)?,
                total: u16::try_from(frame.len())?,
            };
            let head = Header {
                fragment: true,
                ..header
            };
            self.send_datagram([&head.encode()[..], &part.encode(), piece].concat())?;
        }
        Ok(())
    }

    /// Sends any bytes as a datagram.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn send_datagram(&self, bytes: Vec<u8>) -> Result<()> {
        Ok(self.departures.blocking_send(Bytes::from(bytes))?)
    }

    /// Sends a control message.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn send_control(&mut self, message: &Message) -> Result<()> {
        Ok(self.runtime.block_on(self.sender.send(message))?)
    }

    /// The next control message that `wanted` takes.
    ///
    /// # Errors
    /// The connection has ended, or no such message came within `limit`.
    pub fn wait_control<T>(
        &mut self,
        limit: Duration,
        mut wanted: impl FnMut(&Message) -> Option<T>,
    ) -> Result<T> {
        let receiver = &mut self.receiver;
        let wait = async {
            loop {
                let Some(message) = receiver.recv().await? else {
                    bail!("the relay has ended the control stream");
                };
                if let Some(found) = wanted(&message) {
                    return Ok(found);
                }
            }
        };
        let waited = self
            .runtime
            .block_on(async { tokio::time::timeout(limit, wait).await });
        waited.context("the control message did not come")?
    }

    /// Waits until the room has a LAN gateway.
    ///
    /// # Errors
    /// None came within `limit`.
    pub fn wait_gateway(&mut self, limit: Duration) -> Result<Member> {
        self.wait_control(limit, |message| match message {
            Message::Joined { member } if member.role == Role::Gateway => Some(member.clone()),
            _ => None,
        })
    }

    /// Every datagram that comes until `limit` has passed.
    pub fn datagrams(&self, limit: Duration) -> Vec<Bytes> {
        self.arrivals.until(Instant::now() + limit)
    }

    /// What comes, for another thread.
    pub fn arrivals(&self) -> Arrivals {
        self.arrivals.clone()
    }

    pub(crate) fn departures(&self) -> Departures {
        self.departures.clone()
    }

    /// Stops everything of this member for so long, as a machine that hangs does: it reads, answers and acknowledges nothing.
    pub fn freeze(&self, length: Duration) {
        self.runtime.spawn(async move { std::thread::sleep(length) });
    }

    /// Goes on from another socket, as after a change of networks.
    ///
    /// # Errors
    /// The socket cannot be used.
    pub fn rebind(&self, socket: UdpSocket) -> Result<()> {
        socket.set_nonblocking(true)?;
        let _inside = self.runtime.enter();
        Ok(self.link.rebind(socket)?)
    }

    /// The connection itself.
    pub fn link(&self) -> &Link {
        &self.link
    }
}

/// What drives QUIC, on so many threads of its own.
pub(crate) fn runtime(threads: usize) -> Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()?;
    Ok(runtime)
}

fn hello(join: &Join<'_>) -> Result<Hello> {
    let room: RoomId = join.room.parse()?;
    Ok(Hello {
        min_version: VERSION,
        max_version: VERSION,
        room,
        role: join.role,
        mac: join.mac,
        budget: mtu::MIN_BUDGET,
        name: "bare member".to_owned(),
        session: rand::random(),
        token: join.token.clone(),
        capabilities: Vec::new(),
        software: "lanparty-testkit".to_owned(),
    })
}
