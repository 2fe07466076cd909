//! Features of a network device, as `ethtool -k` names them (kernel: include/uapi/linux/ethtool.h).
//!
//! The names are asked of the kernel, so features that did not exist when this was written can be switched as well.

use std::{io, mem};

use crate::syscall;

const GET_STRINGS: u32 = 0x1b;
const GET_SET_INFO: u32 = 0x37;
const GET_FEATURES: u32 = 0x3a;
const SET_FEATURES: u32 = 0x3b;
/// The set of strings that names features.
const FEATURE_STRINGS: u32 = 4;
const STRING_LEN: usize = 32;
/// No kernel has so many; a wild answer must not make us allocate.
const MOST: u32 = 1024;

/// Whether a feature is on; `None` if the device knows none of this name.
pub(crate) fn read(interface: &str, feature: &str) -> io::Result<Option<bool>> {
    let device = Device::open(interface)?;
    let Some(position) = device.position(feature)? else {
        return Ok(None);
    };
    // The header of two words, then for each block of 32: available, requested, active, never changed.
    let blocks = position.block + 1;
    let mut question = vec![0; 2 + blocks * 4];
    question[..2].copy_from_slice(&[GET_FEATURES, blocks as u32]);
    device.ask(&mut question)?;
    Ok(Some(question[2 + position.block * 4 + 2] & position.bit != 0))
}

/// Switches a feature.
///
/// # Errors
/// `NotFound` if the device knows none of this name, `Unsupported` if it cannot be switched.
pub(crate) fn write(interface: &str, feature: &str, on: bool) -> io::Result<()> {
    let device = Device::open(interface)?;
    let position = device
        .position(feature)?
        .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    // The header of two words, then for each block of 32: valid, requested. The kernel insists on all blocks.
    let blocks = device.count()?.div_ceil(32);
    let mut question = vec![0; 2 + blocks * 2];
    question[..2].copy_from_slice(&[SET_FEATURES, blocks as u32]);
    question[2 + position.block * 2] = position.bit;
    question[2 + position.block * 2 + 1] = if on { position.bit } else { 0 };
    device.ask(&mut question)?;
    match read(interface, feature)? {
        Some(now) if now == on => Ok(()),
        _ => Err(io::Error::from(io::ErrorKind::Unsupported)),
    }
}

struct Device {
    socket: std::os::fd::OwnedFd,
    request: libc::ifreq,
}

struct Position {
    block: usize,
    bit: u32,
}

impl Device {
    fn open(interface: &str) -> io::Result<Device> {
        Ok(Device {
            socket: syscall::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?,
            request: syscall::interface_request(interface)?,
        })
    }

    /// How many features this kernel knows.
    fn count(&self) -> io::Result<usize> {
        // Command, reserved, the sets asked for (64 bits), the answer.
        let mut question = [0; 5];
        question[0] = GET_SET_INFO;
        let set = 1u64 << FEATURE_STRINGS;
        question[2..4].copy_from_slice(&[set as u32, 0]);
        if cfg!(target_endian = "big") {
            question.swap(2, 3);
        }
        self.ask(&mut question)?;
        Ok(question[4].min(MOST) as usize)
    }

    fn position(&self, feature: &str) -> io::Result<Option<Position>> {
        let count = self.count()?;
        // The header of three words, then the names, padded with zeros.
        let mut question = vec![0; 3 + count * STRING_LEN / mem::size_of::<u32>()];
        question[..3].copy_from_slice(&[GET_STRINGS, FEATURE_STRINGS, count as u32]);
        self.ask(&mut question)?;
        let bytes: Vec<u8> = question[3..].iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut names = bytes
            .chunks_exact(STRING_LEN)
            .map(|name| name.split(|byte| *byte == 0).next().unwrap_or(name));
        let index = names.position(|name| name == feature.as_bytes());
        Ok(index.map(|index| Position {
            block: index / 32,
            bit: 1 << (index % 32),
        }))
    }

    /// Every question states its own length in its header, which has to be true of `question`.
    fn ask(&self, question: &mut [u32]) -> io::Result<()> {
        let mut request = self.request;
        request.ifr_ifru.ifru_data = question.as_mut_ptr().cast();
        syscall::interface_ioctl(&self.socket, libc::SIOCETHTOOL as libc::Ioctl, &mut request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{in_namespace, ip};

    #[test]
    fn a_feature_is_switched_off_and_on() {
        in_namespace(|| async {
            ip("link add lan0 type veth peer name host0");
            for feature in ["tx-udp-segmentation", "rx-gro", "tx-tcp-segmentation"] {
                let before = read("lan0", feature).unwrap().unwrap();
                write("lan0", feature, !before).unwrap();
                assert_eq!(read("lan0", feature).unwrap(), Some(!before), "{feature}");
                write("lan0", feature, before).unwrap();
                assert_eq!(read("lan0", feature).unwrap(), Some(before), "{feature}");
            }
            assert_eq!(read("host0", "tx-udp-segmentation").unwrap(), Some(true));
        });
    }

    #[test]
    fn unknown_features_and_devices_are_told_apart() {
        in_namespace(|| async {
            assert_eq!(read("lo", "tx-telepathy").unwrap(), None);
            assert_eq!(
                write("lo", "tx-telepathy", true).unwrap_err().kind(),
                io::ErrorKind::NotFound
            );
            assert_eq!(
                read("eth9", "rx-gro").unwrap_err().raw_os_error(),
                Some(libc::ENODEV)
            );
        });
    }
}
