//! What the party's DHCP server gave us, and for how long it holds.
//!
//! The DHCP client says much that must not reach games: when it starts, it says that there is no address, and while the relay is
//! away its questions go unanswered. An address stays until its lease has run out or another one comes, so that a short absence
//! costs no game its connections.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use lanparty_api::status::Dhcp;
use lanparty_os::dhcp::{DhcpEvent, Lease};
use lanparty_wire::{MemberId, host::Prefix};

/// The lease as this machine uses it.
#[derive(Debug, Default)]
pub struct LeaseKeeper {
    held: Option<Held>,
    router_offered: bool,
    /// The LAN gateway that the lease came through: another one may stand on another LAN.
    through: Option<MemberId>,
}

#[derive(Debug)]
struct Held {
    lease: Lease,
    until: Option<Instant>,
}

impl LeaseKeeper {
    /// Takes in what the DHCP client says, while this LAN gateway is there. True if the address has changed.
    pub fn handle(&mut self, now: Instant, event: DhcpEvent, gateway: Option<MemberId>) -> bool {
        match event {
            DhcpEvent::Bound(lease) | DhcpEvent::Renewed(lease) => {
                let before = self.address();
                self.router_offered |= !lease.routers.is_empty();
                self.through = gateway;
                // 0 is no lease time that a server grants; without one it holds until further notice.
                let seconds = Some(lease.seconds).filter(|&seconds| seconds > 0);
                let until = seconds.and_then(|s| now.checked_add(Duration::from_secs(s.into())));
                self.held = Some(Held { lease, until });
                self.address() != before
            }
            DhcpEvent::Deconfig | DhcpEvent::NoLease => self.handle_timeout(now),
        }
    }

    /// True if the lease has just run out.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        let over = self
            .held
            .as_ref()
            .and_then(|held| held.until)
            .is_some_and(|until| until <= now);
        if over {
            self.held = None;
        }
        over
    }

    /// Whether to ask the server anew because this LAN gateway has come: it may lead to another LAN than the lease's.
    pub fn must_ask(&self, gateway: MemberId) -> bool {
        self.held.is_none() || self.through != Some(gateway)
    }

    pub fn address(&self) -> Option<Prefix> {
        self.held.as_ref().map(|held| held.lease.address)
    }

    /// Whether the server offered a default gateway, which we never take.
    pub fn router_offered(&self) -> bool {
        self.router_offered
    }

    /// For the status, while the DHCP client runs.
    pub fn status(&self) -> Dhcp {
        match &self.held {
            None => Dhcp::Asking,
            Some(Held { lease, .. }) => Dhcp::Bound {
                address: lease.address,
                server: lease.server.map(IpAddr::V4),
                lease_s: Some(lease.seconds),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_outlives_a_restart_of_the_dhcp_client_but_not_its_lease() {
        let (mut keeper, now) = (LeaseKeeper::default(), Instant::now());
        assert!(!keeper.handle(now, DhcpEvent::Deconfig, None));
        assert_eq!(keeper.status(), Dhcp::Asking);
        assert!(keeper.handle(now, DhcpEvent::Bound(lease("10.73.42.51/24")), gateway(5)));
        for event in [
            DhcpEvent::Deconfig,
            DhcpEvent::NoLease,
            DhcpEvent::Renewed(lease("10.73.42.51/24")),
        ] {
            assert!(!keeper.handle(now + Duration::from_secs(100), event, gateway(5)));
            assert_eq!(keeper.address().unwrap().to_string(), "10.73.42.51/24");
        }
        assert!(!keeper.handle_timeout(now + Duration::from_secs(219)));
        assert!(keeper.handle_timeout(now + Duration::from_secs(220)));
        assert_eq!(keeper.address(), None);
    }

    #[test]
    fn another_address_replaces_the_first() {
        let (mut keeper, now) = (LeaseKeeper::default(), Instant::now());
        keeper.handle(now, DhcpEvent::Bound(lease("10.73.42.51/24")), gateway(5));
        assert!(keeper.handle(now, DhcpEvent::Bound(lease("10.9.0.7/16")), gateway(5)));
        assert_eq!(keeper.address().unwrap().to_string(), "10.9.0.7/16");
    }

    #[test]
    fn the_server_is_asked_anew_only_for_another_lan_or_without_a_lease() {
        let (mut keeper, now) = (LeaseKeeper::default(), Instant::now());
        let [five, six] = [gateway(5).unwrap(), gateway(6).unwrap()];
        assert!(keeper.must_ask(five));
        keeper.handle(now, DhcpEvent::Bound(lease("10.73.42.51/24")), Some(five));
        assert!(!keeper.must_ask(five));
        assert!(keeper.must_ask(six));
    }

    #[test]
    fn an_offered_router_is_remembered() {
        let (mut keeper, now) = (LeaseKeeper::default(), Instant::now());
        keeper.handle(now, DhcpEvent::Bound(lease("10.73.42.51/24")), None);
        assert!(!keeper.router_offered());
        let with_router = Lease {
            routers: vec![[10, 73, 42, 1].into()],
            ..lease("10.73.42.51/24")
        };
        assert!(!keeper.handle(now, DhcpEvent::Renewed(with_router), None));
        assert!(keeper.router_offered());
    }

    fn lease(address: &str) -> Lease {
        Lease {
            address: address.parse().unwrap(),
            seconds: 120,
            server: None,
            routers: vec![],
            dns: vec![],
        }
    }

    fn gateway(id: u16) -> Option<MemberId> {
        MemberId::new(id)
    }
}
