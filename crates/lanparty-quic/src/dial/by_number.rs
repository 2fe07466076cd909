//! Joining the room that a short code's number leads to.

use std::net::{SocketAddr, UdpSocket};

use lanparty_wire::{
    RoomId, SealedRoom, ShortNumber,
    control::{Hello, Message, Welcome},
};

use super::{DialError, Dialer, Path};
use crate::{ControlReceiver, ControlSender, RecvError, SendError};

impl Dialer {
    /// Connects over `socket`, asks for the room, and joins it; `hello` names another one in vain.
    ///
    /// The relay's key is not kept if it is new: whether it is the relay's is what the exchange with the host shows, which is bound to it.
    ///
    /// # Errors
    /// As [`Dialer::dial`]; [`DialError::Rejected`] if no room has the number, or this address has asked too often.
    pub async fn dial_number(
        &self,
        socket: UdpSocket,
        remote: SocketAddr,
        number: ShortNumber,
        hello: &Hello,
    ) -> Result<(Path, Welcome, SealedRoom), DialError> {
        let (path, welcome, room) = self.dial_room(socket, remote, Some(number), hello).await?;
        match room {
            RoomId::Sealed(room) => Ok((path, welcome, room)),
            RoomId::Open(_) => Err(DialError::Protocol("a short code leads to no open room".into())),
        }
    }

    pub(super) async fn find(
        &self,
        sender: &mut ControlSender,
        receiver: &mut ControlReceiver,
        number: ShortNumber,
    ) -> Result<RoomId, DialError> {
        match sender.send(&Message::Lookup { number }).await {
            Ok(()) => {}
            Err(SendError::Closed(closed)) => return Err(self.early_end(closed)),
            Err(SendError::Encode(error)) => return Err(DialError::Protocol(error.to_string())),
        }
        match receiver.recv().await {
            Ok(Some(Message::Found { number: of, room })) if of == number => Ok(room.into()),
            Ok(Some(Message::Reject { reason, detail })) => Err(DialError::Rejected(reason, detail)),
            Ok(_) => Err(DialError::Protocol("it did not answer the question".into())),
            Err(RecvError::Closed(closed)) => Err(self.early_end(closed)),
            Err(RecvError::Decode(error)) => Err(DialError::Protocol(error.to_string())),
        }
    }
}
