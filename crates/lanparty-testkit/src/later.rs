//! A relay after an update that left older members behind: it speaks a later version of the protocol only, and says so to whoever does not.

use std::{net::UdpSocket, path::Path, time::Duration};

use anyhow::Result;
use lanparty_quic::{
    EndpointKeys, Inbound, Incoming, ListenConfig, Listener, RelayCertificate, SegmentationOffload,
};
use lanparty_wire::{RejectReason, VERSION};
use tokio::runtime::Runtime;

use crate::member::runtime;

const LATER: u8 = VERSION + 1;
const PATIENCE: Duration = Duration::from_secs(10);

/// Turns everybody of this version away, until it is dropped.
#[derive(Debug)]
pub struct LaterRelay {
    _runtime: Runtime,
}

impl LaterRelay {
    /// Takes the place of the relay that kept its key in `state`, on its port.
    ///
    /// # Errors
    /// There is no key, or the socket cannot be used.
    pub fn start(socket: UdpSocket, state: &Path) -> Result<LaterRelay> {
        let config = ListenConfig {
            certificate: RelayCertificate::load_or_create(state)?,
            keys: EndpointKeys::load_or_create(state)?,
            segmentation_offload: SegmentationOffload::default(),
        };
        let runtime = runtime(1)?;
        let (listener, mut engine) = {
            let _inside = runtime.enter();
            Listener::new(socket, config)?
        };
        runtime.spawn(async move {
            engine
                .drive_until(async {
                    while let Some(incoming) = listener.knock().await {
                        tokio::spawn(turn_away(incoming));
                    }
                })
                .await;
        });
        Ok(LaterRelay { _runtime: runtime })
    }
}

async fn turn_away(incoming: Incoming) {
    let nobody = |_, _| Err(RejectReason::UnknownCode);
    // Who goes away before he was told is not there any more.
    let Ok(inbound) = Inbound::accept(incoming, PATIENCE, nobody).await else {
        return;
    };
    let (least, most) = (inbound.hello.min_version, inbound.hello.max_version);
    if most < LATER {
        let detail = format!("it speaks {least} to {most}, the relay {LATER}");
        inbound.reject(RejectReason::Version, detail).await;
    }
}
