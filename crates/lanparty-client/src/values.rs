//! Values that are checked wherever they stand: on the command line, in the environment, in the file.

use std::str::FromStr;

use lanparty_os::device::check_interface_name;
use lanparty_wire::{Mac, mtu};
use serde::Deserialize;

/// A name that an interface can have.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct TapName(pub String);

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
pub struct VirtualMac(pub Mac);

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
pub struct InnerMtu(pub u16);

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
