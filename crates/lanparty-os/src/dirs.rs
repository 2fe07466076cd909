//! The state directory: identity, certificate, journal, sockets; one for each instance.
//!
//! It is private (0700, or an access list), because it holds keys and because the sockets in it give orders. A lock keeps two instances
//! from sharing one, which would mean one identity twice and a journal of two writers.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::{
    env,
    ffi::OsString,
    fs::File,
    io,
    path::{Path, PathBuf},
};

#[cfg(unix)]
use unix as imp;
#[cfg(windows)]
use windows as imp;

const LOCK_FILE: &str = "lock";

/// Where the state of an instance goes if nobody says otherwise, as the environment tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Unix's root, or an administrator's rights on Windows.
    pub root: bool,
    /// `STATE_DIRECTORY`, set by systemd for units with `StateDirectory=`; several are separated by colons.
    pub state_directory: Option<OsString>,
    /// `XDG_STATE_HOME`
    pub xdg_state_home: Option<OsString>,
    /// `HOME`
    pub home: Option<OsString>,
    /// `ProgramData`: where Windows keeps what belongs to the machine.
    pub program_data: Option<OsString>,
    /// `LOCALAPPDATA`: where Windows keeps what belongs to a user on this machine.
    pub local_app_data: Option<OsString>,
}

impl Environment {
    /// That of this process.
    pub fn of_process() -> Environment {
        Environment {
            root: imp::is_root(),
            state_directory: env::var_os("STATE_DIRECTORY"),
            xdg_state_home: env::var_os("XDG_STATE_HOME"),
            home: env::var_os("HOME"),
            program_data: env::var_os("ProgramData"),
            local_app_data: env::var_os("LOCALAPPDATA"),
        }
    }

    /// The state directory of a role: `client`, `gateway`, `relay`.
    ///
    /// # Errors
    /// [`DirError::NoDefault`] if there is neither root nor a home.
    pub fn state_dir(&self, role: &str) -> Result<PathBuf, DirError> {
        if let Some(given) = self
            .state_directory
            .as_ref()
            .and_then(|value| env::split_paths(value).next())
            && given.is_absolute()
        {
            return Ok(given);
        }
        imp::default_dir(self, role).ok_or(DirError::NoDefault)
    }
}

/// A state directory that belongs to this instance until the value is dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// Its lock ends when it is closed, by whatever end the process comes to.
    _lock: File,
}

impl StateDir {
    /// Creates the directory if it is missing, makes it private, and takes its lock.
    ///
    /// # Errors
    /// [`DirError::InUse`] if another instance has it.
    pub fn open(path: &Path) -> Result<StateDir, DirError> {
        create_private(path)?;
        let lock_path = path.join(LOCK_FILE);
        let lock = imp::lock(&lock_path).map_err(|source| DirError::Io {
            attempt: "lock",
            path: path.to_owned(),
            source,
        })?;
        match lock {
            Some(lock) => Ok(StateDir {
                path: path.to_owned(),
                _lock: lock,
            }),
            None => Err(DirError::InUse {
                path: path.to_owned(),
                owner: imp::lock_owner(&lock_path),
            }),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether this process is root, or has an administrator's rights.
#[cfg(windows)]
pub(crate) fn is_root() -> bool {
    imp::is_root()
}

/// Creates a directory and its parents, and closes it to everybody else.
///
/// # Errors
/// What the system objects to.
pub fn create_private(path: &Path) -> Result<(), DirError> {
    imp::create_private(path).map_err(|source| DirError::Io {
        attempt: "create",
        path: path.to_owned(),
        source,
    })
}

/// Makes a directory, if it is not there yet, that the members of a group of this machine can enter, and whose new files belong to that
/// group. False if there is no such group: then the directory is ours alone.
///
/// # Errors
/// What the system objects to.
pub fn share_with_group(path: &Path, group: &str) -> Result<bool, DirError> {
    imp::share_with_group(path, group).map_err(|source| DirError::Io {
        attempt: "share",
        path: path.to_owned(),
        source,
    })
}

/// Replaces a file by one with this content that only we can read. After a crash there is the old content or the new,
/// never half of it.
///
/// # Errors
/// What the system objects to.
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), DirError> {
    imp::replace(path, content, 0o600).map_err(|source| DirError::Io {
        attempt: "write",
        path: path.to_owned(),
        source,
    })
}

/// Makes a file that only we can read.
///
/// # Errors
/// The file is there already, or cannot be made.
pub fn create_new_private(path: &Path) -> io::Result<File> {
    imp::create_new_private(path)
}

/// Takes back what rights others have on a file of ours. On Windows a file has those of its directory.
///
/// # Errors
/// What the system objects to.
pub fn make_private(path: &Path) -> io::Result<()> {
    imp::make_private(path)
}

/// Like [`write_private`], for files that other programs read.
#[cfg(target_os = "linux")]
pub(crate) fn write_public(path: &Path, content: &[u8]) -> Result<(), DirError> {
    imp::replace(path, content, 0o644).map_err(|source| DirError::Io {
        attempt: "write",
        path: path.to_owned(),
        source,
    })
}

/// What a lock's file says of who has it.
fn owner_of_lock(text: io::Result<String>) -> String {
    match text.ok().and_then(|text| text.trim().parse::<u32>().ok()) {
        Some(pid) => format!("process {pid}"),
        None => "a process that has just started".to_owned(),
    }
}

/// Where the new content of a file is written. One name for each target, so that a crash leaves at most one, and the next write takes
/// it away.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(".new");
    Ok(path.with_file_name(temporary))
}

/// Why a directory or file of the state could not be used.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    #[error("could not {attempt} {}", path.display())]
    Io {
        attempt: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("another lanparty ({owner}) is using {}; stop it, or give this one its own directory with --state-dir", path.display())]
    InUse { path: PathBuf, owner: String },
    #[error(
        "the environment does not say where to keep state (HOME, LOCALAPPDATA); name a directory with --state-dir"
    )]
    NoDefault,
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    #[test]
    fn the_platform_says_where_state_goes() {
        let environment =
            |root, directory: Option<&str>, xdg: Option<&str>, home: Option<&str>| Environment {
                root,
                state_directory: directory.map(OsString::from),
                xdg_state_home: xdg.map(OsString::from),
                home: home.map(OsString::from),
                ..Environment::default()
            };
        for (environment, expected) in [
            (
                environment(true, None, Some("/x"), Some("/root")),
                "/var/lib/lanparty/relay",
            ),
            (
                environment(true, Some("/var/lib/lanparty/a:/b"), None, None),
                "/var/lib/lanparty/a",
            ),
            (
                environment(false, None, Some("/x"), Some("/home/p")),
                "/x/lanparty/relay",
            ),
            (
                environment(false, None, Some("relative"), Some("/home/p")),
                "/home/p/.local/state/lanparty/relay",
            ),
        ] {
            assert_eq!(environment.state_dir("relay").unwrap(), Path::new(expected));
        }
        assert!(matches!(
            environment(false, None, None, None).state_dir("relay"),
            Err(DirError::NoDefault)
        ));
    }

    #[test]
    fn a_directory_in_use_is_refused_and_free_again_afterwards() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("deep/state");
        let first = StateDir::open(&path).unwrap();
        let refusal = StateDir::open(&path).unwrap_err().to_string();
        assert!(
            refusal.contains(&format!("process {}", std::process::id())),
            "{refusal}"
        );
        drop(first);
        StateDir::open(&path).unwrap();
    }

    #[test]
    fn directory_and_files_are_closed_to_others() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("state");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let state = StateDir::open(&path).unwrap();
        let key = state.path().join("key");
        write_private(&key, b"secret").unwrap();
        write_private(&key, b"other").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&key)), (0o700, 0o600));
        assert_eq!(fs::read(&key).unwrap(), b"other");
        let names: Vec<_> = fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names.len(), 2, "{names:?}");
    }
}
