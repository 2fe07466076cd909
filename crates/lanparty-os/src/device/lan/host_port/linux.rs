//! Linux: a TAP, and a rule of traffic control (tc-mirred(8)).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lanparty_wire::{Frame, Mac, host::Change};

use super::HostPortError;
use crate::{
    device::{
        Device, OutBatch, Received, Sent,
        lan::own::{Own, Place},
        tap::{TapControl, TapOptions, TapSink},
    },
    interface::Interface,
    network::Network,
    network_manager, sysctl,
    transaction::Transaction,
};

/// A TAP whose arrivals the kernel takes as those of the LAN's interface. Its parts share it; the last one removes it.
#[derive(Clone)]
pub struct HostPort(Arc<Shared>);

struct Shared {
    control: TapControl,
    sink: TapSink,
    own: Mutex<Own>,
}

impl HostPort {
    /// Adds the TAP for an interface of the LAN.
    ///
    /// # Errors
    /// When the TAP cannot be made, or the kernel lacks what it takes. Nothing is left behind then.
    pub async fn open(transaction: &mut Transaction, lan: &Interface) -> Result<HostPort, HostPortError> {
        let no_address = || HostPortError::NoAddress {
            interface: lan.name.clone(),
        };
        // The kernel sorts out what is for others by the address of the interface that a frame arrives at.
        let mac = lan.mac.ok_or_else(no_address)?;
        let name = tap_name(&lan.name);
        if let Some(change) = network_manager::leave_alone(&name) {
            transaction.apply(&change)?;
        }
        let tap = transaction.create_tap(&TapOptions {
            name: name.clone(),
            mac,
            mtu: lan.mtu.and_then(|mtu| u16::try_from(mtu).ok()).unwrap_or(1500),
        })?;
        // It is a way in and no interface: it must send nothing by itself.
        let silent = Change::SetSysctl {
            key: format!("net/ipv6/conf/{name}/disable_ipv6"),
            value: "1".to_owned(),
        };
        if sysctl::exists(&silent) {
            transaction.apply(&silent)?;
        }
        let control = tap.control();
        let (_, sink) = tap.split();
        let port = HostPort(Arc::new(Shared {
            control,
            sink,
            own: Mutex::new(Own::new(mac)),
        }));
        port.lead_to(&lan.name).await?;
        port.0.control.set_carrier(true)?;
        port.0.control.set_link(true)?;
        Ok(port)
    }

    /// The interface's address, as this way knows it.
    pub fn mac(&self) -> Mac {
        self.own().mac()
    }

    /// Follows an interface that has come back, or that has another address.
    ///
    /// # Errors
    /// [`HostPortError::Kernel`]
    pub async fn follow(&self, interface: &str, mac: Mac) -> Result<(), HostPortError> {
        let kernel = |source| HostPortError::Kernel {
            interface: interface.to_owned(),
            source,
        };
        let network = Network::open().map_err(kernel)?;
        network
            .set_mac(self.0.control.name(), mac)
            .await
            .map_err(kernel)?;
        self.own().set_mac(mac);
        self.lead_to(interface).await
    }

    async fn lead_to(&self, interface: &str) -> Result<(), HostPortError> {
        let kernel = |source| HostPortError::Kernel {
            interface: interface.to_owned(),
            source,
        };
        let network = Network::open().map_err(kernel)?;
        network
            .redirect_received(self.0.control.name(), interface)
            .await
            .map_err(kernel)
    }

    /// Gives this machine the frames that are for it. What only it gets is counted.
    pub(crate) fn write(&self, frames: &OutBatch) -> Sent {
        let mut own = self.own();
        let mut groups = 0;
        for frame in frames.iter() {
            match own.place(frame) {
                Place::Cable => {}
                Place::Host => own.expect(frame.bytes),
                Place::Both => {
                    groups += 1;
                    own.expect(frame.bytes);
                }
            }
        }
        let is_wanted = |frame: Frame<'_>| own.place(frame) != Place::Cable;
        match self.0.sink.write(frames, is_wanted) {
            Ok(sent) => Sent {
                accepted: sent.accepted.saturating_sub(groups),
                ..sent
            },
            Err(error) => {
                tracing::debug!(%error, "this machine could not be given what is for it");
                Sent {
                    refused: frames.iter().filter(|&frame| is_wanted(frame)).count() as u32,
                    ..Sent::default()
                }
            }
        }
    }

    pub(crate) fn leaves_by_cable(&self, frame: Frame<'_>) -> bool {
        self.own().place(frame) != Place::Host
    }

    pub(crate) fn is_news(&self, received: Received<'_>) -> bool {
        self.own().hear(received)
    }

    /// Both sides of the device belong to one task, so nobody waits here.
    fn own(&self) -> MutexGuard<'_, Own> {
        self.0.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One for each interface, so that two LAN gateways of one machine do not meet. A name has 15 bytes at most.
fn tap_name(interface: &str) -> String {
    const PREFIX: &str = "own-";
    let rest: String = interface
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        .collect();
    let start = rest.len().saturating_sub(15 - PREFIX.len());
    format!("{PREFIX}{}", &rest[start..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::check_interface_name;

    #[test]
    fn every_interface_has_a_name_for_its_tap() {
        for (interface, name) in [
            ("eth0", "own-eth0"),
            ("enx00163e010203", "own-0163e010203"),
            ("lan:1", "own-lan1"),
        ] {
            assert_eq!(tap_name(interface), name);
            assert!(check_interface_name(name).is_ok());
        }
    }
}
