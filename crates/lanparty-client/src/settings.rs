//! What the player typed, and what it means.

use std::path::PathBuf;

use clap::{Parser, Subcommand, builder::BoolishValueParser};
use lanparty_api::{
    cli::{CommonArgs, DoctorArgs, EXIT_CODES_HELP, ExitCode, Failure, SaveDiscoveryArgs, StatusArgs},
    layer,
};
use lanparty_core::redundancy::Mode;
use lanparty_node::DEFAULT_RECORDING;
use lanparty_quic::{Pin, SegmentationOffload};
use lanparty_wire::{Mac, RelayAddress, RoomCode, ShortCodeError, mtu};
use serde::{Deserialize, Deserializer, de::Error};

use crate::{
    entrance::{Door, ticket},
    mount::AdapterKind,
    orders::ConnectArgs,
    service::{ServiceArgs, SocketArgs},
    values::{InnerMtu, TapName, VirtualMac},
};

const EXAMPLES: &str = "\
Examples:
  Join by the link that the host has sent, and get an address from the party's LAN (as root; quote the link):
    lanparty-client 'lanparty://relay.example.org/…#…' --dhcp

  Join by the short code that the host has read over the phone:
    lanparty-client 4711-word-word-word --relay relay.example.org --dhcp

  Join the open room ABCD:
    lanparty-client --relay relay.example.org --room ABCD --dhcp

  The same with the relay's key pinned, as the relay prints it at its start:
    lanparty-client --relay relay.example.org --room ABCD --dhcp --relay-pin sha256:…

  A relay on another port, with its certificate in a file; no address from us:
    lanparty-client --relay 203.0.113.5:4443 --room ABCD --relay-ca-cert relay.der

  See how the running client is doing:
    lanparty-client status

  Leave that to a service, which is started once as root, and give it orders as a member of the group lanparty:
    lanparty-client service
    lanparty-client connect 'lanparty://relay.example.org/…#…'
    lanparty-client disconnect

  See whether this machine and its line are fit for a party:
    lanparty-client doctor --relay relay.example.org

Settings may also stand in a TOML file (--config) under the same names, for example
  relay = \"relay.example.org\"
  room = \"ABCD\"
  dhcp = true
or in the environment (LANPARTY_ROOM=ABCD). Flags win over the environment, the environment over the file.

A room that you join by a link or a short code is sealed: frames are encrypted from player to
player, and the relay cannot read them. A room with a code of its own (--room) is open: whoever
knows that code can join, and the relay's operator could read its frames.
The TAP never becomes the way to the internet: no default route and no name servers are taken from the party.
";

/// Brings this machine to a LAN party elsewhere: games see a network adapter whose cable is in the party's switch.
#[derive(Parser, Debug)]
#[command(name = "lanparty-client", version, about, after_help = format!("{EXAMPLES}\n{EXIT_CODES_HELP}"))]
pub struct Arguments {
    #[command(flatten)]
    pub settings: Settings,
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(subcommand)]
    pub command: Option<Verb>,
}

#[derive(Subcommand, Clone, Debug)]
pub enum Verb {
    /// Show the running client: relay, room, LAN gateway, address, frames, drops
    Status(StatusArgs),
    /// Run as a service that owns adapter and tunnel, and takes orders from the window and from `connect`
    Service(ServiceArgs),
    /// Let the running service join a room, and say what comes of it
    Connect(Box<ConnectArgs>),
    /// Let the running service leave its room and put this machine back
    Disconnect(SocketArgs),
    /// Save the last minute of discovery frames, to find out why a game does not appear
    SaveDiscovery(SaveDiscoveryArgs),
    /// Look at this machine and the way to the relay, and say what is wrong and what to do
    Doctor(Box<DoctorArgs>),
}

/// Settings by flag, environment or file.
#[derive(clap::Args, Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// The host's invite link, which names relay and room; or with --relay the host's short code. It lets you in
    #[arg(value_name = "LINK|CODE", env = "LANPARTY_LINK", hide_env_values = true, num_args = 1..=4)]
    #[serde(deserialize_with = "one_text")]
    pub link: Option<Vec<String>>,
    /// The host's short code, 4711-word-word-word, for scripts that would rather name it
    #[arg(long, value_name = "CODE", env = "LANPARTY_CODE", hide_env_values = true)]
    pub code: Option<String>,
    /// The relay, with UDP port 443 unless told
    #[arg(long, value_name = "HOST[:PORT]", env = "LANPARTY_RELAY")]
    pub relay: Option<RelayAddress>,
    /// The room's code, as the host tells it; case does not matter
    #[arg(long, value_name = "CODE", env = "LANPARTY_ROOM")]
    pub room: Option<RoomCode>,
    /// Trust exactly this key of the relay, as it prints it
    #[arg(long, value_name = "PIN", env = "LANPARTY_RELAY_PIN")]
    pub relay_pin: Option<Pin>,
    /// Trust a relay that this certificate (a CA's, or its own; DER or PEM) vouches for
    #[arg(long, value_name = "FILE", env = "LANPARTY_RELAY_CA_CERT")]
    pub relay_ca_cert: Option<PathBuf>,
    /// The name in the relay's certificate, if it is not the host
    #[arg(long, value_name = "NAME", env = "LANPARTY_SERVER_NAME")]
    pub server_name: Option<String>,
    /// What others see you called [default: your address in the room]
    #[arg(long, value_name = "NAME", env = "LANPARTY_NAME")]
    pub name: Option<String>,
    /// Get an address from the party's DHCP server
    #[arg(long, value_name = "BOOL", env = "LANPARTY_DHCP", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    pub dhcp: Option<bool>,
    /// What games see: an adapter of this system, or none (a small host in memory that takes an address and answers pings, to try a room
    /// without any rights) [default: system]
    #[arg(long, value_name = "KIND", env = "LANPARTY_ADAPTER", value_enum)]
    pub adapter: Option<AdapterKind>,
    /// The network adapter to create [default: lanparty0]
    #[arg(long, value_name = "NAME", env = "LANPARTY_TAP_NAME")]
    pub tap_name: Option<TapName>,
    /// Use this address in the room instead of the one kept in the state dir
    #[arg(long, value_name = "MAC", env = "LANPARTY_VIRTUAL_MAC")]
    pub virtual_mac: Option<VirtualMac>,
    /// The MTU inside; smaller ones avoid cutting frames in two and are for tests [default: 1500]
    #[arg(long, value_name = "BYTES", env = "LANPARTY_MTU")]
    pub mtu: Option<InnerMtu>,
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
    /// Go on although the party's network is also this machine's own, or this machine is on the party's LAN already
    #[arg(long, value_name = "BOOL", env = "LANPARTY_ANYWAY", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    pub anyway: Option<bool>,
}

layer!(Settings {
    link,
    code,
    relay,
    room,
    relay_pin,
    relay_ca_cert,
    server_name,
    name,
    dhcp,
    adapter,
    tap_name,
    virtual_mac,
    mtu,
    pcap,
    pcap_limit,
    redundancy,
    udp_offload,
    anyway,
});

/// Settings with nothing missing.
#[derive(Clone, Debug)]
pub struct Party {
    pub relay: RelayAddress,
    pub door: Door,
    pub relay_pin: Option<Pin>,
    pub relay_ca_cert: Option<PathBuf>,
    pub server_name: Option<String>,
    pub name: String,
    pub dhcp: bool,
    pub adapter: AdapterKind,
    pub tap: String,
    pub virtual_mac: Option<Mac>,
    pub mtu: u16,
    /// Where everything that passes by is written, and at most how many bytes of it.
    pub recording: Option<(PathBuf, u64)>,
    pub redundancy: Mode,
    pub udp_offload: SegmentationOffload,
    /// Whether overlapping networks are the player's own affair.
    pub anyway: bool,
}

impl Settings {
    /// The adapter's name.
    pub fn tap(&self) -> String {
        let given = self.tap_name.as_ref().map(|TapName(name)| name.clone());
        given.unwrap_or_else(|| "lanparty0".to_owned())
    }

    /// The relay and its key, by flags or by the link.
    ///
    /// # Errors
    /// The link or the code is none.
    pub fn relay_and_pin(&self) -> Result<(Option<RelayAddress>, Option<Pin>), Failure> {
        let words = self.link.as_ref().map(|words| words.join(" "));
        let door = words.map(|words| ticket(&words)).transpose();
        let invite = match door.map_err(|error| Failure::new(ExitCode::Usage, error))? {
            Some(Door::Link(invite)) => Some(invite),
            Some(Door::Code(_) | Door::Open(_)) | None => None,
        };
        let relay = self.relay.clone();
        let named = invite.as_ref().map(|invite| invite.relay.clone());
        let pin = self.relay_pin.or(invite.and_then(|invite| invite.pin));
        Ok((relay.or(named), pin))
    }

    /// # Errors
    /// One sentence for the first thing that is missing.
    pub fn complete(self) -> Result<Party, Failure> {
        let tap = self.tap();
        let usage = |text: String| Failure::new(ExitCode::Usage, text);
        let missing = |text: &str| usage(text.to_owned());
        let ticket = match (self.link, self.code) {
            (Some(_), Some(_)) => {
                return Err(missing("a link and a short code were given").advise("leave one of them out"));
            }
            (Some(words), None) => Some(ticket(&words.join(" ")).map_err(usage)?),
            (None, Some(code)) => Some(Door::Code(
                code.parse()
                    .map_err(|error: ShortCodeError| usage(error.to_string()))?,
            )),
            (None, None) => None,
        };
        let (relay, door) = match (ticket, self.relay, self.room) {
            (Some(Door::Code(code)), Some(relay), None) => (relay, Door::Code(code)),
            (Some(Door::Code(_)), _, Some(_)) => {
                return Err(
                    missing("a short code leads to a sealed room, and --room names an open one")
                        .advise("leave one of them out"),
                );
            }
            (Some(Door::Code(_)), None, None) => {
                return Err(missing("a short code does not say at which relay the host is")
                    .advise("add it as the host tells it: --relay HOST[:PORT]"));
            }
            (Some(Door::Link(invite)), None, None) => (invite.relay.clone(), Door::Link(invite)),
            (Some(_), _, _) => {
                return Err(missing("an invite link names its relay and room itself")
                    .advise("leave --relay and --room out, or leave the link out to join an open room"));
            }
            (None, None, _) => {
                return Err(missing("no relay was given").advise(
                    "give the host's invite link; or for an open room --relay HOST[:PORT], LANPARTY_RELAY or relay = \"…\" in the file",
                ));
            }
            (None, Some(_), None) => {
                return Err(missing("no room was given")
                    .advise("give the host's invite link or short code; or ask for an open room's code and give it with --room CODE"));
            }
            (None, Some(relay), Some(room)) => (relay, Door::Open(room)),
        };
        Ok(Party {
            relay,
            door,
            relay_pin: self.relay_pin,
            relay_ca_cert: self.relay_ca_cert,
            server_name: self.server_name,
            name: self.name.unwrap_or_default(),
            dhcp: self.dhcp.unwrap_or(false),
            adapter: self.adapter.unwrap_or_default(),
            tap,
            virtual_mac: self.virtual_mac.map(|VirtualMac(mac)| mac),
            mtu: self.mtu.map_or(mtu::DEFAULT_MTU, |InnerMtu(mtu)| mtu),
            recording: self
                .pcap
                .map(|path| (path, self.pcap_limit.unwrap_or(DEFAULT_RECORDING))),
            redundancy: self.redundancy.unwrap_or_default(),
            udp_offload: self.udp_offload.unwrap_or_default(),
            anyway: self.anyway.unwrap_or(false),
        })
    }
}

/// A file has the link in one piece.
fn one_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    let text = String::deserialize(deserializer)?;
    ticket(&text).map_err(D::Error::custom)?;
    Ok(Some(vec![text]))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use lanparty_api::cli::parse_text;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_its_help_teaches() {
        Arguments::command().debug_assert();
        let help = Arguments::command().render_long_help().to_string();
        for taught in [
            "--relay relay.example.org --room ABCD --dhcp",
            "Exit codes:",
            "could read its frames",
        ] {
            assert!(help.contains(taught), "{taught}");
        }
    }

    #[test]
    fn every_flag_of_the_scripts_is_there() {
        let line = "lanparty-client --relay h:1 --room abc --relay-ca-cert f --server-name n --tap-name t0 \
                    --virtual-mac 02:00:00:00:00:07 --mtu 1200 --dhcp --name ada --state-dir d --log-format json -v \
                    --redundancy on --udp-offload off";
        let party = settings(line).complete().unwrap();
        assert_eq!(
            (
                party.relay.port,
                format!("{:?}", party.door).as_str(),
                party.mtu,
                party.dhcp
            ),
            (1, "Open(ABC)", 1200, true)
        );
        assert_eq!((party.tap.as_str(), party.name.as_str()), ("t0", "ada"));
        assert_eq!(party.virtual_mac, Some(Mac([2, 0, 0, 0, 0, 7])));
        assert_eq!(
            (party.redundancy, party.udp_offload),
            (Mode::Always, SegmentationOffload::Off)
        );
    }

    #[test]
    fn what_is_missing_is_said_in_one_sentence() {
        let refusal = settings("lanparty-client --room ABCD").complete().unwrap_err();
        assert_eq!(refusal.code(), ExitCode::Usage);
        assert!(
            refusal
                .to_string()
                .starts_with("no relay was given\n  what to do: "),
            "{refusal}"
        );
        assert!(
            settings("lanparty-client --relay h")
                .complete()
                .unwrap_err()
                .to_string()
                .starts_with("no room")
        );
    }

    #[test]
    fn a_short_code_is_taken_as_people_type_it() {
        for line in [
            "lanparty-client 4711-rider-apple-stone --relay h",
            "lanparty-client --relay h 4711 Rider APPLE stone",
            "lanparty-client --relay h --code 4711-RIDER-apple-stone",
        ] {
            let party = settings(line).complete().unwrap();
            assert!(matches!(party.door, Door::Code(code) if code.to_string() == "4711-rider-apple-stone"));
        }
        let (_, file) = parse_text::<Settings>("f".as_ref(), "link = '4711 rider apple stone'").unwrap();
        assert!(file.link.is_some());
    }

    #[test]
    fn each_wrong_entrance_is_told_what_to_do() {
        for (line, told) in [
            ("4711-rider-apple-stone", "add it as the host tells it: --relay"),
            ("4711-rider-aplpe-stone --relay h", "did you mean apple?"),
            ("4711-rider-apple --relay h", "three words"),
            ("GAME-NIGHT --relay h", "give an open room's code with --room"),
            (
                "4711-rider-apple-stone --relay h --room ABCD",
                "leave one of them out",
            ),
            (
                "4711-rider-apple-stone --relay h --code 4711-rider-apple-stone",
                "leave one of them out",
            ),
        ] {
            let refusal = settings(&format!("lanparty-client {line}"))
                .complete()
                .unwrap_err();
            assert_eq!(refusal.code(), ExitCode::Usage, "{line}");
            assert!(refusal.to_string().contains(told), "{line}: {refusal}");
        }
        let open = Arguments::try_parse_from(["lanparty-client", "--room", "4711-rider-apple-stone"]);
        assert!(
            open.unwrap_err()
                .to_string()
                .contains("short code of a sealed room")
        );
    }

    #[test]
    fn a_flag_can_take_back_what_the_file_says() {
        let (_, file) = parse_text::<Settings>("f".as_ref(), "dhcp = true\nmtu = 1280\n").unwrap();
        let merged = lanparty_api::cli::Layer::over(settings("lanparty-client --dhcp=false"), file);
        assert_eq!((merged.dhcp, merged.mtu), (Some(false), Some(InnerMtu(1280))));
        assert_eq!(settings("lanparty-client --dhcp=1").dhcp, Some(true));
    }

    #[test]
    fn values_that_no_tap_can_have_are_refused_wherever_they_stand() {
        for (flag, value, toml) in [
            ("--virtual-mac", "01:00:5e:00:00:01", "'01:00:5e:00:00:01'"),
            ("--virtual-mac", "00:11:22:33:44:55", "'00:11:22:33:44:55'"),
            ("--mtu", "9000", "9000"),
            ("--mtu", "60", "60"),
            ("--tap-name", "a/b", "'a/b'"),
            ("--room", "a_b", "'a_b'"),
        ] {
            assert!(
                Arguments::try_parse_from(["lanparty-client", flag, value]).is_err(),
                "{flag} {value}"
            );
            let line = format!("\n{} = {toml}\n", &flag[2..]);
            let error = parse_text::<Settings>("f.toml".as_ref(), &line)
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with(&format!("f.toml, line 2, key \"{}\": ", &flag[2..])),
                "{error}"
            );
        }
    }

    fn settings(line: &str) -> Settings {
        Arguments::try_parse_from(line.split_whitespace())
            .unwrap()
            .settings
    }
}
