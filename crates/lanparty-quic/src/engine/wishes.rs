//! What handles want.

use std::time::Instant;

use lanparty_wire::LeaveReason;
use quinn_proto::{ConnectionError, Incoming};

use super::{
    Engine,
    desk::{Command, Door},
    socket::Socket,
};
use crate::Link;

impl Engine {
    pub(super) fn handle_wishes(&mut self, now: Instant) {
        let Some(wishes) = self.desk.take() else { return };
        for command in wishes.commands {
            match command {
                Command::Accept(incoming, answer) => {
                    let accepted = self.accept(now, *incoming);
                    if let Err(Ok(link)) = answer.send(accepted) {
                        // Nobody waits for it any more, so the connection closes with its only handle.
                        drop(link);
                    }
                }
                Command::Retry(incoming) => self.retry(*incoming),
                Command::Ignore(incoming) => self.endpoint.ignore(*incoming),
                Command::Rebind(socket) => self.rebind(socket),
                Command::Close(reason) => self.close(now, reason),
            }
        }
        for id in wishes.links {
            let Some(slot) = self.slot(id) else { continue };
            self.touch(slot);
            if let Some(connection) = &mut self.connections[slot] {
                connection.take_letters(now);
                self.sender.activate(connection);
            }
        }
    }

    /// As [`Engine::handle_wishes`] of an engine that is about to end: nobody is let in.
    pub(super) fn ignore_wishes(&mut self) {
        let Some(wishes) = self.desk.take() else { return };
        for command in wishes.commands {
            match command {
                Command::Accept(incoming, _) | Command::Retry(incoming) | Command::Ignore(incoming) => {
                    self.endpoint.ignore(*incoming);
                }
                Command::Rebind(_) | Command::Close(_) => {}
            }
        }
    }

    /// Somebody new has come.
    pub(super) fn knock(&mut self, incoming: Box<Incoming>) {
        let door = match &self.door {
            Some(door) if self.closing.is_none() => door.clone(),
            Some(_) | None => return self.refuse(*incoming),
        };
        let mut knocking = door.state.lock();
        if knocking.closed {
            drop(knocking);
            return self.refuse(*incoming);
        }
        knocking.waiting.push_back((self.desk.clone(), incoming));
        drop(knocking);
        door.knocked.notify_one();
    }

    pub(super) fn close_door(&self, door: &Door) {
        let mut knocking = door.state.lock();
        knocking.closed = true;
        // Each remembers what it owes its own endpoint; those of this one go with it.
        for (desk, incoming) in knocking.waiting.drain(..) {
            desk.command(Command::Ignore(incoming));
        }
        drop(knocking);
        door.knocked.notify_waiters();
    }

    fn accept(&mut self, now: Instant, incoming: Incoming) -> Result<Link, ConnectionError> {
        if self.closing.is_some() {
            self.refuse(incoming);
            return Err(ConnectionError::LocallyClosed);
        }
        let mut response = Vec::new();
        match self.endpoint.accept(incoming, now, &mut response, None) {
            Ok((handle, quic)) => Ok(self.insert(now, handle, quic)),
            Err(error) => {
                if let Some(transmit) = error.response {
                    let _ = self.socket.send(&transmit, &response[..transmit.size]);
                }
                Err(error.cause)
            }
        }
    }

    fn retry(&mut self, incoming: Incoming) {
        let mut response = Vec::new();
        match self.endpoint.retry(incoming, &mut response) {
            Ok(transmit) => {
                let _ = self.socket.send(&transmit, &response[..transmit.size]);
            }
            // The handle has looked before, so this does not happen; and the endpoint must be told all the same.
            Err(error) => self.endpoint.ignore(error.into_incoming()),
        }
    }

    fn refuse(&mut self, incoming: Incoming) {
        let mut response = Vec::new();
        let transmit = self.endpoint.refuse(incoming, &mut response);
        let _ = self.socket.send(&transmit, &response[..transmit.size]);
    }

    fn rebind(&mut self, socket: Socket) {
        if let Ok(address) = socket.local_address() {
            *self.desk.address.lock() = address;
        }
        self.previous = Some(std::mem::replace(&mut self.socket, socket));
        for slot in 0..self.connections.len() {
            self.touch(slot);
            if let Some(connection) = &mut self.connections[slot] {
                connection.quic.local_address_changed();
                self.sender.activate(connection);
            }
        }
    }

    fn close(&mut self, now: Instant, reason: LeaveReason) {
        if let Some(door) = self.door.clone() {
            self.close_door(&door);
        }
        for slot in 0..self.connections.len() {
            self.touch(slot);
            if let Some(connection) = &mut self.connections[slot] {
                connection.close(now, &reason);
                self.sender.activate(connection);
            }
        }
        self.closing = Some(reason);
    }
}

#[cfg(test)]
mod tests {
    /// The desk is shared between threads, and so is a handle.
    #[test]
    fn handles_and_engines_may_go_to_other_threads() {
        fn is_send<T: Send>() {}
        fn is_sync<T: Sync>() {}
        is_send::<super::Engine>();
        is_send::<super::Link>();
        is_sync::<super::Link>();
        is_sync::<std::sync::Arc<super::Door>>();
    }
}
