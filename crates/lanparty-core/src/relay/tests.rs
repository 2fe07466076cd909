//! Rooms and ingress together, as a relay uses them, in virtual time.

use std::time::{Duration, Instant};

use lanparty_wire::{
    Class, Destination, DropReason, FragmentHeader, GroupHandle, Header, Incarnation, Kind, LeaveReason, Mac,
    MemberId, PeerId, RejectReason, SealedRoom,
    control::{Hello, Role},
};
use proptest::prelude::*;
use rand::{SeedableRng, rngs::SmallRng};

use super::*;
use crate::guard::{Bandwidth, Limits};

const NOW: UnixTime = UnixTime(1_000_000);

mod admission {
    use super::*;

    #[test]
    fn the_joiner_hears_of_the_others_and_they_of_it() {
        let mut relay = Relay::new();
        let gateway = relay.join(1, gateway()).unwrap();
        let ada = relay.join(2, player(1)).unwrap();
        assert_eq!(ada.others, std::slice::from_ref(&gateway.member));
        assert_eq!(ada.welcome.gateway, Some(gateway.member.id));
        assert_eq!((ada.welcome.member, ada.welcome.members), (ada.member.id, 2));
        assert_eq!(ids(&ada.roster).len(), 2);
    }

    #[test]
    fn codes_are_rooms_and_do_not_see_each_other() {
        let mut relay = Relay::new();
        relay.join(1, player(1)).unwrap();
        let elsewhere = Hello {
            room: "other".parse().unwrap(),
            ..player(1)
        };
        assert!(relay.join(2, elsewhere).unwrap().others.is_empty());
    }

    #[test]
    fn only_the_host_is_the_lan_gateway_of_a_sealed_room() {
        let mut relay = Relay::new();
        let room = SealedRoom::of(&identity(1));
        let sealed = |hello: Hello| Hello {
            room: room.into(),
            ..hello
        };
        let squatter = relay.join(2, sealed(gateway())).unwrap_err();
        assert_eq!(squatter.reason, RejectReason::NotTheHost);
        assert!(relay.join(1, sealed(gateway())).unwrap().welcome.sealed);
        assert!(relay.join(2, sealed(player(2))).unwrap().welcome.sealed);
        assert!(!relay.join(3, player(3)).unwrap().welcome.sealed);
    }

    #[test]
    fn each_no_has_its_reason_and_changes_nothing() {
        let mut relay = Relay::with(RoomLimits {
            max_members: 2,
            max_rooms: 1,
            connections_per_address: 2,
        });
        relay.join(1, gateway()).unwrap();
        let before = relay.rooms.save();
        let future = Hello {
            min_version: 2,
            max_version: 9,
            ..player(1)
        };
        let other_room = Hello {
            room: "other".parse().unwrap(),
            ..player(1)
        };
        let global = Hello {
            mac: Some(Mac([0, 1, 2, 3, 4, 5])),
            ..player(1)
        };
        for (hello, reason) in [
            (future, RejectReason::Version),
            (other_room, RejectReason::TooManyRooms),
            (global, RejectReason::InvalidMac),
            (gateway(), RejectReason::GatewayPresent),
        ] {
            assert_eq!(relay.join(2, hello).unwrap_err().reason, reason);
        }
        assert_eq!(relay.rooms.save(), before);
        relay.join(2, player(1)).unwrap();
        assert_eq!(
            relay.join(3, player(2)).unwrap_err().reason,
            RejectReason::RoomFull
        );
    }

    #[test]
    fn an_address_may_have_so_many_members_and_a_site_of_ipv6_is_one_address() {
        let mut relay = Relay::with(RoomLimits {
            connections_per_address: 2,
            ..RoomLimits::default()
        });
        relay.join_from("2001:db8::1", 1, player(1)).unwrap();
        let second = relay.join_from("2001:db8::2", 2, player(2)).unwrap();
        let refused = relay.join_from("2001:db8::3", 3, player(3)).unwrap_err();
        assert_eq!(refused.reason, RejectReason::TooManyConnections);
        relay.join_from("2001:db8:0:1::3", 3, player(3)).unwrap();
        // Coming back does not count twice.
        relay.join_from("2001:db8::2", 2, player(2)).unwrap();
        assert!(
            relay
                .rooms
                .leave(NOW, &second.seat, LeaveReason::Goodbye)
                .is_none()
        );
        assert!(relay.join_from("2001:db8::4", 4, player(4)).is_err());
    }

    #[test]
    fn a_place_that_became_free_may_be_taken() {
        let mut relay = Relay::with(RoomLimits {
            max_members: 2,
            ..RoomLimits::default()
        });
        let ada = relay.join(1, player(1)).unwrap();
        relay.join(2, player(2)).unwrap();
        let left = relay.rooms.leave(NOW, &ada.seat, LeaveReason::Goodbye).unwrap();
        assert_eq!((left.member, ids(&left.roster).len()), (ada.member.id, 1));
        relay.join(3, player(1)).unwrap();
    }

    #[test]
    fn names_are_clipped_and_carry_nothing_that_steers_a_terminal() {
        let mut relay = Relay::new();
        let hello = Hello {
            name: format!("\u{1b}[2J{}", "x".repeat(100)),
            ..player(1)
        };
        let name = relay.join(1, hello).unwrap().member.name;
        assert!(name.chars().count() == 64 && name.starts_with("[2Jx"), "{name}");
    }
}

mod identity {
    use super::*;

    #[test]
    fn the_same_process_goes_on_and_a_new_one_begins_a_new_life() {
        let mut relay = Relay::new();
        let first = relay.join(1, player(1)).unwrap();
        let roamed = relay.join(1, player(1)).unwrap();
        assert_eq!(roamed.displaced, Some(1));
        assert_eq!(roamed.member, first.member);
        assert!(roamed.is_known && !first.is_known);
        let restarted = relay.join(1, session(player(1), 99)).unwrap();
        assert_eq!(restarted.member.id, first.member.id);
        assert_eq!(restarted.member.incarnation, Incarnation(2));
        assert!(!restarted.is_known);
        let changed = relay.join(1, session(player(5), 99)).unwrap();
        assert_eq!(changed.member.incarnation, Incarnation(3));
        assert_eq!(ids(&changed.roster), [first.member.id]);
    }

    #[test]
    fn the_end_of_a_displaced_connection_takes_nobody_out() {
        let mut relay = Relay::new();
        let ghost = relay.join(1, player(1)).unwrap();
        let ada = relay.join(1, player(1)).unwrap();
        assert!(
            relay
                .rooms
                .leave(NOW, &ghost.seat, LeaveReason::TimedOut)
                .is_none()
        );
        assert!(relay.rooms.set_budget(&ghost.seat, Some(1300), None).is_none());
        assert!(relay.rooms.leave(NOW, &ada.seat, LeaveReason::TimedOut).is_some());
    }

    #[test]
    fn a_lost_members_address_is_held_for_a_minute_and_its_id_for_a_day() {
        let mut relay = Relay::new();
        let ada = relay.join(1, player(1)).unwrap();
        relay.rooms.leave(NOW, &ada.seat, LeaveReason::TimedOut);
        let at = |seconds| UnixTime(NOW.0 + seconds);
        let early = relay.join_at(at(59), 2, player(1)).unwrap_err();
        assert_eq!(early.reason, RejectReason::DuplicateMac);
        assert!(early.detail.contains("1 s"), "{}", early.detail);
        let thief = relay.join_at(at(60), 2, player(1)).unwrap();
        assert_ne!(thief.member.id, ada.member.id);
        relay.rooms.leave(at(61), &thief.seat, LeaveReason::Goodbye);
        let back = relay.join_at(at(86_399), 1, player(1)).unwrap();
        assert_eq!(back.member.id, ada.member.id);
    }

    #[test]
    fn who_says_goodbye_leaves_his_address_at_once() {
        let mut relay = Relay::new();
        let ada = relay.join(1, player(1)).unwrap();
        relay.rooms.leave(NOW, &ada.seat, LeaveReason::Goodbye);
        relay.join(2, player(1)).unwrap();
    }

    #[test]
    fn a_restarted_relay_knows_everybody() {
        let mut relay = Relay::new();
        let gateway_before = relay.join(1, gateway()).unwrap();
        let ada = relay.join(2, player(1)).unwrap();
        let saved = serde_json::to_string(&relay.rooms.save()).unwrap();
        relay.rooms = Rooms::restore(RoomLimits::default(), serde_json::from_str(&saved).unwrap(), NOW);
        let thief = relay.join(3, player(1)).unwrap_err();
        assert_eq!(thief.reason, RejectReason::DuplicateMac);
        assert_eq!(relay.join(2, player(1)).unwrap().member, ada.member);
        assert_eq!(relay.join(1, gateway()).unwrap().member, gateway_before.member);
    }

    #[test]
    fn a_clock_that_was_set_back_holds_nothing_for_ever() {
        let mut relay = Relay::new();
        let ada = relay.join(1, player(1)).unwrap();
        relay.rooms.leave(NOW, &ada.seat, LeaveReason::Goodbye);
        let saved = relay.rooms.save();
        relay.rooms = Rooms::restore(RoomLimits::default(), saved, UnixTime(5));
        relay.rooms.expire(UnixTime(5 + 24 * 3600));
        assert!(relay.rooms.save().rooms.is_empty());
    }

    #[test]
    fn the_table_of_all_rooms_has_a_bound_too() {
        let mut relay = Relay::new();
        let regular = relay.join(0, player(1)).unwrap();
        for n in 1..17_000_u32 {
            let hello = Hello {
                room: format!("room-{}", n / 200).parse().unwrap(),
                ..player(2)
            };
            let admission = relay.join(n, hello).unwrap();
            relay.rooms.leave(NOW, &admission.seat, LeaveReason::Goodbye);
        }
        let saved = relay.rooms.save();
        let remembered: usize = saved.rooms.iter().map(|room| room.members.len()).sum();
        assert!(remembered <= 16_384, "{remembered}");
        assert_eq!(relay.join(0, player(1)).unwrap().member, regular.member);
    }

    #[test]
    fn strangers_who_vanish_drive_nobody_out_of_a_room_who_is_about_to_come_back() {
        let mut relay = Relay::with(RoomLimits {
            max_members: 2,
            ..RoomLimits::default()
        });
        let ada = relay.join(1, player(1)).unwrap();
        relay.rooms.leave(NOW, &ada.seat, LeaveReason::TimedOut);
        for n in 2..9 {
            let admission = relay.join(n, player(n as u8)).unwrap();
            relay.rooms.leave(NOW, &admission.seat, LeaveReason::TimedOut);
        }
        let refused = relay.join(9, player(9)).unwrap_err();
        assert_eq!(refused.reason, RejectReason::RoomFull);
        let back = relay.join(1, player(1)).unwrap();
        assert_eq!(back.member, ada.member);
        let later = UnixTime(NOW.0 + 60);
        relay.join_at(later, 9, player(9)).unwrap();
    }

    #[test]
    fn strangers_who_vanish_make_the_relay_forget_no_room_that_is_held() {
        let mut relay = Relay::with(RoomLimits {
            max_rooms: 2,
            ..RoomLimits::default()
        });
        let in_room = |n: u32| Hello {
            room: format!("room-{n}").parse().unwrap(),
            ..player(1)
        };
        let mut lost = Vec::new();
        for n in 0..8 {
            let admission = relay.join(n, in_room(n)).unwrap();
            relay
                .rooms
                .leave(NOW, &admission.seat, LeaveReason::ConnectionLost);
            lost.push(admission.member);
        }
        let before = relay.rooms.save();
        let refused = relay.join(8, in_room(8)).unwrap_err();
        assert_eq!(refused.reason, RejectReason::TooManyRooms);
        assert_eq!(relay.rooms.save(), before);
        let back = relay.join(0, in_room(0)).unwrap();
        assert_eq!(back.member, lost[0]);
        relay.rooms.leave(NOW, &back.seat, LeaveReason::Goodbye);
        // What a goodbye leaves behind holds nothing, and gives way.
        relay.join(8, in_room(8)).unwrap();
        assert!(
            relay
                .rooms
                .save()
                .rooms
                .iter()
                .all(|room| room.room != in_room(0).room)
        );
    }

    #[test]
    fn strangers_who_come_and_go_fill_nothing() {
        let mut relay = Relay::with(RoomLimits {
            max_members: 4,
            max_rooms: 2,
            ..RoomLimits::default()
        });
        for n in 0..500_u32 {
            let hello = Hello {
                room: format!("room-{}", n / 50).parse().unwrap(),
                ..player(1)
            };
            let admission = relay.join(n, hello).unwrap();
            relay.rooms.leave(NOW, &admission.seat, LeaveReason::Goodbye);
        }
        let saved = relay.rooms.save();
        assert!(saved.rooms.len() <= 8);
        assert!(saved.rooms.iter().all(|room| room.members.len() <= 16));
    }
}

mod forwarding {
    use super::*;

    #[test]
    fn every_destination_reaches_whom_it_names() {
        let mut relay = Relay::new();
        let (a, b, c) = relay.three();
        let handle = GroupHandle::new(0xff00).unwrap();
        relay.rooms.set_group(&a.seat, handle, &[c.member.id]);
        let mut ingress = relay.ingress(&a);
        for (destination, reached) in [
            (Destination::Member(b.member.id), vec![b.member.id]),
            (Destination::Group(handle), vec![c.member.id]),
            (Destination::Flood, sorted([b.member.id, c.member.id])),
        ] {
            let bytes = datagram(&a, destination, Class::Interactive, &frame(1));
            assert_eq!(relay.forward(&mut ingress, &a, &bytes), Ok(reached));
        }
        assert_eq!(ingress.drops().total(), 0);
    }

    #[test]
    fn a_group_belongs_to_its_owner_and_ends_with_it() {
        let mut relay = Relay::new();
        let (a, b, c) = relay.three();
        let handle = GroupHandle::new(0xff00).unwrap();
        relay.rooms.set_group(&a.seat, handle, &[c.member.id]);
        let mut ingress = relay.ingress(&b);
        let bytes = datagram(&b, Destination::Group(handle), Class::Bulk, &frame(2));
        assert_eq!(
            relay.forward(&mut ingress, &b, &bytes),
            Err(DropReason::UnknownDestination)
        );
    }

    #[test]
    fn each_fault_has_its_reason_and_is_counted() {
        let mut relay = Relay::new();
        let (a, b, _) = relay.three();
        let to_b = Destination::Member(b.member.id);
        let good = datagram(&a, to_b, Class::Interactive, &frame(1));
        let with = |change: fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            change(&mut bytes);
            bytes
        };
        let mut ingress = relay.ingress(&a);
        for (bytes, reason) in [
            (vec![0; 1301], DropReason::DatagramBudget),
            (vec![], DropReason::Malformed),
            (with(|bytes| bytes[0] = 0x40), DropReason::Malformed),
            (with(|bytes| bytes[1] |= 0x80), DropReason::Malformed),
            (with(|bytes| bytes[0] |= 2), DropReason::Malformed),
            (
                datagram(&b, to_b, Class::Bulk, &frame(1)),
                DropReason::SourceMismatch,
            ),
            (with(|bytes| bytes[1] |= 1), DropReason::WrongKey),
            (
                datagram(&a, Destination::Member(a.member.id), Class::Bulk, &frame(1)),
                DropReason::Reflection,
            ),
            (
                datagram(&a, to_b, Class::Bulk, &frame(2)),
                DropReason::ForgedSource,
            ),
            (datagram(&a, to_b, Class::Bulk, &[0; 9]), DropReason::Runt),
        ] {
            let before = ingress.drops().of(reason);
            assert_eq!(relay.forward(&mut ingress, &a, &bytes), Err(reason));
            assert_eq!(ingress.drops().of(reason), before + 1);
        }
        assert_eq!(ingress.drops().total(), 10);
        assert!(relay.forward(&mut ingress, &a, &good).is_ok());
    }

    #[test]
    fn pieces_pass_unread_but_not_out_of_shape() {
        let mut relay = Relay::new();
        let (a, b, _) = relay.three();
        let mut ingress = relay.ingress(&a);
        let mut piece = |offset, total, len: usize| {
            let mut bytes = datagram(&a, Destination::Member(b.member.id), Class::Bulk, &[]);
            bytes[0] |= 2;
            bytes.extend(FragmentHeader { offset, total }.encode());
            bytes.resize(bytes.len() + len, 0);
            relay.forward(&mut ingress, &a, &bytes)
        };
        assert!(piece(0, 1514, 757).is_ok());
        assert!(piece(757, 1514, 757).is_ok());
        assert_eq!(piece(757, 1514, 800), Err(DropReason::Malformed));
        assert_eq!(piece(0, 1514, 100), Err(DropReason::Malformed));
    }

    #[test]
    fn limits_count_by_class_and_a_flood_does_not_stop_the_neighbors() {
        let mut relay = Relay::new();
        let (a, _, _) = relay.three();
        let mut ingress = relay.ingress(&a);
        let mut flood = |class| {
            let bytes = datagram(&a, Destination::Flood, class, &frame(1));
            relay.forward(&mut ingress, &a, &bytes)
        };
        let passed = (0..2000)
            .take_while(|_| flood(Class::Interactive).is_ok())
            .count();
        assert_eq!(passed, Limits::default().flood.burst.get() as usize);
        assert_eq!(flood(Class::Interactive), Err(DropReason::FloodRate));
        assert!(flood(Class::Neighbor).is_ok());
        let passed = (0..2000).take_while(|_| flood(Class::Neighbor).is_ok()).count();
        assert!(passed < 300);
        assert_eq!(flood(Class::Neighbor), Err(DropReason::NeighborRate));
    }

    #[test]
    fn bandwidth_is_limited_and_comes_back_with_time() {
        let mut relay = Relay::new();
        relay.config.limits.bandwidth = Bandwidth::new(1_000_000, 200_000);
        let (a, b, _) = relay.three();
        let mut ingress = relay.ingress(&a);
        let mut whole = frame(1);
        whole.resize(1200, 0);
        let bytes = datagram(&a, Destination::Member(b.member.id), Class::Bulk, &whole);
        let passed = (0..1000)
            .take_while(|_| relay.forward(&mut ingress, &a, &bytes).is_ok())
            .count();
        assert!((160..=170).contains(&passed), "{passed}");
        assert_eq!(ingress.drops().of(DropReason::BandwidthRate), 1);
        relay.instant += Duration::from_millis(10);
        let passed = (0..1000)
            .take_while(|_| relay.forward(&mut ingress, &a, &bytes).is_ok())
            .count();
        assert!((7..=9).contains(&passed), "{passed}");
    }

    #[test]
    fn malformed_datagrams_add_up_within_a_minute_only() {
        let mut relay = Relay::new();
        let (a, _, _) = relay.three();
        let mut ingress = relay.ingress(&a);
        for _ in 0..10 {
            let _ = relay.forward(&mut ingress, &a, &[1]);
        }
        assert!(!ingress.is_over_malformed_limit());
        relay.instant += Duration::from_secs(61);
        let _ = relay.forward(&mut ingress, &a, &[1]);
        assert_eq!(ingress.malformed(), 1);
        for _ in 0..10 {
            let _ = relay.forward(&mut ingress, &a, &[1]);
        }
        assert!(ingress.is_over_malformed_limit());
    }

    #[test]
    fn a_dismissed_members_last_datagrams_go_nowhere() {
        let mut relay = Relay::new();
        let (a, _, _) = relay.three();
        let mut ingress = relay.ingress(&a);
        relay.rooms.leave(NOW, &a.seat, LeaveReason::Malformed);
        let bytes = datagram(&a, Destination::Flood, Class::Bulk, &frame(1));
        assert_eq!(
            relay.forward(&mut ingress, &a, &bytes),
            Err(DropReason::UnknownSource)
        );
    }

    #[test]
    fn nobody_lies_his_bulk_into_a_more_urgent_class() {
        let mut relay = Relay::new();
        let (a, b, _) = relay.three();
        let mut ingress = relay.ingress(&a);
        let bytes = datagram(&a, Destination::Member(b.member.id), Class::Neighbor, &frame(1));
        let roster = relay.roster();
        let forward = ingress.forward(relay.instant, &bytes, &roster).unwrap();
        assert!(forward.class < Class::Neighbor);
    }

    #[test]
    fn without_the_guard_only_headers_and_limits_count() {
        let mut relay = Relay::new();
        relay.config.guard = false;
        let (a, b, _) = relay.three();
        let mut ingress = relay.ingress(&a);
        let forged = datagram(&a, Destination::Member(b.member.id), Class::Bulk, &frame(2));
        assert!(relay.forward(&mut ingress, &a, &forged).is_ok());
    }

    #[test]
    fn budgets_are_the_smaller_side_for_others_and_the_larger_one_for_the_member() {
        let mut relay = Relay::new();
        let (a, _, _) = relay.three();
        let (news, _) = relay.rooms.set_budget(&a.seat, Some(1400), None).unwrap();
        assert_eq!(news, None);
        let (news, roster) = relay.rooms.set_budget(&a.seat, None, Some(1350)).unwrap();
        assert_eq!(news, Some(1350));
        assert_eq!(roster.entry(a.member.id).unwrap().ingress_budget, 1400);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_what_passes_is_the_members_own(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut relay = Relay::new();
            let (a, _, _) = relay.three();
            let mut ingress = relay.ingress(&a);
            if relay.forward(&mut ingress, &a, &bytes).is_ok() {
                let (header, _) = Header::decode(&bytes).unwrap();
                prop_assert_eq!(header.source, a.member.id);
            }
        }

        #[test]
        fn ids_are_unique_in_a_room(count in 1_u32..60, seed: u64) {
            let mut relay = Relay::new();
            relay.random = SmallRng::seed_from_u64(seed);
            let mut ids: Vec<MemberId> = (0..count)
                .map(|n| {
                    let mac = Mac([2, 0, 0, 0, 1, n as u8]);
                    relay.join(n, Hello { mac: Some(mac), ..player(1) }).unwrap().member.id
                })
                .collect();
            ids.sort_unstable();
            ids.dedup();
            prop_assert_eq!(ids.len(), count as usize);
        }
    }
}

struct Relay {
    rooms: Rooms<u32>,
    random: SmallRng,
    instant: Instant,
    config: IngressConfig,
}

impl Relay {
    fn new() -> Relay {
        Relay::with(RoomLimits::default())
    }

    // A test may begin at any time: only differences matter.
    #[allow(clippy::disallowed_methods)]
    fn with(limits: RoomLimits) -> Relay {
        Relay {
            rooms: Rooms::new(limits),
            random: SmallRng::seed_from_u64(7),
            instant: Instant::now(),
            config: IngressConfig {
                limits: Limits::default(),
                mtu: 1500,
                malformed_limit: 10,
                guard: true,
            },
        }
    }

    fn join(&mut self, who: u32, hello: Hello) -> Result<Admission<u32>, Refusal> {
        self.join_at(NOW, who, hello)
    }

    fn join_at(&mut self, now: UnixTime, who: u32, hello: Hello) -> Result<Admission<u32>, Refusal> {
        self.admit(now, "192.0.2.1", who, &hello)
    }

    fn join_from(&mut self, address: &str, who: u32, hello: Hello) -> Result<Admission<u32>, Refusal> {
        self.admit(NOW, address, who, &hello)
    }

    fn admit(
        &mut self,
        now: UnixTime,
        address: &str,
        who: u32,
        hello: &Hello,
    ) -> Result<Admission<u32>, Refusal> {
        let join = Join {
            identity: identity(who),
            hello,
            address: address.parse().unwrap(),
            leg_budget: 1300,
        };
        self.rooms.join(now, &mut self.random, &join, who)
    }

    fn three(&mut self) -> (Admission<u32>, Admission<u32>, Admission<u32>) {
        let mut next = |n: u8| self.join(u32::from(n), player(n)).unwrap();
        (next(1), next(2), next(3))
    }

    fn ingress(&self, member: &Admission<u32>) -> Ingress {
        Ingress::new(&member.member, &self.config, self.instant)
    }

    /// The newest roster of the only room.
    fn roster(&self) -> Roster<u32> {
        let (_, entries) = self.rooms.rooms().next().unwrap();
        Roster::new(entries.cloned())
    }

    fn forward(
        &self,
        ingress: &mut Ingress,
        from: &Admission<u32>,
        bytes: &[u8],
    ) -> Result<Vec<MemberId>, DropReason> {
        assert_eq!(from.seat.member, from.member.id);
        let roster = self.roster();
        let forward = ingress.forward(self.instant, bytes, &roster)?;
        let mut reached = Vec::new();
        forward.targets.for_each(|entry| reached.push(entry.member.id));
        Ok(reached)
    }
}

fn identity(who: u32) -> PeerId {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&who.to_be_bytes());
    PeerId(bytes)
}

fn ids(roster: &Roster<u32>) -> Vec<MemberId> {
    roster.entries().iter().map(|entry| entry.member.id).collect()
}

fn sorted<const N: usize>(mut ids: [MemberId; N]) -> Vec<MemberId> {
    ids.sort_unstable();
    ids.to_vec()
}

fn player(last: u8) -> Hello {
    Hello {
        min_version: 1,
        max_version: 1,
        room: "ABCD".parse().unwrap(),
        role: Role::Client,
        mac: Some(Mac([2, 0, 0, 0, 0, last])),
        budget: 1300,
        name: String::new(),
        session: 1,
        capabilities: Vec::new(),
        software: String::new(),
    }
}

fn gateway() -> Hello {
    Hello {
        role: Role::Gateway,
        mac: None,
        ..player(0)
    }
}

fn session(hello: Hello, session: u64) -> Hello {
    Hello { session, ..hello }
}

/// A unicast IPX frame from player `source`.
fn frame(source: u8) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 200, 2, 0, 0, 0, 0, source, 0x81, 0x37];
    frame.resize(60, 0);
    frame
}

fn datagram(from: &Admission<u32>, destination: Destination, class: Class, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        kind: Kind::Frame,
        fragment: false,
        congested: false,
        class,
        key_id: 0,
        flow: 0,
        source: from.member.id,
        destination,
        sequence: 0,
    };
    [&header.encode()[..], payload].concat()
}
