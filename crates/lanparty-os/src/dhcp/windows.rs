//! Windows' own DHCP client, which asks at every adapter as soon as its cable is in: looked at, and told to ask anew.

use std::{io, time::Duration};

use tokio::{sync::mpsc, task::JoinHandle, time::MissedTickBehavior};
use windows_sys::Win32::NetworkManagement::IpHelper::{IP_ADAPTER_INDEX_MAP, IpRenewAddress};

use super::{DhcpError, DhcpEvent, DhcpOptions, Lease};
use crate::{
    network::{Granted, granted},
    win32::{check_code, wide},
};

/// Events wait here for the instance, which is there for them.
const EVENTS: usize = 16;
/// How soon an address is seen.
const LOOK: Duration = Duration::from_millis(500);

/// Sees what the system's client is given at one adapter.
pub struct DhcpClient {
    events: mpsc::Receiver<DhcpEvent>,
    looking: JoinHandle<()>,
    interface: String,
}

impl DhcpClient {
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// None here: the system's client always runs.
    pub fn start(options: &DhcpOptions) -> Result<DhcpClient, DhcpError> {
        let (send, events) = mpsc::channel(EVENTS);
        let interface = options.interface.clone();
        Ok(DhcpClient {
            events,
            looking: tokio::spawn(look(interface.clone(), send)),
            interface,
        })
    }

    /// The next event. Cancel safe.
    pub async fn event(&mut self) -> Option<DhcpEvent> {
        self.events.recv().await
    }

    /// Asks the server anew, for instance after the path to it was interrupted.
    pub fn renew(&self) {
        let interface = self.interface.clone();
        // Waits for the server's answer.
        tokio::task::spawn_blocking(move || {
            if let Err(error) = renew(&interface) {
                tracing::debug!(%error, interface, "the system did not renew its address");
            }
        });
    }
}

impl Drop for DhcpClient {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

async fn look(interface: String, events: mpsc::Sender<DhcpEvent>) {
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = None;
    loop {
        tick.tick().await;
        let now = match granted(&interface) {
            Ok(found) => found.and_then(|granted| granted.lease),
            Err(error) => {
                tracing::debug!(%error, interface, "could not look at an adapter");
                continue;
            }
        };
        if let Some(event) = difference(before.as_ref(), now.as_ref())
            && events.send(event).await.is_err()
        {
            return;
        }
        before = now;
    }
}

/// What has happened between two looks.
fn difference(before: Option<&Lease>, now: Option<&Lease>) -> Option<DhcpEvent> {
    match (before, now) {
        (before, Some(now)) if before == Some(now) => None,
        (Some(before), Some(now)) if before.address == now.address => Some(DhcpEvent::Renewed(now.clone())),
        (_, Some(now)) => Some(DhcpEvent::Bound(now.clone())),
        (Some(_), None) => Some(DhcpEvent::Deconfig),
        (None, None) => None,
    }
}

fn renew(interface: &str) -> io::Result<()> {
    let Some(Granted { index, guid, .. }) = granted(interface)? else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let mut map = IP_ADAPTER_INDEX_MAP {
        Index: index,
        Name: [0; 128],
    };
    for (to, from) in map.Name.iter_mut().zip(wide(format!(r"\DEVICE\TCPIP_{guid}"))) {
        *to = from;
    }
    // SAFETY: the map is live, and its name ends with a zero: a GUID is shorter than the room.
    check_code(unsafe { IpRenewAddress(&map) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_changed_is_an_event() {
        let lease = |address: &str, seconds| Lease {
            address: address.parse().unwrap(),
            seconds,
            server: None,
            routers: vec![],
            dns: vec![],
        };
        let (one, longer, other) = (
            lease("10.73.42.51/24", 120),
            lease("10.73.42.51/24", 240),
            lease("10.9.0.7/16", 120),
        );
        for (before, now, expected) in [
            (None, None, None),
            (None, Some(&one), Some(DhcpEvent::Bound(one.clone()))),
            (Some(&one), Some(&one), None),
            (
                Some(&one),
                Some(&longer),
                Some(DhcpEvent::Renewed(longer.clone())),
            ),
            (Some(&one), Some(&other), Some(DhcpEvent::Bound(other.clone()))),
            (Some(&other), None, Some(DhcpEvent::Deconfig)),
        ] {
            assert_eq!(difference(before, now), expected);
        }
    }
}
