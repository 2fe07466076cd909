//! One member's datagrams on their way in: may it, is it within its limits, and whom does it reach.
//!
//! Owned by the member's reader task; nothing here is shared, locked or allocated per datagram. Cheap checks come first, so that
//! garbage costs least. What the clear header says is enough to limit a member whose payload cannot be read; where it
//! can be read, whole frames pass the guard as well. Pieces of frames do not: only the endpoint that puts them together sees
//! what they are, which is why the LAN gateway's guard is the last word. In a sealed room no payload can be read: there the header,
//! sizes and limits are all that is looked at.

use std::time::{Duration, Instant};

use lanparty_wire::{
    Class, Destination, DropCounters, DropReason, FragmentHeader, Frame, Header, Kind, MemberId, TAG_LEN,
    control::{Member, Role},
    mtu,
};

use super::{Roster, Targets};
use crate::{
    guard::{Bucket, ByteBucket, Guard, Limits, Origin},
    redundancy::Seen,
    scheduler::FlowId,
};

/// For how long malformed datagrams count towards the threshold.
const MALFORMED_WINDOW: Duration = Duration::from_secs(60);
/// Two VLAN tags, which come on top of the MTU (IEEE 802.3, clause 3.2.7).
const MAX_TAGS: usize = 8;

/// What every member of a relay is held to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IngressConfig {
    /// What a client may send; a LAN gateway has [`Limits::lan`].
    pub limits: Limits,
    /// The inner MTU of rooms in bytes, without the Ethernet header.
    pub mtu: u16,
    /// Malformed datagrams within a minute that disconnect their sender.
    pub malformed_limit: u32,
    /// Whether whole frames pass the guard. Only a build that tests the LAN gateway's guard alone says no.
    pub guard: bool,
}

/// The relay's checks for one member.
#[derive(Debug)]
pub struct Ingress {
    member: MemberId,
    /// In a sealed room the longest payload, its seal included.
    longest_sealed: Option<usize>,
    epoch: Instant,
    guard: Option<Guard>,
    neighbor: Bucket,
    chatter: Bucket,
    flood: Bucket,
    bandwidth: ByteBucket,
    malformed: Malformed,
    seen: Seen,
    duplicates: u64,
    drops: DropCounters,
    datagrams: u64,
    bytes: u64,
}

/// A datagram that goes on.
#[derive(Debug)]
pub struct Forward<'a, H> {
    pub targets: Targets<'a, H>,
    /// How urgent it is on the targets' legs: never more than its sender says, nor than the frame shows.
    pub class: Class,
    /// Which queue it shares with others there; datagrams of one flow stay in order.
    pub flow: FlowId,
}

impl Ingress {
    pub fn new(member: &Member, is_sealed: bool, config: &IngressConfig, now: Instant) -> Ingress {
        let origin = match (member.role, member.mac) {
            (Role::Client, Some(mac)) => Some(Origin::Member { mac }),
            (Role::Gateway, _) => Some(Origin::Lan),
            // Not a client: a hello without an address is refused when it is decoded.
            (Role::Client, None) => None,
        };
        let limits = match member.role {
            Role::Client => config.limits.clone(),
            Role::Gateway => Limits::lan(),
        };
        Ingress {
            member: member.id,
            longest_sealed: is_sealed.then(|| mtu::frame_limit(config.mtu) + MAX_TAGS + TAG_LEN),
            epoch: now,
            guard: origin
                .filter(|_| config.guard && !is_sealed)
                .map(|origin| Guard::new(origin, config.mtu, &limits, now)),
            neighbor: Bucket::new(limits.neighbor),
            chatter: Bucket::new(limits.chatter),
            flood: Bucket::new(limits.flood),
            bandwidth: ByteBucket::new(limits.bandwidth),
            malformed: Malformed {
                limit: config.malformed_limit,
                count: 0,
                since: now,
            },
            seen: Seen::default(),
            duplicates: 0,
            drops: DropCounters::default(),
            datagrams: 0,
            bytes: 0,
        }
    }

    /// Decides about a datagram that came on the member's connection. The reason of a drop is counted here.
    ///
    /// # Errors
    /// Why it goes no further; after a malformed one ask [`Ingress::is_over_malformed_limit`].
    pub fn forward<'a, H>(
        &mut self,
        now: Instant,
        datagram: &[u8],
        roster: &'a Roster<H>,
    ) -> Result<Forward<'a, H>, DropReason> {
        self.datagrams += 1;
        self.bytes += datagram.len() as u64;
        let decision = self.decide(now, datagram, roster);
        if let Err(reason) = decision {
            if reason == DropReason::Duplicate {
                self.duplicates += 1;
                return decision;
            }
            self.drops.count(reason);
            if reason == DropReason::Malformed {
                self.malformed.count(now);
            }
        }
        decision
    }

    /// True once the member should be disconnected for what it sends.
    pub fn is_over_malformed_limit(&self) -> bool {
        self.malformed.count > self.malformed.limit
    }

    /// Malformed datagrams within the window that counts.
    pub fn malformed(&self) -> u32 {
        self.malformed.count
    }

    /// Second copies that have arrived beside the first: what the member's leg would have lost without them is not known. No drops.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// What was dropped, by reason.
    pub fn drops(&self) -> &DropCounters {
        &self.drops
    }

    /// Datagrams and their bytes that came in, dropped ones included.
    pub fn received(&self) -> (u64, u64) {
        (self.datagrams, self.bytes)
    }

    fn decide<'a, H>(
        &mut self,
        now: Instant,
        datagram: &[u8],
        roster: &'a Roster<H>,
    ) -> Result<Forward<'a, H>, DropReason> {
        // A member that was just dismissed may still have datagrams on the way.
        let source = roster.entry(self.member).ok_or(DropReason::UnknownSource)?;
        if datagram.len() > usize::from(source.ingress_budget) {
            return Err(DropReason::DatagramBudget);
        }
        let (header, payload) = Header::decode(datagram).map_err(|_| DropReason::Malformed)?;
        let whole = match header.fragment {
            false => payload.len(),
            true => {
                let fragment = FragmentHeader::decode(payload).map_err(|_| DropReason::Malformed)?;
                usize::from(fragment.0.total)
            }
        };
        if header.source != self.member {
            return Err(DropReason::SourceMismatch);
        }
        self.check_seal(&header, whole)?;
        let targets = roster.targets(source, header.destination)?;
        // Each leg pays for its own losses only, and a copy is nothing that its sender says too much.
        if self.seen.is_copy(&header) {
            return Err(DropReason::Duplicate);
        }
        self.take(now, &header, datagram.len())?;
        let class = self.inspect(now, &header, payload)?;
        Ok(Forward {
            targets,
            class,
            flow: FlowId::of(header.source, header.flow),
        })
    }

    /// `whole` is the length of the payload that this is, or is a piece of.
    fn check_seal(&self, header: &Header, whole: usize) -> Result<(), DropReason> {
        match (self.longest_sealed, header.key_id) {
            (None, 0) => Ok(()),
            // An open room has no keys; a payload that nobody can read would pass every filter.
            (None, _) => Err(DropReason::WrongKey),
            (Some(_), 0) => Err(DropReason::Unsealed),
            (Some(_), _) if whole < TAG_LEN => Err(DropReason::Malformed),
            (Some(longest), _) if whole > longest => Err(DropReason::OverMtu),
            (Some(_), _) => Ok(()),
        }
    }

    fn take(&mut self, now: Instant, header: &Header, bytes: usize) -> Result<(), DropReason> {
        let now = now.saturating_duration_since(self.epoch);
        let is_flood = !matches!(header.destination, Destination::Member(_));
        let (bucket, reason) = match header.class {
            Class::Neighbor => (Some(&mut self.neighbor), DropReason::NeighborRate),
            Class::Chatter => (Some(&mut self.chatter), DropReason::ChatterRate),
            Class::Interactive | Class::Bulk => (is_flood.then_some(&mut self.flood), DropReason::FloodRate),
        };
        if bucket.is_some_and(|bucket| !bucket.take(now, 1)) {
            return Err(reason);
        }
        // As in the guard: a file copy at its limit must not keep ARP from being answered.
        if header.class != Class::Neighbor && !self.bandwidth.take(now, bytes) {
            return Err(DropReason::BandwidthRate);
        }
        Ok(())
    }

    fn inspect(&mut self, now: Instant, header: &Header, payload: &[u8]) -> Result<Class, DropReason> {
        let readable = header.kind == Kind::Frame && !header.fragment;
        match &mut self.guard {
            Some(guard) if readable => {
                let shown = guard.admit(now, Frame::plain(payload))?;
                Ok(header.class.min(shown))
            }
            Some(_) | None => Ok(header.class),
        }
    }
}

#[derive(Debug)]
struct Malformed {
    limit: u32,
    count: u32,
    since: Instant,
}

impl Malformed {
    fn count(&mut self, now: Instant) {
        if now.saturating_duration_since(self.since) > MALFORMED_WINDOW {
            self.since = now;
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
    }
}
