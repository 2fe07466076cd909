//! The local socket of a running instance.
//!
//! It lies in the state dir (on Windows it is a named pipe with the state dir's name), for its owner only, so that several instances
//! live on one machine and nobody else can ask. Over it
//! travel single lines of JSON: a versioned [`Command`] to the process, an answer back. A command that the process does
//! not know is answered with a refusal, so later surfaces add commands without breaking older programs. What can be asked is in
//! [`order`](crate::order), who answers in [`desk`](crate::desk).

mod ask;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{
        AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, Lines,
        split,
    },
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::timeout,
};

pub use ask::{
    Following, LocalError, command, follow, order, query, query_diagnostics, query_discovery, unexpected,
};

#[cfg(unix)]
use unix as imp;
#[cfg(windows)]
use windows as imp;

use crate::{
    desk::{self, Desk, DiscoveryFile, Onlooker},
    order::{Answer, Command},
    status::{Program, Status},
};

/// Questions at the same time: a person, a dashboard and a few scripts. Others wait to be accepted.
const MAX_CLIENTS: usize = 16;
/// Bytes that one client may send; a command is far shorter.
const MAX_QUESTION: u64 = 64 * 1024;
/// How long a client may take between two questions, and a process to read one.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two lines to one who watches.
const REST: Duration = Duration::from_millis(50);

#[derive(Serialize, Deserialize)]
struct Request {
    version: u16,
    #[serde(flatten)]
    command: Command,
}

/// Where an instance of `program` with this state dir listens.
pub fn socket_path(state_dir: &Path, program: Program) -> PathBuf {
    state_dir.join(program.name()).with_extension("sock")
}

/// Where the client's service of this machine is spoken to by those who have no rights of their own.
pub fn service_path() -> PathBuf {
    PathBuf::from(imp::SERVICE)
}

/// A socket that is being served; it disappears when this is dropped.
#[derive(Debug)]
pub struct StatusServer {
    path: PathBuf,
    task: JoinHandle<()>,
}

impl Drop for StatusServer {
    fn drop(&mut self) {
        self.task.abort();
        imp::remove(&self.path);
    }
}

/// Answers at `path` with the newest status. The caller holds the lock of the state dir, so a socket that is there already belongs to
/// nobody. Needs a tokio runtime.
///
/// # Errors
/// The socket cannot be made.
pub fn serve_status(path: &Path, status: watch::Receiver<Status>) -> Result<StatusServer, LocalError> {
    serve(
        path,
        Audience::Owner,
        Arc::new(Onlooker {
            status,
            discovery: None,
        }),
    )
}

/// Like [`serve_status`], for a process that remembers discovery frames.
///
/// # Errors
/// The socket cannot be made.
pub fn serve_endpoint(
    path: &Path,
    status: watch::Receiver<Status>,
    discovery: DiscoveryFile,
) -> Result<StatusServer, LocalError> {
    let discovery = Some(discovery);
    serve(path, Audience::Owner, Arc::new(Onlooker { status, discovery }))
}

/// Who may ask and order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Audience {
    /// Whoever the process runs as.
    Owner,
    /// Also the players of this machine: the group that the socket's directory gives it.
    Players,
}

/// Answers at `path` as `desk` says. Needs a tokio runtime.
///
/// # Errors
/// The socket cannot be made.
pub fn serve(path: &Path, audience: Audience, desk: Arc<dyn Desk>) -> Result<StatusServer, LocalError> {
    let listener = imp::Listener::bind(path, MAX_CLIENTS, audience).map_err(|source| LocalError::Serve {
        path: path.to_owned(),
        source,
    })?;
    let task = tokio::spawn(accept(listener, desk));
    Ok(StatusServer {
        path: path.to_owned(),
        task,
    })
}

async fn accept(mut listener: imp::Listener, desk: Arc<dyn Desk>) {
    let slots = Arc::new(Semaphore::new(MAX_CLIENTS));
    while let Ok(slot) = slots.clone().acquire_owned().await {
        match listener.accept().await {
            Ok(stream) => {
                let desk = desk.clone();
                tokio::spawn(async move {
                    if let Err(error) = converse(stream, &*desk).await {
                        tracing::debug!(%error, "a status client went away");
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: somebody else has to close some first.
                tracing::warn!(%error, "could not accept a status client");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite, desk: &dyn Desk) -> io::Result<()> {
    let (read, mut write) = split(stream);
    let mut lines = BufReader::new(read.take(MAX_QUESTION)).lines();
    while let Some(line) = timeout(PATIENCE, lines.next_line()).await?? {
        let answer = match serde_json::from_str::<Request>(&line) {
            Err(error) => Answer::refused(format!("the request was not understood: {error}")),
            Ok(Request { version, command }) => match command {
                Command::Watch => return stream_status(&mut lines, &mut write, desk.status()).await,
                Command::Status => current(&mut desk.status()),
                Command::Unknown => desk::unknown(version),
                command => desk.answer(command).await,
            },
        };
        tell(&mut write, &answer).await?;
    }
    Ok(())
}

/// Tells the status now and whenever it changes, until the asker goes away. Whoever reads slowly misses what was in between.
async fn stream_status(
    lines: &mut Lines<impl AsyncBufRead + Unpin>,
    write: &mut (impl AsyncWrite + Unpin),
    mut status: watch::Receiver<Status>,
) -> io::Result<()> {
    loop {
        let answer = current(&mut status);
        tell(write, &answer).await?;
        tokio::time::sleep(REST).await;
        tokio::select! {
            changed = status.changed() => if changed.is_err() {
                return Ok(());
            },
            // Nothing more is asked on this connection.
            line = lines.next_line() => if line?.is_none() {
                return Ok(());
            },
        }
    }
}

fn current(status: &mut watch::Receiver<Status>) -> Answer {
    Answer::Status {
        status: Box::new(status.borrow_and_update().clone()),
    }
}

async fn tell(write: &mut (impl AsyncWrite + Unpin), answer: &Answer) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(answer)?;
    bytes.push(b'\n');
    timeout(PATIENCE, write.write_all(&bytes)).await?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_running_instance_answers_with_its_newest_status() {
        let dir = tempfile::tempdir().unwrap();
        let path = socket_path(dir.path(), Program::Client);
        let (sender, receiver) = watch::channel(Status::new(Program::Client));
        let server = serve_status(&path, receiver).unwrap();
        sender.send_modify(|status| status.problem = Some("rain".into()));
        assert_eq!(query(&path).await.unwrap().problem.as_deref(), Some("rain"));
        drop(server);
        // A pipe goes when the runtime has ended what served it.
        while !matches!(query(&path).await, Err(LocalError::NotRunning { .. })) {
            tokio::task::yield_now().await;
        }
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_state_dir_may_have_a_long_name() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("x".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let path = socket_path(&deep, Program::Client);
        let (_sender, receiver) = watch::channel(Status::new(Program::Client));
        let server = serve_status(&path, receiver).unwrap();
        assert_eq!(query(&path).await.unwrap().program, Program::Client);
        drop(server);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn unknown_commands_and_garbage_are_refused_and_the_next_question_answered() {
        let dir = tempfile::tempdir().unwrap();
        let path = socket_path(dir.path(), Program::Client);
        let (_sender, receiver) = watch::channel(Status::new(Program::Client));
        let _server = serve_status(&path, receiver).unwrap();
        let (read, mut write) = split(imp::connect(&path).await.unwrap());
        write
            .write_all(
                b"{\"version\":9,\"command\":\"dance\"}\nhello\n{\"version\":1,\"command\":\"status\"}\n",
            )
            .await
            .unwrap();
        let mut lines = BufReader::new(read).lines();
        for expected in [
            "does not know this command",
            "was not understood",
            "\"program\":\"client\"",
        ] {
            let line = lines.next_line().await.unwrap().unwrap();
            assert!(line.contains(expected), "{line}");
        }
    }

    #[tokio::test]
    async fn who_follows_sees_the_newest_status_and_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = socket_path(dir.path(), Program::Client);
        let (sender, receiver) = watch::channel(Status::new(Program::Client));
        let server = serve_status(&path, receiver).unwrap();
        let mut both = [follow(&path).await.unwrap(), follow(&path).await.unwrap()];
        for following in &mut both {
            assert_eq!(following.next().await.unwrap().unwrap().problem, None);
        }
        sender.send_modify(|status| status.problem = Some("rain".into()));
        for following in &mut both {
            let problem = following.next().await.unwrap().unwrap().problem;
            assert_eq!(problem.as_deref(), Some("rain"));
        }
        // The last who could change it has gone.
        drop((sender, server));
        for following in &mut both {
            assert_eq!(following.next().await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn a_program_for_one_room_takes_no_orders() {
        let dir = tempfile::tempdir().unwrap();
        let path = socket_path(dir.path(), Program::Client);
        let (_sender, receiver) = watch::channel(Status::new(Program::Client));
        let _server = serve_status(&path, receiver).unwrap();
        let refused = command(&path, Command::Disconnect).await;
        assert!(
            matches!(refused, Err(LocalError::Refused { reason, .. }) if reason.contains("takes no orders"))
        );
    }

    #[tokio::test]
    async fn too_many_silent_clients_do_not_stop_the_next_one_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let path = socket_path(dir.path(), Program::Client);
        let (_sender, receiver) = watch::channel(Status::new(Program::Client));
        let _server = serve_status(&path, receiver).unwrap();
        let mut silent = Vec::new();
        for _ in 0..MAX_CLIENTS {
            silent.push(imp::connect(&path).await.unwrap());
        }
        let question = query(&path);
        silent.clear();
        assert!(question.await.is_ok());
    }
}
