//! Where orders come in, and wait for the one who carries them out.

use lanparty_api::{
    Answer, Command, Desk, Status,
    desk::{Answering, discovery_answer},
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::session::Begun;

/// An order, and where its answer goes.
pub struct Order {
    pub command: Command,
    pub answer: oneshot::Sender<Answer>,
}

pub struct ServiceDesk {
    pub status: watch::Receiver<Status>,
    pub begun: watch::Receiver<Option<Begun>>,
    pub orders: mpsc::Sender<Order>,
}

impl Desk for ServiceDesk {
    fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    fn answer(&self, command: Command) -> Answering {
        if command == Command::Discovery {
            let begun = self.begun.borrow().clone();
            return Box::pin(async move {
                match begun {
                    Some(begun) => discovery_answer(begun.discovery()).await,
                    None => Answer::refused("this machine is in no room, so there are no frames to remember"),
                }
            });
        }
        let orders = self.orders.clone();
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            if orders.send(Order { command, answer }).await.is_err() {
                return Answer::refused("the service is about to end");
            }
            answered
                .await
                .unwrap_or_else(|_| Answer::refused("the service is about to end"))
        })
    }
}
