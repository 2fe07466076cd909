//! A named pipe of messages in the place of the driver: overlapped at our end, as plain as can be at the other.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    sync::atomic::{AtomicU32, Ordering},
};

use tokio::time::timeout;
use windows_sys::Win32::{
    Storage::FileSystem::{FILE_FLAG_OVERLAPPED, PIPE_ACCESS_DUPLEX},
    System::Pipes::{
        CreateNamedPipeW, PIPE_READMODE_MESSAGE, PIPE_TYPE_MESSAGE, PIPE_WAIT, SetNamedPipeHandleState,
    },
};

use super::*;
use crate::win32::wide;

const LONGEST: usize = 1518;
/// What a pipe holds for who does not read.
const ROOM: u32 = 64 * 1024;
const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn frames_come_in_their_order_with_many_reads_under_way() {
    let (stream, mut other) = pipe();
    let mut batch = Batch::new();
    // Nothing is there yet; the reads are begun all the same, and a receiver who goes away loses nothing.
    assert!(
        timeout(Duration::from_millis(50), stream.recv(&mut batch, || true))
            .await
            .is_err()
    );
    let under_way = stream.0.lock().under_way;
    assert!(under_way >= 16, "{under_way}");

    let frames: Vec<Vec<u8>> = (0..200_u8).map(|n| vec![n; 60 + usize::from(n)]).collect();
    let sender = thread::spawn({
        let frames = frames.clone();
        move || {
            for frame in &frames {
                other.write_all(frame).unwrap();
            }
            other
        }
    });
    let mut seen = Vec::new();
    while seen.len() < frames.len() {
        batch.clear();
        timeout(SOON, stream.recv(&mut batch, || true))
            .await
            .unwrap()
            .unwrap();
        seen.extend(batch.iter().map(|frame| frame.bytes.to_vec()));
    }
    assert_eq!(seen, frames);
    drop(sender.join().unwrap());
}

#[tokio::test]
async fn frames_leave_whole_and_a_full_device_loses_them() {
    let (stream, mut other) = pipe();
    assert_eq!(stream.write([b"head", b"body"]).unwrap(), Written::Accepted);
    assert_eq!(stream.write([&[0; LONGEST], &[0]]).unwrap(), Written::Refused);
    let mut buffer = [0; 100];
    let len = other.read(&mut buffer).unwrap();
    assert_eq!(&buffer[..len], b"headbody");

    let most = ROOM as usize / 1000 + WRITES + 100;
    let written: Vec<Written> = (0..most)
        .map(|_| stream.write([&[7; 1000], &[]]).unwrap())
        .collect();
    let accepted = written.iter().filter(|&&w| w == Written::Accepted).count();
    // The place of the first one is free again a moment after it was read.
    assert!(
        accepted + 1 >= WRITES && written.contains(&Written::Busy),
        "{accepted}"
    );
    for _ in 0..accepted {
        let mut buffer = [0; 1000];
        other.read_exact(&mut buffer).unwrap();
        assert_eq!(buffer, [7; 1000]);
    }
}

#[tokio::test]
async fn a_frame_that_is_too_long_is_counted_and_the_next_one_comes() {
    let (stream, mut other) = pipe();
    let mut batch = Batch::new();
    assert!(
        timeout(Duration::from_millis(50), stream.recv(&mut batch, || true))
            .await
            .is_err()
    );
    other.write_all(&[1; LONGEST + 100]).unwrap();
    other.write_all(&[2; 60]).unwrap();
    let is_next = |batch: &Batch| batch.iter().any(|frame| frame.bytes == [2; 60]);
    while !is_next(&batch) {
        batch.clear();
        timeout(SOON, stream.recv(&mut batch, || true))
            .await
            .unwrap()
            .unwrap();
    }
    assert!(stream.truncated() >= 1);
}

#[tokio::test]
async fn a_device_that_vanishes_is_told_to_both_sides() {
    let (stream, other) = pipe();
    let mut batch = Batch::new();
    assert!(
        timeout(Duration::from_millis(50), stream.recv(&mut batch, || true))
            .await
            .is_err()
    );
    drop(other);
    assert!(
        timeout(SOON, stream.recv(&mut batch, || true))
            .await
            .unwrap()
            .is_err()
    );
    assert!(stream.write([&[0; 60], &[]]).is_err());
}

#[tokio::test]
async fn a_device_that_takes_no_reads_is_asked_again_until_it_is_dead() {
    let (stream, _other) = pipe();
    stream.0.lock().paused = true;
    let mut batch = Batch::new();
    assert!(
        timeout(PAUSE * 3, stream.recv(&mut batch, || true))
            .await
            .is_err()
    );
    assert!(stream.0.lock().under_way >= 16);
    stream.0.lock().paused = true;
    assert!(
        timeout(SOON, stream.recv(&mut batch, || false))
            .await
            .unwrap()
            .is_err()
    );
}

#[tokio::test]
async fn dropping_it_ends_what_is_under_way_and_closes_the_handle() {
    let (stream, mut other) = pipe();
    let mut batch = Batch::new();
    assert!(
        timeout(Duration::from_millis(50), stream.recv(&mut batch, || true))
            .await
            .is_err()
    );
    let core = Arc::downgrade(&stream.0);
    drop(stream);
    // Waits until our end is closed, which it is when the thread has let go of it.
    assert!(matches!(other.read(&mut [0; 10]), Ok(0) | Err(_)));
    let start = std::time::Instant::now();
    while core.strong_count() > 0 {
        assert!(start.elapsed() < SOON, "the thread has not ended");
        tokio::task::yield_now().await;
    }
}

fn pipe() -> (Stream, File) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!(r"\\.\pipe\lanparty-stream-{}-{number}", std::process::id());
    let wide_name = wide(&name);
    // SAFETY: the name ends with a zero, and the handle is ours.
    let ours = unsafe {
        owned(CreateNamedPipeW(
            wide_name.as_ptr(),
            PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED,
            PIPE_TYPE_MESSAGE | PIPE_READMODE_MESSAGE | PIPE_WAIT,
            1,
            ROOM,
            ROOM,
            0,
            ptr::null(),
        ))
    };
    let theirs = OpenOptions::new().read(true).write(true).open(&name).unwrap();
    let mode = PIPE_READMODE_MESSAGE;
    // SAFETY: the handle is open, and the mode is live.
    check(unsafe { SetNamedPipeHandleState(theirs.as_raw_handle(), &mode, ptr::null(), ptr::null()) })
        .unwrap();
    (Stream::new(ours.unwrap(), LONGEST).unwrap(), theirs)
}
