//! What a line does to packets: nothing, a narrow buffer, random loss. Each condition ends when it is dropped.
//!
//! On narrow and lossy lines every interface between player and LAN gateway sends single packets (no GSO, TSO, GRO), for every
//! contestant alike: otherwise the kernel passes up to 64 datagrams over a veth as one, which one drop would take together.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use lanparty_testkit::lab::{Fault, Lab, Machine, UPLINK};

use super::tcp::Direction;

/// The narrow line.
pub const LINE_MBIT: f64 = 20.0;
/// 100 ms of it.
const BUFFER_BYTES: u32 = 250_000;
/// The player's last mile loses that much, each way.
pub const LOSS_PERCENT: u8 = 2;

/// Towards the internet, on a site's router.
const WAN: &str = "wan";
/// The player's line, on the internet's router.
const PLAYER_LINE: &str = "site1";

/// Every interface on the way outside.
fn interfaces(lab: &Lab) -> Vec<(&Machine, &'static str)> {
    let player = &lab.players[0];
    vec![
        (&player.host, UPLINK),
        (&player.router, "lan"),
        (&player.router, WAN),
        (&lab.internet.router, PLAYER_LINE),
        (&lab.internet.router, "relay"),
        (&lab.internet.router, "site0"),
        (&lab.internet.relay, UPLINK),
        (&lab.gateway.router, WAN),
        (&lab.gateway.router, "lan"),
        (&lab.gateway.host, UPLINK),
    ]
}

/// Offloads are off for as long as this lives.
pub struct SinglePackets<'a>(&'a Lab);

impl<'a> SinglePackets<'a> {
    pub fn on(lab: &'a Lab) -> Result<Self> {
        let guard = SinglePackets(lab);
        guard.switch("off")?;
        Ok(guard)
    }

    fn switch(&self, state: &str) -> Result<()> {
        for (machine, name) in interfaces(self.0) {
            let mut command = format!("ethtool -K {name}");
            for feature in [
                "gso",
                "tso",
                "gro",
                "tx-udp-segmentation",
                "tx-udp_tnl-segmentation",
                "tx-udp_tnl-csum-segmentation",
            ] {
                command += &format!(" {feature} {state}");
            }
            machine
                .run(&command)
                .with_context(|| format!("could not switch offloads {state}"))?;
        }
        Ok(())
    }
}

impl Drop for SinglePackets<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.switch("on") {
            eprintln!("{error:#}");
        }
    }
}

/// A line of [`LINE_MBIT`] in one direction, with a buffer of 100 ms that drops what does not fit.
pub struct Narrow<'a> {
    machine: &'a Machine,
    name: &'static str,
    _single: SinglePackets<'a>,
}

impl<'a> Narrow<'a> {
    pub fn install(lab: &'a Lab, direction: Direction) -> Result<Self> {
        let (machine, name) = match direction {
            Direction::Up => (&lab.players[0].router, WAN),
            Direction::Down => (&lab.internet.router, PLAYER_LINE),
        };
        let single = SinglePackets::on(lab)?;
        machine.run(&format!(
            "tc qdisc replace dev {name} root tbf rate {LINE_MBIT}mbit burst 5kb limit {BUFFER_BYTES}"
        ))?;
        Ok(Narrow {
            machine,
            name,
            _single: single,
        })
    }

    /// Bits a second that leave through the narrow place within the next `time`, headers of Ethernet included.
    pub fn rate_over(&self, time: Duration) -> Result<f64> {
        let (start, before) = (Instant::now(), self.bytes()?);
        thread::sleep(time);
        let bytes = self.bytes()? - before;
        Ok(bytes * 8.0 / start.elapsed().as_secs_f64())
    }

    /// Read without starting a program, which may take long on a busy host.
    fn bytes(&self) -> Result<f64> {
        let path = format!("/proc/{}/net/dev", self.machine.init_pid());
        let text = fs::read_to_string(&path).with_context(|| format!("could not read {path}"))?;
        sent_bytes(&text, self.name).with_context(|| format!("{path} does not count {}", self.name))
    }
}

impl Drop for Narrow<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.machine.run(&format!("tc qdisc del dev {} root", self.name)) {
            eprintln!("{error:#}");
        }
    }
}

/// The player's last mile loses [`LOSS_PERCENT`] of the packets, each way.
pub struct Lossy<'a> {
    _fault: Fault<'a>,
    _single: SinglePackets<'a>,
}

impl<'a> Lossy<'a> {
    pub fn install(lab: &'a Lab) -> Result<Self> {
        let single = SinglePackets::on(lab)?;
        let fault = Fault::loss(&lab.players[0].router, LOSS_PERCENT)?;
        Ok(Lossy {
            _fault: fault,
            _single: single,
        })
    }
}

/// The limits of socket buffers on this host, which are the same for all its network namespaces, raised for as long as this
/// lives: peers that do not force their buffers would else measure a default of Linux.
pub struct SocketBuffers(Vec<(&'static str, String)>);

impl SocketBuffers {
    pub fn raise() -> Result<Self> {
        const BYTES: u64 = 4 << 20;
        let mut old = Vec::new();
        for path in ["/proc/sys/net/core/rmem_max", "/proc/sys/net/core/wmem_max"] {
            let value = fs::read_to_string(path).with_context(|| format!("could not read {path}"))?;
            if value.trim().parse().is_ok_and(|limit: u64| limit >= BYTES) {
                continue;
            }
            fs::write(path, BYTES.to_string()).with_context(|| format!("could not write {path}"))?;
            old.push((path, value));
        }
        Ok(SocketBuffers(old))
    }
}

impl Drop for SocketBuffers {
    fn drop(&mut self) {
        for (path, value) in &self.0 {
            if let Err(error) = fs::write(path, value) {
                eprintln!("could not write {path}: {error}");
            }
        }
    }
}

/// What `/proc/net/dev` says that an interface has sent: eight columns of what came in stand before it.
fn sent_bytes(text: &str, name: &str) -> Option<f64> {
    let columns = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(name)?.strip_prefix(':'))?;
    columns.split_whitespace().nth(8)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sent_bytes_are_those_of_the_interface() {
        let text = "Inter-|   Receive |  Transmit\n  wan2: 1 2 3 4 5 6 7 8 10 0\n   wan: 1 2 3 4 5 6 7 8 9 0 0 0 0 0 0 0\n";
        assert_eq!(sent_bytes(text, "wan"), Some(9.0));
        assert_eq!(sent_bytes(text, "lan"), None);
    }
}
