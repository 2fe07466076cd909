//! The local socket of a running instance.
//!
//! It lies in the state dir (on Windows it is a named pipe with the state dir's name), for its owner only, so that several instances
//! live on one machine and nobody else can ask. Over it
//! travel single lines of JSON: a versioned [`Command`] to the process, an answer back. A command that the process does
//! not know is answered with a refusal, so later surfaces add commands without breaking older programs.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, split},
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::timeout,
};

#[cfg(unix)]
use unix as imp;
#[cfg(windows)]
use windows as imp;

use crate::status::{Program, STATUS_VERSION, Status};

/// Questions at the same time: a person, a dashboard and a few scripts. Others wait to be accepted.
const MAX_CLIENTS: usize = 16;
/// Bytes that one client may send; a command is far shorter.
const MAX_QUESTION: u64 = 64 * 1024;
/// Bytes of an answer that are read. A relay with a thousand members needs under one MiB.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;
/// How long a client may take between two questions, and a process to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a process is asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Its [`Status`].
    Status,
    /// The last minute of discovery frames, as a pcapng file.
    Discovery,
    /// A command of a later version.
    #[serde(other)]
    Unknown,
}

/// What comes back.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
enum Answer {
    Status {
        status: Box<Status>,
    },
    /// In base64.
    Discovery {
        file: String,
    },
    Refused {
        reason: String,
    },
}

/// Where a process has the file that [`Command::Discovery`] asks for; nothing if it is about to end.
pub type DiscoveryFile = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Option<Vec<u8>>> + Send>> + Send + Sync>;

#[derive(Serialize, Deserialize)]
struct Request {
    version: u16,
    #[serde(flatten)]
    command: Command,
}

/// Why a socket cannot be served or asked.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    #[error("could not open the status socket {}", path.display())]
    Serve { path: PathBuf, source: io::Error },
    #[error("nothing is running that answers at {}", path.display())]
    NotRunning { path: PathBuf, source: io::Error },
    #[error("could not ask at {}", path.display())]
    Ask { path: PathBuf, source: io::Error },
    #[error("the answer at {} was not understood", path.display())]
    Answer {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("the process at {} refused: {reason}", path.display())]
    Refused { path: PathBuf, reason: String },
}

/// Where an instance of `program` with this state dir listens.
pub fn socket_path(state_dir: &Path, program: Program) -> PathBuf {
    state_dir.join(program.name()).with_extension("sock")
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
        Source {
            status,
            discovery: None,
        },
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
    serve(path, Source { status, discovery })
}

/// What there is to answer.
#[derive(Clone)]
struct Source {
    status: watch::Receiver<Status>,
    discovery: Option<DiscoveryFile>,
}

fn serve(path: &Path, source: Source) -> Result<StatusServer, LocalError> {
    let listener = imp::Listener::bind(path, MAX_CLIENTS).map_err(|source| LocalError::Serve {
        path: path.to_owned(),
        source,
    })?;
    let task = tokio::spawn(accept(listener, source));
    Ok(StatusServer {
        path: path.to_owned(),
        task,
    })
}

async fn accept(mut listener: imp::Listener, source: Source) {
    let slots = Arc::new(Semaphore::new(MAX_CLIENTS));
    while let Ok(slot) = slots.clone().acquire_owned().await {
        match listener.accept().await {
            Ok(stream) => {
                let source = source.clone();
                tokio::spawn(async move {
                    if let Err(error) = converse(stream, source).await {
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

async fn converse(stream: impl AsyncRead + AsyncWrite, source: Source) -> io::Result<()> {
    let (read, mut write) = split(stream);
    let mut lines = BufReader::new(read.take(MAX_QUESTION)).lines();
    while let Some(line) = timeout(PATIENCE, lines.next_line()).await?? {
        let answer = answer(&line, &source).await;
        let mut bytes = serde_json::to_vec(&answer)?;
        bytes.push(b'\n');
        timeout(PATIENCE, write.write_all(&bytes)).await??;
    }
    Ok(())
}

async fn answer(line: &str, source: &Source) -> Answer {
    let refuse = |reason: String| Answer::Refused { reason };
    match serde_json::from_str::<Request>(line) {
        Err(error) => refuse(format!("the request was not understood: {error}")),
        Ok(Request {
            command: Command::Status,
            ..
        }) => Answer::Status {
            status: Box::new(source.status.borrow().clone()),
        },
        Ok(Request {
            command: Command::Discovery,
            ..
        }) => match &source.discovery {
            None => refuse("this program remembers no frames".to_owned()),
            Some(discovery) => match discovery().await {
                Some(file) => Answer::Discovery {
                    file: BASE64_STANDARD.encode(file),
                },
                None => refuse("it is about to end".to_owned()),
            },
        },
        Ok(Request {
            command: Command::Unknown,
            version,
        }) => refuse(format!(
            "the running program does not know this command (it speaks version {STATUS_VERSION}, the request is of version {version})"
        )),
    }
}

/// Asks the instance at `path` for its status.
///
/// # Errors
/// [`LocalError::NotRunning`] if nobody listens there, and others that say what went wrong.
pub async fn query(path: &Path) -> Result<Status, LocalError> {
    match put(path, Command::Status).await? {
        Answer::Status { status } => Ok(*status),
        other => Err(unexpected(path, other)),
    }
}

/// Asks the instance at `path` for the last minute of its discovery frames, as a pcapng file.
///
/// # Errors
/// As [`query`]; [`LocalError::Refused`] also from a program that remembers no frames.
pub async fn query_discovery(path: &Path) -> Result<Vec<u8>, LocalError> {
    match put(path, Command::Discovery).await? {
        Answer::Discovery { file } => BASE64_STANDARD.decode(file).map_err(|error| LocalError::Answer {
            path: path.to_owned(),
            source: serde::de::Error::custom(error),
        }),
        other => Err(unexpected(path, other)),
    }
}

fn unexpected(path: &Path, answer: Answer) -> LocalError {
    let reason = match answer {
        Answer::Refused { reason } => reason,
        Answer::Status { .. } | Answer::Discovery { .. } => "it answered something else".to_owned(),
    };
    LocalError::Refused {
        path: path.to_owned(),
        reason,
    }
}

async fn put(path: &Path, command: Command) -> Result<Answer, LocalError> {
    let request = Request {
        version: STATUS_VERSION,
        command,
    };
    let line = ask(path, &request).await.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => LocalError::NotRunning {
            path: path.to_owned(),
            source,
        },
        _ => LocalError::Ask {
            path: path.to_owned(),
            source,
        },
    })?;
    serde_json::from_str(&line).map_err(|source| LocalError::Answer {
        path: path.to_owned(),
        source,
    })
}

async fn ask(path: &Path, request: &Request) -> io::Result<String> {
    let (read, mut write) = split(timeout(PATIENCE, imp::connect(path)).await??);
    let mut bytes = serde_json::to_vec(request)?;
    bytes.push(b'\n');
    write.write_all(&bytes).await?;
    let mut line = String::new();
    let mut reader = BufReader::new(read.take(MAX_ANSWER));
    timeout(PATIENCE, reader.read_line(&mut line)).await??;
    if line.ends_with('\n') {
        Ok(line)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
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
