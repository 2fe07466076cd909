//! The line to the service: a thread of its own that follows the status and carries orders, so that drawing never waits.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lanparty_api::{
    Answer, Command,
    local::{LocalError, follow, order, query_diagnostics},
};
use tokio::sync::mpsc as orders;

use crate::model::News;

/// How long after it was missed the service is looked for again.
const AGAIN: Duration = Duration::from_secs(1);
/// A person gives few orders.
const WAITING: usize = 32;

/// Both ends of the thread, for the window.
pub struct Service {
    news: mpsc::Receiver<News>,
    orders: orders::Sender<Command>,
}

impl Service {
    /// Begins to look for the service at `socket`. Files are saved in `folder`; `wake` is called after each piece of news.
    ///
    /// # Errors
    /// The system gives us no thread.
    pub fn find(
        socket: PathBuf,
        folder: PathBuf,
        wake: impl Fn() + Clone + Send + 'static,
    ) -> io::Result<Service> {
        let (told, news) = mpsc::channel();
        let (orders, given) = orders::channel(WAITING);
        let tell = move |piece: News| {
            // The window may be gone, and this thread with it in a moment.
            let _ = told.send(piece);
            wake();
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let run = move || {
            runtime.block_on(async {
                tokio::join!(watch(&socket, tell.clone()), carry(&socket, &folder, given, tell));
            });
        };
        thread::Builder::new().name("service".to_owned()).spawn(run)?;
        Ok(Service { news, orders })
    }

    /// Everything that has come since the last call.
    pub fn news(&self) -> impl Iterator<Item = News> + '_ {
        self.news.try_iter()
    }

    /// An order on its way. One too many is refused, as the answers to the others have not come yet.
    pub fn give(&self, order: Command) -> Option<News> {
        self.orders.try_send(order).err().map(|_| News::Refused {
            reason: "the service does not answer".to_owned(),
            advice: Some("restart it".to_owned()),
        })
    }
}

async fn watch(socket: &Path, tell: impl Fn(News)) {
    loop {
        let mut reason = "the service has ended".to_owned();
        match follow(socket).await {
            Ok(mut following) => loop {
                match following.next().await {
                    Ok(Some(status)) => tell(News::Status(Box::new(status))),
                    Ok(None) => break,
                    Err(error) => {
                        reason = chain(&error);
                        break;
                    }
                }
            },
            Err(error) => reason = chain(&error),
        }
        tell(News::Away(reason));
        tokio::time::sleep(AGAIN).await;
    }
}

async fn carry(socket: &Path, folder: &Path, mut given: orders::Receiver<Command>, tell: impl Fn(News)) {
    while let Some(command) = given.recv().await {
        let news = match command {
            Command::Diagnostics => query_diagnostics(socket)
                .await
                .map(|zip| Some(saved(folder, &zip))),
            command => order(socket, command).await.map(answered),
        };
        match news {
            Ok(news) => news.into_iter().for_each(&tell),
            Err(error) => tell(News::Refused {
                reason: chain(&error),
                advice: None,
            }),
        }
    }
}

/// What is news in an answer. What comes of an order that is done is in the status.
fn answered(answer: Answer) -> Option<News> {
    match answer {
        Answer::Rooms { rooms } => Some(News::Rooms(rooms)),
        Answer::Refused { reason, advice } => Some(News::Refused { reason, advice }),
        Answer::Done
        | Answer::Status { .. }
        | Answer::Settings { .. }
        | Answer::Discovery { .. }
        | Answer::Diagnostics { .. } => None,
    }
}

fn saved(folder: &Path, zip: &[u8]) -> News {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    let path = folder.join(format!("lanparty-diagnostics-{now}.zip"));
    let file = OpenOptions::new().write(true).create_new(true).open(&path);
    let written = file.and_then(|mut file| file.write_all(zip));
    match written {
        Ok(()) => News::Saved(path.display().to_string()),
        Err(error) => News::Refused {
            reason: format!("could not write {}: {error}", path.display()),
            advice: None,
        },
    }
}

fn chain(error: &LocalError) -> String {
    let cause = std::error::Error::source(error);
    cause.map_or(error.to_string(), |cause| format!("{error}: {cause}"))
}
