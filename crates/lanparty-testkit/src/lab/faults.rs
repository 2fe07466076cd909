//! Things that go wrong on a line, each ended by calling `end` or by dropping it.

use super::{error::LabError, internet::Site, machine::Machine};

/// A line that swallows or loses packets for as long as this lives.
#[derive(Debug)]
pub struct Fault<'a> {
    router: &'a Machine,
    table: &'static str,
}

impl<'a> Fault<'a> {
    /// `router` drops everything that it should pass on.
    pub fn silence(router: &'a Machine) -> Result<Self, LabError> {
        Self::install(router, "lab_silence", "drop")
    }

    /// `router` drops every UDP datagram that it should pass on, as networks do that know only the web.
    pub fn udp_blocked(router: &'a Machine) -> Result<Self, LabError> {
        Self::install(router, "lab_no_udp", "meta l4proto udp drop")
    }

    /// `router` loses `percent` of what it passes on, at random.
    pub fn loss(router: &'a Machine, percent: u8) -> Result<Self, LabError> {
        Self::install(
            router,
            "lab_loss",
            &format!("numgen random mod 100 < {percent} drop"),
        )
    }

    /// The line works again. Dropping does the same without saying when it could not.
    pub fn end(self) -> Result<(), LabError> {
        let ended = self
            .router
            .run(&format!("nft delete table inet {}", self.table))
            .map(drop);
        std::mem::forget(self);
        ended
    }

    fn install(router: &'a Machine, table: &'static str, rule: &str) -> Result<Self, LabError> {
        // Before NAT and connection tracking, so that no mapping is refreshed by what is lost.
        let rules = format!(
            "table inet {table} {{ chain line {{ type filter hook prerouting priority -400; {rule}; }}\n }}"
        );
        router.feed(&["nft", "-f", "-"], &rules)?;
        Ok(Self { router, table })
    }
}

impl Drop for Fault<'_> {
    fn drop(&mut self) {
        let _ = self.router.run(&format!("nft delete table inet {}", self.table));
    }
}

impl Site {
    /// The router forgets all its mappings, as after a power cut.
    pub fn forget_mappings(&self) -> Result<(), LabError> {
        self.router.run("conntrack -F").map(drop)
    }
}
