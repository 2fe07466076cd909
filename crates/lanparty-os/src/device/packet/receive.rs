//! One call for a batch of captured frames, and what the kernel tells beside each.

use std::{io, mem, ops::Range};

use lanparty_wire::ethertype;

use crate::device::{Batch, FrameOrigin, MAX_BATCH, MAX_FRAME_LEN, SourceLosses, vnet};

/// A VLAN tag: type and control information.
const TAG_LEN: usize = 4;
/// Frames begin here in their slots, so that a tag can be put back by moving only the two addresses.
const HEADROOM: usize = TAG_LEN;
const ADDRESSES_LEN: usize = 12;
/// The bits of control information that name the VLAN.
const VLAN_ID: u16 = 0x0fff;

/// What the kernel writes beside a frame's bytes.
#[derive(Clone, Copy)]
#[repr(C)]
struct Beside {
    /// First, because control messages have to be aligned.
    control: [u64; 8],
    address: libc::sockaddr_ll,
    header: [u8; vnet::LEN],
}

/// Fills the batch with what is there.
///
/// # Errors
/// `WouldBlock` if there is nothing, ENETDOWN once after the interface went away.
pub(super) fn receive(fd: libc::c_int, batch: &mut Batch, losses: &mut SourceLosses) -> io::Result<()> {
    batch.clear();
    // SAFETY: both are plain data and pointers, for which zeros are valid.
    let (mut beside, mut messages): ([Beside; MAX_BATCH], [libc::mmsghdr; MAX_BATCH]) =
        unsafe { mem::zeroed() };
    // SAFETY: as above.
    let mut parts: [[libc::iovec; 2]; MAX_BATCH] = unsafe { mem::zeroed() };
    for (((message, parts), beside), slot) in messages
        .iter_mut()
        .zip(&mut parts)
        .zip(&mut beside)
        .zip(batch.slots())
    {
        let frame = &mut slot[HEADROOM..HEADROOM + MAX_FRAME_LEN];
        parts[0] = libc::iovec {
            iov_base: beside.header.as_mut_ptr().cast(),
            iov_len: vnet::LEN,
        };
        parts[1] = libc::iovec {
            iov_base: frame.as_mut_ptr().cast(),
            iov_len: frame.len(),
        };
        message.msg_hdr.msg_iov = parts.as_mut_ptr();
        message.msg_hdr.msg_iovlen = 2;
        message.msg_hdr.msg_name = std::ptr::from_mut(&mut beside.address).cast();
        message.msg_hdr.msg_namelen = mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        message.msg_hdr.msg_control = beside.control.as_mut_ptr().cast();
        message.msg_hdr.msg_controllen = mem::size_of_val(&beside.control) as _;
    }
    let count = receive_messages(fd, &mut messages, losses)?;
    for (index, (message, beside)) in messages.iter().zip(&beside).take(count).enumerate() {
        take(batch, index, message, beside, losses);
    }
    Ok(())
}

pub(super) fn receive_messages(
    fd: libc::c_int,
    messages: &mut [libc::mmsghdr],
    losses: &mut SourceLosses,
) -> io::Result<usize> {
    // Each round that fails has cost a frame; the bound lets other tasks live even if that should ever be wrong.
    for _ in 0..MAX_BATCH {
        let (pointer, len) = (messages.as_mut_ptr(), messages.len() as libc::c_uint);
        // SAFETY: every message points at parts, address and control buffer that outlive this call and are nowhere
        // else borrowed.
        let count = unsafe { libc::recvmmsg(fd, pointer, len, libc::MSG_DONTWAIT, std::ptr::null_mut()) };
        if let Ok(count) = usize::try_from(count) {
            return Ok(count);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            // The kernel could not describe a super-frame in the virtio header, and has thrown it away.
            Some(libc::EINVAL) => losses.undescribed += 1,
            Some(libc::EINTR) => {}
            _ => return Err(error),
        }
    }
    Ok(0)
}

fn take(
    batch: &mut Batch,
    index: usize,
    message: &libc::mmsghdr,
    beside: &Beside,
    losses: &mut SourceLosses,
) {
    if message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0 {
        losses.truncated += 1;
        return;
    }
    let len = (message.msg_len as usize).saturating_sub(vnet::LEN);
    let mut within = HEADROOM..HEADROOM + len;
    let slot = batch.slot(index);
    if let Some(tag) = vlan_tag(&message.msg_hdr) {
        within = put_back(tag, slot, within);
    }
    let inserted = (HEADROOM - within.start) as u16;
    let origin = match beside.address.sll_pkttype {
        libc::PACKET_OUTGOING => FrameOrigin::ThisHost,
        _ => FrameOrigin::Wire,
    };
    match vnet::decode(&beside.header, &slot[within.clone()], inserted) {
        Ok(offload) => batch.commit_slot(index, within, offload, origin),
        Err(vnet::Undescribed) => losses.undescribed += 1,
    }
}

/// The tag that the kernel took off the frame on its way to us (PACKET_AUXDATA in packet(7)).
fn vlan_tag(message: &libc::msghdr) -> Option<[u8; TAG_LEN]> {
    // SAFETY: the kernel has filled in the control buffer and its length, and both are still live.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(message) };
    // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR answer a header inside the control buffer, or null.
    while let Some(header) = unsafe { next.as_ref() } {
        if header.cmsg_level == libc::SOL_PACKET && header.cmsg_type == libc::PACKET_AUXDATA {
            // SAFETY: a control message of this type carries this struct; it may not be aligned for it.
            let data = unsafe {
                libc::CMSG_DATA(header)
                    .cast::<libc::tpacket_auxdata>()
                    .read_unaligned()
            };
            return tag_of(&data);
        }
        // SAFETY: as above.
        next = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    None
}

fn tag_of(data: &libc::tpacket_auxdata) -> Option<[u8; TAG_LEN]> {
    if data.tp_status & libc::TP_STATUS_VLAN_VALID == 0 {
        return None;
    }
    let known = data.tp_status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
    let kind = if known { data.tp_vlan_tpid } else { ethertype::VLAN };
    // A tag of no VLAN says only how urgent the frame is on this cable (IEEE 802.1Q, clause 9.6): the frame is an untagged one.
    if kind == ethertype::VLAN && data.tp_vlan_tci & VLAN_ID == 0 {
        return None;
    }
    let ([a, b], [c, d]) = (kind.to_be_bytes(), data.tp_vlan_tci.to_be_bytes());
    Some([a, b, c, d])
}

/// Moves the addresses forward and writes the tag behind them; answers where the frame is now.
fn put_back(tag: [u8; TAG_LEN], slot: &mut [u8], within: Range<usize>) -> Range<usize> {
    if within.len() < ADDRESSES_LEN || within.start < TAG_LEN {
        return within;
    }
    let start = within.start - TAG_LEN;
    slot.copy_within(within.start..within.start + ADDRESSES_LEN, start);
    slot[start + ADDRESSES_LEN..within.start + ADDRESSES_LEN].copy_from_slice(&tag);
    start..within.end
}

const _: () = {
    // A control message with the auxiliary data fits its buffer.
    assert!(mem::size_of::<libc::cmsghdr>() + mem::size_of::<libc::tpacket_auxdata>() + 8 <= 64);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_put_back_behind_the_addresses() {
        let mut slot: Vec<u8> = (0..32).collect();
        let within = put_back([0x81, 0x00, 0x20, 0x07], &mut slot, 4..32);
        assert_eq!(within, 0..32);
        assert_eq!(slot[..12], (4..16).collect::<Vec<u8>>());
        assert_eq!(slot[12..16], [0x81, 0x00, 0x20, 0x07]);
        assert_eq!(slot[16..], (16..32).collect::<Vec<u8>>());
    }

    #[test]
    fn a_tag_of_unknown_type_is_a_customer_tag() {
        let mut data = libc::tpacket_auxdata {
            tp_status: libc::TP_STATUS_VLAN_VALID,
            tp_len: 0,
            tp_snaplen: 0,
            tp_mac: 0,
            tp_net: 0,
            tp_vlan_tci: 0x2007,
            tp_vlan_tpid: 0,
        };
        assert_eq!(tag_of(&data), Some([0x81, 0x00, 0x20, 0x07]));
        data.tp_status |= libc::TP_STATUS_VLAN_TPID_VALID;
        data.tp_vlan_tpid = ethertype::SERVICE_VLAN;
        assert_eq!(tag_of(&data), Some([0x88, 0xa8, 0x20, 0x07]));
        data.tp_vlan_tpid = ethertype::VLAN;
        data.tp_vlan_tci = 0xe000;
        assert_eq!(tag_of(&data), None, "urgent, but of no VLAN");
        data.tp_status = 0;
        assert_eq!(tag_of(&data), None);
    }
}
