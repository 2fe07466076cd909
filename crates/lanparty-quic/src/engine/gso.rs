//! Whether this kernel cuts trains of UDP packets as it should: Linux 7.0 to 7.1.4 corrupts them.

use std::{
    io::{self, IoSliceMut},
    net::{Ipv4Addr, UdpSocket},
    sync::OnceLock,
    thread,
    time::Duration,
};

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};

const SEGMENT: usize = 1200;
/// The last one is shorter, as the end of a train mostly is.
const LENGTH: usize = 5 * SEGMENT + 333;
/// Loopback delivers at once, unless the machine is very busy.
const PATIENCE: (u32, Duration) = (100, Duration::from_millis(1));

/// Sends a train over loopback and compares what comes; once for each process.
pub(crate) fn works() -> bool {
    static WORKS: OnceLock<bool> = OnceLock::new();
    *WORKS.get_or_init(|| match test() {
        Ok(true) => true,
        Ok(false) => {
            tracing::warn!(
                "this kernel does not cut trains of UDP packets as it should; they are sent one by one"
            );
            false
        }
        Err(error) => {
            tracing::debug!(%error, "segmentation offload could not be tested and is not used");
            false
        }
    })
}

fn test() -> io::Result<bool> {
    let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let (into, from) = (
        UdpSocketState::new((&receiver).into())?,
        UdpSocketState::new((&sender).into())?,
    );
    if from.max_gso_segments() < 2 {
        // There are no trains, and so none that could be harmed.
        return Ok(true);
    }
    // No two bytes at the same place of two segments are alike.
    let sent: Vec<u8> = (0..LENGTH).map(|n| (n / SEGMENT * 41 + n % 251) as u8).collect();
    let train = Transmit {
        destination: receiver.local_addr()?,
        ecn: None,
        contents: &sent,
        segment_size: Some(SEGMENT),
        src_ip: None,
    };
    from.try_send((&sender).into(), &train)?;
    let mut received = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    for _ in 0..PATIENCE.0 {
        let mut meta = [RecvMeta::default()];
        match into.recv((&receiver).into(), &mut [IoSliceMut::new(&mut buffer)], &mut meta) {
            Ok(_) => received.extend(
                buffer[..meta[0].len]
                    .chunks(meta[0].stride.max(1))
                    .map(<[u8]>::to_vec),
            ),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(PATIENCE.1),
            Err(error) => return Err(error),
        }
        if received.iter().map(Vec::len).sum::<usize>() >= LENGTH {
            break;
        }
    }
    Ok(received.iter().map(Vec::as_slice).eq(sent.chunks(SEGMENT)))
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn this_kernel_is_tested_and_the_answer_kept() {
        assert_eq!(super::test().unwrap(), super::works());
    }
}
