//! The one task of an endpoint.
//!
//! Its loop is: drain what the core wants out, ask when it must be woken, wait for whatever comes first, put it in. Control messages
//! are looked at before frames, so that who is in the room is known before what they send. The path's engine is driven from
//! here as well, and pulls datagrams out of the core's scheduler when they can leave: there is no other queue.

use std::{
    future::{Future, pending},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use lanparty_api::{DropLog, Status};
use lanparty_core::{
    admission::{Host, Reception, ShownCode},
    lan::{LanConfig, Station},
    node::{Event, Node, NodeConfig, Output},
    session::Session,
};
use lanparty_os::{
    device::{Batch, Device, DeviceError, FrameSource, OutBatch, SourceLosses},
    dirs::DirError,
};
use lanparty_quic::{ControlReceiver, DialError, RecvError, TrustOutcome};
use lanparty_wire::{
    AdmissionRefusal, LeaveReason, PeerId, RejectReason, UnixTime,
    control::{Message, Welcome},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinError,
};

use crate::{
    config::EndpointConfig,
    record::{Recorder, Witness},
    sealed::{self, DoorTask, Sealed, SealedConfig},
    storms::{self, Storms},
    uplink::{DialFailure, Dialed, Uplink, Uplinks},
};

/// Liveness, path statistics and status are looked at this often.
pub(crate) const TICK: Duration = Duration::from_secs(1);
/// Events wait for a binary that is busy changing the host; more than this says that it hangs, and the status tells the rest.
const EVENT_QUEUE: usize = 256;
/// Commands are rare; two of a kind mean the same.
const COMMAND_QUEUE: usize = 16;

/// What the binary does something about.
#[derive(Debug)]
pub enum EndpointEvent {
    /// How the relay came to be trusted.
    Trust(TrustOutcome),
    /// In the room, by a relay with this key. `again` if this process was in it before.
    Joined {
        welcome: Welcome,
        again: bool,
        pin: lanparty_wire::Pin,
    },
    /// In a sealed room of ours: somebody waits to be let in.
    Waiting(PeerId),
    /// In a sealed room of ours: there is another short code to show.
    Code(ShownCode),
    /// The session is gone or doubted, and is being dialled again.
    Disconnected { why: String },
    /// A dial failed and is tried again.
    Failed { why: String, attempt: u32 },
    /// The relay refused for now.
    Rejected { reason: RejectReason, detail: String },
    /// The device went down.
    DeviceDown,
    /// The device is back.
    DeviceUp,
    /// The kernel has begun to lose super-frames that it cannot describe to us; the offloads that make them must go.
    UndescribedSuperFrames,
    /// What the core noticed.
    Node(Event),
}

/// Why an endpoint stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    #[error("the relay refused: {}", .reason.sentence())]
    Rejected { reason: RejectReason, detail: String },
    #[error("the relay could not be trusted")]
    Untrusted(#[source] DialError),
    #[error(
        "the same identity has connected from elsewhere; each running client needs a state directory of its own (--state-dir)"
    )]
    Displaced,
    #[error("{}", AdmissionRefusal::Kicked.sentence())]
    Kicked,
    #[error("{}", .0.sentence())]
    Refused(AdmissionRefusal),
    #[error(
        "the relay says that this sealed room is open, and could read what is sent there, so nothing more is sent; do not play by this relay, and tell the host"
    )]
    Downgraded,
    #[error("cannot use what is kept of this room")]
    State(#[from] DirError),
    #[error("the network device failed")]
    Device(#[from] DeviceError),
}

#[derive(Debug)]
pub(crate) enum Command {
    NetworkChanged,
    LanLink(bool),
    Station(Station),
    Shutdown(LeaveReason),
    Door(DoorTask),
    Discovery(oneshot::Sender<Vec<u8>>),
}

/// Makes an endpoint. `reopen` brings the device back after it went down, and may wait as long as that takes. The endpoint
/// keeps its part of `status` true; the binary fills in the rest.
///
/// # Errors
/// Files that trust rests on cannot be read.
pub fn endpoint<D, R, F>(
    config: EndpointConfig,
    sealed: Option<SealedConfig>,
    device: D,
    reopen: R,
    status: watch::Sender<Status>,
) -> Result<(Endpoint<D, R>, EndpointHandle), EndpointError>
where
    D: Device,
    R: FnMut() -> F + Send,
    F: Future<Output = Result<D, DeviceError>> + Send + 'static,
{
    let (commands, command_receiver) = mpsc::channel(COMMAND_QUEUE);
    let (event_sender, events) = mpsc::channel(EVENT_QUEUE);
    let now = Instant::now();
    let witness = Witness::new(now, SystemTime::now());
    let node = NodeConfig {
        role: config.role,
        mac: config.mac,
        mtu: config.mtu,
        limits: config.limits.clone(),
        flow_key: rand::random(),
    };
    let sealed = sealed
        .map(|sealed| sealed::prepare(&config, sealed))
        .transpose()?;
    let lan = LanConfig {
        loop_secret: Some(rand::random()),
        ..config.lan.clone()
    };
    let (redundancy, profile) = (config.redundancy, config.profile);
    let uplinks = Uplinks::new(config, rand::random()).map_err(EndpointError::Untrusted)?;
    let mut node = Node::new(node, now);
    node.set_lan(now, lan);
    node.set_redundancy(redundancy);
    node.set_profile(profile);
    let (node, sealed) = match sealed {
        Some((sealing, sealed)) => (node.sealed(&sealing, now), Some(sealed)),
        None => (node, None),
    };
    let endpoint = Endpoint {
        node,
        sealed,
        session: Session::new(now),
        session_due: now,
        uplinks: Arc::new(uplinks),
        uplink: None,
        control: None,
        dialing: None,
        device: Some(device.split()),
        reopen,
        reopening: None,
        commands: command_receiver,
        events: event_sender,
        status,
        drops: DropLog::default(),
        losses: SourceLosses::default(),
        witness,
        storms: Storms::new(now),
        problem: None,
        silent: true,
        attempts: 0,
        paths: 0,
        ticks: 0,
        next_tick: now,
        told_up: false,
        joined_before: false,
        batch: Batch::new(),
        out: OutBatch::new(),
        inbox: Vec::with_capacity(64),
    };
    Ok((endpoint, EndpointHandle { commands, events }))
}

/// Steers a running endpoint, and hears from it.
#[derive(Debug)]
pub struct EndpointHandle {
    commands: mpsc::Sender<Command>,
    events: mpsc::Receiver<EndpointEvent>,
}

impl EndpointHandle {
    /// The next event; `None` when the endpoint has stopped. Cancel safe.
    pub async fn next_event(&mut self) -> Option<EndpointEvent> {
        self.events.recv().await
    }

    /// Links, addresses or routes of this host have changed.
    pub fn network_changed(&self) {
        // A full queue means that the endpoint is about to look anyway.
        let _ = self.commands.try_send(Command::NetworkChanged);
    }

    /// The LAN's cable was plugged or pulled.
    pub async fn lan_link(&self, up: bool) {
        // An endpoint that has stopped needs no news.
        let _ = self.commands.send(Command::LanLink(up)).await;
    }

    /// What this machine's own interface on the LAN is, for a LAN gateway.
    pub async fn station(&self, station: Station) {
        let _ = self.commands.send(Command::Station(station)).await;
    }

    /// Says goodbye and ends [`Endpoint::run`].
    pub async fn shutdown(&self, reason: LeaveReason) {
        let _ = self.commands.send(Command::Shutdown(reason)).await;
    }

    /// Speaks to the host of our sealed room; `None` in other rooms, or if the endpoint has stopped.
    pub async fn with_host<T: Send + 'static>(
        &self,
        speak: impl FnOnce(&mut Host, UnixTime) -> T + Send + 'static,
    ) -> Option<T> {
        self.with_door(|door, now| speak(door.host_mut(), now)).await
    }

    /// Speaks at the door of our sealed room, where short codes are; `None` as with [`EndpointHandle::with_host`].
    pub async fn with_door<T: Send + 'static>(
        &self,
        speak: impl FnOnce(&mut Reception, UnixTime) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let task = DoorTask(Box::new(move |door, now| {
            // Who has asked may be gone.
            let _ = answer.send(speak(door, now));
        }));
        self.commands.send(Command::Door(task)).await.ok()?;
        answered.await.ok()
    }
}

impl EndpointHandle {
    /// What can be asked for the last minute of discovery frames by itself.
    pub fn remembered(&self) -> Remembered {
        Remembered(self.commands.clone())
    }
}

/// The last minute of discovery frames of a running endpoint.
#[derive(Debug, Clone)]
pub struct Remembered(mpsc::Sender<Command>);

impl Remembered {
    /// A pcapng file; `None` if the endpoint has stopped.
    pub async fn file(&self) -> Option<Vec<u8>> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Command::Discovery(answer)).await.ok()?;
        answered.await.ok()
    }
}

type Dial = Pin<Box<dyn Future<Output = Result<Dialed, DialFailure>> + Send>>;
type Reopen<D> = Pin<Box<dyn Future<Output = Result<D, DeviceError>> + Send>>;

/// An endpoint that is about to run.
pub struct Endpoint<D: Device, R> {
    pub(crate) node: Node,
    /// In a sealed room.
    pub(crate) sealed: Option<Sealed>,
    pub(crate) session: Session,
    pub(crate) session_due: Instant,
    pub(crate) uplinks: Arc<Uplinks>,
    pub(crate) uplink: Option<Uplink>,
    pub(crate) control: Option<ControlReceiver>,
    pub(crate) dialing: Option<Dial>,
    pub(crate) device: Option<(D::Source, D::Sink)>,
    pub(crate) reopen: R,
    pub(crate) reopening: Option<Reopen<D>>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) events: mpsc::Sender<EndpointEvent>,
    pub(crate) status: watch::Sender<Status>,
    pub(crate) drops: DropLog,
    pub(crate) losses: SourceLosses,
    pub(crate) witness: Witness,
    pub(crate) storms: Storms,
    /// What keeps us out of the room, in one sentence.
    pub(crate) problem: Option<String>,
    /// Whether the last dial was not answered at all; assumed until one has ended.
    pub(crate) silent: bool,
    pub(crate) attempts: u32,
    pub(crate) paths: u32,
    pub(crate) ticks: u32,
    pub(crate) next_tick: Instant,
    /// Whether the binary believes us to be in the room.
    pub(crate) told_up: bool,
    pub(crate) joined_before: bool,
    pub(crate) batch: Batch,
    pub(crate) out: OutBatch,
    /// Datagrams that found the batch for the device full; only for the length of a turn.
    pub(crate) inbox: Vec<Bytes>,
}

/// What the loop was woken by.
enum Woken<D> {
    Command(Option<Command>),
    Control(Result<Option<Message>, RecvError>),
    Dialed(Box<Result<Dialed, DialFailure>>),
    Path,
    Frames(Result<(), DeviceError>),
    Reopened(Result<D, DeviceError>),
    Stored(Result<Result<(), DirError>, JoinError>),
    Timer,
}

impl<D, R, F> Endpoint<D, R>
where
    D: Device + 'static,
    R: FnMut() -> F + Send,
    F: Future<Output = Result<D, DeviceError>> + Send + 'static,
{
    /// Writes down from now on what passes by.
    #[must_use]
    pub fn recorded_by(mut self, recorder: Option<Recorder>) -> Endpoint<D, R> {
        self.witness.record_to(recorder);
        self
    }

    /// Runs until [`EndpointHandle::shutdown`], reconnecting as often as it must.
    ///
    /// # Errors
    /// What only a person can mend.
    pub async fn run(mut self) -> Result<(), EndpointError> {
        loop {
            self.drain(Instant::now()).await?;
            match self.wait().await {
                Woken::Command(Some(Command::Shutdown(reason))) => {
                    self.stop(reason).await;
                    return Ok(());
                }
                Woken::Command(None) => {
                    self.stop(LeaveReason::Goodbye).await;
                    return Ok(());
                }
                Woken::Command(Some(Command::NetworkChanged)) => self.network_changed().await,
                Woken::Command(Some(Command::LanLink(up))) => self.node.lan_link(Instant::now(), up),
                Woken::Command(Some(Command::Station(station))) => {
                    self.node.lan_station(Instant::now(), station);
                }
                Woken::Command(Some(Command::Door(task))) => self.with_door(task),
                Woken::Command(Some(Command::Discovery(answer))) => {
                    // Who has asked may be gone.
                    let _ = answer.send(self.witness.discovery(Instant::now()));
                }
                Woken::Control(message) => self.handle_control(Instant::now(), message)?,
                Woken::Dialed(result) => self.handle_dialed(Instant::now(), *result)?,
                Woken::Path => self.drive(Instant::now()).await?,
                Woken::Frames(result) => self.handle_frames(Instant::now(), result)?,
                Woken::Reopened(device) => self.handle_reopened(device?),
                Woken::Stored(result) => {
                    if let Some(sealed) = &mut self.sealed {
                        sealed.stored(result);
                    }
                }
                Woken::Timer => {}
            }
        }
    }

    async fn wait(&mut self) -> Woken<D> {
        let wake = self
            .node
            .poll_timeout()
            .map_or(self.next_tick, |(due, _)| due.min(self.next_tick));
        let wake = if self.dialing.is_some() {
            wake
        } else {
            wake.min(self.session_due)
        };
        let wake = self
            .sealed
            .as_ref()
            .and_then(Sealed::due)
            .map_or(wake, |due| due.min(wake));
        let batch = &mut self.batch;
        let path = maybe(self.uplink.as_mut().map(|uplink| uplink.engine.ready()));
        let frames = maybe(self.device.as_mut().map(|(source, _)| source.recv(batch)));
        // The two directions take turns at random: a flood from one side must not keep the other from being read.
        let traffic = async {
            tokio::select! {
                () = path => Woken::Path,
                result = frames => Woken::Frames(result),
            }
        };
        tokio::select! {
            biased;
            command = self.commands.recv() => Woken::Command(command),
            message = maybe(self.control.as_mut().map(ControlReceiver::recv)) => Woken::Control(message),
            result = maybe(self.dialing.as_mut()) => Woken::Dialed(Box::new(result)),
            result = maybe(self.sealed.as_mut().and_then(Sealed::storing)) => Woken::Stored(result),
            device = maybe(self.reopening.as_mut()) => Woken::Reopened(device),
            woken = traffic => woken,
            () = tokio::time::sleep_until(wake.into()) => Woken::Timer,
        }
    }

    /// Does what is due, then gives what the core has to the control stream, the device, the binary and the path.
    async fn drain(&mut self, now: Instant) -> Result<(), EndpointError> {
        if self.node.poll_timeout().is_some_and(|(due, _)| due <= now) {
            self.node.handle_timeout(now);
        }
        if now >= self.next_tick {
            self.tick(now);
        }
        self.dial_if_due(now);
        self.drain_sealed(now)?;
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Control(message) => self.send_control(message),
                Output::Inject(frame) => self.inject(now, &frame).await?,
                Output::Event(Event::Note { from, bytes }) => self.note(now, from, &bytes),
                Output::Event(Event::OnLan { mac }) => self.refuse_mac(mac),
                Output::Event(event) => self.tell_node(event),
            }
        }
        self.write_device().await?;
        self.transmit(now);
        Ok(())
    }

    fn tell_node(&mut self, event: Event) {
        if let Event::CamRefresh { mac, reason } = &event {
            tracing::debug!(%mac, reason = reason.name(), "shown to the LAN's switches");
            return;
        }
        storms::log_port(&self.node, &event);
        // Who is there and what flows is read from the status; make it true before anybody is told.
        self.publish(Instant::now());
        self.tell(EndpointEvent::Node(event));
    }

    pub(crate) fn tell(&self, event: EndpointEvent) {
        if self.events.try_send(event).is_err() {
            tracing::debug!("an event was not told, too many are waiting");
        }
    }
}

/// Waits for what is there, or for ever.
async fn maybe<F: Future>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}
