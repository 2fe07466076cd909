//! Texts in the registry of Windows.

use std::{io, ptr};

use windows_sys::Win32::{
    Foundation::{ERROR_MORE_DATA, INVALID_HANDLE_VALUE},
    System::Registry::{
        HKEY, KEY_READ, KEY_WRITE, REG_SZ, RRF_RT_REG_SZ, RegCloseKey, RegCreateKeyExW, RegDeleteValueW,
        RegGetValueW, RegOpenKeyExW, RegSetValueExW,
    },
};

use crate::win32::{check_code, narrow, wide};

/// More than any text that we read: a GUID, an address, a name.
const LONGEST: usize = 512;

/// An open key.
pub(crate) struct Key(HKEY);

impl Key {
    pub(crate) fn open(root: HKEY, path: &str, rights: u32) -> io::Result<Key> {
        let (path, mut key) = (wide(path), ptr::null_mut());
        // SAFETY: the path ends with a zero, and the key is written where there is room.
        check_code(unsafe { RegOpenKeyExW(root, path.as_ptr(), 0, rights, &mut key) })?;
        Ok(Key(key))
    }

    pub(crate) fn create(root: HKEY, path: &str) -> io::Result<Key> {
        let (path, mut key) = (wide(path), ptr::null_mut());
        // SAFETY: the path ends with a zero, the key is written where there is room, and all else may be null.
        check_code(unsafe {
            RegCreateKeyExW(
                root,
                path.as_ptr(),
                0,
                ptr::null(),
                0,
                KEY_READ | KEY_WRITE,
                ptr::null(),
                &mut key,
                ptr::null_mut(),
            )
        })?;
        Ok(Key(key))
    }

    /// Takes over the result of a call that opens keys.
    ///
    /// # Safety
    /// Nobody else closes it.
    pub(crate) unsafe fn owned(key: HKEY) -> io::Result<Key> {
        if key == INVALID_HANDLE_VALUE {
            return Err(io::Error::last_os_error());
        }
        Ok(Key(key))
    }

    pub(crate) fn text(&self, name: &str) -> io::Result<String> {
        let (name, mut text, mut len) = (wide(name), [0_u16; LONGEST], (LONGEST * 2) as u32);
        // SAFETY: the name ends with a zero, and the text is written where there is room for as many bytes as stated.
        let code = unsafe {
            RegGetValueW(
                self.0,
                ptr::null(),
                name.as_ptr(),
                RRF_RT_REG_SZ,
                ptr::null_mut(),
                text.as_mut_ptr().cast(),
                &mut len,
            )
        };
        if code == ERROR_MORE_DATA {
            return Err(io::ErrorKind::InvalidData.into());
        }
        check_code(code).map(|()| narrow(&text))
    }

    pub(crate) fn set_text(&self, name: &str, text: &str) -> io::Result<()> {
        let (name, text) = (wide(name), wide(text));
        // SAFETY: both end with zeros, and the text is as many bytes as stated.
        check_code(unsafe {
            RegSetValueExW(
                self.0,
                name.as_ptr(),
                0,
                REG_SZ,
                text.as_ptr().cast(),
                (text.len() * 2) as u32,
            )
        })
    }

    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        // SAFETY: the name ends with a zero.
        check_code(unsafe { RegDeleteValueW(self.0, wide(name).as_ptr()) })
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: it is open, and ours.
        unsafe { RegCloseKey(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use windows_sys::Win32::System::Registry::{HKEY_CURRENT_USER, RegDeleteTreeW};

    use super::*;

    #[test]
    fn texts_come_back_and_missing_ones_are_not_found() {
        let path = format!(r"SOFTWARE\lanparty-test-{}", std::process::id());
        let key = Key::create(HKEY_CURRENT_USER, &path).unwrap();
        key.set_text("Name", "lanparty0 ü").unwrap();
        let read = Key::open(HKEY_CURRENT_USER, &path, KEY_READ).unwrap();
        assert_eq!(read.text("Name").unwrap(), "lanparty0 ü");
        assert_eq!(read.text("other").unwrap_err().kind(), io::ErrorKind::NotFound);
        key.remove("Name").unwrap();
        assert_eq!(read.text("Name").unwrap_err().kind(), io::ErrorKind::NotFound);
        key.set_text("long", &"x".repeat(LONGEST)).unwrap();
        assert_eq!(read.text("long").unwrap_err().kind(), io::ErrorKind::InvalidData);
        // SAFETY: the path ends with a zero.
        unsafe { RegDeleteTreeW(HKEY_CURRENT_USER, wide(&path).as_ptr()) };
        assert!(Key::open(HKEY_CURRENT_USER, &path, KEY_READ).is_err());
    }
}
