//! Why a LAN gateway has stopped the port of a member, in one vocabulary for cores, screens and the wire.

use serde::{Deserialize, Serialize};

use crate::DropReason;

/// What is wrong at a member's side, so that its frames would harm everybody else.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortFault {
    /// Its machine or network has another way to the party's LAN.
    LanLoop,
    /// Its machine or network has another way to another member's.
    MemberLoop,
    /// Its address is heard on the party's LAN and in the room by turns.
    MacFlapping,
}

impl PortFault {
    /// Every fault.
    pub const ALL: [PortFault; 3] = [PortFault::LanLoop, PortFault::MemberLoop, PortFault::MacFlapping];

    /// The number on the wire, from 1.
    pub const fn code(self) -> u8 {
        match self {
            PortFault::LanLoop => 1,
            PortFault::MemberLoop => 2,
            PortFault::MacFlapping => 3,
        }
    }

    /// The fault of that number; `None` for those of later versions.
    pub fn of_code(code: u8) -> Option<PortFault> {
        PortFault::ALL.into_iter().find(|fault| fault.code() == code)
    }

    /// Why frames to and from the member are dropped.
    pub const fn drop_reason(self) -> DropReason {
        match self {
            PortFault::LanLoop | PortFault::MemberLoop => DropReason::LoopBlocked,
            PortFault::MacFlapping => DropReason::MacFlapping,
        }
    }

    /// What the member's own screen says.
    pub const fn sentence(self) -> &'static str {
        match self {
            PortFault::LanLoop => {
                "This PC or its network is also connected to the party's LAN by another way (a bridge or another VPN); \
                 lanparty has stopped your port until that is gone"
            }
            PortFault::MemberLoop => {
                "This PC or its network is also connected to another player's by another way (a bridge or another VPN); \
                 lanparty has stopped your port until that is gone"
            }
            PortFault::MacFlapping => {
                "The address of this PC's adapter is also in use on the party's LAN (a second device with it, a bridge or \
                 another VPN); lanparty has stopped your port for a while"
            }
        }
    }

    /// What the host's screen says behind the member's name.
    pub const fn host_sentence(self) -> &'static str {
        match self {
            PortFault::LanLoop => {
                "is also connected to this LAN by another way (a bridge or another VPN); its port is stopped until that is gone"
            }
            PortFault::MemberLoop => {
                "is also connected to another player by another way (a bridge or another VPN); its port is stopped until that is gone"
            }
            PortFault::MacFlapping => {
                "has an address that is also in use on this LAN (a second device with it, a bridge or another VPN); its port is \
                 stopped for a while"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_they_were_written() {
        for fault in PortFault::ALL {
            assert_eq!(PortFault::of_code(fault.code()), Some(fault));
        }
        assert_eq!(PortFault::of_code(0), None);
        assert_eq!(PortFault::of_code(99), None);
    }
}
