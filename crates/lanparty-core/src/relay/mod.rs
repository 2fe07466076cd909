//! What a relay decides: who is in which room, and where a datagram goes. It forwards by member id and rewrites nothing.
//!
//! Two halves that share no lock. [`Rooms`] admits and dismisses members, rarely, and makes a [`Roster`] after every change. A
//! roster is immutable; each member's reader holds the newest one and asks its own [`Ingress`] about every datagram, which
//! allocates nothing and answers with the targets or with the reason for the drop.
//!
//! The relay trusts nobody: the source must be the member whose connection it is, limits count by the clear header, and in an open
//! room whole frames pass the same guard as at the endpoints. It is not the last word either; the LAN gateway is.
//!
//! In a sealed room it looks at no payload. Who is not in the host's newest signed roster can write to the host, and reaches nobody else.

mod ingress;
mod lease;
mod numbers;
mod papers;
mod reservation;
mod room;
mod rooms;
mod roster;

pub use crate::admission::{RosterNews, RosterRefusal};
pub use ingress::{Forward, Ingress, IngressConfig};
pub use lanparty_wire::UnixTime;
pub use lease::{LEASE, MAX_STANDBYS, Succession};
pub use numbers::{LookupRefusal, Numbers};
pub use papers::RosterChange;
pub use reservation::{SavedReservation, SavedRoom, SavedRooms};
pub use room::plain_words;
pub use rooms::{Admission, Departure, Join, Refusal, RoomLimits, Rooms, Seat};
pub use roster::{Entry, Groups, Roster, Targets};

#[cfg(test)]
mod tests;
