//! The rooms of the last evenings, and how to come in again.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use lanparty_api::{
    cli::{ExitCode, Failure},
    order::{RecentRoom, Wish},
};
use lanparty_wire::{Pin, RoomId};
use serde::{Deserialize, Serialize};

use crate::{
    entrance::{Entrance, membership_file},
    service::kept::Kind,
    settings::Party,
};

/// More than anybody looks through.
const MOST: usize = 12;
/// So much of a sealed room's number tells two rooms apart on a screen.
const TITLE: usize = 8;

const ROOMS: Kind = Kind {
    name: "recent-rooms.json",
    migrations: &[|_| {}],
};

/// A room with its key. The file is its owner's alone.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Kept {
    shown: RecentRoom,
    room: RoomId,
    /// The invite link of a sealed room.
    #[serde(default)]
    link: Option<String>,
    #[serde(default)]
    relay_pin: Option<Pin>,
    #[serde(default)]
    server_name: Option<String>,
}

/// Newest first.
pub struct Rooms {
    directory: PathBuf,
    kept: Vec<Kept>,
}

impl Rooms {
    pub fn load(directory: &Path) -> Rooms {
        Rooms {
            directory: directory.to_owned(),
            kept: ROOMS.load(directory).unwrap_or_default(),
        }
    }

    pub fn list(&self) -> Vec<RecentRoom> {
        self.kept.iter().map(|kept| kept.shown.clone()).collect()
    }

    /// What lets somebody into one of them.
    pub fn secrets(&self) -> Vec<String> {
        let key = |kept: &Kept| match &kept.room {
            RoomId::Open(code) => Some(code.as_str().to_owned()),
            RoomId::Sealed(_) => kept.link.clone(),
        };
        self.kept.iter().filter_map(key).collect()
    }

    /// A wish for a recent room as one that says how to come in.
    ///
    /// # Errors
    /// There is no such room in the list.
    pub fn resolve(&self, wish: Wish) -> Result<Wish, Failure> {
        let Some(id) = &wish.recent else {
            return Ok(wish);
        };
        let kept = self.find(id)?;
        let (relay, room) = match &kept.room {
            RoomId::Open(code) => (Some(kept.shown.relay.clone()), Some(code.clone())),
            RoomId::Sealed(_) => (None, None),
        };
        Ok(Wish {
            ticket: kept.link.clone(),
            relay,
            room,
            relay_pin: wish.relay_pin.or(kept.relay_pin),
            server_name: wish.server_name.clone().or_else(|| kept.server_name.clone()),
            ..wish
        })
    }

    /// # Errors
    /// There is no such room in the list, or the list cannot be written.
    pub fn forget(&mut self, id: &str) -> Result<(), Failure> {
        let room = self.find(id)?.room.clone();
        if let RoomId::Sealed(room) = &room {
            // Without the membership the host is asked anew.
            let _ = fs::remove_file(membership_file(&self.directory, room));
        }
        self.kept.retain(|kept| kept.room != room);
        ROOMS.save(&self.directory, &self.kept)
    }

    /// The room was joined. `host` is empty until it was seen.
    pub fn note(&mut self, party: &Party, entrance: &Entrance, host: &str) {
        let newest = self.kept.first();
        if newest
            .is_some_and(|kept| kept.room == entrance.room && (host.is_empty() || kept.shown.host == host))
            && newest.is_some_and(|kept| kept.link == link(entrance))
        {
            return;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.put(kept(party, entrance, host, now.map_or(0, |now| now.as_secs())));
        if let Err(error) = ROOMS.save(&self.directory, &self.kept) {
            tracing::warn!(%error, "the list of recent rooms is not kept");
        }
    }

    fn put(&mut self, mut new: Kept) {
        if let Some(old) = self.kept.iter().position(|kept| kept.room == new.room) {
            let old = self.kept.remove(old);
            if new.shown.host.is_empty() {
                new.shown.host = old.shown.host;
            }
        }
        self.kept.insert(0, new);
        self.kept.truncate(MOST);
    }

    fn find(&self, id: &str) -> Result<&Kept, Failure> {
        self.kept.iter().find(|kept| kept.shown.id == id).ok_or_else(|| {
            Failure::new(ExitCode::Usage, "this room is not in the list of recent rooms")
                .advise("join it by its invite")
        })
    }
}

fn link(entrance: &Entrance) -> Option<String> {
    entrance.invite.as_ref().map(ToString::to_string)
}

fn kept(party: &Party, entrance: &Entrance, host: &str, now: u64) -> Kept {
    let (id, title) = match &entrance.room {
        RoomId::Open(code) => (
            format!("{}@{}", code.as_str(), party.relay),
            code.as_str().to_owned(),
        ),
        RoomId::Sealed(room) => (room.to_string(), room.to_string().chars().take(TITLE).collect()),
    };
    Kept {
        shown: RecentRoom {
            id,
            sealed: entrance.room.is_sealed(),
            title,
            host: host.to_owned(),
            relay: party.relay.clone(),
            joined_unix: now,
        },
        room: entrance.room.clone(),
        link: link(entrance),
        relay_pin: party.relay_pin,
        server_name: party.server_name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn a_room_is_found_again_with_its_key_and_only_the_service_knows_that() {
        let dir = tempfile::tempdir().unwrap();
        let mut rooms = Rooms::load(dir.path());
        for code in ["ABCD", "EFGH"] {
            let (party, entrance) = open(code);
            rooms.note(&party, &entrance, "");
        }
        let (party, entrance) = open("ABCD");
        rooms.note(&party, &entrance, "ada's house");
        rooms.note(&party, &entrance, "");
        let rooms = Rooms::load(dir.path());
        let list = rooms.list();
        assert_eq!(
            list.iter().map(|room| room.title.as_str()).collect::<Vec<_>>(),
            ["ABCD", "EFGH"]
        );
        assert_eq!(list[0].host, "ada's house");
        let wish = rooms
            .resolve(Wish {
                recent: Some(list[0].id.clone()),
                dhcp: Some(false),
                ..Wish::default()
            })
            .unwrap();
        assert_eq!(
            (wish.room, wish.dhcp),
            (Some("ABCD".parse().unwrap()), Some(false))
        );
        assert_eq!(rooms.secrets(), ["ABCD", "EFGH"]);
    }

    #[test]
    fn the_list_stays_short_and_a_room_can_be_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let mut rooms = Rooms::load(dir.path());
        for number in 0..20 {
            let (party, entrance) = open(&format!("ROOM-{number}"));
            rooms.note(&party, &entrance, "");
        }
        assert_eq!(rooms.list().len(), MOST);
        let first = rooms.list()[0].id.clone();
        rooms.forget(&first).unwrap();
        assert!(rooms.forget(&first).is_err());
        assert_eq!(Rooms::load(dir.path()).list()[0].title, "ROOM-18");
    }

    fn open(code: &str) -> (Party, Entrance) {
        let settings = Settings {
            relay: Some("relay.example.org".parse().unwrap()),
            room: Some(code.parse().unwrap()),
            ..Settings::default()
        };
        let entrance = Entrance {
            room: RoomId::Open(code.parse().unwrap()),
            invite: None,
        };
        (settings.complete().unwrap(), entrance)
    }
}
