//! `cargo xtask lab`: a lab that stays until Ctrl-C, for trying things by hand.

use anyhow::Result;
use clap::Args;
use lanparty_testkit::lab::{DHCP_SERVER, GAME_SERVER, LAN_NIC, Lab, RELAY, RELAY_NAME, UPLINK};

use crate::{interrupt::Interrupt, setup, step::root};

#[derive(Args)]
pub struct Options {
    /// How many players
    #[arg(long, default_value_t = 2)]
    players: u8,
    /// The largest packet on the players' and the LAN gateway's lines
    #[arg(long, default_value_t = 1500, value_parser = clap::value_parser!(u16).range(1280..=1500))]
    mtu: u16,
    /// Put the game server behind a second switch
    #[arg(long)]
    two_switches: bool,
}

pub fn run(options: &Options) -> Result<()> {
    setup::need_root("lab", "")?;
    setup::lab_packages()?;
    let interrupt = Interrupt::install()?;
    let mut builder = Lab::builder()
        .players(options.players)
        .player_mtu(options.mtu)
        .gateway_mtu(options.mtu);
    if options.two_switches {
        builder = builder.two_switches();
    }
    let lab = builder.build()?;
    println!("A LAN party without lanparty. Enter a machine with its line, leave it with `exit`:\n");
    for machine in lab.machines() {
        println!(
            "  {:<16} nsenter -t {} -n -m -u -p",
            machine.name(),
            machine.init_pid()
        );
    }
    println!(
        "\nThe relay's machine is {RELAY_NAME} ({RELAY}); the DHCP server is {DHCP_SERVER}, the game server {GAME_SERVER}.\n\
         The LAN gateway's machine has {LAN_NIC} on the party's LAN and {UPLINK} towards its router.\n\
         The binaries are in {} after `cargo build`.\n\
         Logs and leases are in {}.\n\nCtrl-C ends the lab and leaves nothing.",
        root().join("target/debug").display(),
        lab.directory().display(),
    );
    while !interrupt.wait(std::time::Duration::from_secs(1)) {}
    Ok(())
}
