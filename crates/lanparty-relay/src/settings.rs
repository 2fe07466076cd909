//! What the operator typed, and what it means.

use std::{
    net::{Ipv6Addr, SocketAddr},
    num::NonZeroU8,
    path::PathBuf,
    str::FromStr,
};

use clap::{Parser, Subcommand};
use lanparty_api::{
    cli::{CommonArgs, EXIT_CODES_HELP, ExitCode, Failure, StatusArgs},
    layer,
};
use lanparty_core::{
    guard::Limits,
    redundancy::Mode,
    relay::{IngressConfig, RoomLimits},
};
use lanparty_quic::SegmentationOffload;
use lanparty_wire::{DEFAULT_RELAY_PORT, ListenAddress, mtu};
use serde::Deserialize;

use crate::acme;

const EXAMPLES: &str = "\
Examples:
  Run a relay on UDP/443 of every address (as root, or as the systemd service):
    lanparty-relay

  On another port, without any privilege:
    lanparty-relay --listen 4443/udp --state-dir ~/relay

  With a certificate of a public CA, so that nobody has to be told a pin:
    lanparty-relay --cert fullchain.pem --key privkey.pem

  With a certificate that the relay gets and renews by itself (the CA asks on TCP/80; using it means agreeing to the CA's terms):
    lanparty-relay --acme-domain relay.example.org --acme-contact mailto:admin@example.org

  See who is there and what was dropped:
    lanparty-relay status

Settings may also stand in a TOML file (--config) under the same names, for example
  listen = \"443/udp\"
  max-members = 32
  [limits.bandwidth]
  bytes_per_second = 25000000
  burst_bytes = 4000000
or in the environment (LANPARTY_LISTEN=4443/udp). Flags win over the environment, the environment over the file.

This relay's operator could read the frames of open rooms (--room CODE), and should tell their members so; he cannot read those of sealed ones.
";

/// The largest number of members that a room may be set to; a flood reaches all of them.
const MOST_MEMBERS: u16 = 1024;
/// A thread for each; more than this no machine makes use of.
const MOST_SOCKETS: u8 = 64;
const MOST_AUTO_SOCKETS: usize = 8;
/// Where CAs ask (RFC 8555, section 8.3).
const ACME_PORT: u16 = 80;
/// Malformed datagrams of one member within a minute before it is disconnected.
const MALFORMED_LIMIT: u32 = 100;

/// Connects players and the LAN gateways of their parties.
#[derive(Parser, Debug)]
#[command(name = "lanparty-relay", version, about, after_help = format!("{EXAMPLES}\n{EXIT_CODES_HELP}"))]
#[command(args_conflicts_with_subcommands = false)]
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
    /// Show the running relay: rooms, members, traffic, drops
    Status(StatusArgs),
    /// Manage the tokens that hosts open rooms with (see --require-token); a running relay notices at once
    #[command(subcommand)]
    Token(TokenCommand),
}

#[derive(Subcommand, Clone, Debug)]
pub enum TokenCommand {
    /// Make a token and show it, this once
    Create {
        /// Whom it is for, as `list` shows it
        #[arg(long, value_name = "TEXT", default_value = "")]
        label: String,
    },
    /// Show the tokens: id, label, when they were made and last used; never the tokens themselves
    List,
    /// Make a token worthless; rooms that are open stay open until their hosts leave
    Revoke {
        /// The token's id, as `list` shows it
        id: String,
    },
}

/// Settings by flag, environment or file.
#[derive(clap::Args, Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// Where to listen: a port such as 443/udp for every address, or ADDRESS:PORT [default: 443/udp]
    #[arg(long, value_name = "ADDR|PORT/udp", env = "LANPARTY_LISTEN")]
    pub listen: Option<ListenAddress>,
    /// Write this relay's certificate here in DER, for --relay-ca-cert of its members
    #[arg(long, value_name = "FILE", env = "LANPARTY_DEV_CERT_DER_OUT")]
    pub dev_cert_der_out: Option<PathBuf>,
    /// Use this certificate chain (PEM) instead of one of our own
    #[arg(long, value_name = "FILE", env = "LANPARTY_CERT")]
    pub cert: Option<PathBuf>,
    /// The private key (PEM) of --cert
    #[arg(long, value_name = "FILE", env = "LANPARTY_KEY")]
    pub key: Option<PathBuf>,
    /// Get a certificate for this domain from a public CA (ACME, RFC 8555) and renew it; the relay's key and its pin stay
    #[arg(long, value_name = "DOMAIN", env = "LANPARTY_ACME_DOMAIN")]
    pub acme_domain: Option<String>,
    /// Where the CA may write about the certificate, for example mailto:admin@example.org
    #[arg(long, value_name = "URI", env = "LANPARTY_ACME_CONTACT")]
    pub acme_contact: Option<String>,
    /// The CA's directory [default: that of Let's Encrypt]
    #[arg(long, value_name = "URL", env = "LANPARTY_ACME_DIRECTORY")]
    pub acme_directory: Option<String>,
    /// Where the CA asks (HTTP-01): it always comes to the domain's TCP/80, which must lead here [default: 80/tcp]
    #[arg(long, value_name = "ADDR|PORT/tcp", env = "LANPARTY_ACME_LISTEN")]
    pub acme_listen: Option<TcpAddress>,
    /// Sockets that share the port, each with a thread of its own: a number from 1 to 64, or auto for half of the processors
    /// (1 below four, 8 at most) [default: auto]
    #[arg(long, value_name = "N|auto", env = "LANPARTY_SOCKETS")]
    pub sockets: Option<SocketCount>,
    /// Whether small urgent packets are sent twice to a member: auto (while its line loses packets), off or on [default: auto]
    #[arg(long, value_name = "auto|off|on", env = "LANPARTY_REDUNDANCY")]
    pub redundancy: Option<Mode>,
    /// Whether the kernel cuts and joins trains of UDP packets (GSO and GRO): auto (where a test at the start finds it sound), on or off [default: auto]
    #[arg(long, value_name = "auto|on|off", env = "LANPARTY_UDP_OFFLOAD")]
    pub udp_offload: Option<SegmentationOffload>,
    /// Members in one room [default: 64]
    #[arg(long, value_name = "N", env = "LANPARTY_MAX_MEMBERS", value_parser = clap::value_parser!(u16).range(2..=i64::from(MOST_MEMBERS)))]
    pub max_members: Option<u16>,
    /// Rooms at the same time [default: 1000]
    #[arg(long, value_name = "N", env = "LANPARTY_MAX_ROOMS", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_rooms: Option<u32>,
    /// Members from one address, over all rooms [default: 64]
    #[arg(long, value_name = "N", env = "LANPARTY_MAX_CONNECTIONS_PER_ADDRESS", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections_per_address: Option<u32>,
    /// Malformed datagrams of a member within a minute before it is disconnected [default: 100]
    #[arg(long, value_name = "N", env = "LANPARTY_MALFORMED_LIMIT")]
    pub malformed_limit: Option<u32>,
    /// Let only those open rooms who have a token of this relay (lanparty-relay token create)
    #[arg(long, env = "LANPARTY_REQUIRE_TOKEN", value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub require_token: Option<bool>,
    /// What one member may send, by class and in all
    #[arg(skip)]
    pub limits: Option<Limits>,
}

layer!(Settings {
    listen,
    dev_cert_der_out,
    cert,
    key,
    acme_domain,
    acme_contact,
    acme_directory,
    acme_listen,
    sockets,
    redundancy,
    udp_offload,
    max_members,
    max_rooms,
    max_connections_per_address,
    malformed_limit,
    require_token,
    limits
});

/// A TCP port of every address, or of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct TcpAddress(pub SocketAddr);

impl FromStr for TcpAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<TcpAddress, String> {
        let bare = text.trim().strip_suffix("/tcp").unwrap_or(text.trim());
        let address = bare.parse().or_else(|_| {
            let port = bare.parse();
            port.map(|port| SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port))
        });
        address.map(TcpAddress).map_err(|_| {
            format!("{text:?} is not something to listen on; write 80/tcp, a port or 0.0.0.0:80")
        })
    }
}

impl TryFrom<String> for TcpAddress {
    type Error = String;

    fn try_from(text: String) -> Result<TcpAddress, String> {
        text.parse()
    }
}

/// How many sockets share the port.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "NumberOrWord")]
pub enum SocketCount {
    Auto,
    Exactly(NonZeroU8),
}

/// As it may stand in a file.
#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrWord {
    Number(u64),
    Word(String),
}

impl FromStr for SocketCount {
    type Err = String;

    fn from_str(text: &str) -> Result<SocketCount, String> {
        if text == "auto" {
            return Ok(SocketCount::Auto);
        }
        text.parse()
            .ok()
            .filter(|count: &NonZeroU8| count.get() <= MOST_SOCKETS)
            .map(SocketCount::Exactly)
            .ok_or_else(|| format!("{text} is neither auto nor a number from 1 to {MOST_SOCKETS}"))
    }
}

impl TryFrom<NumberOrWord> for SocketCount {
    type Error = String;

    fn try_from(value: NumberOrWord) -> Result<SocketCount, String> {
        match value {
            NumberOrWord::Number(number) => number.to_string().parse(),
            NumberOrWord::Word(word) => word.parse(),
        }
    }
}

impl Settings {
    /// # Errors
    /// One sentence for what does not fit together.
    pub fn check(&self) -> Result<(), Failure> {
        let wrong = |text: String, advice: &str| Failure::new(ExitCode::Usage, text).advise(advice);
        if self.cert.is_some() != self.key.is_some() {
            let (given, missing) = if self.cert.is_some() {
                ("--cert", "--key")
            } else {
                ("--key", "--cert")
            };
            return Err(wrong(
                format!("{given} was given without {missing}"),
                "give both, or none to use a certificate of the relay's own",
            ));
        }
        self.check_acme()?;
        let unknown = self.limits.as_ref().map(|limits| limits.unknown_unicast);
        if unknown.is_some_and(|rate| rate != Limits::default().unknown_unicast) {
            return Err(wrong(
                "limits.unknown_unicast is not the relay's: only endpoints know which stations are unknown"
                    .into(),
                "set it in the file of the LAN gateway",
            ));
        }
        // A file is not seen by the command line's own range checks.
        let members = usize::from(self.room_limits().max_members);
        if !(2..=usize::from(MOST_MEMBERS)).contains(&members) {
            return Err(wrong(
                format!("max-members is {members}"),
                "choose a number from 2 to 1024",
            ));
        }
        let rooms = self.room_limits().max_rooms;
        if !(1..=100_000).contains(&rooms) {
            return Err(wrong(
                format!("max-rooms is {rooms}"),
                "choose a number from 1 to 100000",
            ));
        }
        if self.room_limits().connections_per_address == 0 {
            return Err(wrong(
                "max-connections-per-address is 0, so nobody could join".into(),
                "choose at least 1",
            ));
        }
        Ok(())
    }

    fn check_acme(&self) -> Result<(), Failure> {
        let wrong = |text: String, advice: &str| Err(Failure::new(ExitCode::Usage, text).advise(advice));
        let Some(domain) = &self.acme_domain else {
            if self.acme_contact.is_some() || self.acme_directory.is_some() || self.acme_listen.is_some() {
                let text = "there is a setting of ACME, but no domain to get a certificate for";
                return wrong(text.into(), "give --acme-domain too");
            }
            return Ok(());
        };
        if self.cert.is_some() {
            let text = "--acme-domain gets a certificate, and --cert brings one";
            return wrong(text.into(), "give one of them");
        }
        let is_label = |label: &str| {
            let is_plain = label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            is_plain && (1..=63).contains(&label.len())
        };
        // An address ends in a number, a domain never does.
        let is_address = domain
            .rsplit('.')
            .next()
            .is_none_or(|last| last.parse::<u8>().is_ok());
        let is_name = domain.contains('.') && domain.len() <= 253 && domain.split('.').all(is_label);
        if !is_name || is_address {
            let text = format!("{domain:?} is not a domain that a CA certifies");
            return wrong(
                text,
                "give the name that players use, for example relay.example.org",
            );
        }
        Ok(())
    }

    /// How to get a certificate, if that is asked for.
    pub fn acme(&self) -> Option<acme::Plan> {
        let everywhere = TcpAddress((Ipv6Addr::UNSPECIFIED, ACME_PORT).into());
        let directory = || instant_acme::LetsEncrypt::Production.url().to_owned();
        Some(acme::Plan {
            domain: self.acme_domain.clone()?.to_ascii_lowercase(),
            contact: self.acme_contact.clone(),
            directory: self.acme_directory.clone().unwrap_or_else(directory),
            listen: self.acme_listen.unwrap_or(everywhere).0,
        })
    }

    pub fn listen(&self) -> ListenAddress {
        let everywhere = (std::net::Ipv6Addr::UNSPECIFIED, DEFAULT_RELAY_PORT);
        self.listen.unwrap_or(ListenAddress(everywhere.into()))
    }

    /// How many sockets there are on a machine with so many processors.
    pub fn sockets(&self, processors: usize) -> usize {
        match self.sockets {
            Some(SocketCount::Exactly(count)) => usize::from(count.get()),
            // The other half is for the kernel's part of the work, which is the larger one.
            None | Some(SocketCount::Auto) if processors >= 4 => (processors / 2).min(MOST_AUTO_SOCKETS),
            None | Some(SocketCount::Auto) => 1,
        }
    }

    pub fn room_limits(&self) -> RoomLimits {
        let default = RoomLimits::default();
        RoomLimits {
            max_members: self.max_members.unwrap_or(default.max_members),
            max_rooms: self.max_rooms.unwrap_or(default.max_rooms),
            connections_per_address: self
                .max_connections_per_address
                .unwrap_or(default.connections_per_address),
        }
    }

    pub fn ingress(&self) -> IngressConfig {
        IngressConfig {
            limits: self.limits.clone().unwrap_or_default(),
            mtu: mtu::DEFAULT_MTU,
            malformed_limit: self.malformed_limit.unwrap_or(MALFORMED_LIMIT),
            guard: !cfg!(feature = "test-unguarded"),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use lanparty_api::cli::{Layer, parse_text};

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let settings = read("cert = 'a.pem'\n");
        assert!(
            settings
                .check()
                .unwrap_err()
                .to_string()
                .contains("without --key")
        );
        assert!(read("cert = 'a.pem'\nkey = 'b.pem'\n").check().is_ok());
    }

    #[test]
    fn a_file_is_held_to_the_same_ranges_as_flags() {
        for text in [
            "[limits.unknown_unicast]\nper_second = 1\nburst = 1\n",
            "max-members = 1\n",
            "max-rooms = 0\n",
            "max-connections-per-address = 0\n",
            "sockets = 0\n",
            "sockets = 65\n",
            "sockets = 'many'\n",
        ] {
            let refused = match parse_text::<Settings>("f.toml".as_ref(), text) {
                Ok((_, settings)) => settings.check().is_err(),
                Err(_) => true,
            };
            assert!(refused, "{text}");
        }
        assert!(read("").check().is_ok());
    }

    #[test]
    fn half_of_the_processors_read_packets_unless_told_otherwise() {
        let counts = |text: &str| [1, 2, 4, 12, 128].map(|processors| read(text).sockets(processors));
        assert_eq!(counts(""), [1, 1, 2, 6, 8]);
        assert_eq!(counts("sockets = 'auto'\n"), [1, 1, 2, 6, 8]);
        assert_eq!(counts("sockets = 3\n"), [3; 5]);
    }

    #[test]
    fn acme_needs_a_domain_and_no_other_certificate() {
        for text in [
            "acme-contact = 'mailto:a@b.de'\n",
            "acme-domain = 'relay.example.org'\ncert = 'a'\nkey = 'b'\n",
            "acme-domain = '192.0.2.1'\n",
            "acme-domain = 'localhost'\n",
            "acme-domain = '../../etc.passwd'\n",
        ] {
            assert!(read(text).check().is_err(), "{text}");
        }
        let settings = read("acme-domain = 'Relay.Example.org'\nacme-listen = '8080/tcp'\n");
        settings.check().unwrap();
        let plan = settings.acme().unwrap();
        assert_eq!(
            (plan.domain.as_str(), plan.listen.port()),
            ("relay.example.org", 8080)
        );
        assert!(plan.directory.contains("letsencrypt.org"), "{}", plan.directory);
        assert!(read("").acme().is_none());
    }

    #[test]
    fn flags_win_over_the_file() {
        let line = ["lanparty-relay", "--listen", "4443/udp", "--max-members", "8"];
        let flags = Arguments::parse_from(line).settings;
        let merged = flags.over(read("listen = '443/udp'\nmax-rooms = 7\n"));
        assert_eq!(merged.listen().0.port(), 4443);
        assert_eq!(merged.room_limits().max_members, 8);
        assert_eq!(merged.room_limits().max_rooms, 7);
    }

    #[test]
    fn the_file_of_the_help_is_valid() {
        let text = "[limits.bandwidth]\nbytes_per_second = 25000000\nburst_bytes = 4000000\n";
        let bandwidth = read(text).ingress().limits.bandwidth;
        assert_eq!(bandwidth.bytes_per_second.get(), 25_000_000);
    }

    fn read(text: &str) -> Settings {
        parse_text::<Settings>("f.toml".as_ref(), text).unwrap().1
    }
}
