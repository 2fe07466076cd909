//! What the address helper tells the host, in sentences.

use std::{fmt, net::Ipv4Addr};

use lanparty_wire::Mac;

use super::{AddressRange, Leases};

/// What happened that the host wants to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// Addresses of this range are handed out.
    Serving(AddressRange),
    /// There is no range: this machine has no address on the LAN to derive one from.
    NoRange,
    /// A member has an address now.
    Leased { mac: Mac, address: Ipv4Addr },
    /// Somebody else was heard to use an address of the range.
    Taken { address: Ipv4Addr, by: Mac },
    /// A client has found its address in use.
    Declined { mac: Mac, address: Ipv4Addr },
    /// Nothing of the range is left for this member.
    Exhausted { mac: Mac },
    /// A DHCP server was heard on the LAN.
    Quiet { server: Option<Ipv4Addr> },
    /// What is to be kept.
    Leases(Leases),
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            News::Serving(range) => write!(f, "Players who find no DHCP server on the LAN get addresses of {range}"),
            News::NoRange => f.write_str(
                "This machine has no IPv4 address on the LAN, so there is none to give to players; give the LAN's \
                 interface one, or name a range: --addresses 10.73.42.100-10.73.42.149/24",
            ),
            News::Leased { mac, address } => write!(f, "The player at {mac} has the address {address}"),
            News::Taken { address, by } => write!(f, "{by} uses {address}, so no player gets it"),
            News::Declined { mac, address } => {
                write!(f, "The player at {mac} found {address} in use and gets another address")
            }
            News::Exhausted { mac } => {
                write!(f, "There is no address left for the player at {mac}; name a larger range with --addresses")
            }
            News::Quiet { server: Some(server) } => write!(
                f,
                "There is a DHCP server on the LAN ({server}); players get their addresses from it, and none from here"
            ),
            News::Quiet { server: None } => {
                f.write_str("There is a DHCP server on the LAN; players get their addresses from it, and none from here")
            }
            News::Leases(leases) => write!(f, "{} addresses are handed out", leases.iter().count()),
        }
    }
}
