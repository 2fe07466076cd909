//! Asking a relay which sealed room a short code's number leads to.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Instant,
};

use lanparty_wire::{LeaveReason, Pin, SealedRoom, ShortNumber, control::Message};
use quinn_proto::EndpointConfig;

use super::{DialError, Dialer, connected};
use crate::{
    ControlReceiver, ControlSender, Engine, Link, RecvError, SendError,
    engine::Silence,
    verify::{RelayVerifier, Verdict},
};

impl Dialer {
    /// Connects over `socket`, asks, and ends the connection. The relay's key is as it has shown it, which the exchange with the host
    /// is bound to.
    ///
    /// # Errors
    /// As [`Dialer::dial`]; [`DialError::Rejected`] if no room has the number, or this address has asked too often.
    pub async fn look_up(
        &self,
        socket: UdpSocket,
        remote: SocketAddr,
        number: ShortNumber,
    ) -> Result<(SealedRoom, Pin), DialError> {
        let endpoint = EndpointConfig::default();
        let mut engine = Engine::new(0, 1, socket, self.segmentation_offload, endpoint, None)
            .map_err(DialError::Socket)?;
        let anchor = self.anchors.anchor(&self.relay)?;
        let verifier = Arc::new(RelayVerifier::new(self.provider.clone(), anchor));
        let link = self.connect(&mut engine, remote, &verifier)?;
        let found = engine
            .drive_until(self.ask(&link, remote, number, &verifier))
            .await;
        link.close(LeaveReason::Goodbye);
        engine.drive(Instant::now(), &mut Silence);
        found
    }

    async fn ask(
        &self,
        link: &Link,
        remote: SocketAddr,
        number: ShortNumber,
        verifier: &Arc<RelayVerifier>,
    ) -> Result<(SealedRoom, Pin), DialError> {
        let no_answer = |_| DialError::NoAnswer(remote);
        let handshake = tokio::time::timeout(self.timeout, connected(link)).await;
        handshake
            .map_err(no_answer)?
            .map_err(|error| self.refused(remote, error, verifier.verdict()))?;
        let Some(Verdict::Trusted(outcome, shown)) = verifier.verdict() else {
            return Err(DialError::Protocol("it showed no certificate".into()));
        };
        self.anchors.remember(&self.relay, outcome, shown)?;
        let answer = tokio::time::timeout(self.timeout, self.question(link, number)).await;
        Ok((answer.map_err(no_answer)??, shown))
    }

    async fn question(&self, link: &Link, number: ShortNumber) -> Result<SealedRoom, DialError> {
        let mut sender = ControlSender::new(link.clone());
        let mut receiver = ControlReceiver::new(link.clone());
        match sender.send(&Message::Lookup { number }).await {
            Ok(()) => {}
            Err(SendError::Closed(closed)) => return Err(self.early_end(closed)),
            Err(SendError::Encode(error)) => return Err(DialError::Protocol(error.to_string())),
        }
        match receiver.recv().await {
            Ok(Some(Message::Found { number: of, room })) if of == number => Ok(room),
            Ok(Some(Message::Reject { reason, detail })) => Err(DialError::Rejected(reason, detail)),
            Ok(_) => Err(DialError::Protocol("it did not answer the question".into())),
            Err(RecvError::Closed(closed)) => Err(self.early_end(closed)),
            Err(RecvError::Decode(error)) => Err(DialError::Protocol(error.to_string())),
        }
    }
}
