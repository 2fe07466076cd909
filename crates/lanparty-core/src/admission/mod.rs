//! Who is in a sealed room: the host decides and signs, members believe the newest signed roster only.
//!
//! [`Host`] turns requests and the host's own wishes into memberships and rosters. [`RosterKeeper`] is what every member, and the
//! relay, holds of them. [`Reception`] and [`Guest`] are the two ends of asking, past the relay; a [`Standby`] is named, and asks for nothing.
//! [`CodeDesk`] and [`CodeTry`] are the two sides of a short code. Time and randomness are arguments.

mod asking;
mod code;
mod counter;
mod guest;
mod host;
mod invites;
mod keeper;
mod reception;
mod standby;
mod state;

pub use code::{CodeDesk, CodeEnd, CodeOutcome, CodeStep, CodeTry, Grant};
pub use counter::{ShownCode, Venue};
pub use guest::{Guest, GuestConfig, GuestOutput, GuestState};
pub use host::{Host, HostConfig, HostEvent, Waiting};
pub use invites::{HostInvite, InviteStatus, NewInvite, TooManyInvites};
pub use keeper::{RosterCounters, RosterKeeper, RosterNews, RosterRefusal, SavedMembership};
pub use reception::{Reception, ReceptionOutput};
pub use standby::{SavedRoster, Standby, StandbyOutput};
pub use state::{HostState, StateError};

#[cfg(test)]
mod tests;
