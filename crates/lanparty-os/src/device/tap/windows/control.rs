//! What TAP-Windows6 is asked by control codes (its tap-windows.h): version, address, cable.

use std::{
    io,
    os::windows::io::{AsRawHandle, OwnedHandle},
    ptr,
};

use lanparty_wire::Mac;
use windows_sys::Win32::{
    Foundation::{ERROR_IO_PENDING, HANDLE},
    System::{
        IO::{DeviceIoControl, GetOverlappedResult, OVERLAPPED},
        Threading::CreateEventW,
    },
};

use super::stream::Stream;
use crate::win32::{check, owned};

/// Major and minor; older ones lose frames under load.
pub(super) const OLDEST: (u32, u32) = (9, 26);

const GET_MAC: u32 = code(1);
const GET_VERSION: u32 = code(2);
const SET_MEDIA_STATUS: u32 = code(6);

/// CTL_CODE(FILE_DEVICE_UNKNOWN, number, METHOD_BUFFERED, FILE_ANY_ACCESS)
const fn code(number: u32) -> u32 {
    0x22 << 16 | number << 2
}

/// Whatever has a handle of the driver.
pub(super) trait Driver {
    fn raw(&self) -> HANDLE;
}

impl Driver for OwnedHandle {
    fn raw(&self) -> HANDLE {
        self.as_raw_handle()
    }
}

impl Driver for Stream {
    fn raw(&self) -> HANDLE {
        self.handle()
    }
}

pub(super) fn version(driver: &impl Driver) -> io::Result<(u32, u32)> {
    let [major, minor, _debug] = ask(driver, GET_VERSION, [0; 3])?;
    Ok((major, minor))
}

pub(super) fn mac(driver: &impl Driver) -> io::Result<Mac> {
    let octets = ask(driver, GET_MAC, [0_u32; 2])?.map(u32::to_ne_bytes);
    let [[a, b, c, d], [e, f, ..]] = octets;
    Ok(Mac([a, b, c, d, e, f]))
}

pub(super) fn set_media(driver: &impl Driver, connected: bool) -> io::Result<()> {
    ask(driver, SET_MEDIA_STATUS, [u32::from(connected)]).map(drop)
}

/// Sends words and receives as many in their place: the driver wants both, whatever it uses of them.
fn ask<const N: usize>(driver: &impl Driver, code: u32, words: [u32; N]) -> io::Result<[u32; N]> {
    // SAFETY: no pointers but null, and the handle is ours.
    let event = unsafe { owned(CreateEventW(ptr::null(), 1, 0, ptr::null())) }?;
    let mut call = OVERLAPPED {
        // The lowest bit keeps the completion from the port of the frames (GetQueuedCompletionStatus).
        hEvent: event.as_raw_handle().map_addr(|address| address | 1),
        ..OVERLAPPED::default()
    };
    let (mut words, len, mut returned) = (words, (N * 4) as u32, 0);
    let buffer: *mut u32 = words.as_mut_ptr();
    // SAFETY: buffer and structure live until the call is over, which is waited for below.
    let begun = check(unsafe {
        DeviceIoControl(
            driver.raw(),
            code,
            buffer.cast_const().cast(),
            len,
            buffer.cast(),
            len,
            ptr::null_mut(),
            &mut call,
        )
    });
    match begun {
        Err(error) if error.raw_os_error() != Some(ERROR_IO_PENDING.cast_signed()) => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // SAFETY: the same structure, which the call has used.
    check(unsafe { GetOverlappedResult(driver.raw(), &call, &mut returned, 1) })?;
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_drivers_header() {
        assert_eq!(
            (GET_MAC, GET_VERSION, SET_MEDIA_STATUS),
            (0x22_0004, 0x22_0008, 0x22_0018)
        );
    }

    #[test]
    fn something_that_is_not_the_driver_says_no() {
        use std::os::windows::fs::OpenOptionsExt;

        use windows_sys::Win32::Storage::FileSystem::FILE_FLAG_OVERLAPPED;
        let directory = tempfile::tempdir().unwrap();
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .custom_flags(FILE_FLAG_OVERLAPPED)
            .open(directory.path().join("no driver"))
            .unwrap();
        assert!(version(&OwnedHandle::from(file)).is_err());
    }
}
