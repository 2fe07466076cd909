//! Ethernet frames as bytes, and what a device says about them.

use crate::Mac;

/// Destination, source, type or length.
pub const ETHERNET_HEADER_LEN: usize = 14;
/// The shortest frame on a wire, without its check sequence (IEEE 802.3, clause 4.2.3.3); shorter ones are padded.
pub const MIN_FRAME_LEN: usize = 60;

/// EtherType values that the product decides by (IEEE registration authority).
pub mod ethertype {
    pub const IPV4: u16 = 0x0800;
    pub const ARP: u16 = 0x0806;
    pub const VLAN: u16 = 0x8100;
    pub const IPX: u16 = 0x8137;
    pub const IPV6: u16 = 0x86dd;
    pub const SLOW_PROTOCOLS: u16 = 0x8809;
    pub const EAPOL: u16 = 0x888e;
    pub const SERVICE_VLAN: u16 = 0x88a8;
    pub const LOCAL_EXPERIMENTAL: u16 = 0x88b5;
    pub const LLDP: u16 = 0x88cc;
    /// The smallest type; below it the field is a length (IEEE 802.3, clause 3.2.6).
    pub const MIN: u16 = 0x0600;
}

/// What the kernel left undone in a frame, told by its `virtio_net_hdr` (VIRTIO 1.2, 5.1.6.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Offload {
    /// A finished frame.
    #[default]
    None,
    /// One frame whose transport checksum holds only the pseudo header's sum: it covers the bytes from `start` and belongs
    /// at `start + offset`.
    ChecksumNeeded { start: u16, offset: u16 },
    /// TCP segments of one flow in one super-frame: `size` bytes of payload each, behind `header_len` bytes of headers.
    TcpSegments { size: u16, header_len: u16 },
    /// UDP datagrams of one flow in one super-frame.
    UdpSegments { size: u16, header_len: u16 },
}

/// A frame, or a super-frame, as it came from a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    pub bytes: &'a [u8],
    pub offload: Offload,
}

impl<'a> Frame<'a> {
    /// A finished frame.
    pub const fn plain(bytes: &'a [u8]) -> Frame<'a> {
        Frame {
            bytes,
            offload: Offload::None,
        }
    }
}

/// Why bytes are no Ethernet frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    #[error("shorter than an Ethernet header")]
    Runt,
}

/// Checked view of an Ethernet frame.
#[derive(Clone, Copy, Debug)]
pub struct EtherView<'a> {
    header: &'a [u8; ETHERNET_HEADER_LEN],
    payload: &'a [u8],
}

impl<'a> EtherView<'a> {
    /// # Errors
    /// [`FrameError::Runt`] for fewer than 14 bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<EtherView<'a>, FrameError> {
        let (header, payload) = bytes.split_first_chunk().ok_or(FrameError::Runt)?;
        Ok(EtherView { header, payload })
    }

    /// The station or group that the frame is for.
    pub fn destination(&self) -> Mac {
        let [a, b, c, d, e, f, ..] = *self.header;
        Mac([a, b, c, d, e, f])
    }

    /// The station that sent it.
    pub fn source(&self) -> Mac {
        let [_, _, _, _, _, _, a, b, c, d, e, f, ..] = *self.header;
        Mac([a, b, c, d, e, f])
    }

    /// The type, or below [`ethertype::MIN`] the length.
    pub fn type_or_length(&self) -> u16 {
        u16::from_be_bytes([self.header[12], self.header[13]])
    }

    /// What follows the header: padding included, VLAN tags not taken off.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}
