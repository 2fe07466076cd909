//! What a node tells its shell, and what it wakes up for.

use std::time::Duration;

use crate::{
    guard::HeardLease,
    lan::{addresses, duty, loops},
};
use lanparty_wire::{
    LeaveReason, Mac, MemberId, PortFault,
    control::{Member, Message, Mode},
};

/// A rare effect of an input. Drained after every input call until there is none.
#[derive(Clone, PartialEq, Debug)]
pub enum Output {
    /// To be sent on the control stream.
    Control(Message),
    /// A frame of our own for the device (the LAN gateway's: address-table refreshes, and what [`crate::lan`] has to say).
    Inject(Vec<u8>),
    /// Something that a user or a log would notice.
    Event(Event),
}

/// What a user would notice.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// We are in the room; `members` counts us too.
    Joined {
        member: MemberId,
        mode: Mode,
        members: u16,
    },
    /// The room's LAN gateway is there, or not. Told first on joining, then when it changes.
    GatewayPresent(bool),
    /// Another LAN gateway has taken over, and goes on where the last one has stopped.
    GatewayChanged { member: MemberId },
    /// At a LAN gateway: it carries frames from here on, or none.
    Duty(duty::Change),
    /// The LAN gateway's cable has a link, or not.
    LanLink(bool),
    /// Another member is there that was not before. A reconnect of ours alone tells nobody anew.
    MemberJoined { member: Member },
    /// Another member is gone.
    MemberLeft { member: Member, reason: LeaveReason },
    /// Broadcast and multicast frames since the LAN gateway is there: whether we sent some to the room, and whether some came
    /// back from its LAN. Told at once when both are true, and after a while when only one is.
    BroadcastFlowing { to_room: bool, from_lan: bool },
    /// The round trip to the LAN gateway and back: the first one, and then when it has changed enough to matter.
    GatewayRtt(Duration),
    /// In a sealed room: keys are agreed with this member, and frames can flow. Told once for each of its lives.
    MemberSecured { member: MemberId },
    /// In a sealed room: this member is admitted, and has not proven who it is for some seconds. Frames to and from it are
    /// dropped; it is tried again and again.
    MemberUnproven { member: MemberId },
    /// What another member has written to us under the keys that we share with it; see [`super::Node::write_note`]. For the shell,
    /// not for a person.
    Note { from: MemberId, bytes: Vec<u8> },
    /// What the LAN gateway's address helper has done.
    Addresses(addresses::News),
    /// At a LAN gateway: the LAN's DHCP server was heard to give an address to a member. For the shell to keep, see
    /// [`crate::lan::LanConfig::heard`].
    LeaseHeard(HeardLease),
    /// At a LAN gateway: a member has the address of a station that was heard on the LAN, and is ignored. For the shell, not for a
    /// person.
    OnLan { mac: Mac },
    /// At a LAN gateway: a member's port was stopped or opened.
    Port(loops::News),
    /// At a client: the LAN gateway has stopped our port, and why; `None`: it is open again.
    OwnPort(Option<PortFault>),
    /// A frame goes out on the LAN so that its switches know where a member's address is.
    CamRefresh { mac: Mac, reason: RefreshReason },
}

/// Why switches are told of an address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RefreshReason {
    /// Before their tables forget it.
    Periodic,
    /// Its member has joined.
    PeerJoined,
    /// The LAN's link is back, perhaps on another switch.
    LinkUp,
}

impl RefreshReason {
    /// The name in logs.
    pub const fn name(self) -> &'static str {
        match self {
            RefreshReason::Periodic => "periodic",
            RefreshReason::PeerJoined => "peer_joined",
            RefreshReason::LinkUp => "link_up",
        }
    }
}

/// Why a node wants to be woken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Wake {
    /// A fragmented frame has waited long enough for its rest.
    Reassembly,
    /// A second copy of a small packet is due for a path that has room.
    Copy,
    /// A probe to the LAN gateway is due.
    Probe,
    /// An address must be shown to the LAN's switches again.
    CamRefresh,
    /// Broadcasts have gone one way only for long enough to say so.
    Broadcast,
    /// The LAN gateway says no more that our port is stopped.
    Port,
    /// Something of the LAN gateway's own is due; see [`crate::lan`].
    Lan,
    /// Keys are to be agreed on, told, or replaced.
    Keys,
}
