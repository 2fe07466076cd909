//! The session's life as the shell lives it: dialling, joining, losing, roaming, leaving.

use std::{future::Future, mem, time::Instant};

use lanparty_core::{
    node::PathId,
    session::{CloseCause, Failure, Step, Verdict},
};
use lanparty_os::device::{Device, DeviceError};
use lanparty_quic::{DialError, Link, PathClosed, RecvError};
use lanparty_wire::{LeaveReason, control::Message};

use crate::{
    endpoint::{Endpoint, EndpointError, EndpointEvent, TICK},
    report::{self, Moment},
    sealed::Sealed,
    uplink::{DialFailure, Dialed, Uplink},
};

/// The relay's operator sees counters of members that are at most this many ticks old.
const STATS_EVERY: u32 = 10;

impl<D, R, F> Endpoint<D, R>
where
    D: Device + 'static,
    R: FnMut() -> F + Send,
    F: Future<Output = Result<D, DeviceError>> + Send + 'static,
{
    pub(crate) fn handle_control(
        &mut self,
        now: Instant,
        message: Result<Option<Message>, RecvError>,
    ) -> Result<(), EndpointError> {
        match message {
            Ok(Some(Message::Goodbye { reason })) => {
                // The relay may close before it has heard from us; what counts is that it has said why.
                if let Some(uplink) = &self.uplink {
                    uplink.link.close(LeaveReason::Goodbye);
                }
                self.handle_closed(now, &PathClosed::Peer(reason))
            }
            Ok(Some(message)) => {
                if self.show_sealed(now, &message) {
                    self.node.handle_control(now, &message);
                }
                Ok(())
            }
            Ok(None) => self.handle_closed(now, &PathClosed::Peer(LeaveReason::ConnectionLost)),
            Err(RecvError::Closed(closed)) => self.handle_closed(now, &closed),
            Err(error @ RecvError::Decode(_)) => {
                self.handle_closed(now, &PathClosed::Failed(error.to_string()))
            }
        }
    }

    pub(crate) fn send_control(&mut self, message: Message) {
        let Some(uplink) = &self.uplink else { return };
        if !uplink.send_control(message) {
            tracing::warn!("the relay does not read its control messages; connecting anew");
            uplink.link.close(LeaveReason::ConnectionLost);
        }
    }

    pub(crate) fn dial_if_due(&mut self, now: Instant) {
        if self.dialing.is_some() {
            return;
        }
        let timeout = match self.session.step(now) {
            Step::Wait(until) => {
                self.session_due = until;
                return;
            }
            Step::Dial { timeout } => timeout,
        };
        self.attempts = self.attempts.saturating_add(1);
        if !self.session.is_up(now) {
            self.tell_lost("nothing was heard from the relay any more".to_owned());
        }
        let (uplinks, attempt) = (self.uplinks.clone(), self.attempts);
        self.dialing = Some(Box::pin(async move { uplinks.dial(attempt, timeout).await }));
        self.publish(now);
    }

    pub(crate) fn handle_dialed(
        &mut self,
        now: Instant,
        result: Result<Dialed, DialFailure>,
    ) -> Result<(), EndpointError> {
        self.dialing = None;
        let Dialed { path, welcome, route } = match result {
            Ok(dialed) => dialed,
            Err(failure) => return self.dial_failed(now, failure),
        };
        if self.sealed.is_some() && !welcome.sealed {
            return Err(EndpointError::Downgraded);
        }
        if let Some(ghost) = self.uplink.take() {
            self.node.path_down(now, ghost.id);
            ghost.retire();
        }
        let pin = path.pin();
        let id = PathId(self.paths);
        self.paths = self.paths.wrapping_add(1);
        let (uplink, control) = Uplink::new(id, path, route);
        self.session.up(now);
        self.attempts = 0;
        self.problem = None;
        self.silent = true;
        self.told_up = true;
        let message = Message::Welcome(welcome.clone());
        self.show_sealed(now, &message);
        self.met_relay(pin, uplink.trust);
        self.node.handle_control(now, &message);
        self.node.path_up(now, id, uplink.link.budget());
        tracing::info!(member = %welcome.member, relay = %uplink.link.remote_address(), "joined");
        self.status.send_if_modified(|status| {
            if let Some(endpoint) = &mut status.endpoint {
                report::joined(endpoint, &uplink, &welcome);
            }
            false
        });
        self.tell(EndpointEvent::Trust(uplink.trust));
        self.uplink = Some(uplink);
        self.control = Some(control);
        self.publish(now);
        let again = mem::replace(&mut self.joined_before, true);
        self.tell(EndpointEvent::Joined { welcome, again, pin });
        Ok(())
    }

    fn dial_failed(&mut self, now: Instant, failure: DialFailure) -> Result<(), EndpointError> {
        let verdict = self.session.dial_failed(now, failure.kind(), rand::random());
        let failure = match verdict {
            Verdict::GiveUp => match failure.into_final() {
                Ok(error) => return Err(error),
                Err(failure) => {
                    tracing::error!(%failure, "a failure that is none to give up on");
                    return Ok(());
                }
            },
            Verdict::Retry => failure,
        };
        let why = chain(&failure);
        self.silent = failure.is_silence();
        tracing::info!(attempt = self.attempts, %why, "no connection to the relay yet");
        self.problem = Some(why.clone());
        self.publish(now);
        self.tell(match failure {
            DialFailure::Dial(DialError::Rejected(reason, detail)) => {
                EndpointEvent::Rejected { reason, detail }
            }
            _ => EndpointEvent::Failed {
                why,
                attempt: self.attempts,
            },
        });
        Ok(())
    }

    /// The path is gone for good.
    pub(crate) fn handle_closed(&mut self, now: Instant, closed: &PathClosed) -> Result<(), EndpointError> {
        let Some(uplink) = self.uplink.take() else {
            return Ok(());
        };
        self.control = None;
        self.node.path_down(now, uplink.id);
        uplink.retire();
        let failure = match closed {
            PathClosed::Peer(reason) => Failure::Closed(CloseCause::from(reason)),
            PathClosed::Reset | PathClosed::TimedOut | PathClosed::Local | PathClosed::Failed(_) => {
                Failure::Unreachable
            }
        };
        if self.session.down(now, failure) == Verdict::GiveUp {
            let kicked = failure == Failure::Closed(CloseCause::Kicked);
            return Err(if kicked {
                EndpointError::Kicked
            } else {
                EndpointError::Displaced
            });
        }
        // What a dial beside it has met since is newer than what this silence means.
        self.problem.get_or_insert_with(|| closed.to_string());
        self.tell_lost(closed.to_string());
        self.publish(now);
        Ok(())
    }

    fn tell_lost(&mut self, why: String) {
        if mem::take(&mut self.told_up) {
            tracing::warn!(%why, "connecting anew");
            self.tell(EndpointEvent::Disconnected { why });
        }
    }

    /// A roamed host moves its connection to the interface that leads to the relay now, and dials at once if it has none.
    pub(crate) async fn network_changed(&mut self) {
        let now = Instant::now();
        self.session.network_changed(now);
        let Some(uplink) = &mut self.uplink else { return };
        let Some(old) = &uplink.route else { return };
        let remote = uplink.link.remote_address();
        let Ok(route) = self.uplinks.route(remote.ip()).await else {
            return;
        };
        if (route.index, route.source) == (old.route.index, old.route.source) {
            return;
        }
        match self.uplinks.socket(remote).await {
            Ok((socket, route)) => {
                tracing::info!(interface = ?route.as_ref().map(|way| &way.route.interface), "the relay is reached another way now");
                match uplink.link.rebind(socket) {
                    Ok(()) => uplink.route = route,
                    Err(error) => tracing::warn!(%error, "could not move the connection"),
                }
            }
            Err(failure) => tracing::debug!(failure = %chain(&failure), "no other way to the relay yet"),
        }
    }

    /// Looks at what nobody announces.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.next_tick = now + TICK;
        self.ticks = self.ticks.wrapping_add(1);
        self.count_losses();
        self.tick_sealed(now);
        self.storms.look(now, &self.node);
        if let Some(uplink) = &self.uplink {
            self.session.heard(uplink.link.last_received());
            self.session.measured(uplink.link.rtt());
            let stats = uplink.link.stats();
            self.node
                .path_stats(now, uplink.id, stats.eliciting_packets, stats.lost_packets);
            self.node.path_budget(now, uplink.id, uplink.link.budget());
            if self.ticks.is_multiple_of(STATS_EVERY) {
                self.send_control(Message::Stats(self.node.counters().stats()));
            }
        }
        if self.session.is_up(now) && self.uplink.is_some() && !self.told_up {
            self.recovered();
        }
        self.publish(now);
        let notices: Vec<_> = self.drops.due(now, &self.node.counters().drops).collect();
        notices.iter().for_each(|notice| notice.log("endpoint"));
    }

    /// A doubted session was heard from again before the dial beside it got through.
    fn recovered(&mut self) {
        tracing::info!("the relay is heard again");
        self.told_up = true;
        self.attempts = 0;
        self.problem = None;
    }

    /// Makes the status true.
    pub(crate) fn publish(&self, now: Instant) {
        let moment = Moment {
            node: &self.node,
            link: self.uplink.as_ref().map(|uplink| &uplink.link as &Link),
            away: self.session.away(now),
            silent: self.silent,
            attempts: self.attempts,
            route: self.uplink.as_ref().and_then(Uplink::route_status),
            problem: self.problem.clone(),
            sealed: self.sealed.is_some(),
            admission: self.sealed.as_ref().and_then(Sealed::admission),
            broadcasts: self.storms.rates(),
        };
        self.status.send_modify(|status| report::update(status, moment));
    }

    /// Says goodbye.
    pub(crate) async fn stop(&mut self, reason: LeaveReason) {
        self.dialing = None;
        if let Some(uplink) = self.uplink.take() {
            uplink.goodbye(reason).await;
        }
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
