//! Who answers at a local socket.

use std::{future::Future, pin::Pin, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use tokio::sync::watch;

use crate::{
    order::{Answer, Command},
    status::{STATUS_VERSION, Status},
};

/// An answer that takes time.
pub type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A process as it is spoken to. Its status and the watching of it are the socket's business.
pub trait Desk: Send + Sync + 'static {
    /// What is told about the process, and followed.
    fn status(&self) -> watch::Receiver<Status>;

    /// Answers everything else.
    fn answer(&self, command: Command) -> Answering;
}

/// Where a process has the file that [`Command::Discovery`] asks for; nothing if it is about to end.
pub type DiscoveryFile = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Option<Vec<u8>>> + Send>> + Send + Sync>;

/// The desk of a program that takes no orders: it runs until somebody stops it.
pub(crate) struct Onlooker {
    pub status: watch::Receiver<Status>,
    /// Of a program that remembers frames.
    pub discovery: Option<DiscoveryFile>,
}

impl Desk for Onlooker {
    fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    fn answer(&self, command: Command) -> Answering {
        let refuse = |reason: &str| -> Answering { Box::pin(std::future::ready(Answer::refused(reason))) };
        match command {
            Command::Discovery => match self.discovery.clone() {
                Some(discovery) => Box::pin(discovery_answer(discovery)),
                None => refuse("this program remembers no frames"),
            },
            Command::Connect(_)
            | Command::Disconnect
            | Command::Rooms
            | Command::Forget { .. }
            | Command::Settings
            | Command::Change { .. }
            | Command::Diagnostics => refuse("this program was started for one room and takes no orders"),
            Command::Status | Command::Watch | Command::Unknown => refuse("this program has no such answer"),
        }
    }
}

/// The answer to [`Command::Discovery`].
pub async fn discovery_answer(discovery: DiscoveryFile) -> Answer {
    match discovery().await {
        Some(file) => Answer::Discovery {
            file: BASE64_STANDARD.encode(file),
        },
        None => Answer::refused("it is about to end"),
    }
}

/// The answer to a command that this version does not know.
pub(crate) fn unknown(version: u16) -> Answer {
    Answer::refused(format!(
        "the running program does not know this command (it speaks version {STATUS_VERSION}, the request is of version {version})"
    ))
}
