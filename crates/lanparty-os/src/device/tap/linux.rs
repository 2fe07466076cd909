//! The TAP of Linux: `/dev/net/tun` (kernel: Documentation/networking/tuntap.rst).

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::Arc,
};

use lanparty_wire::{Frame, Mac};
use tokio::io::unix::AsyncFd;

use super::{TapOptions, Written};
use crate::{
    device::{
        Batch, Device, DeviceError, FrameOrigin, FrameSink, FrameSource, Medium, OutBatch, OutFrame, Sent,
        SourceLosses, check_interface_name, vnet,
    },
    interface::TAP_ALIAS,
    network, syscall,
};

/// Segments of TCP may come as super-frames, and checksums may be left to us.
const OFFLOADS: libc::c_uint = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6 | libc::TUN_F_TSO_ECN;
/// Datagrams of one `sendmsg` too (UDP_SEGMENT in udp(7)); since Linux 6.2, before that the kernel cuts them.
const DATAGRAM_OFFLOADS: libc::c_uint = libc::TUN_F_USO4 | libc::TUN_F_USO6;
const ARPHRD_ETHER: libc::sa_family_t = 1;

/// A TAP of ours. Dropping the last of it and its parts removes the interface.
pub struct Tap(Arc<Shared>);

/// Frames that programs of this machine send into the TAP.
pub struct TapSource {
    shared: Arc<Shared>,
    losses: SourceLosses,
}

/// Frames that the TAP receives, for programs of this machine.
pub struct TapSink(Arc<Shared>);

/// The switches of a TAP that is already carrying frames.
#[derive(Clone)]
pub struct TapControl(Arc<Shared>);

struct Shared {
    fd: AsyncFd<OwnedFd>,
    name: String,
    index: u32,
}

pub(super) fn remove(_: &str) -> Result<bool, DeviceError> {
    Ok(false)
}

impl Tap {
    /// Creates the interface, without a carrier and down. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`DeviceError::Exists`] if the name is taken, [`DeviceError::Permission`] without CAP_NET_ADMIN.
    pub fn create(options: &TapOptions) -> Result<Tap, DeviceError> {
        check_interface_name(&options.name)?;
        let name = options.name.clone();
        let fail = |source: io::Error| match source.raw_os_error() {
            Some(libc::EBUSY | libc::EINVAL | libc::EEXIST) if syscall::interface_index(&name).is_ok() => {
                DeviceError::Exists { name: name.clone() }
            }
            _ => DeviceError::from_io("create the TAP", &name, source),
        };
        let fd = open(&name).map_err(fail)?;
        let index = syscall::interface_index(&name).map_err(fail)?;
        let fd = syscall::register(fd).map_err(fail)?;
        let control = TapControl(Arc::new(Shared {
            fd,
            name: options.name.clone(),
            index: index.cast_unsigned(),
        }));
        control.set_carrier(false)?;
        mark(control.index(), &options.name)?;
        control.set_mac(options.mac)?;
        control.set_mtu(options.mtu)?;
        Ok(Tap(control.0))
    }

    pub fn control(&self) -> TapControl {
        TapControl(Arc::clone(&self.0))
    }
}

impl Device for Tap {
    type Source = TapSource;
    type Sink = TapSink;

    fn medium(&self) -> Medium {
        Medium::Ethernet
    }

    fn split(self) -> (TapSource, TapSink) {
        (
            TapSource {
                shared: Arc::clone(&self.0),
                losses: SourceLosses::default(),
            },
            TapSink(self.0),
        )
    }
}

impl FrameSource for TapSource {
    async fn recv(&mut self, batch: &mut Batch) -> Result<(), DeviceError> {
        batch.clear();
        let shared = Arc::clone(&self.shared);
        let fail = |error| DeviceError::from_io("read from", &shared.name, error);
        loop {
            let mut guard = syscall::readable(&shared.fd).await.map_err(fail)?;
            match self.fill(batch) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    guard.clear_ready();
                    if !batch.is_empty() {
                        return Ok(());
                    }
                }
                Err(error) => return Err(fail(error)),
            }
        }
    }

    fn losses(&mut self) -> SourceLosses {
        self.losses
    }
}

impl TapSource {
    /// Reads until the batch is full or the device empty, which is told by `WouldBlock`.
    fn fill(&mut self, batch: &mut Batch) -> io::Result<()> {
        let fd = self.shared.fd.get_ref();
        while let Some(spare) = batch.spare() {
            let mut header = [0; vnet::LEN];
            let len = match read_vectored(fd, &mut header, spare) {
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let len = len.saturating_sub(vnet::LEN);
            // The kernel cuts silently, so a frame that fills all the space may have been longer.
            if len >= spare.len() {
                self.losses.truncated += 1;
                continue;
            }
            match vnet::decode(&header, &spare[..len], 0) {
                Ok(offload) => batch.commit(len, offload, FrameOrigin::ThisHost),
                Err(vnet::Undescribed) => self.losses.undescribed += 1,
            }
        }
        Ok(())
    }
}

impl FrameSink for TapSink {
    async fn send(&mut self, frames: &mut OutBatch) -> Result<Sent, DeviceError> {
        let result = self.write(frames, |_| true);
        frames.clear();
        result
    }
}

impl TapSink {
    /// Writes the frames that `keep` wants.
    pub(crate) fn write(
        &self,
        frames: &OutBatch,
        keep: impl Fn(Frame<'_>) -> bool,
    ) -> Result<Sent, DeviceError> {
        let mut sent = Sent::default();
        for out in frames.frames().filter(|out| keep(out.frame)) {
            let Some(header) = vnet::encode(out.frame) else {
                sent.refused += out.count();
                continue;
            };
            match self.write_one(&header, [out.frame.bytes, &[]])? {
                Written::Accepted => sent.accepted += out.count(),
                Written::Refused | Written::Busy if out.is_merged() => {
                    sent.recut += 1;
                    self.write_segments(&out, &mut sent)?;
                }
                Written::Refused => sent.refused += 1,
                Written::Busy => sent.busy += 1,
            }
        }
        Ok(sent)
    }

    /// Writes a super-frame of ours as what it was put together from.
    fn write_segments(&self, out: &OutFrame<'_>, sent: &mut Sent) -> Result<(), DeviceError> {
        for segment in out.segments() {
            match self.write_one(&vnet::FINISHED, segment)? {
                Written::Accepted => sent.accepted += 1,
                Written::Refused => sent.refused += 1,
                Written::Busy => sent.busy += 1,
            }
        }
        Ok(())
    }

    fn write_one(&self, header: &[u8; vnet::LEN], frame: [&[u8]; 2]) -> Result<Written, DeviceError> {
        let Err(error) = write_vectored(self.0.fd.get_ref(), header, frame) else {
            return Ok(Written::Accepted);
        };
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => Ok(Written::Busy),
            // EIO: the link is administratively down, like a switch port without a machine.
            Some(libc::EINVAL | libc::EMSGSIZE | libc::EIO) => Ok(Written::Refused),
            _ => Err(DeviceError::from_io("write to", &self.0.name, error)),
        }
    }
}

impl TapControl {
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The system's number for the interface.
    pub fn index(&self) -> u32 {
        self.0.index
    }

    /// The address that the interface really has.
    ///
    /// # Errors
    /// [`DeviceError::Down`] if somebody removed the TAP.
    pub fn mac(&self) -> Result<Mac, DeviceError> {
        let request = self.ioctl("read the address of", libc::SIOCGIFHWADDR, |_| {})?;
        // SAFETY: this request fills in the hardware address.
        let data = unsafe { request.ifr_ifru.ifru_hwaddr.sa_data };
        let [a, b, c, d, e, f, ..] = data.map(|octet| octet.cast_unsigned());
        Ok(Mac([a, b, c, d, e, f]))
    }

    /// Sets the interface administratively up or down.
    ///
    /// # Errors
    /// [`DeviceError::Down`] if somebody removed the TAP.
    pub fn set_link(&self, up: bool) -> Result<(), DeviceError> {
        let now = self.ioctl("read the state of", libc::SIOCGIFFLAGS, |_| {})?;
        // SAFETY: this request fills in the flags.
        let flags = unsafe { now.ifr_ifru.ifru_flags };
        let bit = libc::IFF_UP as libc::c_short;
        let wanted = if up { flags | bit } else { flags & !bit };
        self.ioctl("bring up", libc::SIOCSIFFLAGS, |request| {
            request.ifr_ifru.ifru_flags = wanted
        })?;
        Ok(())
    }

    /// Plugs the virtual cable in, or pulls it. Programs of this machine (DHCP clients, name resolution) react as
    /// to a real one.
    ///
    /// # Errors
    /// [`DeviceError::Down`] if somebody removed the TAP.
    pub fn set_carrier(&self, carrier: bool) -> Result<(), DeviceError> {
        let value = libc::c_int::from(carrier);
        // SAFETY: the kernel reads an int that lives until the call returns.
        let result = syscall::check(unsafe {
            libc::ioctl(
                self.0.fd.as_raw_fd(),
                libc::TUNSETCARRIER,
                std::ptr::from_ref(&value),
            )
        });
        result
            .map(|_| ())
            .map_err(|error| DeviceError::from_io("set the carrier of", &self.0.name, error))
    }

    /// # Errors
    /// [`DeviceError::Io`] for an MTU below 68, which the kernel refuses.
    pub fn set_mtu(&self, mtu: u16) -> Result<(), DeviceError> {
        self.ioctl("set the MTU of", libc::SIOCSIFMTU, |request| {
            request.ifr_ifru.ifru_mtu = mtu.into()
        })?;
        Ok(())
    }

    fn set_mac(&self, mac: Mac) -> Result<(), DeviceError> {
        self.ioctl("set the address of", libc::SIOCSIFHWADDR, |request| {
            let mut data = [0; 14];
            for (to, from) in data.iter_mut().zip(mac.0) {
                *to = from as libc::c_char;
            }
            request.ifr_ifru.ifru_hwaddr = libc::sockaddr {
                sa_family: ARPHRD_ETHER,
                sa_data: data,
            };
        })?;
        Ok(())
    }

    /// Asks about the interface by its name, after checking that the name is still ours.
    fn ioctl(
        &self,
        attempt: &'static str,
        number: libc::c_ulong,
        fill: impl FnOnce(&mut libc::ifreq),
    ) -> Result<libc::ifreq, DeviceError> {
        let call = || {
            if syscall::interface_index(&self.0.name)?.cast_unsigned() != self.0.index {
                return Err(io::Error::from_raw_os_error(libc::ENODEV));
            }
            let socket = syscall::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
            let mut request = syscall::interface_request(&self.0.name)?;
            fill(&mut request);
            syscall::interface_ioctl(&socket, number as libc::Ioctl, &mut request)?;
            Ok(request)
        };
        call().map_err(|error| DeviceError::from_io(attempt, &self.0.name, error))
    }
}

/// Lets [`crate::interface`] know our TAPs from others.
fn mark(index: u32, name: &str) -> Result<(), DeviceError> {
    let mark = network::blocking(async |network| network.set_alias(index, TAP_ALIAS).await);
    mark.map_err(|error| DeviceError::from_io("mark", name, io::Error::other(error)))
}

fn open(name: &str) -> io::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC;
    // SAFETY: the path is a literal that ends with a zero.
    let fd = syscall::check(unsafe { libc::open(c"/dev/net/tun".as_ptr(), flags) })?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut request = syscall::interface_request(name)?;
    // Exclusive, so that an interface of this name that somebody else keeps is never taken over.
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR | libc::IFF_TUN_EXCL;
    request.ifr_ifru.ifru_flags = (flags as u16).cast_signed();
    syscall::interface_ioctl(&fd, libc::TUNSETIFF, &mut request)?;
    let header_len = vnet::LEN as libc::c_int;
    // SAFETY: the kernel reads an int that lives until the call returns.
    syscall::check(unsafe {
        libc::ioctl(
            fd.as_raw_fd(),
            libc::TUNSETVNETHDRSZ,
            std::ptr::from_ref(&header_len),
        )
    })?;
    set_offloads(&fd, OFFLOADS | DATAGRAM_OFFLOADS).or_else(|_| set_offloads(&fd, OFFLOADS))?;
    Ok(fd)
}

fn set_offloads(fd: &OwnedFd, offloads: libc::c_uint) -> io::Result<()> {
    let offloads = libc::c_ulong::from(offloads);
    // SAFETY: this request takes its argument as a number, not as a pointer.
    syscall::check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TUNSETOFFLOAD, offloads) })?;
    Ok(())
}

/// Reads a header and a frame; returns the length of both.
fn read_vectored(fd: &OwnedFd, header: &mut [u8; vnet::LEN], frame: &mut [u8]) -> io::Result<usize> {
    let parts = [
        libc::iovec {
            iov_base: header.as_mut_ptr().cast(),
            iov_len: header.len(),
        },
        libc::iovec {
            iov_base: frame.as_mut_ptr().cast(),
            iov_len: frame.len(),
        },
    ];
    // SAFETY: both parts are live, writable and as long as stated.
    let len = unsafe { libc::readv(fd.as_raw_fd(), parts.as_ptr(), 2) };
    usize::try_from(len).map_err(|_| io::Error::last_os_error())
}

/// Writes a header and a frame that lies in two places.
fn write_vectored(fd: &OwnedFd, header: &[u8; vnet::LEN], frame: [&[u8]; 2]) -> io::Result<()> {
    let [first, second] = frame;
    let parts = [&header[..], first, second].map(|part| libc::iovec {
        iov_base: part.as_ptr().cast_mut().cast(),
        iov_len: part.len(),
    });
    // SAFETY: all parts are live and as long as stated, and the kernel only reads them.
    let len = unsafe { libc::writev(fd.as_raw_fd(), parts.as_ptr(), parts.len() as libc::c_int) };
    if len < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
