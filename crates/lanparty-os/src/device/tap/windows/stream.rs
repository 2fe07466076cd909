//! Frames through a handle of Windows that is read and written with overlapped I/O, one call for each frame.
//!
//! Many reads are always under way, because a driver that has none to complete drops what comes. What is done arrives at a completion
//! port, in the order in which the driver has done it, and is put in a row by a thread that does nothing else. Who receives takes from the
//! row and asks for the same buffers to be filled again: a receiver that is slow has fewer reads under way, and nothing
//! grows. Writes are handed over without waiting for any of them.
//!
//! A slot (the structure that Windows writes its result into, and the buffer) belongs to the system from the call until its completion
//! is taken from the port, and to this module otherwise. It must not move or vanish in between, so the thread keeps all of them until
//! the last call has come back.

use std::{
    cell::UnsafeCell,
    collections::VecDeque,
    io,
    os::windows::io::{AsRawHandle, OwnedHandle},
    ptr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use lanparty_wire::Offload;
use tokio::sync::Notify;
use windows_sys::Win32::{
    Foundation::{
        ERROR_BROKEN_PIPE, ERROR_DEV_NOT_EXIST, ERROR_DEVICE_REMOVED, ERROR_FILE_NOT_FOUND,
        ERROR_INSUFFICIENT_BUFFER, ERROR_INVALID_HANDLE, ERROR_IO_PENDING, ERROR_MORE_DATA, ERROR_NO_DATA,
        ERROR_NO_SUCH_DEVICE, ERROR_PIPE_NOT_CONNECTED, HANDLE, INVALID_HANDLE_VALUE, RtlNtStatusToDosError,
    },
    Storage::FileSystem::{ReadFile, WriteFile},
    System::{
        IO::{
            CancelIoEx, CreateIoCompletionPort, GetQueuedCompletionStatusEx, OVERLAPPED, OVERLAPPED_ENTRY,
            PostQueuedCompletionStatus,
        },
        Threading::INFINITE,
    },
};

use crate::{
    device::{Batch, FrameOrigin, tap::Written},
    win32::{check, owned},
};

/// Reads under way at most: what a game's burst leaves while the receiver is at work.
const READS: usize = 32;
/// Writes under way at most: a batch, as long as none of it is merged.
const WRITES: usize = 64;
/// Completions that are taken at once.
const ENTRIES: usize = 64;
/// A device that takes no reads now is asked again after this.
const PAUSE: Duration = Duration::from_millis(100);

/// The device has gone.
#[derive(Debug)]
pub(super) struct Gone;

/// A handle with frames. Dropping it ends all that is under way and closes the handle.
pub(super) struct Stream(Arc<Core>);

struct Core {
    handle: OwnedHandle,
    port: OwnedHandle,
    /// Those that are read into, then those that are written from.
    slots: Box<[Slot]>,
    state: Mutex<State>,
    readable: Notify,
}

// SAFETY: a slot is touched by the system, or under the lock of `state` by whoever has it from there.
unsafe impl Sync for Core {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Core {}

struct Slot {
    overlapped: UnsafeCell<OVERLAPPED>,
    buffer: UnsafeCell<Box<[u8]>>,
}

#[derive(Default)]
struct State {
    /// Reads that are done, in their order.
    done: VecDeque<(usize, Result<usize, u32>)>,
    idle_reads: Vec<usize>,
    idle_writes: Vec<usize>,
    under_way: usize,
    /// The device takes no reads now.
    paused: bool,
    gone: bool,
    closing: bool,
    /// Frames that were longer than a buffer.
    truncated: u64,
}

/// What an error of a read or a write means.
enum Meaning {
    Truncated,
    Gone,
    /// The cable is out, or the machine is about to sleep.
    NotNow,
}

impl Stream {
    /// `longest` is how many bytes a frame has at most. The handle must have been opened for overlapped I/O.
    ///
    /// # Errors
    /// The system has no port or no thread for it.
    pub(super) fn new(handle: OwnedHandle, longest: usize) -> io::Result<Stream> {
        // SAFETY: the handle is open; a port of its own is made, which is ours.
        let port = unsafe {
            owned(CreateIoCompletionPort(
                INVALID_HANDLE_VALUE,
                ptr::null_mut(),
                0,
                1,
            ))
        }?;
        // SAFETY: both are open. The result is the port once more, and not to be closed.
        let joined = unsafe { CreateIoCompletionPort(handle.as_raw_handle(), port.as_raw_handle(), 0, 0) };
        if joined.is_null() {
            return Err(io::Error::last_os_error());
        }
        let slot = || Slot {
            overlapped: UnsafeCell::new(OVERLAPPED::default()),
            buffer: UnsafeCell::new(vec![0; longest].into_boxed_slice()),
        };
        let core = Arc::new(Core {
            handle,
            port,
            slots: (0..READS + WRITES).map(|_| slot()).collect(),
            state: Mutex::new(State {
                idle_reads: (0..READS).rev().collect(),
                idle_writes: (READS..READS + WRITES).collect(),
                ..State::default()
            }),
            readable: Notify::new(),
        });
        let worker = Arc::clone(&core);
        thread::Builder::new()
            .name("tap".to_owned())
            .spawn(move || worker.take_completions())?;
        Ok(Stream(core))
    }

    pub(super) fn handle(&self) -> HANDLE {
        self.0.handle.as_raw_handle()
    }

    /// Waits for frames and puts them behind those that the batch has. Cancel safe. `is_alive` is asked while the device takes no reads.
    pub(super) async fn recv(&self, batch: &mut Batch, is_alive: impl Fn() -> bool) -> Result<(), Gone> {
        loop {
            let readable = self.0.readable.notified();
            let paused = {
                let mut state = self.0.lock();
                self.0.collect(&mut state, batch);
                self.0.ask(&mut state);
                if !batch.is_empty() {
                    return Ok(());
                }
                if state.gone {
                    return Err(Gone);
                }
                state.paused
            };
            tokio::select! {
                () = readable => {}
                () = tokio::time::sleep(PAUSE), if paused => {
                    let alive = is_alive();
                    let mut state = self.0.lock();
                    state.paused = false;
                    state.gone |= !alive;
                }
            }
        }
    }

    /// Asks at once again a device that took no reads before.
    pub(super) fn wake(&self) {
        self.0.lock().paused = false;
        self.0.readable.notify_one();
    }

    pub(super) fn truncated(&self) -> u64 {
        self.0.lock().truncated
    }

    /// Hands a frame over that lies in two places.
    pub(super) fn write(&self, frame: [&[u8]; 2]) -> Result<Written, Gone> {
        let core = &self.0;
        let mut state = core.lock();
        if state.gone {
            return Err(Gone);
        }
        let Some(index) = state.idle_writes.pop() else {
            return Ok(Written::Busy);
        };
        let slot = &core.slots[index];
        // SAFETY: the slot was idle, so it is ours until the call below.
        let buffer = unsafe { &mut *slot.buffer.get() };
        let [first, second] = frame;
        let len = first.len() + second.len();
        if len > buffer.len() {
            state.idle_writes.push(index);
            return Ok(Written::Refused);
        }
        buffer[..first.len()].copy_from_slice(first);
        buffer[first.len()..len].copy_from_slice(second);
        // SAFETY: the slot is idle; from here on it is the system's.
        let begun = unsafe {
            *slot.overlapped.get() = OVERLAPPED::default();
            let buffer = buffer.as_ptr();
            core.begin(|handle| WriteFile(handle, buffer, len as u32, ptr::null_mut(), slot.overlapped.get()))
        };
        let Err(code) = begun else {
            state.under_way += 1;
            return Ok(Written::Accepted);
        };
        state.idle_writes.push(index);
        match meaning(code) {
            Meaning::Gone => {
                state.gone = true;
                Err(Gone)
            }
            Meaning::Truncated | Meaning::NotNow => Ok(Written::Refused),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.lock().closing = true;
        // SAFETY: the handles are open. What is cancelled comes back through the port, where the thread waits for it; that there is
        // nothing to cancel is no error here.
        unsafe {
            CancelIoEx(self.0.handle.as_raw_handle(), ptr::null());
            PostQueuedCompletionStatus(self.0.port.as_raw_handle(), 0, 0, ptr::null());
        }
    }
}

impl Core {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is whole before anything could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what was read, as far as the batch has room.
    fn collect(&self, state: &mut State, batch: &mut Batch) {
        while let Some((index, result)) = state.done.pop_front() {
            match result {
                Ok(len) => {
                    // SAFETY: the read is done, so the slot is ours.
                    let buffer = unsafe { &*self.slots[index].buffer.get() };
                    let Some(spare) = batch.spare() else {
                        state.done.push_front((index, Ok(len)));
                        return;
                    };
                    let len = len.min(buffer.len());
                    spare[..len].copy_from_slice(&buffer[..len]);
                    batch.commit(len, Offload::None, FrameOrigin::ThisHost);
                }
                Err(code) => self.note_failure(state, code),
            }
            state.idle_reads.push(index);
        }
    }

    /// Begins a read with every buffer that is free.
    fn ask(&self, state: &mut State) {
        while !state.closing
            && !state.gone
            && !state.paused
            && let Some(index) = state.idle_reads.pop()
        {
            let slot = &self.slots[index];
            // SAFETY: the slot is idle; from here on it is the system's.
            let begun = unsafe {
                *slot.overlapped.get() = OVERLAPPED::default();
                let buffer = &mut *slot.buffer.get();
                let (start, len) = (buffer.as_mut_ptr(), buffer.len() as u32);
                self.begin(|handle| ReadFile(handle, start, len, ptr::null_mut(), slot.overlapped.get()))
            };
            match begun {
                Ok(()) => state.under_way += 1,
                Err(code) => {
                    self.note_failure(state, code);
                    state.idle_reads.push(index);
                    // Whatever it means, asking again at once would get the same answer.
                    state.paused = true;
                }
            }
        }
    }

    fn note_failure(&self, state: &mut State, code: u32) {
        match meaning(code) {
            Meaning::Truncated => state.truncated += 1,
            Meaning::Gone => state.gone = true,
            Meaning::NotNow => state.paused = true,
        }
    }

    /// Begins a call. Windows queues a completion for each that succeeds, at once or later.
    fn begin(&self, call: impl FnOnce(HANDLE) -> i32) -> Result<(), u32> {
        let result = check(call(self.handle.as_raw_handle()));
        match result.map_err(|error| error.raw_os_error().unwrap_or(0).cast_unsigned()) {
            Err(ERROR_IO_PENDING) => Ok(()),
            // A message that is longer than the buffer is read as far as it goes, and completes like any other.
            Err(ERROR_MORE_DATA) => Ok(()),
            other => other,
        }
    }

    /// The thread's work, until the stream is dropped and everything has come back.
    fn take_completions(&self) {
        let mut entries = [OVERLAPPED_ENTRY::default(); ENTRIES];
        loop {
            let mut count = 0;
            // SAFETY: the port is open, and the entries are writable and as many as stated.
            let taken = check(unsafe {
                GetQueuedCompletionStatusEx(
                    self.port.as_raw_handle(),
                    entries.as_mut_ptr(),
                    ENTRIES as u32,
                    &mut count,
                    INFINITE,
                    0,
                )
            });
            let mut state = self.lock();
            if let Err(error) = taken {
                tracing::error!(%error, "the completion port of the TAP failed");
                state.gone = true;
            }
            for entry in &entries[..count as usize] {
                self.note_completion(&mut state, entry);
            }
            let over = state.closing && state.under_way == 0 || state.gone && count == 0;
            let has_news = !state.done.is_empty() || state.gone;
            drop(state);
            if has_news {
                self.readable.notify_one();
            }
            if over {
                return;
            }
        }
    }

    fn note_completion(&self, state: &mut State, entry: &OVERLAPPED_ENTRY) {
        // What the stream's end posts has none.
        let Some(index) = self
            .slots
            .iter()
            .position(|slot| slot.overlapped.get() == entry.lpOverlapped)
        else {
            return;
        };
        state.under_way -= 1;
        // SAFETY: the call is over, so the slot is ours again; it has the status that the call has ended with.
        let status = unsafe { (*self.slots[index].overlapped.get()).Internal } as u32;
        // SAFETY: no pointers are involved.
        let result = match unsafe { RtlNtStatusToDosError(status.cast_signed()) } {
            0 => Ok(entry.dwNumberOfBytesTransferred as usize),
            code => Err(code),
        };
        if index < READS {
            state.done.push_back((index, result));
            return;
        }
        state.idle_writes.push(index);
        if let Err(code) = result
            && matches!(meaning(code), Meaning::Gone)
        {
            state.gone = true;
        }
    }
}

fn meaning(code: u32) -> Meaning {
    match code {
        ERROR_MORE_DATA | ERROR_INSUFFICIENT_BUFFER => Meaning::Truncated,
        ERROR_BROKEN_PIPE
        | ERROR_NO_DATA
        | ERROR_PIPE_NOT_CONNECTED
        | ERROR_DEVICE_REMOVED
        | ERROR_NO_SUCH_DEVICE
        | ERROR_DEV_NOT_EXIST
        | ERROR_FILE_NOT_FOUND
        | ERROR_INVALID_HANDLE => Meaning::Gone,
        _ => Meaning::NotNow,
    }
}

#[cfg(test)]
mod tests;
