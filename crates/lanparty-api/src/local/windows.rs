//! Windows: a named pipe with an access list.
//!
//! Pipes have a name space of their own, in which any program may take a name first. So the name says which state dir it stands for, the
//! first instance has to be the first of all, and whoever connects lets the server identify it but not act for it.

use std::{
    fmt::Write,
    fs::OpenOptions,
    io,
    os::windows::{fs::OpenOptionsExt, io::OwnedHandle},
    path::{Path, absolute},
    time::Duration,
};

use interprocess::os::windows::{
    named_pipe::{
        PipeListenerOptions, pipe_mode,
        tokio::{DuplexPipeStream, PipeListener},
    },
    security_descriptor::SecurityDescriptor,
};
use widestring::U16CString;

use super::Audience;

/// SDDL ([MS-DTYP] 2.5.1): inherited from nobody; everything for the system, for administrators and for who made it.
const OWNER_ONLY: &str = "D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;OW)";
/// The same, and [`SPEAKING`] for those who are logged on at this machine: not all of writing (`GW`), which holds the right to make further
/// instances of the pipe, and so to answer in the service's place.
const PLAYERS: &str = "D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;OW)(A;;0x12019b;;;IU)";
/// What who asks needs of a pipe: FILE_GENERIC_READ and FILE_GENERIC_WRITE without FILE_APPEND_DATA, which for a pipe is
/// FILE_CREATE_PIPE_INSTANCE (Win32, "Named Pipe Security and Access Rights").
const SPEAKING: u32 = 0x0012_019b;
const FILE_FLAG_OVERLAPPED: u32 = 0x4000_0000;
/// The server may learn who asks, and not act in his name.
const SECURITY_IDENTIFICATION: u32 = 0x0001_0000;
/// Stands for the pipe of the client's service.
pub(super) const SERVICE: &str = r"C:\ProgramData\lanparty\service.sock";
/// A pipe's name has at most 256 characters, the prefix included.
const LONGEST: usize = 200;
/// ERROR_PIPE_BUSY: all instances have somebody, and the next one is being made.
const BUSY: i32 = 231;
const BUSY_PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Listener(PipeListener<pipe_mode::Bytes, pipe_mode::Bytes>);

impl Listener {
    pub(super) fn bind(path: &Path, _waiting: usize, audience: Audience) -> io::Result<Listener> {
        let rights = match audience {
            Audience::Owner => OWNER_ONLY,
            Audience::Players => PLAYERS,
        };
        let rights = U16CString::from_str(rights).map_err(io::Error::other)?;
        let options = PipeListenerOptions::new()
            .path(pipe_name(path)?)
            .security_descriptor(Some(SecurityDescriptor::deserialize(&rights)?));
        options.create_tokio_duplex().map(Listener)
    }

    pub(super) async fn accept(&mut self) -> io::Result<DuplexPipeStream<pipe_mode::Bytes>> {
        self.0.accept().await
    }
}

/// Waits while all instances are busy.
pub(super) async fn connect(path: &Path) -> io::Result<DuplexPipeStream<pipe_mode::Bytes>> {
    let name = pipe_name(path)?;
    let mut options = OpenOptions::new();
    options
        .access_mode(SPEAKING)
        .custom_flags(FILE_FLAG_OVERLAPPED)
        .security_qos_flags(SECURITY_IDENTIFICATION);
    loop {
        match options.open(&name) {
            Err(error) if error.raw_os_error() == Some(BUSY) => tokio::time::sleep(BUSY_PAUSE).await,
            opened => {
                let pipe = OwnedHandle::from(opened?).try_into();
                return pipe.map_err(|error| io::Error::other(format!("{error:?}")));
            }
        }
    }
}

/// A pipe goes with the process that serves it, and nothing is left over.
pub(super) fn remove(_path: &Path) {}

/// The name of the pipe that stands for `path`: its characters, as far as a name may have them, and a sum over all of it, since paths
/// may differ only in others or be too long.
fn pipe_name(path: &Path) -> io::Result<String> {
    // Windows takes paths that differ in case for the same.
    let path = absolute(path)?.to_string_lossy().to_lowercase();
    let plain: Vec<char> = path
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '-'
            }
        })
        .collect();
    let mut name = String::from(r"\\.\pipe\lanparty");
    name.extend(&plain[plain.len().saturating_sub(LONGEST)..]);
    // FNV-1a, of 64 bits.
    let sum = path.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    write!(name, "-{sum:016x}").map_err(io::Error::other)?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn players_may_speak_and_not_answer() {
        const CREATE_PIPE_INSTANCE: u32 = 4;
        assert_eq!(SPEAKING & CREATE_PIPE_INSTANCE, 0);
        assert!(PLAYERS.ends_with(&format!("(A;;{SPEAKING:#x};;;IU)")));
    }

    #[test]
    fn paths_have_names_of_their_own_that_fit() {
        let name = |path: &str| pipe_name(Path::new(path)).unwrap();
        assert_eq!(name(r"C:\Game\client.sock"), name(r"c:\game\CLIENT.sock"));
        assert_ne!(name(r"C:\a-b\client.sock"), name(r"C:\a\b\client.sock"));
        let deep = |end: &str| name(&format!(r"C:\{}\{end}", "x".repeat(400)));
        assert!(deep("client.sock").len() < 256);
        assert_ne!(deep("client.sock"), deep("other.sock"));
    }
}
