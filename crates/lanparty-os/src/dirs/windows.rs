//! Windows: access lists, sharing modes, renames.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::windows::{fs::OpenOptionsExt, io::AsRawHandle},
    path::{Path, PathBuf},
    process, ptr,
};

use windows_sys::Win32::{
    Foundation::{ERROR_SHARING_VIOLATION, LocalFree},
    Security::{
        ACL,
        Authorization::{
            ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1, SE_FILE_OBJECT,
            SetNamedSecurityInfoW,
        },
        DACL_SECURITY_INFORMATION, GetSecurityDescriptorDacl, GetSecurityDescriptorOwner,
        GetTokenInformation, OWNER_SECURITY_INFORMATION, PROTECTED_DACL_SECURITY_INFORMATION,
        PSECURITY_DESCRIPTOR, PSID, TOKEN_ELEVATION, TOKEN_QUERY, TokenElevation,
    },
    Storage::FileSystem::FILE_SHARE_READ,
    System::Threading::{GetCurrentProcess, OpenProcessToken},
};

use super::Environment;
use crate::win32::{check, check_code, owned, wide};

/// Inherited from nobody and by everything below. Of a service: the system and administrators, and an administrator as the owner, because
/// anybody may have made a directory of this name below `ProgramData` before, and an owner can give himself rights again.
const OF_MACHINE: &str = "O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)";
/// Of a user: himself too.
const OF_USER: &str = "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;OW)";

/// Whether this process has an administrator's rights.
pub(super) fn is_root() -> bool {
    is_elevated().unwrap_or(false)
}

pub(super) fn default_dir(environment: &Environment, role: &str) -> Option<PathBuf> {
    let base = if environment.root {
        &environment.program_data
    } else {
        &environment.local_app_data
    };
    let base = base.as_ref().map(Path::new).filter(|path| path.is_absolute())?;
    Some(base.join("lanparty").join(role))
}

pub(super) fn create_private(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    let rights = if is_elevated()? { OF_MACHINE } else { OF_USER };
    set_rights(path, rights)
}

/// Who may give orders is said where the pipe is made, and a pipe lies in no directory.
pub(super) fn share_with_group(_path: &Path, _group: &str) -> io::Result<bool> {
    Ok(true)
}

/// Outside of a private directory it has that directory's rights, as files of this system do.
pub(super) fn create_new_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

pub(super) fn make_private(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// `None` if somebody else has it: who has a file open for writing shares it with readers only.
pub(super) fn lock(path: &Path) -> io::Result<Option<File>> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .share_mode(FILE_SHARE_READ)
        .open(path);
    let mut file = match opened {
        Err(error) if error.raw_os_error() == Some(ERROR_SHARING_VIOLATION.cast_signed()) => return Ok(None),
        opened => opened?,
    };
    // For the sentence that another instance will say; the lock itself does not depend on it.
    file.set_len(0)?;
    write!(file, "{}", process::id())?;
    Ok(Some(file))
}

pub(super) fn lock_owner(path: &Path) -> String {
    super::owner_of_lock(fs::read_to_string(path))
}

/// The directory's access list is inherited by the file, so `_mode` has nothing to say.
pub(super) fn replace(path: &Path, content: &[u8], _mode: u32) -> io::Result<()> {
    let temporary = super::beside(path)?;
    let written = File::create(&temporary).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    written
        .and_then(|()| fs::rename(&temporary, path))
        .inspect_err(|_| {
            // The error that matters is the first; a leftover is written over by the next write.
            let _ = fs::remove_file(&temporary);
        })
}

fn is_elevated() -> io::Result<bool> {
    let mut token = ptr::null_mut();
    // SAFETY: the process's own handle needs no closing, and the token is written where there is room.
    check(unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &mut token) })?;
    // SAFETY: the call has just made it.
    let token = unsafe { owned(token) }?;
    let mut elevation = TOKEN_ELEVATION { TokenIsElevated: 0 };
    let mut len = size_of::<TOKEN_ELEVATION>() as u32;
    // SAFETY: the answer is written into a structure of the stated length.
    check(unsafe {
        GetTokenInformation(
            token.as_raw_handle(),
            TokenElevation,
            ptr::from_mut(&mut elevation).cast(),
            len,
            &mut len,
        )
    })?;
    Ok(elevation.TokenIsElevated != 0)
}

fn set_rights(path: &Path, rights: &str) -> io::Result<()> {
    let descriptor = Descriptor::parse(rights)?;
    let (owner, list) = descriptor.parts()?;
    let mut what = DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION;
    if !owner.is_null() {
        what |= OWNER_SECURITY_INFORMATION;
    }
    let name = wide(path);
    // SAFETY: the name ends with a zero, and owner and list lie in the descriptor, which lives until the call returns.
    check_code(unsafe {
        SetNamedSecurityInfoW(
            name.as_ptr(),
            SE_FILE_OBJECT,
            what,
            owner,
            ptr::null_mut(),
            list,
            ptr::null(),
        )
    })
}

/// A security descriptor that Windows has made.
struct Descriptor(PSECURITY_DESCRIPTOR);

impl Descriptor {
    /// From SDDL ([MS-DTYP] 2.5.1).
    fn parse(text: &str) -> io::Result<Descriptor> {
        let (text, mut descriptor) = (wide(text), ptr::null_mut());
        // SAFETY: the text ends with a zero, and the pointer is written where there is room.
        check(unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                SDDL_REVISION_1,
                &mut descriptor,
                ptr::null_mut(),
            )
        })?;
        Ok(Descriptor(descriptor))
    }

    /// The owner, null if it names none, and the access list. Both lie in it.
    fn parts(&self) -> io::Result<(PSID, *mut ACL)> {
        let (mut owner, mut list) = (ptr::null_mut(), ptr::null_mut());
        let (mut present, mut defaulted) = (0, 0);
        // SAFETY: the descriptor is a valid one, and everything is written where there is room.
        check(unsafe { GetSecurityDescriptorOwner(self.0, &mut owner, &mut defaulted) })?;
        // SAFETY: as before.
        check(unsafe { GetSecurityDescriptorDacl(self.0, &mut present, &mut list, &mut defaulted) })?;
        Ok((owner, list))
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: the call that made it wants it to be freed so, once.
        unsafe { LocalFree(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::dirs::StateDir;

    #[test]
    fn the_platform_says_where_state_goes() {
        let environment = |root| Environment {
            root,
            program_data: Some(OsString::from(r"C:\ProgramData")),
            local_app_data: Some(OsString::from(r"C:\Users\p\AppData\Local")),
            ..Environment::default()
        };
        let dir = |root| environment(root).state_dir("client").unwrap();
        assert_eq!(dir(true), Path::new(r"C:\ProgramData\lanparty\client"));
        assert_eq!(dir(false), Path::new(r"C:\Users\p\AppData\Local\lanparty\client"));
        assert!(Environment::default().state_dir("client").is_err());
    }

    #[test]
    fn the_rights_of_both_kinds_of_directory_are_understood() {
        let of = |text| Descriptor::parse(text).unwrap().parts().unwrap().0;
        assert!(!of(OF_MACHINE).is_null() && of(OF_USER).is_null());
        assert!(Descriptor::parse("D:P(A;nonsense)").is_err());
    }

    #[test]
    fn files_in_a_private_directory_are_written_read_and_replaced() {
        let parent = tempfile::tempdir().unwrap();
        let state = StateDir::open(&parent.path().join("state")).unwrap();
        let key = state.path().join("key");
        replace(&key, b"secret", 0o600).unwrap();
        replace(&key, b"other", 0o600).unwrap();
        assert_eq!(fs::read(&key).unwrap(), b"other");
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 2);
    }
}
