//! What is kept in order, and whose share it takes.

use lanparty_wire::{Class, Destination, MemberId};

/// Which packets must stay in order, and whose share they take.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FlowId {
    /// 24 bits.
    key: u32,
    pub(super) member: u16,
}

impl FlowId {
    /// A flow of a member's, where packets of several members share a queue: each member has one share.
    pub fn of(source: MemberId, flow: u8) -> FlowId {
        FlowId {
            key: u32::from(source.value()) << 8 | u32::from(flow),
            member: source.value(),
        }
    }

    /// A flow of our own to a destination: each destination has one share.
    pub fn to(destination: Destination, flow: u16) -> FlowId {
        FlowId {
            key: u32::from(flow),
            member: destination.to_wire(),
        }
    }

    /// A number for tables of flows that may share their entries.
    pub(crate) fn spread(self) -> usize {
        let mixed = (self.key ^ u32::from(self.member)).wrapping_mul(0x9e37_79b9);
        (mixed >> 16) as usize
    }

    /// Interactive and bulk packets of a flow are one queue; the other classes keep their order for themselves.
    pub(super) fn lane(self, class: Class) -> u32 {
        let lane = match class {
            Class::Bulk | Class::Interactive => 0,
            Class::Chatter => 1,
            Class::Neighbor => 2,
        };
        lane << 24 | self.key
    }
}
