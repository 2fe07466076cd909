//! When a UDP socket can be read, and when it can be written again after it was full.
//!
//! Tokio's own UDP socket asks the kernel for both all the time. Then each packet that leaves comes back as an event once the receiver has
//! taken it: on the way of a ping through three programs that is one wake-up too many at every hop, just while the next program needs
//! the processor. So a Unix system is asked about writing only while a packet waits for it.

#[cfg(not(unix))]
pub(crate) use always::Readiness;
#[cfg(unix)]
pub(crate) use on_demand::Readiness;

#[cfg(unix)]
mod on_demand {
    use std::{io, net::UdpSocket, time::Duration};

    use tokio::io::{Interest, unix::AsyncFd};

    /// What a full socket takes to send half of what it holds at 10 Gbit/s.
    const FULL: Duration = Duration::from_millis(1);

    #[derive(Debug)]
    pub(crate) struct Readiness(AsyncFd<UdpSocket>);

    impl Readiness {
        pub(crate) fn of(socket: UdpSocket) -> io::Result<Readiness> {
            socket.set_nonblocking(true)?;
            register(socket, Interest::READABLE).map(Readiness)
        }

        pub(crate) fn socket(&self) -> &UdpSocket {
            self.0.get_ref()
        }

        pub(crate) async fn readable(&self) {
            // An error shows at the next attempt to read.
            if let Ok(mut ready) = self.0.readable().await {
                ready.retain_ready();
            }
        }

        /// A second descriptor of the same socket, because what is asked of the first cannot be changed; it lives as long as this.
        pub(crate) async fn writable(&self) {
            let again = self.socket().try_clone();
            match again.and_then(|socket| register(socket, Interest::WRITABLE)) {
                Ok(again) => {
                    if let Ok(mut ready) = again.writable().await {
                        ready.retain_ready();
                    }
                }
                // No descriptor is left; what is full is mostly not full for long.
                Err(_) => tokio::time::sleep(FULL).await,
            }
        }

        /// Reads, unless nothing has come since `WouldBlock` was the result of the last attempt.
        pub(crate) fn try_read(&self, read: impl FnOnce(&UdpSocket) -> io::Result<()>) -> io::Result<()> {
            self.0.try_io(Interest::READABLE, read)
        }

        pub(crate) fn try_write(&self, write: impl FnOnce(&UdpSocket) -> io::Result<()>) -> io::Result<()> {
            write(self.socket())
        }
    }

    // Deprecated because a type could lie about its descriptor; the standard library's socket owns the one that it tells.
    #[allow(deprecated)]
    fn register(socket: UdpSocket, interest: Interest) -> io::Result<AsyncFd<UdpSocket>> {
        AsyncFd::with_interest(socket, interest)
    }
}

#[cfg(not(unix))]
mod always {
    use std::{io, net::UdpSocket};

    use tokio::io::Interest;

    /// The runtime's socket, and a second handle of the same that is read and written.
    #[derive(Debug)]
    pub(crate) struct Readiness(tokio::net::UdpSocket, UdpSocket);

    impl Readiness {
        pub(crate) fn of(socket: UdpSocket) -> io::Result<Readiness> {
            socket.set_nonblocking(true)?;
            let again = socket.try_clone()?;
            Ok(Readiness(tokio::net::UdpSocket::from_std(socket)?, again))
        }

        pub(crate) fn socket(&self) -> &UdpSocket {
            &self.1
        }

        pub(crate) async fn readable(&self) {
            let _ = self.0.readable().await;
        }

        pub(crate) async fn writable(&self) {
            let _ = self.0.writable().await;
        }

        pub(crate) fn try_read(&self, read: impl FnOnce(&UdpSocket) -> io::Result<()>) -> io::Result<()> {
            self.0.try_io(Interest::READABLE, || read(&self.1))
        }

        pub(crate) fn try_write(&self, write: impl FnOnce(&UdpSocket) -> io::Result<()>) -> io::Result<()> {
            self.0.try_io(Interest::WRITABLE, || write(&self.1))
        }
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::{
        io,
        net::{Ipv4Addr, UdpSocket},
        time::Duration,
    };

    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);
    const NEVER: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn it_tells_of_what_comes_until_it_was_read_and_of_room_whenever_asked() {
        let open = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (there, here) = (open(), Readiness::of(open()).unwrap());
        let to = here.socket().local_addr().unwrap();
        assert!(timeout(NEVER, here.readable()).await.is_err());
        for _ in 0..3 {
            timeout(SOON, here.writable()).await.unwrap();
            there.send_to(b"come", to).unwrap();
            timeout(SOON, here.readable()).await.unwrap();
            // Still unread.
            timeout(SOON, here.readable()).await.unwrap();
            here.try_read(|socket| socket.recv(&mut [0; 8]).map(drop))
                .unwrap();
            let empty = here.try_read(|socket| socket.recv(&mut [0; 8]).map(drop));
            assert_eq!(empty.unwrap_err().kind(), io::ErrorKind::WouldBlock);
            assert!(timeout(NEVER, here.readable()).await.is_err());
        }
    }
}
