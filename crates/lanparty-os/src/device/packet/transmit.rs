//! One call for a batch of frames to inject, and what becomes of those that the kernel refuses.
//!
//! Frames pass the interface's queueing discipline: with PACKET_QDISC_BYPASS the kernel throws away a super-frame for a card that
//! cannot cut it, where it otherwise does so itself.

use std::{io, mem};

use lanparty_wire::{ETHERNET_HEADER_LEN, Frame, MIN_FRAME_LEN, Offload};

use crate::device::{MAX_BATCH, MAX_SEGMENTS, OutBatch, OutFrame, Sent, vnet};

/// What short frames are filled up with.
static PADDING: [u8; MIN_FRAME_LEN] = [0; MIN_FRAME_LEN];

/// Header of the kernel, the frame's two parts, padding.
type Parts = [libc::iovec; 4];

/// A frame as it is given to the kernel.
struct Message<'a> {
    header: [u8; vnet::LEN],
    bytes: [&'a [u8]; 2],
    /// What it is made of, if it can be taken apart.
    merged: Option<OutFrame<'a>>,
}

/// Sends the batch in order. A frame that is refused is counted and the rest goes on; a super-frame of ours that is refused, or whose
/// segments are longer than `mtu`, is taken apart first. `mtu` is asked only if there is one. Frames that `keep` does not want are left out.
///
/// # Errors
/// ENETDOWN or ENXIO when the interface went down or away.
pub(super) fn transmit(
    fd: libc::c_int,
    frames: &OutBatch,
    mtu: impl FnOnce() -> usize,
    keep: impl Fn(Frame<'_>) -> bool,
) -> io::Result<Sent> {
    let has_merged = frames.frames().any(|out| out.is_merged());
    // The kernel refuses finished frames that are too long, but hands such segments to the card's driver.
    let longest = if has_merged { mtu() } else { 0 };
    let mut sent = Sent::default();
    let mut messages = Vec::with_capacity(frames.frames().len());
    for out in frames.frames().filter(|out| keep(out.frame)) {
        if out.is_merged() && longest_segment(&out) > longest {
            send(fd, &messages, &mut sent)?;
            messages.clear();
            send_apart(fd, &out, &mut sent)?;
        } else if let Some(header) = vnet::encode(out.frame) {
            messages.push(Message {
                header,
                bytes: [out.frame.bytes, &[]],
                merged: out.is_merged().then_some(out),
            });
        } else {
            sent.refused += out.count();
        }
    }
    send(fd, &messages, &mut sent)?;
    Ok(sent)
}

/// The longest IP packet that a super-frame is cut into.
fn longest_segment(out: &OutFrame<'_>) -> usize {
    match out.frame.offload {
        Offload::TcpSegments { size, header_len } | Offload::UdpSegments { size, header_len } => {
            usize::from(size) + usize::from(header_len) - ETHERNET_HEADER_LEN
        }
        Offload::None | Offload::ChecksumNeeded { .. } => out.frame.bytes.len() - ETHERNET_HEADER_LEN,
    }
}

/// Sends a super-frame of ours as what it was put together from.
fn send_apart(fd: libc::c_int, out: &OutFrame<'_>, sent: &mut Sent) -> io::Result<()> {
    let messages: Vec<_> = out
        .segments()
        .map(|bytes| Message {
            header: vnet::FINISHED,
            bytes,
            merged: None,
        })
        .collect();
    sent.recut += 1;
    send(fd, &messages, sent)
}

fn send(fd: libc::c_int, messages: &[Message<'_>], sent: &mut Sent) -> io::Result<()> {
    // SAFETY: both are plain data and pointers, for which zeros are valid.
    let (mut parts, mut calls): ([Parts; MAX_BATCH], [libc::mmsghdr; MAX_BATCH]) = unsafe { mem::zeroed() };
    for ((message, parts), call) in messages.iter().zip(&mut parts).zip(&mut calls) {
        *parts = message.parts();
        call.msg_hdr.msg_iov = parts.as_mut_ptr();
        call.msg_hdr.msg_iovlen = parts.len() as _;
    }
    let mut next = 0;
    while next < messages.len() {
        let rest = &mut calls[next..messages.len()];
        // SAFETY: every message points at parts that point at live headers and frames, as long as stated.
        let count = unsafe {
            libc::sendmmsg(
                fd,
                rest.as_mut_ptr(),
                rest.len() as libc::c_uint,
                libc::MSG_DONTWAIT,
            )
        };
        if let Ok(count) = usize::try_from(count) {
            sent.accepted += messages[next..next + count]
                .iter()
                .map(Message::count)
                .sum::<u32>();
            next += count;
            continue;
        }
        // An error is that of the first message.
        let (error, message) = (io::Error::last_os_error(), &messages[next]);
        match error.raw_os_error() {
            Some(libc::EINTR) => continue,
            // The socket's own buffer is full, so the others would not fit either.
            Some(libc::EAGAIN) => {
                sent.busy += messages[next..].iter().map(Message::count).sum::<u32>();
                return Ok(());
            }
            Some(libc::ENETDOWN | libc::ENXIO | libc::ENODEV | libc::EBADF | libc::EPERM | libc::EACCES) => {
                return Err(error);
            }
            reason => message.refused(fd, reason, sent)?,
        }
        next += 1;
    }
    Ok(())
}

impl Message<'_> {
    fn count(&self) -> u32 {
        self.merged.map_or(1, |out| out.count())
    }

    /// The kernel only reads; its interface has no constant pointers.
    fn parts(&self) -> Parts {
        let [first, second] = self.bytes;
        let missing = MIN_FRAME_LEN.saturating_sub(first.len() + second.len());
        [&self.header[..], first, second, &PADDING[..missing]].map(|part| libc::iovec {
            iov_base: part.as_ptr().cast_mut().cast(),
            iov_len: part.len(),
        })
    }

    fn refused(&self, fd: libc::c_int, reason: Option<libc::c_int>, sent: &mut Sent) -> io::Result<()> {
        match (reason, &self.merged) {
            (_, Some(out)) => return send_apart(fd, out, sent),
            (Some(libc::ENOBUFS | libc::ENOMEM), None) => sent.busy += 1,
            // EMSGSIZE, EINVAL, and whatever a driver objects to: the frame's fault, as far as the next one is concerned.
            (_, None) => sent.refused += 1,
        }
        Ok(())
    }
}

const _: () = {
    // What is taken apart goes in one call.
    assert!(MAX_SEGMENTS <= MAX_BATCH);
};
