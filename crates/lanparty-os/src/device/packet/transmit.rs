//! One call for a batch of frames to inject, and what becomes of those that the kernel refuses.

use std::{io, mem};

use crate::device::{MAX_BATCH, OutBatch, Sent, vnet};

/// Sends the batch in order. A frame that is refused is counted and the rest goes on.
///
/// # Errors
/// ENETDOWN or ENXIO when the interface went down or away.
pub(super) fn transmit(fd: libc::c_int, frames: &OutBatch) -> io::Result<Sent> {
    let mut sent = Sent::default();
    let mut headers = [[0; vnet::LEN]; MAX_BATCH];
    // SAFETY: both are plain data and pointers, for which zeros are valid.
    let (mut parts, mut messages): ([[libc::iovec; 2]; MAX_BATCH], [libc::mmsghdr; MAX_BATCH]) =
        unsafe { mem::zeroed() };
    let mut count = 0;
    for frame in frames.iter_padded() {
        let Some(header) = vnet::encode(frame) else {
            sent.refused += 1;
            continue;
        };
        headers[count] = header;
        // The kernel only reads; its interface has no constant pointers.
        parts[count] = [
            libc::iovec {
                iov_base: headers[count].as_mut_ptr().cast(),
                iov_len: vnet::LEN,
            },
            libc::iovec {
                iov_base: frame.bytes.as_ptr().cast_mut().cast(),
                iov_len: frame.bytes.len(),
            },
        ];
        messages[count].msg_hdr.msg_iov = parts[count].as_mut_ptr();
        messages[count].msg_hdr.msg_iovlen = 2;
        count += 1;
    }
    send_messages(fd, &mut messages[..count], sent)
}

fn send_messages(fd: libc::c_int, mut rest: &mut [libc::mmsghdr], mut sent: Sent) -> io::Result<Sent> {
    while !rest.is_empty() {
        let (pointer, len) = (rest.as_mut_ptr(), rest.len() as libc::c_uint);
        // SAFETY: every message points at parts that point at live headers and frames, as long as stated.
        let count = unsafe { libc::sendmmsg(fd, pointer, len, libc::MSG_DONTWAIT) };
        if let Ok(count) = u32::try_from(count) {
            sent.accepted += count;
            rest = &mut rest[count as usize..];
            continue;
        }
        // An error is that of the first message.
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => continue,
            // The socket's own buffer is full, so the others would not fit either.
            Some(libc::EAGAIN) => {
                sent.busy += rest.len() as u32;
                return Ok(sent);
            }
            Some(libc::ENOBUFS | libc::ENOMEM) => sent.busy += 1,
            Some(libc::ENETDOWN | libc::ENXIO | libc::ENODEV | libc::EBADF | libc::EPERM | libc::EACCES) => {
                return Err(error);
            }
            // EMSGSIZE, EINVAL, and whatever a driver objects to: the frame's fault, as far as the next one is
            // concerned.
            _ => sent.refused += 1,
        }
        rest = &mut rest[1..];
    }
    Ok(sent)
}
