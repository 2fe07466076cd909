//! What the player typed, and what it means.

use std::{path::PathBuf, str::FromStr};

use clap::{Parser, Subcommand, builder::BoolishValueParser};
use lanparty_api::{
    cli::{CommonArgs, EXIT_CODES_HELP, ExitCode, Failure, StatusArgs},
    layer,
};
use lanparty_os::device::check_interface_name;
use lanparty_quic::Pin;
use lanparty_wire::{Invite, InviteError, Mac, RelayAddress, RoomCode, RoomId, mtu};
use serde::Deserialize;

const EXAMPLES: &str = "\
Examples:
  Join by the link that the host has sent, and get an address from the party's LAN (as root; quote the link):
    lanparty-client 'lanparty://relay.example.org/…#…' --dhcp

  Join the open room ABCD:
    lanparty-client --relay relay.example.org --room ABCD --dhcp

  The same with the relay's key pinned, as the relay prints it at its start:
    lanparty-client --relay relay.example.org --room ABCD --dhcp --relay-pin sha256:…

  A relay on another port, with its certificate in a file; no address from us:
    lanparty-client --relay 203.0.113.5:4443 --room ABCD --relay-ca-cert relay.der

  See how the running client is doing:
    lanparty-client status

Settings may also stand in a TOML file (--config) under the same names, for example
  relay = \"relay.example.org\"
  room = \"ABCD\"
  dhcp = true
or in the environment (LANPARTY_ROOM=ABCD). Flags win over the environment, the environment over the file.

A room that you join by a link is sealed: frames are encrypted from player to player, and the relay cannot read them. A room with
a code is open: whoever knows its code can join, and the relay's operator could read its frames.
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

#[derive(Subcommand, Clone, Copy, Debug)]
pub enum Verb {
    /// Show the running client: relay, room, LAN gateway, address, frames, drops
    Status(StatusArgs),
}

/// Settings by flag, environment or file.
#[derive(clap::Args, Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// The host's invite link: it names relay and room, and lets you in
    #[arg(value_name = "LINK", env = "LANPARTY_LINK", hide_env_values = true)]
    pub link: Option<Link>,
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
    /// The network adapter to create [default: lanparty0]
    #[arg(long, value_name = "NAME", env = "LANPARTY_TAP_NAME")]
    pub tap_name: Option<TapName>,
    /// Use this address in the room instead of the one kept in the state dir
    #[arg(long, value_name = "MAC", env = "LANPARTY_VIRTUAL_MAC")]
    pub virtual_mac: Option<VirtualMac>,
    /// The MTU inside; smaller ones avoid cutting frames in two and are for tests [default: 1500]
    #[arg(long, value_name = "BYTES", env = "LANPARTY_MTU")]
    pub mtu: Option<InnerMtu>,
}

layer!(Settings {
    link,
    relay,
    room,
    relay_pin,
    relay_ca_cert,
    server_name,
    name,
    dhcp,
    tap_name,
    virtual_mac,
    mtu,
});

/// Settings with nothing missing.
#[derive(Clone, Debug)]
pub struct Party {
    pub relay: RelayAddress,
    pub room: RoomId,
    /// How we come into a sealed room.
    pub invite: Option<Invite>,
    pub relay_pin: Option<Pin>,
    pub relay_ca_cert: Option<PathBuf>,
    pub server_name: Option<String>,
    pub name: String,
    pub dhcp: bool,
    pub tap: String,
    pub virtual_mac: Option<Mac>,
    pub mtu: u16,
}

impl Settings {
    /// # Errors
    /// One sentence for the first thing that is missing.
    pub fn complete(self) -> Result<Party, Failure> {
        let missing = |text: &str| Failure::new(ExitCode::Usage, text.to_owned());
        let invite = self.link.map(|Link(invite)| invite);
        let (relay, room) = match (&invite, self.relay, self.room) {
            (Some(invite), None, None) => (invite.relay.clone(), invite.room().into()),
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
                    .advise("give the host's invite link; or ask for an open room's code and give it with --room CODE"));
            }
            (None, Some(relay), Some(room)) => (relay, RoomId::from(room)),
        };
        let pin = self.relay_pin.or(invite.as_ref().and_then(|invite| invite.pin));
        Ok(Party {
            relay,
            room,
            invite,
            relay_pin: pin,
            relay_ca_cert: self.relay_ca_cert,
            server_name: self.server_name,
            name: self.name.unwrap_or_default(),
            dhcp: self.dhcp.unwrap_or(false),
            tap: self
                .tap_name
                .map_or_else(|| "lanparty0".to_owned(), |TapName(name)| name),
            virtual_mac: self.virtual_mac.map(|VirtualMac(mac)| mac),
            mtu: self.mtu.map_or(mtu::DEFAULT_MTU, |InnerMtu(mtu)| mtu),
        })
    }
}

/// An invite, as a link.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Link(Invite);

impl FromStr for Link {
    type Err = InviteError;

    fn from_str(text: &str) -> Result<Link, InviteError> {
        text.parse().map(Link)
    }
}

impl TryFrom<String> for Link {
    type Error = InviteError;

    fn try_from(text: String) -> Result<Link, InviteError> {
        text.parse()
    }
}

/// A name that an interface can have.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct TapName(String);

impl FromStr for TapName {
    type Err = String;

    fn from_str(text: &str) -> Result<TapName, String> {
        check_interface_name(text).map_err(|error| error.to_string())?;
        Ok(TapName(text.to_owned()))
    }
}

impl TryFrom<String> for TapName {
    type Error = String;

    fn try_from(text: String) -> Result<TapName, String> {
        text.parse()
    }
}

/// An address that a member may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct VirtualMac(Mac);

impl FromStr for VirtualMac {
    type Err = String;

    fn from_str(text: &str) -> Result<VirtualMac, String> {
        let mac: Mac = text
            .parse()
            .map_err(|error: lanparty_wire::MacError| error.to_string())?;
        if mac.is_identity() {
            Ok(VirtualMac(mac))
        } else {
            Err(format!(
                "{mac} could be a real network card's or a group's; give a locally administered one such as 02:12:34:56:78:9a"
            ))
        }
    }
}

impl TryFrom<String> for VirtualMac {
    type Error = String;

    fn try_from(text: String) -> Result<VirtualMac, String> {
        text.parse()
    }
}

/// An MTU that a room can have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "u16")]
pub struct InnerMtu(u16);

impl TryFrom<u16> for InnerMtu {
    type Error = String;

    fn try_from(value: u16) -> Result<InnerMtu, String> {
        let (least, most) = (mtu::MIN_MTU, mtu::DEFAULT_MTU);
        if (least..=most).contains(&value) {
            Ok(InnerMtu(value))
        } else {
            Err(format!("an MTU is between {least} and {most} bytes"))
        }
    }
}

impl FromStr for InnerMtu {
    type Err = String;

    fn from_str(text: &str) -> Result<InnerMtu, String> {
        text.parse::<u16>()
            .map_err(|_| format!("{text:?} is not a number of bytes"))?
            .try_into()
    }
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
                    --virtual-mac 02:00:00:00:00:07 --mtu 1200 --dhcp --name ada --state-dir d --log-format json -v";
        let party = settings(line).complete().unwrap();
        assert_eq!(
            (
                party.relay.port,
                party.room.to_string().as_str(),
                party.mtu,
                party.dhcp
            ),
            (1, "ABC", 1200, true)
        );
        assert_eq!((party.tap.as_str(), party.name.as_str()), ("t0", "ada"));
        assert_eq!(party.virtual_mac, Some(Mac([2, 0, 0, 0, 0, 7])));
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
