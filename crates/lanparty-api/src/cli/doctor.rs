//! The flags behind `doctor` that client and LAN gateway share.

use std::path::PathBuf;

use lanparty_wire::{Pin, RelayAddress};

/// How findings are shown, and the relay that is examined if the settings name none, or another one.
// Without the environment's variables, which the program's own settings have read: a flag in front of `doctor` wins over those.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct DoctorArgs {
    /// Print JSON for scripts
    #[arg(long)]
    pub json: bool,
    /// The relay, with UDP port 443 unless told
    #[arg(long, value_name = "HOST[:PORT]")]
    pub relay: Option<RelayAddress>,
    /// Trust exactly this key of the relay, as it prints it
    #[arg(long, value_name = "PIN")]
    pub relay_pin: Option<Pin>,
    /// Trust a relay that this certificate (a CA's, or its own; DER or PEM) vouches for
    #[arg(long, value_name = "FILE")]
    pub relay_ca_cert: Option<PathBuf>,
    /// The name in the relay's certificate, if it is not the host
    #[arg(long, value_name = "NAME")]
    pub server_name: Option<String>,
}
