//! Wi-Fi that keeps to its network: neither scanning in the background nor asked to be slow.

use std::{ffi::c_void, io, ptr};

use windows::core::GUID;

use crate::win32::{check_code, function};

/// The interface that came with Windows Vista, which all later ones have.
const VERSION: u32 = 2;
/// Of `WLAN_INTF_OPCODE` (wlanapi.h), both of four bytes.
const BACKGROUND_SCAN: i32 = 2;
const MEDIA_STREAMING: i32 = 3;

type Open = unsafe extern "system" fn(u32, *const c_void, *mut u32, *mut isize) -> u32;
type Set = unsafe extern "system" fn(isize, *const GUID, i32, u32, *const c_void, *const c_void) -> u32;
type Close = unsafe extern "system" fn(isize, *const c_void) -> u32;

/// As long as this lives. Windows goes back to what was before when it is dropped, or its process has ended.
pub(crate) struct Steady {
    handle: isize,
    close: Close,
}

impl Steady {
    /// `adapter` is what Windows calls it, `{…}`.
    pub(crate) fn new(adapter: &str) -> io::Result<Steady> {
        let id = adapter.trim_matches(['{', '}']);
        let id = GUID::try_from(id).map_err(|_| io::ErrorKind::InvalidInput)?;
        let of_wlan = |name| function(c"wlanapi.dll", name);
        // SAFETY (of all three): this is what wlanapi.h says of it.
        let open: Open = unsafe { std::mem::transmute(of_wlan(c"WlanOpenHandle")?) };
        // SAFETY: as above.
        let set: Set = unsafe { std::mem::transmute(of_wlan(c"WlanSetInterface")?) };
        // SAFETY: as above.
        let close: Close = unsafe { std::mem::transmute(of_wlan(c"WlanCloseHandle")?) };
        let (mut version, mut handle) = (0, 0);
        // SAFETY: version and handle are written where there is room.
        check_code(unsafe { open(VERSION, ptr::null(), &mut version, &mut handle) })?;
        let steady = Steady { handle, close };
        for (what, value) in [(BACKGROUND_SCAN, 0_u32), (MEDIA_STREAMING, 1)] {
            let value = ptr::from_ref(&value).cast();
            // SAFETY: the handle is open, and the value is live and of the stated length.
            check_code(unsafe {
                set(
                    steady.handle,
                    &id,
                    what,
                    size_of::<u32>() as u32,
                    value,
                    ptr::null(),
                )
            })?;
        }
        Ok(steady)
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and ours.
        unsafe { (self.close)(self.handle, ptr::null()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Wine ends a program that calls WlanSetInterface, so a test goes no further than this.
    #[test]
    fn what_is_no_adapter_is_refused() {
        let error = Steady::new("Ethernet").err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
