//! A recording on its way to the disk.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::{Duration, SystemTime},
};

use lanparty_os::dirs;

use super::pcapng;

/// Bytes of a file, unless somebody says otherwise: an evening of discovery, or some minutes of play.
pub const DEFAULT_LIMIT: u64 = 256 << 20;
/// Packets on their way to the disk: 40 ms of 100,000 a second, as a disk may be busy.
const QUEUE: usize = 4096;
/// What was written can be read after this time, also while the recording goes on.
const FLUSH: Duration = Duration::from_secs(1);

/// A file that is being written. It ends with a block that says how much is missing.
#[derive(Debug)]
pub struct Recorder {
    queue: Option<SyncSender<Vec<u8>>>,
    writer: Option<thread::JoinHandle<()>>,
    /// Bytes that the file may still take.
    left: u64,
    missing: u64,
}

impl Recorder {
    /// Makes a file that its owner alone can read. It holds `limit` bytes at most; what comes later is left out.
    ///
    /// # Errors
    /// The file is there already, or cannot be made.
    pub fn create(path: &Path, limit: u64) -> io::Result<Recorder> {
        Recorder::to(dirs::create_new_private(path)?, limit)
    }

    fn to(mut file: File, limit: u64) -> io::Result<Recorder> {
        let header = pcapng::header();
        file.write_all(&header)?;
        let (queue, blocks) = sync_channel(QUEUE);
        let writer = thread::Builder::new()
            .name("recording".to_owned())
            .spawn(move || write(file, &blocks))?;
        Ok(Recorder {
            queue: Some(queue),
            writer: Some(writer),
            left: limit.saturating_sub(header.len() as u64),
            missing: 0,
        })
    }

    pub(super) fn record(&mut self, time: SystemTime, inbound: bool, frame: &[u8], comment: &str) {
        let mut block = Vec::with_capacity(frame.len() + comment.len() + 64);
        pcapng::packet(&mut block, time, inbound, frame, comment);
        let length = block.len() as u64;
        let is_full = length > self.left;
        match &self.queue {
            Some(queue) if !is_full && queue.try_send(block).is_ok() => self.left -= length,
            Some(_) | None => {
                if self.missing == 0 {
                    let why = if is_full {
                        "the file is full"
                    } else {
                        "the disk is slow"
                    };
                    tracing::warn!(why, "the recording leaves frames out");
                }
                self.missing += 1;
            }
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            let mut block = Vec::new();
            let comment = "packets that the recording has left out are counted as dropped";
            pcapng::statistics(&mut block, SystemTime::now(), self.missing, comment);
            // A few bytes beyond the limit; the writer may be gone with its disk.
            let _ = queue.send(block);
        }
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn write(file: File, blocks: &Receiver<Vec<u8>>) {
    let mut file = BufWriter::new(file);
    loop {
        let done = match blocks.recv_timeout(FLUSH) {
            Ok(block) => file.write_all(&block),
            Err(RecvTimeoutError::Timeout) => file.flush(),
            Err(RecvTimeoutError::Disconnected) => {
                let _ = file.flush();
                return;
            }
        };
        if let Err(error) = done {
            tracing::warn!(%error, "the recording cannot be written any more");
            return;
        }
    }
}

#[cfg(unix)]
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{
        fs::{self, OpenOptions},
        os::unix::fs::PermissionsExt,
    };

    use super::*;

    #[test]
    fn the_file_is_its_owners_and_keeps_its_limit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("recording.pcapng");
        let mut recorder = Recorder::create(&path, 10_000).unwrap();
        for _ in 0..100 {
            recorder.record(SystemTime::UNIX_EPOCH, true, &[7; 1000], "passed");
        }
        assert!(recorder.missing >= 90, "{}", recorder.missing);
        let missing = recorder.missing;
        drop(recorder);
        let file = fs::read(&path).unwrap();
        assert!(file.len() <= 10_200, "{}", file.len());
        let count = missing.to_ne_bytes();
        assert!(file.windows(8).any(|window| window == count));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = Recorder::create(&path, 10_000).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_disk_that_is_gone_holds_nobody_up() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        assert!(Recorder::to(full, 1 << 30).is_err());
        let (reader, writer) = std::io::pipe().unwrap();
        let mut recorder = Recorder::to(File::from(std::os::fd::OwnedFd::from(writer)), 1 << 30).unwrap();
        for _ in 0..2 * QUEUE {
            // Nobody reads: the pipe fills, and its writer waits.
            recorder.record(SystemTime::UNIX_EPOCH, true, &[7; 1000], "passed");
        }
        assert!(recorder.missing > 0);
        drop(reader);
        drop(recorder);
    }
}
