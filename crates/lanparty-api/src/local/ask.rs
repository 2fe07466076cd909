//! The asking side: one question and its answer, or a status that is followed.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, Take, split},
    time::timeout,
};

use super::{PATIENCE, Request, imp};
use crate::{
    order::{Answer, Command},
    status::{STATUS_VERSION, Status},
};

/// Bytes of an answer that are read. A relay with a thousand members needs under one MiB.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;
/// How long a process may take for an order: leaving a room says goodbye and puts the machine back.
const ORDER_PATIENCE: Duration = Duration::from_secs(60);

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
    Refused {
        path: PathBuf,
        reason: String,
        advice: Option<String>,
    },
}

/// Asks the instance at `path` for its status.
///
/// # Errors
/// [`LocalError::NotRunning`] if nobody listens there, and others that say what went wrong.
pub async fn query(path: &Path) -> Result<Status, LocalError> {
    match order(path, Command::Status).await? {
        Answer::Status { status } => Ok(*status),
        other => Err(unexpected(path, other)),
    }
}

/// Asks the instance at `path` for the last minute of its discovery frames, as a pcapng file.
///
/// # Errors
/// As [`query`]; [`LocalError::Refused`] also from a program that remembers no frames.
pub async fn query_discovery(path: &Path) -> Result<Vec<u8>, LocalError> {
    match order(path, Command::Discovery).await? {
        Answer::Discovery { file } => decoded(path, &file),
        other => Err(unexpected(path, other)),
    }
}

/// Asks the service at `path` for what helps somebody to help, as a zip.
///
/// # Errors
/// As [`query`].
pub async fn query_diagnostics(path: &Path) -> Result<Vec<u8>, LocalError> {
    match order(path, Command::Diagnostics).await? {
        Answer::Diagnostics { file } => decoded(path, &file),
        other => Err(unexpected(path, other)),
    }
}

fn decoded(path: &Path, file: &str) -> Result<Vec<u8>, LocalError> {
    BASE64_STANDARD.decode(file).map_err(|error| LocalError::Answer {
        path: path.to_owned(),
        source: serde::de::Error::custom(error),
    })
}

/// Asks the instance at `path` for something that is done or refused.
///
/// # Errors
/// As [`query`]; [`LocalError::Refused`] with what to do.
pub async fn command(path: &Path, wanted: Command) -> Result<(), LocalError> {
    match order(path, wanted).await? {
        Answer::Done => Ok(()),
        other => Err(unexpected(path, other)),
    }
}

/// What an answer is when it is not the one to this question.
pub fn unexpected(path: &Path, answer: Answer) -> LocalError {
    let (reason, advice) = match answer {
        Answer::Refused { reason, advice } => (reason, advice),
        Answer::Status { .. }
        | Answer::Discovery { .. }
        | Answer::Done
        | Answer::Rooms { .. }
        | Answer::Settings { .. }
        | Answer::Diagnostics { .. } => ("it answered something else".to_owned(), None),
    };
    LocalError::Refused {
        path: path.to_owned(),
        reason,
        advice,
    }
}

/// Asks the instance at `path` for anything that has one answer.
///
/// # Errors
/// [`LocalError::NotRunning`] if nobody listens there, and others that say what went wrong; never [`LocalError::Refused`], which is an
/// answer.
pub async fn order(path: &Path, command: Command) -> Result<Answer, LocalError> {
    let mut asking = Asking::put(path, command).await?;
    let answer = timeout(ORDER_PATIENCE, asking.next()).await;
    answer
        .unwrap_or_else(|_| Err(asking.failed(io::ErrorKind::TimedOut.into())))?
        .ok_or_else(|| asking.failed(io::ErrorKind::UnexpectedEof.into()))
}

/// Follows the status of the instance at `path`.
///
/// # Errors
/// As [`order`].
pub async fn follow(path: &Path) -> Result<Following, LocalError> {
    Asking::put(path, Command::Watch).await.map(Following)
}

/// A status that is being followed.
pub struct Following(Asking);

impl Following {
    /// The next status; `None` when the process has ended.
    ///
    /// # Errors
    /// The answer is not understood, or it is a refusal.
    pub async fn next(&mut self) -> Result<Option<Status>, LocalError> {
        match self.0.next().await? {
            Some(Answer::Status { status }) => Ok(Some(*status)),
            Some(other) => Err(unexpected(&self.0.path, other)),
            None => Ok(None),
        }
    }
}

/// A question that was put, with what comes back.
struct Asking {
    path: PathBuf,
    answers: BufReader<Take<Box<dyn AsyncRead + Send + Unpin>>>,
    /// Whoever hangs up is not answered.
    _write: Box<dyn AsyncWrite + Send + Unpin>,
}

impl Asking {
    async fn put(path: &Path, command: Command) -> Result<Asking, LocalError> {
        let request = Request {
            version: STATUS_VERSION,
            command,
        };
        Asking::open(path, &request)
            .await
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => LocalError::NotRunning {
                    path: path.to_owned(),
                    source,
                },
                _ => LocalError::Ask {
                    path: path.to_owned(),
                    source,
                },
            })
    }

    async fn open(path: &Path, request: &Request) -> io::Result<Asking> {
        let (read, mut write) = split(timeout(PATIENCE, imp::connect(path)).await??);
        let read: Box<dyn AsyncRead + Send + Unpin> = Box::new(read);
        let mut bytes = serde_json::to_vec(request)?;
        bytes.push(b'\n');
        timeout(PATIENCE, write.write_all(&bytes)).await??;
        Ok(Asking {
            path: path.to_owned(),
            answers: BufReader::new(read.take(MAX_ANSWER)),
            _write: Box::new(write),
        })
    }

    /// The next answer; `None` when the other side has hung up.
    async fn next(&mut self) -> Result<Option<Answer>, LocalError> {
        // The bound is each answer's.
        self.answers.get_mut().set_limit(MAX_ANSWER);
        let mut line = String::new();
        let read = self.answers.read_line(&mut line).await;
        match read.map_err(|source| self.failed(source))? {
            0 => Ok(None),
            _ if line.ends_with('\n') => {
                serde_json::from_str(&line)
                    .map(Some)
                    .map_err(|source| LocalError::Answer {
                        path: self.path.clone(),
                        source,
                    })
            }
            _ => Err(self.failed(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    fn failed(&self, source: io::Error) -> LocalError {
        LocalError::Ask {
            path: self.path.clone(),
            source,
        }
    }
}
