//! The client as a service: it owns adapter, routes and tunnel, and joins and leaves rooms as windows and command lines ask it to.
//!
//! It serves two sockets with one desk: one in its state dir, for its owner as every program of ours has it, and one at a well-known
//! path for the players of this machine. One room at a time; an evening is lived by [`session`](crate::session) as it is at a
//! terminal. What a crash left on this machine is undone at the next start, before anybody can ask for anything.

mod desk;
mod diagnostics;
mod kept;
mod manager;
mod rooms;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use lanparty_api::{
    Answer, Command, Program, Status, Storyteller,
    cli::{self, CommonArgs, ExitCode, Failure, Layer, LogTail},
    local::{Audience, StatusServer, serve, service_path},
    order::{Ended, Phase, ServiceSettings, ServiceStatus, Wish},
    socket_path,
};
use lanparty_os::{
    dirs::{StateDir, share_with_group},
    service::Managed,
    transaction,
};
use tokio::sync::{mpsc, oneshot, watch};
use tracing_subscriber::filter::LevelFilter;

use crate::{
    failure::{state_failure, transaction_failure, unexpected},
    service::{
        desk::{Order, ServiceDesk},
        kept::SettingsFile,
        rooms::Rooms,
    },
    session::{self, Begun, Stage},
    settings::{Party, Settings},
    stop::{Stop, Woken},
};

/// Where windows and command lines find the service.
#[derive(clap::Args, Clone, Debug)]
pub struct SocketArgs {
    /// The service's socket [default: the well-known one of this machine]
    #[arg(long, global = true, value_name = "PATH", env = "LANPARTY_SOCKET")]
    pub socket: Option<PathBuf>,
}

impl SocketArgs {
    pub fn path(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(service_path)
    }
}

/// The flags behind `service`.
#[derive(clap::Args, Clone, Debug)]
pub struct ServiceArgs {
    #[command(flatten)]
    pub socket: SocketArgs,
    /// Whose members may give orders, beside root
    #[arg(long, global = true, value_name = "NAME", default_value = "lanparty")]
    pub group: String,
    #[command(subcommand)]
    pub order: Option<ServiceOrder>,
}

/// What is to be done with the service.
#[derive(clap::Subcommand, Clone, Debug)]
pub enum ServiceOrder {
    /// Be the service until the system asks to stop; the same without this word
    Run {
        /// Windows' service manager has started this
        #[arg(long, hide = true)]
        scm: bool,
    },
    /// Have Windows start the service now and with the machine, with the flags that stand here (as administrator)
    Install,
    /// Stop the service, put back what a crash has left changed, and take it off (as administrator)
    Uninstall {
        /// Take off the network adapter too, which otherwise waits for the next installation
        #[arg(long)]
        with_adapter: bool,
    },
}

/// Does what is ordered; without an order, serves.
///
/// # Errors
/// What keeps a service from beginning, or from being registered; no evening that ends badly.
pub fn run(
    arguments: &ServiceArgs,
    common: &CommonArgs,
    base: Settings,
    state_dir: &Path,
) -> Result<(), Failure> {
    let begin = Begin {
        socket: arguments.socket.path(),
        group: arguments.group.clone(),
        common: common.clone(),
        base,
        state_dir: state_dir.to_owned(),
    };
    match arguments.order {
        None | Some(ServiceOrder::Run { scm: false }) => begin.serve(LogTail::default(), Caller::Person),
        Some(ServiceOrder::Run { scm: true }) => manager::run(begin),
        Some(ServiceOrder::Install) => manager::install(),
        Some(ServiceOrder::Uninstall { with_adapter }) => {
            manager::uninstall(&begin.state_dir, with_adapter.then(|| begin.base.tap()))
        }
    }
}

/// Who has started the service, and who ends it.
enum Caller {
    /// Or systemd, by signals.
    Person,
    Manager(Managed),
}

/// What a service begins with.
struct Begin {
    socket: PathBuf,
    group: String,
    common: CommonArgs,
    /// What the administrator has settled for every room.
    base: Settings,
    state_dir: PathBuf,
}

impl Begin {
    /// Serves until the caller asks us to stop.
    fn serve(self, tail: LogTail, caller: Caller) -> Result<(), Failure> {
        cli::init_logging_with(
            self.common.log_format,
            self.common.verbose,
            LevelFilter::INFO,
            Some(tail.clone()),
        )?;
        let state = StateDir::open(&self.state_dir).map_err(state_failure)?;
        prepare_directory(&self.socket, &self.group)?;
        session::give_up_privileges(true)?;
        session::runtime()?.block_on(async {
            recover(state.path())?;
            let (stop, woken) = match &caller {
                Caller::Person => (Stop::by_signal().map_err(unexpected)?, Woken::never()),
                Caller::Manager(managed) => manager::heard(managed.asked.clone()),
            };
            let (service, orders) = Service::new(self.base, state.path(), tail, woken)?;
            let _servers = service.open([
                (socket_path(state.path(), Program::Client), Audience::Owner),
                (self.socket, Audience::Players),
            ])?;
            tracing::info!("ready for orders");
            if let Caller::Manager(managed) = &caller {
                managed.ready();
            }
            service.serve(orders, stop).await;
            Ok(())
        })
    }
}

/// Sockets take their group from the directory.
fn prepare_directory(socket: &Path, group: &str) -> Result<(), Failure> {
    let Some(directory) = socket
        .parent()
        .filter(|directory| !directory.exists() || *socket == service_path())
    else {
        return Ok(());
    };
    let shared = share_with_group(directory, group).map_err(|error| Failure::new(ExitCode::Host, error))?;
    if !shared {
        tracing::warn!(
            "there is no group {group} on this machine, so only root may give orders; make it with `groupadd --system {group}` and \
             add players with `usermod -aG {group} NAME`"
        );
    }
    Ok(())
}

/// Puts back what a crash left changed.
fn recover(state_dir: &Path) -> Result<(), Failure> {
    let undone = transaction::recover(state_dir).map_err(transaction_failure)?;
    if undone.count > 0 {
        tracing::info!(
            changes = undone.count,
            "put this machine back as it was before a crash"
        );
    }
    for (undo, error) in undone.failed {
        tracing::warn!(?undo, %error, "a change of a crashed run could not be undone; the next room's end tries again");
    }
    Ok(())
}

/// Everything that outlives an evening.
struct Service {
    /// The administrator's.
    base: Settings,
    state_dir: PathBuf,
    settings: SettingsFile,
    rooms: Rooms,
    status: watch::Sender<Status>,
    lan_games: watch::Sender<bool>,
    begun: watch::Sender<Option<Begun>>,
    tail: LogTail,
    woken: Woken,
    orders: mpsc::Sender<Order>,
}

/// An order that is carried out, or answered at once.
enum Next {
    Join(Box<Party>),
    Nothing,
}

impl Service {
    fn new(
        base: Settings,
        state_dir: &Path,
        tail: LogTail,
        woken: Woken,
    ) -> Result<(Service, mpsc::Receiver<Order>), Failure> {
        let settings = SettingsFile::load(state_dir);
        let mut first = Status::new(Program::Client);
        first.software = concat!("lanparty-client ", env!("CARGO_PKG_VERSION")).to_owned();
        first.process = std::process::id();
        first.service = Some(ServiceStatus {
            settings: settings.current.clone(),
            ..ServiceStatus::default()
        });
        // A person gives few orders, and waits for each.
        let (orders, receiver) = mpsc::channel(16);
        let service = Service {
            base,
            state_dir: state_dir.to_owned(),
            rooms: Rooms::load(state_dir),
            status: watch::Sender::new(first),
            lan_games: watch::Sender::new(settings.current.lan_games),
            begun: watch::Sender::new(None),
            settings,
            tail,
            woken,
            orders,
        };
        Ok((service, receiver))
    }

    fn open(&self, sockets: [(PathBuf, Audience); 2]) -> Result<Vec<StatusServer>, Failure> {
        let desk = Arc::new(ServiceDesk {
            status: self.status.subscribe(),
            begun: self.begun.subscribe(),
            orders: self.orders.clone(),
        });
        let serve = |(path, audience): (PathBuf, Audience)| serve(&path, audience, desk.clone());
        let servers = sockets.into_iter().map(serve).collect::<Result<_, _>>();
        servers.map_err(|error| Failure::new(ExitCode::Host, error))
    }

    /// One room after the other, until the system asks us to stop.
    async fn serve(mut self, mut orders: mpsc::Receiver<Order>, mut stop: Stop) {
        let story = tokio::spawn(keep_story(self.status.subscribe(), self.tail.clone()));
        loop {
            tokio::select! {
                () = stop.asked() => break,
                Some(order) = orders.recv() => {
                    if let Next::Join(party) = self.handle_idle(order) {
                        self.evening(*party, &mut orders, stop.clone()).await;
                    }
                }
            }
        }
        story.abort();
    }

    fn handle_idle(&mut self, Order { command, answer }: Order) -> Next {
        let (said, next) = match command {
            Command::Connect(wish) => match self.party(*wish) {
                Ok(party) => {
                    self.enter(Phase::Preparing, None);
                    (Answer::Done, Next::Join(Box::new(party)))
                }
                Err(failure) => (failure.into(), Next::Nothing),
            },
            Command::Disconnect => (Answer::Done, Next::Nothing),
            other => {
                self.handle_any(other, answer);
                return Next::Nothing;
            }
        };
        // Whoever has gone needs no answer.
        let _ = answer.send(said);
        next
    }

    /// What can be asked at any time.
    fn handle_any(&mut self, command: Command, answer: oneshot::Sender<Answer>) {
        let said = match command {
            Command::Rooms => Answer::Rooms {
                rooms: self.rooms.list(),
            },
            Command::Forget { room } => match self.rooms.forget(&room) {
                Ok(()) => Answer::Done,
                Err(failure) => failure.into(),
            },
            Command::Settings => Answer::Settings {
                settings: self.settings.current.clone(),
            },
            Command::Change { settings } => self.change(settings),
            Command::Diagnostics => {
                let material = self.material();
                tokio::spawn(async move {
                    let _ = answer.send(diagnostics::collect(material).await);
                });
                return;
            }
            Command::Connect(_)
            | Command::Disconnect
            | Command::Status
            | Command::Watch
            | Command::Discovery
            | Command::Unknown => Answer::refused("this is answered elsewhere"),
        };
        let _ = answer.send(said);
    }

    fn change(&mut self, settings: ServiceSettings) -> Answer {
        if let Err(failure) = self.settings.change(settings) {
            return failure.into();
        }
        let settings = self.settings.current.clone();
        self.lan_games.send_replace(settings.lan_games);
        self.change_service(|service| service.settings = settings);
        Answer::Done
    }

    fn material(&self) -> diagnostics::Material {
        diagnostics::Material {
            status: self.status.borrow().clone(),
            settings: self.settings.current.clone(),
            rooms: self.rooms.list(),
            secrets: self.rooms.secrets(),
            log: self.tail.text(),
            tap: self.base.tap(),
        }
    }

    /// One room, from the order to the restored machine.
    async fn evening(&mut self, party: Party, orders: &mut mpsc::Receiver<Order>, mut system: Stop) {
        let (leave, stop) = Stop::new();
        let stage = Stage {
            status: self.status.clone(),
            stop,
            lan_games: self.lan_games.subscribe(),
            begun: self.begun.clone(),
            woken: self.woken.clone(),
        };
        let state_dir = self.state_dir.clone();
        let entered = party.clone();
        let mut evening = Box::pin(session::evening(party, &state_dir, stage));
        let mut status = self.status.subscribe();
        let mut leavers = Vec::new();
        let outcome = loop {
            tokio::select! {
                outcome = &mut evening => break outcome,
                Some(order) = orders.recv() => match order.command {
                    Command::Disconnect => {
                        leave.send_replace(true);
                        self.enter(Phase::Leaving, None);
                        leavers.push(order.answer);
                    }
                    Command::Connect(_) => {
                        let _ = order.answer.send(busy());
                    }
                    other => self.handle_any(other, order.answer),
                },
                Ok(()) = status.changed() => self.look(&entered),
                () = system.asked(), if !*leave.borrow() => {
                    leave.send_replace(true);
                    self.enter(Phase::Leaving, None);
                }
            }
        };
        self.finish(outcome);
        for leaver in leavers {
            let _ = leaver.send(Answer::Done);
        }
    }

    /// What an evening has come to, for the status and for coming back.
    fn look(&mut self, party: &Party) {
        let Some(begun) = self.begun.borrow().clone() else {
            return;
        };
        let status = self.status.borrow().clone();
        let is_preparing = status
            .service
            .as_ref()
            .is_some_and(|s| s.phase == Phase::Preparing);
        if is_preparing {
            self.enter(Phase::Playing, None);
        }
        if let Some(endpoint) = status.endpoint.filter(|endpoint| endpoint.is_joined()) {
            let host = endpoint.gateway.map(|gateway| gateway.name).unwrap_or_default();
            self.rooms.note(party, &begun.entrance, &host);
        }
    }

    fn finish(&mut self, outcome: Result<(), Failure>) {
        self.begun.send_replace(None);
        let ended = outcome.as_ref().err().map(Ended::from);
        if let Err(failure) = &outcome {
            tracing::warn!("{failure}");
        }
        self.status.send_modify(|status| {
            status.endpoint = None;
            status.problem = None;
        });
        self.enter(Phase::Idle, ended);
    }

    fn enter(&self, phase: Phase, ended: Option<Ended>) {
        self.change_service(|service| {
            service.phase = phase;
            service.ended = ended;
        });
    }

    fn change_service(&self, change: impl FnOnce(&mut ServiceStatus)) {
        self.status
            .send_modify(|status| change(status.service.get_or_insert_default()));
    }

    /// What is wished lies over what the player has settled, and that over what the administrator has; but the room is the
    /// wish's alone.
    fn party(&self, wish: Wish) -> Result<Party, Failure> {
        let wish = self.rooms.resolve(wish)?;
        let settled = &self.settings.current;
        let words = |ticket: String| ticket.split_whitespace().map(str::to_owned).collect();
        let wished = Settings {
            link: wish.ticket.map(words),
            relay: wish.relay,
            room: wish.room,
            relay_pin: wish.relay_pin,
            server_name: wish.server_name,
            name: wish
                .name
                .or_else(|| Some(settled.name.clone()).filter(|name| !name.is_empty())),
            dhcp: wish.dhcp.or(Some(settled.dhcp)),
            anyway: wish.anyway,
            ..Settings::default()
        };
        let base = Settings {
            link: None,
            code: None,
            relay: None,
            room: None,
            pcap: None,
            ..self.base.clone()
        };
        wished.over(base).complete()
    }
}

/// What players are told is part of what helps them later.
async fn keep_story(mut status: watch::Receiver<Status>, tail: LogTail) {
    let mut teller = Storyteller::default();
    loop {
        let now = status.borrow_and_update().clone();
        for line in teller.tell(&now) {
            tail.push(&line.text);
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}

fn busy() -> Answer {
    Answer::Refused {
        reason: "this machine is in a room already".to_owned(),
        advice: Some("leave it first: press Disconnect, or `lanparty-client disconnect`".to_owned()),
    }
}
