//! The player's machine in step with the room: the link, the lease, the routes.

use std::{
    future::{Future, pending},
    net::IpAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use lanparty_api::{
    Status,
    cli::{ExitCode, Failure},
};
use lanparty_core::node::Event;
use lanparty_node::{EndpointEvent, EndpointHandle, say, say_first_use};
use lanparty_os::{
    dhcp::{DhcpEvent, DhcpOptions},
    network::{Network, Watch},
};
use lanparty_quic::TrustOutcome;
use lanparty_wire::{LeaveReason, Mac, MemberId};
use tokio::{
    sync::watch,
    task::block_in_place,
    time::{MissedTickBehavior, interval},
};

use crate::{
    adapter::AdapterError,
    doctor::{self, Ear},
    failure::{dhcp_failure, unexpected},
    lease::LeaseKeeper,
    mount::{Leases, Mount},
    outlook,
    stop::{Stop, Woken},
};

/// The status is never older.
const TICK: Duration = Duration::from_secs(1);
/// A DHCP client asks by itself for so long after its start.
const DHCP_START: Duration = Duration::from_secs(2);

/// Keeps the player's machine in step with the room.
pub struct Player {
    pub tap: String,
    pub mac: Mac,
    /// Overlapping networks are the player's own affair.
    pub goes_on_anyway: bool,
    pub wants_dhcp: bool,
    pub is_sealed: bool,
    pub state_dir: PathBuf,
    pub adapter: Mount,
    pub network: Network,
    pub stop: Stop,
    /// Whether broadcasts of games leave through the adapter.
    pub lan_games: watch::Receiver<bool>,
    pub woken: Woken,
    pub handle: EndpointHandle,
    pub status: watch::Sender<Status>,
    pub lease: LeaseKeeper,
    /// The client with the time of its start.
    pub dhcp: Option<(Leases, Instant)>,
    /// When the room was joined last.
    pub joined: Option<Instant>,
}

/// How an evening ends that nothing has gone wrong with.
enum End {
    /// The endpoint has stopped.
    OfItself,
    Asked,
}

impl Player {
    /// Until the player wants to stop, or must, or the endpoint has stopped.
    pub async fn steer(mut self) -> Result<(), Failure> {
        let outcome = self.evening().await;
        if matches!(outcome, Ok(End::OfItself)) {
            return Ok(());
        }
        say("Leaving the room");
        block_in_place(|| self.dhcp = None);
        self.handle.shutdown(LeaveReason::Goodbye).await;
        outcome.map(drop)
    }

    async fn evening(&mut self) -> Result<End, Failure> {
        let mut changes = Watch::new().map_err(unexpected)?;
        let mut ear = Ear::open();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = self.handle.next_event() => match event {
                    Some(event) => self.handle_event(event).await?,
                    None => return Ok(End::OfItself),
                },
                event = maybe(self.dhcp.as_mut().map(|(dhcp, _)| dhcp.event())) => match event {
                    Some(event) => self.handle_dhcp(event).await?,
                    None => self.dhcp = None,
                },
                heard = ear.next(), if !self.goes_on_anyway => {
                    doctor::check_heard(&heard, &self.tap, self.mac)?;
                }
                change = changes.changed() => {
                    change.map_err(unexpected)?;
                    self.handle.network_changed();
                    self.look().await;
                }
                () = self.woken.again() => {
                    self.handle.network_changed();
                    self.look().await;
                }
                Ok(()) = self.lan_games.changed() => self.switch_lan_games().await,
                _ = tick.tick() => self.handle_tick().await?,
                () = self.stop.asked() => return Ok(End::Asked),
            }
        }
    }

    async fn handle_event(&mut self, event: EndpointEvent) -> Result<(), Failure> {
        tracing::debug!(?event, "endpoint");
        match event {
            EndpointEvent::Joined { .. } => {
                self.joined = Some(Instant::now());
                // In a sealed room nothing can be sent to anybody before keys are agreed.
                if !self.is_sealed {
                    self.arrive().await?;
                }
            }
            EndpointEvent::Node(Event::MemberSecured { member }) => {
                self.arrive().await?;
                if self.gateway() == Some(member) {
                    self.ask_again();
                }
            }
            EndpointEvent::Trust(TrustOutcome::FirstUse(pin)) => say_first_use(&pin),
            EndpointEvent::Node(Event::GatewayPresent(true) | Event::LanLink(true)) => self.ask_again(),
            EndpointEvent::DeviceDown => {
                say(&format!(
                    "Somebody has removed the adapter {}, creating it anew",
                    self.tap
                ));
                block_in_place(|| self.dhcp = None);
            }
            EndpointEvent::DeviceUp => {
                if self.joined.is_some() {
                    self.start_dhcp()?;
                }
                self.look().await;
            }
            EndpointEvent::Trust(_)
            | EndpointEvent::Disconnected { .. }
            | EndpointEvent::Failed { .. }
            | EndpointEvent::Rejected { .. }
            // We are no host.
            | EndpointEvent::Waiting(_)
            | EndpointEvent::Code(_)
            // Our TAP describes all that it can carry.
            | EndpointEvent::UndescribedSuperFrames
            | EndpointEvent::Node(_) => {}
        }
        Ok(())
    }

    /// Somebody can be reached now.
    async fn arrive(&mut self) -> Result<(), Failure> {
        complain(block_in_place(|| self.adapter.link_up()));
        self.start_dhcp()?;
        self.look().await;
        Ok(())
    }

    /// Runs until the end of the evening: a lease outlives the loss of the relay.
    fn start_dhcp(&mut self) -> Result<(), Failure> {
        if !self.wants_dhcp || self.dhcp.is_some() {
            return Ok(());
        }
        let options = DhcpOptions {
            interface: self.tap.clone(),
            state_dir: self.state_dir.clone(),
        };
        self.dhcp = Some((
            self.adapter.leases(&options).map_err(dhcp_failure)?,
            Instant::now(),
        ));
        outlook::note_lease(&self.status, &self.lease);
        Ok(())
    }

    /// The LAN is there, or there again.
    fn ask_again(&self) {
        let gateway = self.gateway();
        if let Some((dhcp, started)) = &self.dhcp
            // A client that has just started asks anyway, and may not listen to signals yet.
            && started.elapsed() >= DHCP_START
            && gateway.is_some_and(|gateway| self.lease.must_ask(gateway))
        {
            dhcp.renew();
        }
    }

    fn gateway(&self) -> Option<MemberId> {
        let status = self.status.borrow();
        Some(status.endpoint.as_ref()?.gateway.as_ref()?.member)
    }

    /// Where the relay was found last.
    fn relay(&self) -> Option<IpAddr> {
        let status = self.status.borrow();
        Some(status.endpoint.as_ref()?.relay.remote?.ip())
    }

    async fn handle_dhcp(&mut self, event: DhcpEvent) -> Result<(), Failure> {
        tracing::debug!(?event, "DHCP");
        if self.lease.handle(Instant::now(), event, self.gateway()) {
            self.use_lease().await?;
        }
        outlook::note_lease(&self.status, &self.lease);
        Ok(())
    }

    async fn handle_tick(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        if self.lease.handle_timeout(now) {
            self.use_lease().await?;
            outlook::note_lease(&self.status, &self.lease);
        }
        outlook::note_time(&self.status, now, self.joined);
        if self.adapter.wants_look() {
            self.look().await;
        }
        Ok(())
    }

    async fn use_lease(&mut self) -> Result<(), Failure> {
        let address = self.lease.address();
        match self.network.snapshot().await {
            Ok(snapshot) => {
                // Before anything of this machine's leads there.
                if let Some(party) = address.filter(|_| !self.goes_on_anyway) {
                    doctor::check_network(&snapshot, &self.tap, party)?;
                }
                complain(block_in_place(|| self.adapter.set_lease(&snapshot, address)));
                self.look().await;
            }
            Err(error) => tracing::warn!(%error, "could not look at this machine's network"),
        }
        Ok(())
    }

    async fn switch_lan_games(&mut self) {
        let wanted = *self.lan_games.borrow_and_update();
        match self.network.snapshot().await {
            Ok(snapshot) => complain(block_in_place(|| self.adapter.set_lan_games(&snapshot, wanted))),
            Err(error) => tracing::warn!(%error, "could not look at this machine's network"),
        }
    }

    /// Sees how this machine's network is now, and does what follows.
    async fn look(&mut self) {
        match self.network.snapshot().await {
            Ok(snapshot) => {
                let relay = self.relay();
                let (refreshed, troubles) = block_in_place(|| {
                    let refreshed = self.adapter.refresh(&snapshot, relay);
                    (refreshed, self.adapter.troubles(&snapshot))
                });
                complain(refreshed);
                let interface = self.adapter.shown(&snapshot, &self.tap);
                outlook::note_host(&self.status, &snapshot, &self.tap, interface, troubles);
            }
            Err(error) => tracing::warn!(%error, "could not look at this machine's network"),
        }
    }
}

/// A change that the system refuses does not end the evening.
fn complain(result: Result<(), AdapterError>) {
    if let Err(error) = result {
        tracing::warn!("{}", Failure::new(ExitCode::Host, error));
    }
}

/// Waits for what is there, or for ever.
pub(super) async fn maybe<F: Future>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}
