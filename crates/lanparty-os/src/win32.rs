//! What every call of Windows needs: wide strings, results as errors, handles that close themselves.

use std::{
    ffi::{CStr, OsStr},
    io,
    os::windows::{
        ffi::OsStrExt,
        io::{FromRawHandle, OwnedHandle},
    },
    ptr,
};

use windows_sys::{
    Win32::{
        Foundation::{HANDLE, INVALID_HANDLE_VALUE},
        System::LibraryLoader::{GetProcAddress, LOAD_LIBRARY_SEARCH_SYSTEM32, LoadLibraryExA},
    },
    core::BOOL,
};

/// UTF-16 with the zero at its end that Windows wants.
pub(crate) fn wide(text: impl AsRef<OsStr>) -> Vec<u16> {
    text.as_ref().encode_wide().chain([0]).collect()
}

/// UTF-16 that ends with a zero somewhere or nowhere.
pub(crate) fn narrow(text: &[u16]) -> String {
    let end = text.iter().position(|&unit| unit == 0).unwrap_or(text.len());
    String::from_utf16_lossy(&text[..end])
}

/// As [`narrow`], of a string that Windows has made.
///
/// # Safety
/// `text` is null, or it ends with a zero.
pub(crate) unsafe fn narrow_pointer(text: *const u16) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: there is a zero, and up to it everything may be read.
    let len = (0..).take_while(|&at| unsafe { *text.add(at) } != 0).count();
    // SAFETY: as before.
    narrow(unsafe { std::slice::from_raw_parts(text, len) })
}

/// A function that answers with truth or says why by the thread's last error.
pub(crate) fn check(result: BOOL) -> io::Result<()> {
    if result == 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// A function that answers with an error's number.
pub(crate) fn check_code(code: u32) -> io::Result<()> {
    match code {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code.cast_signed())),
    }
}

/// A function of one of Windows' own libraries that not every Windows has, nor Wine: a program that names one that is missing is not
/// started, or ended at the call, where an error would do.
pub(crate) fn function(library: &CStr, name: &CStr) -> io::Result<unsafe extern "system" fn() -> isize> {
    // SAFETY: both names end with a zero. The library stays loaded.
    let found = unsafe {
        let library = LoadLibraryExA(
            library.as_ptr().cast(),
            ptr::null_mut(),
            LOAD_LIBRARY_SEARCH_SYSTEM32,
        );
        if library.is_null() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        GetProcAddress(library, name.as_ptr().cast())
    };
    found.ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// Takes over a handle that was made by the call whose result it is.
///
/// # Safety
/// Nobody else closes it.
pub(crate) unsafe fn owned(handle: HANDLE) -> io::Result<OwnedHandle> {
    if handle.is_null() || handle == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is a handle, and ours alone.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}
