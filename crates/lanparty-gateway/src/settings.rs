//! What the host typed, and what it means.

use std::path::PathBuf;

use clap::{Parser, Subcommand, builder::BoolishValueParser};
use lanparty_api::{
    cli::{CommonArgs, EXIT_CODES_HELP, ExitCode, Failure, SaveDiscoveryArgs, StatusArgs},
    layer,
};
use lanparty_core::{guard::Limits, lan::addresses::Addresses, redundancy::Mode};
use lanparty_quic::{Pin, SegmentationOffload};
use lanparty_wire::{InvitePage, PeerId, Profile, RelayAddress, RelayToken, RoomCode, mtu};
use serde::Deserialize;

use crate::doctor;
use crate::lan::{Attach, Lan};

const EXAMPLES: &str = "\
Examples:
  Open a sealed room for the LAN on eth0 (as root, or as the systemd service), and print the link and the short code that
  invite players:
    lanparty-gateway --iface eth0 --relay relay.example.org

  The same with the relay's key pinned, as the relay prints it at its start, and a link that is good for a week:
    lanparty-gateway --iface eth0 --relay relay.example.org --relay-pin sha256:… --invite-hours 168

  Open the open room ABCD, which whoever knows the code can join:
    lanparty-gateway --iface eth0 --room ABCD --relay relay.example.org

  On a LAN without a DHCP server, give players addresses of a range that nobody there uses:
    lanparty-gateway --iface eth0 --relay relay.example.org --addresses 10.73.42.100-10.73.42.149/24

  On a machine whose cable is in a bridge (virtual machines, containers), become a port of it:
    lanparty-gateway --attach bridge=br0 --relay relay.example.org

  Let another machine on the same LAN take over within two seconds if this one fails; it is started in the same way, with this
  one's identity (both say theirs when they start):
    lanparty-gateway --iface eth0 --room ABCD --relay relay.example.org --standby 9f86d081…
  In a sealed room the other machine is started with this one's identity after --standby-for instead.

  See who is there and what was dropped:
    lanparty-gateway status

  See whether this machine and this LAN are fit for a party:
    lanparty-gateway doctor --iface eth0 --relay relay.example.org

Settings may also stand in a TOML file (--config) under the same names, for example
  iface = \"eth0\"
  relay = \"relay.example.org\"
or in the environment (LANPARTY_ROOM=ABCD). Flags win over the environment, the environment over the file.

Without --room the room is sealed: frames are encrypted from player to player, only whom this host has admitted can join, and
the relay cannot read anything. It belongs to the key in the state dir, and is the same room at the next start.
While a sealed room is open, type orders, or pipe them in: who, waiting, approve, deny, kick, ban, unban, role, name, profile, ask,
invite, invites, revoke, code; help explains them.
Beside the link stands a short code for players on the phone, 4711-word-word-word, good for half an hour while this host is online.
Whoever tries it wrongly five times makes it void. Whenever it is over, another one is shown.

Players keep their own way to the internet and their own name servers: what would change them is taken out of the LAN's DHCP replies and
router announcements on their way to players, unless --lan-internet is given.

A room with a code is open: whoever knows the code can join, and the relay's operator could read its frames.
";

/// Puts remote players onto the wired LAN of a party.
#[derive(Parser, Debug)]
#[command(name = "lanparty-gateway", version, about, after_help = format!("{EXAMPLES}\n{EXIT_CODES_HELP}"))]
#[command(args_conflicts_with_subcommands = false, subcommand_negates_reqs = true)]
pub struct Arguments {
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(flatten)]
    pub settings: Settings,
    #[command(subcommand)]
    pub command: Option<Verb>,
}

#[derive(Subcommand, Clone, Debug)]
pub enum Verb {
    /// Show the running LAN gateway: room, members, frames, drops
    Status(StatusArgs),
    /// Save the last minute of discovery frames, to find out why a game does not appear
    SaveDiscovery(SaveDiscoveryArgs),
    /// Look at this machine, the LAN and the way to the relay, and say what is wrong and what to do
    Doctor(Box<doctor::Arguments>),
}

/// Settings by flag, environment or file.
#[derive(clap::Args, Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// The wired interface that the LAN's cable is in
    #[arg(long, alias = "interface", value_name = "IF", env = "LANPARTY_IFACE")]
    #[serde(alias = "interface")]
    pub iface: Option<String>,
    /// Instead of --iface: become a port of a bridge of this machine, bridge=NAME
    #[arg(long, value_name = "bridge=NAME", env = "LANPARTY_ATTACH")]
    pub attach: Option<Attach>,
    /// Open a room that is not sealed, under this code: 3 to 32 letters, digits and dashes; case does not matter
    #[arg(long, value_name = "CODE", env = "LANPARTY_ROOM")]
    pub room: Option<RoomCode>,
    /// The relay, with UDP port 443 unless told
    #[arg(long, value_name = "HOST[:PORT]", env = "LANPARTY_RELAY")]
    pub relay: Option<RelayAddress>,
    /// Trust exactly this key of the relay, as it prints it
    #[arg(long, value_name = "PIN", env = "LANPARTY_RELAY_PIN")]
    pub relay_pin: Option<Pin>,
    /// Trust a relay that this certificate (a CA's, or its own; DER or PEM) vouches for
    #[arg(long, value_name = "FILE", env = "LANPARTY_RELAY_CA_CERT")]
    pub relay_ca_cert: Option<PathBuf>,
    /// The token that the relay's operator may ask of hosts; in the environment or the file nobody else reads it
    #[arg(
        long,
        value_name = "TOKEN",
        env = "LANPARTY_RELAY_TOKEN",
        hide_env_values = true
    )]
    pub relay_token: Option<RelayToken>,
    /// The name in the relay's certificate, if it is not the host
    #[arg(long, value_name = "NAME", env = "LANPARTY_SERVER_NAME")]
    pub server_name: Option<String>,
    /// What players see as the host's name [default: this machine's name]
    #[arg(long, value_name = "NAME", env = "LANPARTY_NAME")]
    pub name: Option<String>,
    /// For how many hours the printed link is good [default: 24]
    #[arg(long, value_name = "HOURS", env = "LANPARTY_INVITE_HOURS", value_parser = clap::value_parser!(u32).range(1..=8760))]
    pub invite_hours: Option<u32>,
    /// A static web page of yours (not on the relay) that opens invites: they are shown as a link to it as well, which chats make clickable
    #[arg(long, value_name = "https://…", env = "LANPARTY_INVITE_PAGE")]
    pub invite_page: Option<InvitePage>,
    /// Let newcomers wait until you say yes; kept in the state dir until it is given otherwise
    #[arg(long, value_name = "BOOL", env = "LANPARTY_APPROVE", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    pub approve: Option<bool>,
    /// How far members are trusted: friends, or strangers, who reach each other for discovery and games only, and the LAN without its
    /// shares and desktops, under the addresses that its DHCP server gives them. Kept in the state dir until it is given otherwise. In an
    /// open room members are not kept apart
    #[arg(long, value_name = "friends|strangers", env = "LANPARTY_PROFILE")]
    pub profile: Option<Profile>,
    /// Draw the link as a QR code even if standard output is no terminal
    #[arg(long, value_name = "BOOL", env = "LANPARTY_QR", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    pub qr: Option<bool>,
    /// Show a short code that can be read over the phone [default: true]
    #[arg(long, value_name = "BOOL", env = "LANPARTY_SHORT_CODE", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    pub short_code: Option<bool>,
    /// Look at this machine and the LAN at the start, and say what may hurt the party [default: true]
    #[arg(long, value_name = "BOOL", env = "LANPARTY_DOCTOR", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    pub doctor: Option<bool>,
    /// The MTU inside; smaller drops larger frames instead of cutting them in two [default: 1500]
    #[arg(long, value_name = "BYTES", env = "LANPARTY_MTU", value_parser = clap::value_parser!(u16).range(i64::from(mtu::MIN_MTU)..=i64::from(mtu::DEFAULT_MTU)))]
    pub mtu: Option<u16>,
    /// Give players addresses where no DHCP server does: a range such as 10.73.42.100-10.73.42.149/24, or auto
    #[arg(long, value_name = "RANGE", env = "LANPARTY_ADDRESSES")]
    pub addresses: Option<Addresses>,
    /// Leave in DHCP replies and router announcements what sends players' internet through the party's router
    #[arg(long, value_name = "BOOL", env = "LANPARTY_LAN_INTERNET", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    pub lan_internet: Option<bool>,
    /// Which machine may wait to take over from this one, by its identity; can be given several times
    #[arg(
        long,
        value_name = "IDENTITY",
        env = "LANPARTY_STANDBY",
        value_delimiter = ','
    )]
    pub standby: Option<Vec<PeerId>>,
    /// Wait in the sealed room of another machine on this LAN, by its identity, to take over from it; start that one with --standby and this one's
    #[arg(long, value_name = "IDENTITY", env = "LANPARTY_STANDBY_FOR")]
    pub standby_for: Option<PeerId>,
    /// Write every frame between the room and here to this pcapng file, with its direction and what became of it
    #[arg(long, value_name = "FILE", env = "LANPARTY_PCAP")]
    pub pcap: Option<PathBuf>,
    /// How large the file may become; what comes later is left out [default: 268435456]
    #[arg(long, value_name = "BYTES", env = "LANPARTY_PCAP_LIMIT")]
    pub pcap_limit: Option<u64>,
    /// Whether small urgent packets are sent twice: auto (while the line loses packets), off or on [default: auto]
    #[arg(long, value_name = "auto|off|on", env = "LANPARTY_REDUNDANCY")]
    pub redundancy: Option<Mode>,
    /// Whether the kernel cuts and joins trains of UDP packets (GSO and GRO): auto (where a test at the start finds it sound), on or off [default: auto]
    #[arg(long, value_name = "auto|on|off", env = "LANPARTY_UDP_OFFLOAD")]
    pub udp_offload: Option<SegmentationOffload>,
    /// What each remote member may send to the LAN, by class
    #[arg(skip)]
    pub limits: Option<Limits>,
}

layer!(Settings {
    iface,
    attach,
    room,
    relay,
    relay_pin,
    relay_ca_cert,
    relay_token,
    server_name,
    name,
    invite_hours,
    invite_page,
    approve,
    profile,
    qr,
    short_code,
    doctor,
    mtu,
    addresses,
    lan_internet,
    standby,
    standby_for,
    pcap,
    pcap_limit,
    redundancy,
    udp_offload,
    limits
});

/// Settings that a run cannot do without.
#[derive(Debug)]
pub struct Party {
    pub lan: Lan,
    /// An open room's code; a sealed room has none.
    pub room: Option<RoomCode>,
    pub relay: RelayAddress,
}

/// # Errors
/// One sentence for the first thing that is missing.
pub fn party(settings: &Settings) -> Result<Party, Failure> {
    let missing = |text: &str, advice: &str| Failure::new(ExitCode::Usage, text.to_owned()).advise(advice);
    let lan = match (&settings.iface, &settings.attach) {
        (Some(iface), None) => Lan::Interface(iface.clone()),
        (None, Some(attach)) => Lan::Bridge(attach.bridge.clone()),
        (Some(_), Some(_)) => {
            return Err(missing(
                "both iface and attach were given",
                "give the interface that the LAN's cable is in, or the bridge to become a port of",
            ));
        }
        (None, None) => {
            return Err(missing(
                "no interface was given",
                "name the one that the LAN's cable is in: --iface eth0 (`ip link` lists them), or a bridge: --attach bridge=br0",
            ));
        }
    };
    let relay = settings.relay.clone().ok_or_else(|| {
        missing(
            "no relay was given",
            "give its address with --relay HOST[:PORT], LANPARTY_RELAY or relay = \"…\" in the file",
        )
    })?;
    if let Some(mtu) = settings.mtu
        && !(mtu::MIN_MTU..=mtu::DEFAULT_MTU).contains(&mtu)
    {
        let text = format!(
            "an MTU of {mtu} is not between {} and {}",
            mtu::MIN_MTU,
            mtu::DEFAULT_MTU
        );
        return Err(missing(&text, "leave mtu out unless you know that you need it"));
    }
    if let Some(hours) = settings.invite_hours
        && !(1..=8760).contains(&hours)
    {
        let text = format!("{hours} hours are no time for an invite");
        return Err(missing(&text, "give 1 to 8760 hours"));
    }
    if let Some(page) = &settings.invite_page {
        page.check_beside(&relay).map_err(|error| {
            missing(
                &error.to_string(),
                "give --invite-page an address elsewhere, or leave it out",
            )
        })?;
    }
    let room = settings.room.clone();
    if room.is_some()
        && (settings.invite_hours.is_some()
            || settings.invite_page.is_some()
            || settings.qr.is_some()
            || settings.approve.is_some()
            || settings.short_code.is_some())
    {
        return Err(missing(
            "an open room has no invites, so --invite-hours, --invite-page, --approve, --qr and --short-code mean nothing beside --room",
            "leave them out, or leave --room out to open a sealed room",
        ));
    }
    if settings.standby_for.is_some()
        && (room.is_some() || settings.standby.is_some() || is_for_a_host(settings))
    {
        return Err(missing(
            "who waits in another host's sealed room names no room and no others, and lets nobody in",
            "leave --room, --standby, --invite-hours, --approve, --profile, --qr and --short-code out beside --standby-for",
        ));
    }
    Ok(Party { lan, room, relay })
}

/// Whether there are settings that only the host of a sealed room can have.
fn is_for_a_host(settings: &Settings) -> bool {
    settings.invite_hours.is_some()
        || settings.qr.is_some()
        || settings.approve.is_some()
        || settings.short_code.is_some()
        || settings.profile.is_some()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_is_missing_is_said_in_one_sentence() {
        let text = party(&Settings {
            iface: Some("eth0".into()),
            ..Settings::default()
        })
        .unwrap_err()
        .to_string();
        assert!(text.starts_with("no relay was given"), "{text}");
    }

    #[test]
    fn a_page_for_invites_lies_not_on_the_relay() {
        let words = |page| {
            let relay = [
                "--iface",
                "eth0",
                "--relay",
                "relay.example",
                "--invite-page",
                page,
            ];
            Arguments::try_parse_from([&["lanparty-gateway"], &relay[..]].concat())
        };
        let judged = |page| party(&words(page).unwrap().settings).map(drop);
        judged("https://games.example/join").unwrap();
        let text = judged("https://relay.example/").unwrap_err().to_string();
        assert!(text.starts_with("relay.example is the relay itself"), "{text}");
        let text = words("http://games.example/").unwrap_err().to_string();
        assert!(text.contains("begins with https://"), "{text}");
    }

    #[test]
    fn the_seeds_name_for_the_interface_works_too() {
        let arguments = Arguments::try_parse_from(["lanparty-gateway", "--interface", "eth1"]).unwrap();
        assert_eq!(arguments.settings.iface.as_deref(), Some("eth1"));
    }
}
