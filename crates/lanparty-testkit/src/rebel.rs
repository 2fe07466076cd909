//! A member of a sealed room with real keys that takes itself for a player, whatever the host has made of it.
//!
//! It is what somebody has who changes his client: node and guest are the product's, and the one thing changed is what the roster says of itself.
//! Others hold it to its role or nobody does. As [`BareMember`] it blocks its caller.

use std::{
    net::UdpSocket,
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, bail};
use lanparty_core::{
    admission::{Guest, GuestConfig, GuestOutput},
    guard::Limits,
    node::{Event, Node, NodeConfig, Output, PathId},
    seal::{IdentityKey, MemberRole, Roster, SealingConfig},
};
use lanparty_quic::Identity;
use lanparty_wire::{
    Frame, Invite, Mac, MemberId, PeerId, UnixTime,
    control::{Message, Role},
    mtu,
};

use crate::member::{BareMember, Join};

/// The one connection that it has.
const PATH: PathId = PathId(0);
/// How long it looks at its connection before it looks at its clocks again.
const TURN: Duration = Duration::from_millis(10);

/// A member of a sealed room that knows no role.
pub struct Rebel {
    member: BareMember,
    node: Node,
    guest: Guest,
    identity: PeerId,
}

impl Rebel {
    /// Connects by an invite, from where `socket` is; [`Rebel::run_until`] does the rest.
    ///
    /// # Errors
    /// As [`BareMember::join`].
    pub fn join(socket: UdpSocket, invite: &Invite, name: &str, join: &Join<'_>) -> Result<Rebel> {
        let member = BareMember::join(socket, join)?;
        let identity = identity_in(join.state_dir)?;
        let now = Instant::now();
        let config = NodeConfig {
            role: Role::Client,
            mac: join.mac,
            mtu: mtu::DEFAULT_MTU,
            limits: Limits::default(),
            flow_key: rand::random(),
        };
        let sealing = SealingConfig {
            host: invite.host,
            identity: identity.clone(),
            seed: rand::random(),
        };
        let guest = GuestConfig {
            host: invite.host,
            identity: identity.clone(),
            mac: join.mac.unwrap_or(Mac::ZERO),
            name: name.to_owned(),
            software: "lanparty-testkit".to_owned(),
            invite: (invite.id, invite.secret),
            seed: rand::random(),
        };
        let mut rebel = Rebel {
            node: Node::new(config, now).sealed(&sealing, now),
            guest: Guest::new(unix_now(), guest, None),
            identity: identity.peer_id(),
            member,
        };
        let welcome = Message::Welcome(rebel.member.welcome().clone());
        rebel.hear(now, &welcome);
        rebel.node.path_up(now, PATH, rebel.member.link().budget());
        rebel.drain(now)?;
        Ok(rebel)
    }

    /// Lives until then, or until `reached` is true.
    ///
    /// # Errors
    /// The connection has ended, the host has refused, or it was not reached within `limit`.
    pub fn run_until(&mut self, limit: Duration, reached: impl Fn(&Rebel) -> bool) -> Result<()> {
        let end = Instant::now() + limit;
        while !reached(self) {
            if Instant::now() >= end {
                bail!("it was not reached within {limit:?}");
            }
            self.turn()?;
        }
        Ok(())
    }

    /// Lives for so long.
    ///
    /// # Errors
    /// The connection has ended, or the host has refused.
    pub fn run(&mut self, length: Duration) -> Result<()> {
        let end = Instant::now() + length;
        while Instant::now() < end {
            self.turn()?;
        }
        Ok(())
    }

    /// Sends a frame as a player would.
    ///
    /// # Errors
    /// Its own guard refuses the frame, or the connection has ended.
    pub fn send(&mut self, frame: &[u8]) -> Result<()> {
        let now = Instant::now();
        let sent = self.node.handle_frame(now, Frame::plain(frame));
        if let Err(reason) = sent {
            bail!("its own node has dropped the frame: {}", reason.name());
        }
        self.drain(now)
    }

    /// The other members that it shares keys with.
    pub fn secured(&self) -> impl Iterator<Item = MemberId> {
        let members = self.node.roster().map(|member| member.id);
        members.filter(|id| self.node.is_secured(*id))
    }

    fn turn(&mut self) -> Result<()> {
        let link = self.member.link();
        if let Some(reason) = link.close_reason() {
            bail!("the connection has ended: {reason:?}");
        }
        let message = self
            .member
            .wait_control(TURN, |message| Some(message.clone()))
            .ok();
        let now = Instant::now();
        if let Some(message) = message {
            self.hear(now, &message);
        }
        for datagram in self.member.datagrams(Duration::ZERO) {
            // What it refuses is not what it is there for.
            let _ = self.node.handle_datagram(now, PATH, &datagram);
        }
        if self.node.poll_timeout().is_some_and(|(due, _)| due <= now) {
            self.node.handle_timeout(now);
        }
        if self.guest.poll_timeout().is_some_and(|due| due <= now) {
            self.guest.handle_timeout(now, unix_now());
        }
        self.drain(now)
    }

    fn hear(&mut self, now: Instant, message: &Message) {
        // A roster that is not taken is nothing to it.
        let _ = self.guest.handle_control(now, unix_now(), message);
        self.node.handle_control(now, message);
    }

    fn drain(&mut self, now: Instant) -> Result<()> {
        while let Some(output) = self.guest.poll_output() {
            match output {
                GuestOutput::Send(message) => self.member.send_control(&message)?,
                GuestOutput::Roster(roster) => {
                    let _ = self.node.set_roster(now, self.as_it_likes(roster));
                }
                GuestOutput::Save(_) => {}
                GuestOutput::Refused(refusal) => bail!("the host has refused: {}", refusal.sentence()),
            }
        }
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Control(message) => self.member.send_control(&message)?,
                Output::Event(Event::Note { from, bytes }) => {
                    self.guest.handle_note(now, unix_now(), from, &bytes);
                }
                Output::Event(_) | Output::Inject(_) => {}
            }
        }
        while let Some(datagram) = self.node.poll_transmit(now, PATH) {
            self.member.send_datagram(datagram.to_vec())?;
        }
        Ok(())
    }

    fn as_it_likes(&self, mut roster: Roster) -> Roster {
        let own = roster
            .members
            .iter_mut()
            .filter(|it| it.identity == self.identity);
        own.for_each(|it| it.role = MemberRole::Player);
        roster
    }
}

/// The identity that [`BareMember::join`] has made.
fn identity_in(state_dir: &Path) -> Result<IdentityKey> {
    let identity = Identity::load_or_create(&state_dir.join("identity.pem"))?;
    Ok(IdentityKey::from_seed(identity.seed()))
}

fn unix_now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixTime(since.map_or(0, |since| since.as_secs()))
}
