//! What a sender may send: the safety filters, the source check, the limits by class, and chatter once only.
//!
//! One guard stands for one sender and is asked wherever its frames pass: at the sender itself, at the relay of an open room, and
//! before the LAN or a player's device takes them. The same rules everywhere, so that each place can be the only one. It
//! decides once per super-frame; lengths are those of its segments, and limits count them.

mod classify;
#[cfg(test)]
pub(crate) mod crafted;
mod flow;
mod limits;
mod packet;
mod repeats;
mod rules;
mod spectator;
mod strangers;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use lanparty_wire::{Class, DropReason, ETHERNET_HEADER_LEN, Frame, Mac, Offload};

use crate::hole::{Hole, is_open};

use classify::Flows;
pub(crate) use limits::{Bucket, ByteBucket};
pub(crate) use packet::{Ip, Link, Network, Packet, Upper, protocol, word};
use repeats::Repeats;

pub use classify::class_of;
pub use flow::flow_hash;
pub use limits::{Bandwidth, Limits, Rate};
pub use spectator::spectator_may_send;
pub use strangers::{HeardLease, between_strangers, claims_its_own, lease_in, stranger_to_lan};

/// Whose frames a guard lets through.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Origin {
    /// A remote player, on its way to others: all filters, and no source but its own.
    Member { mac: Mac },
    /// The party's LAN, on its way to remote members: it may have DHCP and routers, and any number of stations.
    Lan,
}

/// Filters, source check and limits for one sender.
#[derive(Debug)]
pub struct Guard {
    origin: Origin,
    mtu: u16,
    epoch: Instant,
    neighbor: Bucket,
    chatter: Bucket,
    flood: Bucket,
    unknown_unicast: Bucket,
    bandwidth: ByteBucket,
    flows: Flows,
    repeats: Repeats,
}

impl Guard {
    /// `mtu` is the room's, without the Ethernet header. `limits` are a member's; the LAN, where all stations are one sender, has
    /// [`Limits::lan`] instead.
    pub fn new(origin: Origin, mtu: u16, limits: &Limits, now: Instant) -> Guard {
        let limits = match origin {
            Origin::Member { .. } => limits,
            Origin::Lan => &Limits::lan(),
        };
        Guard {
            origin,
            mtu,
            epoch: now,
            neighbor: Bucket::new(limits.neighbor),
            chatter: Bucket::new(limits.chatter),
            flood: Bucket::new(limits.flood),
            unknown_unicast: Bucket::new(limits.unknown_unicast),
            bandwidth: ByteBucket::new(limits.bandwidth),
            flows: Flows::new(),
            repeats: Repeats::default(),
        }
    }

    /// Whose frames it lets through.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Decides about a frame or super-frame, and says how urgent it is.
    ///
    /// # Errors
    /// Why it goes no further. Frames refused by a filter, and repeated chatter, take nothing from the limits.
    pub fn admit(&mut self, now: Instant, frame: Frame<'_>) -> Result<Class, DropReason> {
        self.admit_packet(now, frame).map(|(class, _)| class)
    }

    /// The same, with the packet as it was parsed for that.
    pub(crate) fn admit_packet<'a>(
        &mut self,
        now: Instant,
        frame: Frame<'a>,
    ) -> Result<(Class, Packet<'a>), DropReason> {
        let packet = Packet::parse(frame)?;
        let segments = Segments::count(frame)?;
        let from_member = self.check_source(packet.source)?;
        rules::check_length(segments.longest, packet.tags, self.mtu)?;
        rules::inspect(&packet, from_member)?;
        let now = now.saturating_duration_since(self.epoch);
        let class = self.flows.class_of(now, &packet, segments.bytes);
        if class == Class::Chatter && packet.is_flood() && self.repeats.is_repeated(now, &packet) {
            return Err(DropReason::RepeatedChatter);
        }
        self.take(now, class, packet.is_flood(), &segments)?;
        Ok((class, packet))
    }

    /// Decides about an admitted frame whose destination nobody has seen yet.
    ///
    /// # Errors
    /// [`DropReason::UnknownUnicastRate`] if there were too many of them, or [`DropReason::BadSuperFrame`].
    pub fn admit_unknown_unicast(&mut self, now: Instant, frame: Frame<'_>) -> Result<(), DropReason> {
        let segments = Segments::count(frame)?;
        let now = now.saturating_duration_since(self.epoch);
        if self.unknown_unicast.take(now, segments.count) {
            Ok(())
        } else {
            Err(DropReason::UnknownUnicastRate)
        }
    }

    /// True if the sender is a member.
    fn check_source(&self, source: Mac) -> Result<bool, DropReason> {
        if !source.is_valid_source() {
            return Err(DropReason::InvalidSource);
        }
        match self.origin {
            Origin::Member { mac } if source != mac && !is_open(Hole::SourceAddress) => {
                Err(DropReason::ForgedSource)
            }
            Origin::Member { .. } => Ok(true),
            Origin::Lan => Ok(false),
        }
    }

    fn take(
        &mut self,
        now: Duration,
        class: Class,
        is_flood: bool,
        segments: &Segments,
    ) -> Result<(), DropReason> {
        let (bucket, reason) = match class {
            Class::Neighbor => (Some(&mut self.neighbor), DropReason::NeighborRate),
            Class::Chatter => (Some(&mut self.chatter), DropReason::ChatterRate),
            Class::Interactive | Class::Bulk => (is_flood.then_some(&mut self.flood), DropReason::FloodRate),
        };
        if bucket.is_some_and(|bucket| !bucket.take(now, segments.count)) {
            return Err(reason);
        }
        // A neighbor frame is bounded by its own bucket: a copy at the limit must not keep ARP from being answered.
        if class != Class::Neighbor && !self.bandwidth.take(now, segments.bytes) {
            return Err(DropReason::BandwidthRate);
        }
        Ok(())
    }
}

/// What becomes of a frame when it is cut.
struct Segments {
    count: u32,
    /// Bytes of the longest, headers included.
    longest: usize,
    /// Bytes of all, headers included.
    bytes: usize,
}

impl Segments {
    /// # Errors
    /// [`DropReason::BadSuperFrame`] if its headers are longer than the frame, or its segments empty.
    fn count(frame: Frame<'_>) -> Result<Segments, DropReason> {
        let len = frame.bytes.len();
        let (size, header_len) = match frame.offload {
            Offload::None | Offload::ChecksumNeeded { .. } => {
                return Ok(Segments {
                    count: 1,
                    longest: len,
                    bytes: len,
                });
            }
            Offload::TcpSegments { size, header_len } | Offload::UdpSegments { size, header_len } => {
                (usize::from(size), usize::from(header_len))
            }
        };
        if size == 0 || header_len > len || header_len < ETHERNET_HEADER_LEN {
            return Err(DropReason::BadSuperFrame);
        }
        let payload = len - header_len;
        let count = payload.div_ceil(size).max(1);
        Ok(Segments {
            count: u32::try_from(count).map_err(|_| DropReason::BadSuperFrame)?,
            longest: header_len + payload.min(size),
            bytes: len + (count - 1) * header_len,
        })
    }
}
