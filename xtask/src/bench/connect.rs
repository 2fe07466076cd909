//! How long a player waits from "Connect" until he has an address on the party's LAN.

use anyhow::Result;

use super::{report::Sample, tunnel::Tunnel};

/// Ends the player's program and connects again. Notes nothing where no program connects.
pub fn measure(tunnel: &mut Tunnel, sample: &mut Sample) -> Result<()> {
    if let Some(time) = tunnel.reconnect()? {
        sample.put("lease_ms", time.as_secs_f64() * 1e3);
    }
    Ok(())
}
