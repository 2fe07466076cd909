//! A LAN gateway that waits in another host's sealed room: it lets nobody in, and goes by the host's newest roster as every member does.
//!
//! The host puts it into the roster when it comes ([`Host::standby_came`](super::Host::standby_came)), so it asks for nothing. Feed it every control
//! message and the time, and do what [`Standby::poll_output`] says.

use std::collections::VecDeque;

use lanparty_wire::{DropReason, PeerId, SealedRoom, UnixTime, control::Message};
use serde::{Deserialize, Serialize};

use super::keeper::{RosterKeeper, RosterNews};

/// What the shell does.
#[derive(Clone, PartialEq, Debug)]
pub enum StandbyOutput {
    /// For the control stream.
    Send(Box<Message>),
    /// What the node is to hold members against from now on.
    Roster(crate::seal::Roster),
    /// Store this, to begin with next time.
    Save(SavedRoster),
}

/// What a LAN gateway that waits stores of a room: that no older roster is believed at its next start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SavedRoster {
    /// Of this layout, [`SavedRoster::VERSION`].
    pub version: u8,
    pub host: PeerId,
    /// What [`RosterKeeper::floor`] was.
    pub roster_number: u64,
}

impl SavedRoster {
    /// The version that this program writes.
    pub const VERSION: u8 = 1;
}

/// A LAN gateway that waits.
#[derive(Debug)]
pub struct Standby {
    host: PeerId,
    keeper: RosterKeeper,
    /// When the newest roster loses its next member.
    next_expiry: Option<UnixTime>,
    outputs: VecDeque<StandbyOutput>,
}

impl Standby {
    /// In the room of `host`, going on from what was stored if that is of this room.
    pub fn new(host: PeerId, saved: Option<SavedRoster>) -> Standby {
        let of_room = |saved: &SavedRoster| saved.version == SavedRoster::VERSION && saved.host == host;
        let floor = saved.filter(of_room).map_or(0, |saved| saved.roster_number);
        Standby {
            host,
            keeper: RosterKeeper::new(SealedRoom::of(&host), floor),
            next_expiry: None,
            outputs: VecDeque::new(),
        }
    }

    /// The next thing to do. Drained after every call.
    pub fn poll_output(&mut self) -> Option<StandbyOutput> {
        self.outputs.pop_front()
    }

    /// Looks at what only a clock can tell, about once a second.
    pub fn handle_clock(&mut self, unix: UnixTime) {
        if self.next_expiry.is_some_and(|at| at <= unix) {
            self.show_roster(unix);
        }
    }

    /// Takes a control message; those that bring no roster change nothing.
    ///
    /// # Errors
    /// Why a roster was not taken.
    pub fn handle_control(&mut self, unix: UnixTime, message: &Message) -> Result<(), DropReason> {
        match message {
            Message::Welcome(_) => self
                .outputs
                .extend(self.keeper.message().map(StandbyOutput::Send)),
            Message::Roster { data } => return self.offered(unix, data),
            _ => {}
        }
        Ok(())
    }

    fn offered(&mut self, unix: UnixTime, data: &str) -> Result<(), DropReason> {
        match self.keeper.offered(data)? {
            RosterNews::Same => {}
            RosterNews::Newer => {
                self.outputs.push_back(StandbyOutput::Save(SavedRoster {
                    version: SavedRoster::VERSION,
                    host: self.host,
                    roster_number: self.keeper.floor(),
                }));
                self.show_roster(unix);
            }
        }
        Ok(())
    }

    fn show_roster(&mut self, unix: UnixTime) {
        if let Some((roster, next)) = self.keeper.at(unix) {
            self.next_expiry = next;
            self.outputs.push_back(StandbyOutput::Roster(roster));
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use lanparty_wire::{Admitted, HostKey, MemberId, Profile, Roster, RosterContent, Standing};

    use super::*;
    use crate::seal::MemberRole;

    const NOW: UnixTime = UnixTime(1_000_000);

    fn key() -> HostKey {
        HostKey::from_seed(&[1; 32])
    }

    /// Two LAN gateways, the second one until `expires`.
    fn roster(number: u64, expires: UnixTime) -> Message {
        let member = |identity, id, expires| Admitted {
            identity,
            id: MemberId::new(id).unwrap(),
            mac: None,
            standing: Standing::Gateway,
            expires,
            name: String::new(),
        };
        let content = RosterContent {
            number,
            issued: NOW,
            profile: Profile::Friends,
            wishes: 0,
            members: vec![
                member(key().peer_id(), 1, UnixTime(u64::MAX)),
                member(PeerId([7; 32]), 2, expires),
            ],
        };
        let data = BASE64_STANDARD.encode(Roster::sign(&key(), content).unwrap().bytes());
        Message::Roster { data }
    }

    fn outputs(standby: &mut Standby) -> Vec<StandbyOutput> {
        std::iter::from_fn(|| standby.poll_output()).collect()
    }

    #[test]
    fn it_goes_by_the_newest_roster_until_a_membership_ends() {
        let mut standby = Standby::new(key().peer_id(), None);
        standby.handle_control(NOW, &roster(5, NOW.after(60))).unwrap();
        let outputs_now = outputs(&mut standby);
        let [StandbyOutput::Save(saved), StandbyOutput::Roster(shown)] = &outputs_now[..] else {
            panic!("{outputs_now:?}")
        };
        assert_eq!((saved.roster_number, shown.number), (5, 5));
        assert!(
            shown
                .members
                .iter()
                .all(|member| member.role == MemberRole::Gateway)
        );
        assert_eq!(shown.members.len(), 2);
        standby.handle_clock(NOW.after(59));
        assert_eq!(outputs(&mut standby), []);
        standby.handle_clock(NOW.after(60));
        let later = outputs(&mut standby);
        let [StandbyOutput::Roster(shown)] = &later[..] else {
            panic!("{later:?}")
        };
        assert_eq!(shown.members.len(), 1);
    }

    #[test]
    fn an_older_roster_is_refused_after_a_restart_too() {
        let mut standby = Standby::new(key().peer_id(), None);
        standby.handle_control(NOW, &roster(5, NOW.after(60))).unwrap();
        let Some(StandbyOutput::Save(saved)) = standby.poll_output() else {
            panic!("nothing to store")
        };
        let mut again = Standby::new(key().peer_id(), Some(saved));
        let older = again.handle_control(NOW, &roster(4, NOW.after(60)));
        assert_eq!(older, Err(DropReason::OldRoster));
        assert_eq!(outputs(&mut again), []);
        // What was stored of another room means nothing.
        let other = SavedRoster {
            host: PeerId([9; 32]),
            ..saved
        };
        let mut fresh = Standby::new(key().peer_id(), Some(other));
        fresh.handle_control(NOW, &roster(4, NOW.after(60))).unwrap();
        assert_eq!(outputs(&mut fresh).len(), 2);
    }

    #[test]
    fn a_relay_that_has_started_anew_is_handed_the_roster() {
        let mut standby = Standby::new(key().peer_id(), None);
        let message = roster(5, NOW.after(60));
        standby.handle_control(NOW, &message).unwrap();
        outputs(&mut standby);
        let welcome = Message::Welcome(lanparty_wire::control::Welcome {
            version: 1,
            member: MemberId::new(2).unwrap(),
            incarnation: lanparty_wire::Incarnation(1),
            mode: lanparty_wire::control::Mode::Relay,
            sealed: true,
            gateway: None,
            members: 0,
        });
        standby.handle_control(NOW, &welcome).unwrap();
        assert_eq!(outputs(&mut standby), [StandbyOutput::Send(Box::new(message))]);
    }
}
