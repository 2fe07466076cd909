//! A party that people come to, talk at, and leave.

pub mod broken;

use std::time::Duration;

use lanparty_core::switch::Forwarding;
use lanparty_testkit::world::{
    Failure, World,
    ledger::{Station, Summary, Target},
};
use lanparty_wire::{Incarnation, MemberId};
use rand::Rng;

const PLAYERS: usize = 29;
const HOSTS: usize = 4;
/// What lines carry: before discovery, tunnels, PPPoE, Ethernet.
const BUDGETS: [u16; 4] = [1162, 1280, 1400, 1414];
/// From the shortest frame to the longest, on both sides of what fits in one datagram.
const LENGTHS: [usize; 7] = [60, 120, 300, 900, 1250, 1390, 1514];

/// A LAN gateway, hosts, and players.
pub struct Party<F> {
    pub world: World<F>,
    pub players: Vec<Station>,
    gateway: usize,
    pub hosts: Vec<Station>,
    /// Seats that are away.
    away: Vec<usize>,
}

impl<F: Forwarding> Party<F> {
    /// Everybody is there: thirty members with the LAN gateway.
    pub fn new(world: World<F>) -> Party<F> {
        Party::with_players(world, PLAYERS)
    }

    pub fn with_players(mut world: World<F>, players: usize) -> Party<F> {
        let gateway = world.add_gateway();
        world.connect(gateway);
        let hosts = (0..HOSTS).map(|_| world.add_host()).collect();
        let mut party = Party {
            gateway,
            hosts,
            players: Vec::new(),
            away: Vec::new(),
            world,
        };
        for _ in 0..players {
            party.pause(100);
            let budget = party.pick(&BUDGETS);
            let player = party.world.add_player(budget);
            party.players.push(player);
            party.world.connect(seat(player));
        }
        party.world.settle();
        party
    }

    /// So many things happen, one after the other.
    pub fn play(&mut self, count: usize) {
        for _ in 0..count {
            self.pause(120);
            match self.world.random().random_range(0..100) {
                0..75 => self.talk(),
                75..83 => self.go_away(),
                83..93 => self.come_back(),
                93..97 => self.rebind(),
                _ => self.change_budget(),
            }
        }
    }

    /// Everybody comes back, everything arrives, and the book is balanced.
    pub fn finish(mut self) -> Result<Summary, Failure> {
        self.come_all_back();
        self.world.settle();
        for _ in 0..10 {
            self.talk();
        }
        // Whoever crashed is forgotten by then, and every address was shown to the LAN.
        self.world.run_for(Duration::from_secs(70));
        self.world.tables()?;
        self.world.verdict()
    }

    pub fn come_all_back(&mut self) {
        while !self.away.is_empty() {
            self.come_back();
        }
    }

    /// Everybody's seat, the LAN gateway's first.
    pub fn seats(&self) -> Vec<usize> {
        let players = self.players.iter().map(|&player| seat(player));
        [self.gateway].into_iter().chain(players).collect()
    }

    /// Who everybody is in the room, seat by seat.
    pub fn members(&self) -> Vec<Option<(MemberId, Incarnation)>> {
        let nodes = self.seats().into_iter().map(|seat| self.world.node(seat));
        nodes.map(|node| node?.member()).collect()
    }

    fn pause(&mut self, most: u64) {
        let millis = self.world.random().random_range(0..most);
        self.world.run_for(Duration::from_millis(millis));
    }

    /// Somebody sends a few frames of one flow, to everybody or to somebody.
    fn talk(&mut self) {
        let stations: Vec<Station> = self.players.iter().chain(&self.hosts).copied().collect();
        let (from, to) = (self.pick(&stations), self.pick(&stations));
        let random = self.world.random();
        let broadcast = random.random_bool(0.3) || to == from;
        let target = if broadcast {
            Target::Everybody
        } else {
            Target::One(to)
        };
        let flow = random.random_range(0..3);
        for _ in 0..random.random_range(1..5) {
            let length = self.pick(&LENGTHS);
            self.world.send(from, target, flow, length);
        }
    }

    /// Somebody goes: with a goodbye, by a crash, or because the line is gone for a while. Now and then it is the LAN gateway.
    fn go_away(&mut self) {
        let how = self.world.random().random_range(0..3);
        let seat = if self.world.random().random_bool(0.1) {
            self.gateway
        } else {
            seat(self.player())
        };
        if self.away.contains(&seat) {
            return;
        }
        match how {
            0 => self.world.leave(seat),
            1 => self.world.crash(seat),
            _ => self.world.lose_connection(seat),
        }
        self.away.push(seat);
    }

    fn come_back(&mut self) {
        if self.away.is_empty() {
            return;
        }
        let index = self.world.random().random_range(0..self.away.len());
        let seat = self.away.swap_remove(index);
        self.world.connect(seat);
    }

    fn rebind(&mut self) {
        let player = self.player();
        self.world.rebind(seat(player));
    }

    fn change_budget(&mut self) {
        let (budget, player) = (self.pick(&BUDGETS), self.player());
        self.world.set_budget(seat(player), budget);
    }

    fn player(&mut self) -> Station {
        let index = self.world.random().random_range(0..self.players.len());
        self.players[index]
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.world.random().random_range(0..from.len())]
    }
}

fn seat(station: Station) -> usize {
    match station {
        Station::Player(seat) => seat,
        Station::Host(host) => panic!("host {host} has no seat"),
    }
}
