//! The public numbers of short codes: which sealed room a number leads to. They prove nothing; the words do, between newcomer and host.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use lanparty_wire::{SealedRoom, ShortNumber, UnixTime};

use super::rooms::network_of;

/// Numbers that one room may hold: the code on the screen, and the one before, whose tries still run.
const MAX_PER_ROOM: usize = 2;
/// Lookups from one address (of IPv6, one /64) in [`WINDOW`] seconds: people who mistype, not programs that scan.
const MAX_LOOKUPS: u32 = 20;
const WINDOW: u64 = 60;
/// Addresses that are counted at once. If there are more within one window, nobody new is answered.
const MAX_ADDRESSES: usize = 10_000;

/// Why a lookup has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LookupRefusal {
    /// No room has this number now: the code is over, or was mistyped.
    Unknown,
    /// Too many lookups from this address.
    TooMany,
}

/// Which number leads where.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Numbers {
    rooms: BTreeMap<ShortNumber, SealedRoom>,
    lookups: HashMap<IpAddr, (UnixTime, u32)>,
}

impl Numbers {
    /// The host of `room` has these numbers from now on, and no others. Returns those that it has; for each other one it has to show another
    /// code, because the number is another room's.
    pub fn register(&mut self, room: SealedRoom, numbers: &[ShortNumber]) -> Vec<ShortNumber> {
        self.rooms.retain(|_, holder| *holder != room);
        let mut held = Vec::new();
        for number in numbers.iter().take(MAX_PER_ROOM) {
            if *self.rooms.entry(*number).or_insert(room) == room {
                held.push(*number);
            }
        }
        held
    }

    /// The room that a number leads to.
    ///
    /// # Errors
    /// There is none, or this address asks too often.
    pub fn look_up(
        &mut self,
        now: UnixTime,
        address: IpAddr,
        number: ShortNumber,
    ) -> Result<SealedRoom, LookupRefusal> {
        self.count(now, network_of(address))?;
        self.rooms.get(&number).copied().ok_or(LookupRefusal::Unknown)
    }

    fn count(&mut self, now: UnixTime, address: IpAddr) -> Result<(), LookupRefusal> {
        if self.lookups.len() >= MAX_ADDRESSES {
            self.lookups.retain(|_, (since, _)| now.since(*since) < WINDOW);
        }
        if self.lookups.len() >= MAX_ADDRESSES && !self.lookups.contains_key(&address) {
            return Err(LookupRefusal::TooMany);
        }
        let (since, count) = self.lookups.entry(address).or_insert((now, 0));
        if now.since(*since) >= WINDOW {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        if *count > MAX_LOOKUPS {
            return Err(LookupRefusal::TooMany);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use lanparty_wire::PeerId;

    use super::*;

    const NOW: UnixTime = UnixTime(1000);

    #[test]
    fn a_number_leads_to_the_room_that_has_it() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.register(room(1), &[number(4711)]), [number(4711)]);
        assert_eq!(
            numbers.register(room(2), &[number(4711), number(2)]),
            [number(2)],
            "taken"
        );
        assert_eq!(look_up(&mut numbers, NOW, 4711), Ok(room(1)));
        assert_eq!(numbers.register(room(1), &[]), []);
        assert_eq!(look_up(&mut numbers, NOW, 4711), Err(LookupRefusal::Unknown));
        let many: Vec<ShortNumber> = (10..30).map(number).collect();
        assert_eq!(numbers.register(room(3), &many).len(), MAX_PER_ROOM);
    }

    #[test]
    fn who_scans_is_refused_for_a_while_and_alone() {
        let mut numbers = Numbers::default();
        numbers.register(room(1), &[number(4711)]);
        for guess in 0..20 {
            assert_eq!(look_up(&mut numbers, NOW, guess), Err(LookupRefusal::Unknown));
        }
        assert_eq!(look_up(&mut numbers, NOW, 4711), Err(LookupRefusal::TooMany));
        let other = numbers.look_up(NOW, "192.0.2.8".parse().unwrap(), number(4711));
        assert_eq!(other, Ok(room(1)));
        assert_eq!(look_up(&mut numbers, NOW.after(WINDOW), 4711), Ok(room(1)));
    }

    fn look_up(numbers: &mut Numbers, now: UnixTime, value: u16) -> Result<SealedRoom, LookupRefusal> {
        numbers.look_up(now, "192.0.2.7".parse().unwrap(), number(value))
    }

    fn room(n: u8) -> SealedRoom {
        SealedRoom::of(&PeerId([n; 32]))
    }

    fn number(value: u16) -> ShortNumber {
        ShortNumber::new(value).unwrap()
    }
}
