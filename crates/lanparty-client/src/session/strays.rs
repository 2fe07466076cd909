//! Windows sends a game's broadcast by one interface; if it was another one, the party gets a copy.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    time::Instant,
};

use lanparty_api::Status;
use lanparty_core::host::strays::Strays;
use lanparty_os::socket::broadcast::{BroadcastSender, LocalBroadcasts};
use lanparty_wire::host::Prefix;
use tokio::{sync::watch, time::sleep_until};

use super::player::maybe;

/// Copies until it is dropped. Where the system tells nobody of broadcasts, that is logged, and the adapter's metric has to do.
pub async fn copy(tap: String, status: watch::Receiver<Status>, wanted: watch::Receiver<bool>) {
    if let Err(error) = Copier::new(tap).run(status, wanted).await {
        tracing::info!(%error, "broadcasts that games send by other networks are not copied to the party");
    }
}

struct Copier {
    tap: String,
    strays: Strays,
    /// This machine's address in the party, if it has one and copies are wanted.
    party: Option<Ipv4Addr>,
    /// From there, if the system lets us.
    sender: Option<BroadcastSender>,
    /// Said once.
    has_copied: bool,
}

impl Copier {
    fn new(tap: String) -> Copier {
        Copier {
            tap,
            strays: Strays::default(),
            party: None,
            sender: None,
            has_copied: false,
        }
    }

    async fn run(
        mut self,
        mut status: watch::Receiver<Status>,
        mut wanted: watch::Receiver<bool>,
    ) -> io::Result<()> {
        let mut heard = LocalBroadcasts::listen()?;
        loop {
            self.settle(address(&status.borrow_and_update()).filter(|_| *wanted.borrow_and_update()));
            let due = self.strays.deadline().map(|due| sleep_until(due.into()));
            tokio::select! {
                packet = heard.next() => {
                    let packet = packet?;
                    if let Some(party) = self.party {
                        self.strays.handle_packet(Instant::now(), packet, party);
                    }
                }
                () = maybe(due) => self.send_due(),
                // The evening is over when nobody tells any more.
                changed = status.changed() => if changed.is_err() { return Ok(()) },
                changed = wanted.changed() => if changed.is_err() { return Ok(()) },
            }
        }
    }

    fn settle(&mut self, party: Option<Ipv4Addr>) {
        if self.party == party {
            return;
        }
        self.party = party;
        self.strays.clear();
        self.sender = party.and_then(|address| {
            let opened = BroadcastSender::open(&self.tap, address);
            opened
                .inspect_err(
                    |error| tracing::info!(%error, %address, "no broadcasts can be copied to the party"),
                )
                .ok()
        });
    }

    fn send_due(&mut self) {
        let Some(party) = self.party else {
            return;
        };
        while let Some(datagram) = self.strays.poll(Instant::now(), party) {
            let Some(sender) = &self.sender else {
                continue;
            };
            match sender.send(&datagram) {
                Ok(()) if !self.has_copied => {
                    self.has_copied = true;
                    tracing::info!("a broadcast that a game sent by another network was copied to the party");
                }
                Ok(()) => {}
                Err(error) => tracing::debug!(%error, "a broadcast could not be copied to the party"),
            }
        }
    }
}

/// This machine's address in the party.
fn address(status: &Status) -> Option<Ipv4Addr> {
    let interface = status.endpoint.as_ref()?.interface.as_ref()?;
    let v4 = |prefix: &Prefix| match prefix.address() {
        IpAddr::V4(address) if !address.is_link_local() => Some(address),
        _ => None,
    };
    interface.addresses.iter().find_map(v4)
}
