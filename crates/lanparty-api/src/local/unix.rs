//! Unix: a socket in the file system, with the rights of a file.

use std::{
    fs, io,
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixSocket, UnixStream};

use super::Audience;

/// Where systemd makes a directory for the service.
pub(super) const SERVICE: &str = "/run/lanparty/service.sock";

pub(super) struct Listener(UnixListener);

impl Listener {
    /// The rights are set before anybody can connect. A socket that is there already is replaced. `waiting` is how many may wait to be
    /// accepted.
    pub(super) fn bind(path: &Path, waiting: usize, audience: Audience) -> io::Result<Listener> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let socket = UnixSocket::new_stream()?;
        socket.bind(Near::to(path)?.path())?;
        let mode = match audience {
            Audience::Owner => 0o600,
            Audience::Players => 0o660,
        };
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        socket.listen(waiting as u32).map(Listener)
    }

    pub(super) async fn accept(&mut self) -> io::Result<UnixStream> {
        self.0.accept().await.map(|(stream, _)| stream)
    }
}

pub(super) async fn connect(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(Near::to(path)?.path()).await
}

/// A socket that is left over is harmless: the next instance replaces it.
pub(super) fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}

/// A way to a socket that is short enough for the system: 107 bytes on Linux, fewer elsewhere. A long one is gone by a descriptor
/// of its directory, which lives as long as this.
enum Near<'a> {
    Plain(&'a Path),
    ByDirectory { path: PathBuf, _directory: fs::File },
}

impl Near<'_> {
    const MOST: usize = 100;

    fn to(path: &Path) -> io::Result<Near<'_>> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(Near::Plain(path));
        };
        if path.as_os_str().len() <= Near::MOST {
            return Ok(Near::Plain(path));
        }
        let directory = fs::File::open(parent)?;
        let path = Path::new("/proc/self/fd")
            .join(directory.as_raw_fd().to_string())
            .join(name);
        Ok(Near::ByDirectory {
            path,
            _directory: directory,
        })
    }

    fn path(&self) -> &Path {
        match self {
            Near::Plain(path) => path,
            Near::ByDirectory { path, .. } => path,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::{super::*, Listener, PermissionsExt, fs};
    use crate::status::{Program, Status};

    #[tokio::test]
    async fn what_a_crash_left_over_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = socket_path(dir.path(), Program::Relay);
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(matches!(query(&path).await, Err(LocalError::NotRunning { .. })));
        let (_sender, receiver) = watch::channel(Status::new(Program::Relay));
        let _server = serve_status(&path, receiver).unwrap();
        assert_eq!(query(&path).await.unwrap().program, Program::Relay);
    }

    #[tokio::test]
    async fn only_its_owner_may_ask_unless_it_is_for_players() {
        let dir = tempfile::tempdir().unwrap();
        let path = socket_path(dir.path(), Program::Client);
        for (audience, mode) in [(Audience::Owner, 0o600), (Audience::Players, 0o660)] {
            let _listener = Listener::bind(&path, 1, audience).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        }
    }
}
