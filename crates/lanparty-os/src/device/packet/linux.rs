//! The packet socket of Linux (packet(7)): how it is opened, and how it comes back.

use std::{
    io, mem,
    os::fd::{AsRawFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use lanparty_wire::Frame;
use tokio::{io::unix::AsyncFd, time::timeout};

use super::{receive::receive, transmit::transmit};
use crate::{
    device::{Batch, Device, DeviceError, FrameSink, FrameSource, Medium, OutBatch, Sent, SourceLosses},
    network::Watch,
    syscall,
};

/// Holds 40 ms of 1 Gbit/s in full frames, the longest that our task is expected to be away; the kernel doubles it
/// for its own bookkeeping.
const RECEIVE_BUFFER: libc::c_int = 8 << 20;
/// 8 ms of 1 Gbit/s: more would only be latency.
const SEND_BUFFER: libc::c_int = 1 << 20;
/// How often an absent interface is looked for without having been announced.
const RETRY: Duration = Duration::from_millis(500);

/// A packet socket on one interface.
pub struct PacketDevice(Arc<Shared>);

/// Frames that are on the wire.
pub struct PacketSource {
    shared: Arc<Shared>,
    losses: SourceLosses,
}

/// Frames for the wire. Short ones are padded to 60 bytes, as a network card would.
pub struct PacketSink(Arc<Shared>);

struct Shared {
    fd: AsyncFd<OwnedFd>,
    name: String,
    index: libc::c_int,
}

impl PacketDevice {
    /// Opens the interface, which has to be up. Whether it is fit to be bridged is asked before, of
    /// `interface::check_lan_interface`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`DeviceError::Down`] if it is down or not there, [`DeviceError::Permission`] without CAP_NET_RAW.
    pub fn open(interface: &str) -> Result<PacketDevice, DeviceError> {
        let open = || {
            let (fd, index) = open(interface)?;
            Ok(PacketDevice(Arc::new(Shared {
                fd: syscall::register(fd)?,
                name: interface.to_owned(),
                index,
            })))
        };
        open().map_err(|error| DeviceError::from_io("capture from", interface, error))
    }

    /// Waits until the interface exists and is up, under whatever index it comes, and opens it. Cancel safe.
    ///
    /// # Errors
    /// Those that waiting does not cure.
    pub async fn open_when_ready(interface: &str) -> Result<PacketDevice, DeviceError> {
        let fail = |error| DeviceError::from_io("watch for", interface, error);
        // Watched before the first try, so that nothing that happens in between is missed.
        let mut watch = Watch::immediate().map_err(fail)?;
        loop {
            match PacketDevice::open(interface) {
                Err(DeviceError::Down { .. }) => {}
                other => return other,
            }
            // The interval is a second line of defence, so its passing is as good as an event.
            if let Ok(result) = timeout(RETRY, watch.changed()).await {
                result.map_err(fail)?;
            }
        }
    }

    /// The system's number for the interface, which a re-plugged one does not keep.
    pub fn index(&self) -> u32 {
        self.0.index.cast_unsigned()
    }
}

impl Device for PacketDevice {
    type Source = PacketSource;
    type Sink = PacketSink;

    fn medium(&self) -> Medium {
        Medium::Ethernet
    }

    fn split(self) -> (PacketSource, PacketSink) {
        (
            PacketSource {
                shared: Arc::clone(&self.0),
                losses: SourceLosses::default(),
            },
            PacketSink(self.0),
        )
    }
}

impl FrameSource for PacketSource {
    async fn recv(&mut self, batch: &mut Batch) -> Result<(), DeviceError> {
        let shared = Arc::clone(&self.shared);
        let fail = |error| DeviceError::from_io("capture from", &shared.name, error);
        loop {
            let mut guard = syscall::readable(&shared.fd).await.map_err(fail)?;
            match receive(shared.fd.as_raw_fd(), batch, &mut self.losses) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                Err(error) => return Err(fail(error)),
            }
        }
    }

    fn losses(&mut self) -> SourceLosses {
        self.losses.overrun += u64::from(dropped_since_last_asked(self.shared.fd.as_raw_fd()));
        self.losses
    }
}

impl FrameSink for PacketSink {
    async fn send(&mut self, frames: &mut OutBatch) -> Result<Sent, DeviceError> {
        self.send_some(frames, |_| true)
    }
}

impl PacketSink {
    /// Sends the frames that `keep` wants, and empties the batch.
    pub(crate) fn send_some(
        &mut self,
        frames: &mut OutBatch,
        keep: impl Fn(Frame<'_>) -> bool,
    ) -> Result<Sent, DeviceError> {
        // A name that is no longer that of the interface stands for none of its super-frames.
        let mtu = || mtu(self.0.fd.get_ref(), &self.0.name).unwrap_or(0);
        let result = transmit(self.0.fd.as_raw_fd(), frames, mtu, keep);
        frames.clear();
        result.map_err(|error| DeviceError::from_io("send by", &self.0.name, error))
    }
}

fn open(interface: &str) -> io::Result<(OwnedFd, libc::c_int)> {
    // Protocol 0: nothing is captured before everything is set and the socket is bound.
    let fd = syscall::socket(libc::AF_PACKET, libc::SOCK_RAW, 0)?;
    let index = syscall::interface_index(interface)?;
    if !is_up(&fd, interface)? {
        return Err(io::Error::from_raw_os_error(libc::ENETDOWN));
    }
    let raw = fd.as_raw_fd();
    let on: libc::c_int = 1;
    syscall::set_option(raw, libc::SOL_PACKET, libc::PACKET_VNET_HDR, &on)?;
    syscall::set_option(raw, libc::SOL_PACKET, libc::PACKET_AUXDATA, &on)?;
    syscall::set_buffers(raw, RECEIVE_BUFFER, SEND_BUFFER)?;
    let promiscuous = libc::packet_mreq {
        mr_ifindex: index,
        mr_type: libc::PACKET_MR_PROMISC as libc::c_ushort,
        mr_alen: 0,
        mr_address: [0; 8],
    };
    syscall::set_option(raw, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &promiscuous)?;
    bind(&fd, index)?;
    Ok((fd, index))
}

fn bind(fd: &OwnedFd, index: libc::c_int) -> io::Result<()> {
    // SAFETY: `sockaddr_ll` is plain data, for which zeros are valid.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as libc::c_ushort;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index;
    let len = mem::size_of_val(&address) as libc::socklen_t;
    // SAFETY: the address is live and of the stated length.
    syscall::check(unsafe { libc::bind(fd.as_raw_fd(), std::ptr::from_ref(&address).cast(), len) })?;
    Ok(())
}

fn is_up(fd: &OwnedFd, interface: &str) -> io::Result<bool> {
    let mut request = syscall::interface_request(interface)?;
    syscall::interface_ioctl(fd, libc::SIOCGIFFLAGS as libc::Ioctl, &mut request)?;
    // SAFETY: this request fills in the flags.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    Ok(libc::c_int::from(flags) & libc::IFF_UP != 0)
}

/// Bytes of IP packet that the interface sends.
fn mtu(fd: &OwnedFd, interface: &str) -> io::Result<usize> {
    let mut request = syscall::interface_request(interface)?;
    syscall::interface_ioctl(fd, libc::SIOCGIFMTU as libc::Ioctl, &mut request)?;
    // SAFETY: this request fills in the MTU.
    let mtu = unsafe { request.ifr_ifru.ifru_mtu };
    Ok(usize::try_from(mtu).unwrap_or(0))
}

/// The kernel's count starts again with every question.
fn dropped_since_last_asked(fd: libc::c_int) -> u32 {
    let mut statistics = libc::tpacket_stats {
        tp_packets: 0,
        tp_drops: 0,
    };
    let mut len = mem::size_of_val(&statistics) as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into a live value of that size.
    let result = unsafe {
        let value = std::ptr::from_mut(&mut statistics).cast();
        libc::getsockopt(fd, libc::SOL_PACKET, libc::PACKET_STATISTICS, value, &mut len)
    };
    if result == 0 { statistics.tp_drops } else { 0 }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
