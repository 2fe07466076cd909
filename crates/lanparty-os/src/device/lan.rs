//! The LAN as a LAN gateway has it: an interface with a cable, or a port of a bridge.
//!
//! What a packet socket sends leaves by the cable and is never heard by the machine itself (FIELD-NOTES F22). Yet the machine is a
//! station of the LAN as any other, and often its game server. So frames for it go through a TAP of ours whose arrivals the kernel
//! takes as those of the interface (`host_port.rs`); what the machine sends, the packet socket hears anyway. Nothing is changed at the
//! interface itself, and the TAP goes with the process, however that ends.
//!
//! | frame of a remote player | cable | this machine |
//! |---|---|---|
//! | to a group | yes | yes |
//! | to the interface's address, or to one that this machine was heard to send from (containers by macvlan) | no | yes |
//! | to any other address | yes | no |

mod host_port;
#[cfg(target_os = "linux")]
mod own;

pub use host_port::{HostPort, HostPortError};
use lanparty_wire::Mac;

use super::{
    Batch, Device, DeviceError, FrameSink, FrameSource, Medium, OutBatch, Sent, SourceLosses,
    packet::{PacketDevice, PacketSink, PacketSource},
    tap::{Tap, TapSink, TapSource},
};

/// The LAN.
pub enum LanDevice {
    /// An interface, and the way to this machine itself if there is one.
    Card(PacketDevice, Option<HostPort>),
    /// A port of a bridge.
    Port(Tap),
}

/// Frames that the LAN sends, this machine's own among them.
pub enum LanSource {
    Card(PacketSource, Option<HostPort>),
    Port(TapSource),
}

/// Frames for the LAN, and for this machine as a part of it.
pub enum LanSink {
    Card(PacketSink, Option<HostPort>),
    Port(TapSink),
}

/// The address of a port that we add to a bridge: one that no station has, and higher than any card's, so that the bridge does not take
/// it for its own (it takes the lowest of its ports).
pub fn port_mac(bridge: Mac) -> Mac {
    let Mac([_, rest @ ..]) = bridge;
    let [a, b, c, d, e] = rest;
    Mac([0xfe, a, b, c, d, e])
}

impl Device for LanDevice {
    type Source = LanSource;
    type Sink = LanSink;

    fn medium(&self) -> Medium {
        Medium::Ethernet
    }

    fn split(self) -> (LanSource, LanSink) {
        match self {
            LanDevice::Card(card, host) => {
                let (source, sink) = card.split();
                (LanSource::Card(source, host.clone()), LanSink::Card(sink, host))
            }
            LanDevice::Port(tap) => {
                let (source, sink) = tap.split();
                (LanSource::Port(source), LanSink::Port(sink))
            }
        }
    }
}

impl FrameSource for LanSource {
    async fn recv(&mut self, batch: &mut Batch) -> Result<(), DeviceError> {
        match self {
            LanSource::Card(source, host) => {
                source.recv(batch).await?;
                if let Some(host) = host {
                    batch.retain(|received| host.is_news(received));
                }
                Ok(())
            }
            LanSource::Port(source) => source.recv(batch).await,
        }
    }

    fn losses(&mut self) -> SourceLosses {
        match self {
            LanSource::Card(source, _) => source.losses(),
            LanSource::Port(source) => source.losses(),
        }
    }
}

impl FrameSink for LanSink {
    async fn send(&mut self, frames: &mut OutBatch) -> Result<Sent, DeviceError> {
        match self {
            LanSink::Card(sink, None) => sink.send(frames).await,
            LanSink::Card(sink, Some(host)) => {
                let to_host = host.write(frames);
                let sent = sink.send_some(frames, |frame| host.leaves_by_cable(frame))?;
                Ok(Sent {
                    // A group's frames go both ways, and count once.
                    accepted: sent.accepted + to_host.accepted,
                    refused: sent.refused + to_host.refused,
                    busy: sent.busy + to_host.busy,
                    recut: sent.recut + to_host.recut,
                })
            }
            LanSink::Port(sink) => sink.send(frames).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_never_lends_its_address_to_its_bridge() {
        let bridge = Mac([2, 0x16, 0x3e, 1, 2, 3]);
        assert!(port_mac(bridge) > bridge);
        assert!(port_mac(bridge).is_valid_source());
    }
}
