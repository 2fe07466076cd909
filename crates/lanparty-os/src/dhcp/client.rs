//! The DHCP client as a child process that is kept alive, and the socket that its hook speaks to.

use std::{
    env, fs,
    fs::File,
    io::{self, BufRead, BufReader},
    os::{
        fd::AsRawFd,
        unix::{fs::symlink, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc as blocking},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::Pid,
};
use tokio::{
    io::AsyncReadExt,
    net::{UnixListener, UnixStream},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};

use super::{DhcpError, DhcpEvent, DhcpOptions, HOOK_NAME, SOCKET_NAME, report::Report};

/// Events wait here for the instance. A client makes one in seconds, so this is never full unless the instance
/// hangs, and then the hook waits.
const EVENTS: usize = 16;
/// More than both clients ever tell.
const LONGEST_REPORT: u64 = 16 * 1024;
/// A client that ends at once is not started again faster than this.
const RESTART: Duration = Duration::from_secs(2);
/// A client that was asked to end has this long.
const FAREWELL: Duration = Duration::from_millis(500);
/// Where DHCP clients live, beside the path of this process, which for players often lacks the system directories.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A running DHCP client. Dropping it ends the client; the lease stays ours.
pub struct DhcpClient {
    events: mpsc::Receiver<DhcpEvent>,
    listener: JoinHandle<()>,
    supervisor: Arc<Supervisor>,
    ended: blocking::Receiver<()>,
    state_dir: PathBuf,
}

impl DhcpClient {
    /// Starts udhcpc, or dhclient where there is none. Must be called within a tokio runtime, in a program whose
    /// `main` begins with [`super::dispatch_hook`].
    ///
    /// # Errors
    /// [`DhcpError::NoProgram`] if neither is installed.
    pub fn start(options: &DhcpOptions) -> Result<DhcpClient, DhcpError> {
        let state_dir = fs::canonicalize(&options.state_dir).map_err(failed("find", &options.state_dir))?;
        let search = env::join_paths(
            env::split_paths(&env::var_os("PATH").unwrap_or_default()).chain(env::split_paths(SYSTEM_PATH)),
        );
        let search = search.unwrap_or_else(|_| SYSTEM_PATH.into());
        let program = Program::find(env::split_paths(&search)).ok_or(DhcpError::NoProgram)?;
        let hook = install_hook(&state_dir)?;
        let listener = listen(&state_dir)?;
        let command = program.command(&options.interface, &hook, &state_dir)?;
        let (send, events) = mpsc::channel(EVENTS);
        let (supervisor, ended) = Supervisor::start(command, program);
        Ok(DhcpClient {
            events,
            listener: tokio::spawn(accept(listener, send)),
            supervisor,
            ended,
            state_dir,
        })
    }

    /// The next event. Cancel safe.
    pub async fn event(&mut self) -> Option<DhcpEvent> {
        self.events.recv().await
    }

    /// Asks the server anew, for instance after the path to it was interrupted. dhclient has to be started again
    /// for that, and says [`DhcpEvent::Bound`] instead of [`DhcpEvent::Renewed`].
    pub fn renew(&self) {
        self.supervisor.renew();
    }

    /// Ends the client without giving the lease back.
    pub fn stop(self) {
        drop(self);
    }

    /// The client's process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.supervisor.lock().child.as_ref().map(Child::id)
    }
}

impl Drop for DhcpClient {
    fn drop(&mut self) {
        self.listener.abort();
        self.supervisor.end();
        if self.ended.recv_timeout(FAREWELL) == Err(blocking::RecvTimeoutError::Timeout) {
            self.supervisor.signal(Signal::SIGKILL);
            // Nobody survives that; the end of the supervisor closes the channel.
            let _ = self.ended.recv();
        }
        // What remains would be found stale and replaced by the next start.
        for name in [SOCKET_NAME, HOOK_NAME] {
            let _ = fs::remove_file(self.state_dir.join(name));
        }
    }
}

/// Keeps the client running. It has a thread of its own, because the client is bound to the life of the thread that
/// started it (PR_SET_PDEATHSIG), and a runtime's threads come and go.
struct Supervisor {
    supervised: Mutex<Supervised>,
    program: Program,
}

#[derive(Default)]
struct Supervised {
    /// Present from its start until it is reaped, so that its process id is nobody else's while it is signalled.
    child: Option<Child>,
    ending: bool,
    /// Its end was asked for, so that it begins anew at once.
    renewing: bool,
}

impl Supervisor {
    fn start(mut command: Command, program: Program) -> (Arc<Supervisor>, blocking::Receiver<()>) {
        let supervisor = Arc::new(Supervisor {
            supervised: Mutex::default(),
            program,
        });
        let (ended, wait) = blocking::sync_channel(1);
        let for_thread = Arc::clone(&supervisor);
        thread::spawn(move || {
            while for_thread.run_once(&mut command) {
                for_thread.pause();
            }
            // Nobody may be waiting any more.
            let _ = ended.send(());
        });
        (supervisor, wait)
    }

    /// Starts the client and waits for its end; true if it is to be started again.
    fn run_once(&self, command: &mut Command) -> bool {
        let (pid, output) = {
            let mut supervised = self.lock();
            if supervised.ending {
                return false;
            }
            match command.spawn() {
                Ok(mut child) => {
                    let started = (child.id(), child.stderr.take());
                    supervised.child = Some(child);
                    started
                }
                Err(error) => {
                    tracing::warn!(%error, program = ?command.get_program(), "could not start the DHCP client");
                    return true;
                }
            }
        };
        if let Some(output) = output {
            // Ends with the client, and empties its pipe until then.
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                tracing::debug!(line, "the DHCP client says");
            }
        }
        // Not reaped yet: the process id has to stay taken until the lock is held.
        let _ = waitid(
            Id::Pid(Pid::from_raw(pid.cast_signed())),
            WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT,
        );
        let mut supervised = self.lock();
        let status = supervised.child.take().and_then(|mut child| child.wait().ok());
        if let (Some(status), false) = (status, supervised.ending || supervised.renewing) {
            tracing::warn!(%status, "the DHCP client ended and is started again");
        }
        !supervised.ending
    }

    /// Before the next start, unless that was asked for.
    fn pause(&self) {
        let end = Instant::now() + RESTART;
        while Instant::now() < end {
            let mut supervised = self.lock();
            if supervised.ending || std::mem::take(&mut supervised.renewing) {
                return;
            }
            drop(supervised);
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn renew(&self) {
        match self.program {
            Program::Udhcpc(_) => self.signal(Signal::SIGUSR1),
            Program::Dhclient(_) => {
                self.lock().renewing = true;
                self.signal(Signal::SIGKILL);
            }
        }
    }

    fn end(&self) {
        self.lock().ending = true;
        self.signal(self.program.farewell());
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = &self.lock().child {
            // It may just have ended, which is as good.
            let _ = kill(Pid::from_raw(child.id().cast_signed()), signal);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Supervised> {
        // Nothing in between can leave it half changed.
        self.supervised.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A DHCP client that we know how to run.
enum Program {
    Udhcpc(PathBuf),
    Dhclient(PathBuf),
}

impl Program {
    fn find(directories: impl Iterator<Item = PathBuf>) -> Option<Program> {
        let mut dhclient = None;
        for directory in directories {
            let udhcpc = directory.join("udhcpc");
            if udhcpc.is_file() {
                return Some(Program::Udhcpc(udhcpc));
            }
            dhclient = dhclient.or(Some(directory.join("dhclient")).filter(|path| path.is_file()));
        }
        dhclient.map(Program::Dhclient)
    }

    fn command(&self, interface: &str, hook: &Path, state_dir: &Path) -> Result<Command, DhcpError> {
        let mut command = match self {
            Program::Udhcpc(path) => {
                let mut command = Command::new(path);
                // In the foreground, with our hook; 5 questions a second apart, and again after 3 seconds.
                command
                    .args(["-f", "-t", "5", "-T", "1", "-A", "3", "-i", interface, "-s"])
                    .arg(hook);
                command
            }
            Program::Dhclient(path) => {
                let configuration = state_dir.join("dhclient.conf");
                let content = "timeout 8;\nretry 3;\nrequest subnet-mask, routers, domain-name-servers;\n";
                fs::write(&configuration, content).map_err(failed("write", &configuration))?;
                let mut command = Command::new(path);
                command
                    .args(["-4", "-d", "-sf"])
                    .arg(hook)
                    .arg("-cf")
                    .arg(configuration);
                command.arg("-lf").arg(state_dir.join("dhclient.leases"));
                command
                    .arg("-pf")
                    .arg(state_dir.join("dhclient.pid"))
                    .arg(interface);
                command
            }
        };
        command.env_clear().env("PATH", SYSTEM_PATH).current_dir("/");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        die_with_parent(&mut command, self.farewell());
        Ok(command)
    }

    /// What ends the client without its giving the lease back; some builds of dhclient do that when asked politely.
    fn farewell(&self) -> Signal {
        match self {
            Program::Udhcpc(_) => Signal::SIGTERM,
            Program::Dhclient(_) => Signal::SIGKILL,
        }
    }
}

/// Even if we are killed without a chance to say farewell.
fn die_with_parent(command: &mut Command, farewell: Signal) {
    let parent = std::process::id();
    let prepare = move || {
        // SAFETY: no pointers are involved.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, farewell as libc::c_int) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: this call cannot fail and touches nothing.
        if unsafe { libc::getppid() }.cast_unsigned() != parent {
            // The parent died before it was asked for.
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made, nothing is allocated and no lock is taken.
    unsafe { command.pre_exec(prepare) };
}

fn install_hook(state_dir: &Path) -> Result<PathBuf, DhcpError> {
    let own = env::current_exe().map_err(failed("find", Path::new("/proc/self/exe")))?;
    let hook = state_dir.join(HOOK_NAME);
    remove_if_there(&hook)?;
    symlink(own, &hook).map_err(failed("link this program to", &hook))?;
    Ok(hook)
}

fn listen(state_dir: &Path) -> Result<UnixListener, DhcpError> {
    let path = state_dir.join(SOCKET_NAME);
    remove_if_there(&path)?;
    let fail = |error| failed("listen on", &path)(error);
    // A socket's address may have 108 bytes, a path in it more: hence by a descriptor of its directory.
    let directory = File::open(state_dir).map_err(fail)?;
    let short = format!("/proc/self/fd/{}/{SOCKET_NAME}", directory.as_raw_fd());
    UnixListener::bind(short).map_err(fail)
}

async fn accept(listener: UnixListener, events: mpsc::Sender<DhcpEvent>) {
    loop {
        let connection = match listener.accept().await {
            Ok((connection, _)) => connection,
            Err(error) => {
                tracing::warn!(%error, "could not hear the DHCP client's hook");
                tokio::time::sleep(RESTART).await;
                continue;
            }
        };
        match timeout(RESTART, read_report(connection)).await {
            Ok(Ok(report)) => {
                let Some(event) = report.event() else {
                    tracing::debug!(?report, "the DHCP client's event is of no use");
                    continue;
                };
                if events.send(event).await.is_err() {
                    return;
                }
            }
            Ok(Err(error)) => tracing::warn!(%error, "the DHCP client's hook said something unintelligible"),
            Err(_) => tracing::warn!("the DHCP client's hook fell silent"),
        }
    }
}

async fn read_report(connection: UnixStream) -> io::Result<Report> {
    let mut line = Vec::new();
    connection.take(LONGEST_REPORT).read_to_end(&mut line).await?;
    Ok(serde_json::from_slice(&line)?)
}

fn remove_if_there(path: &Path) -> Result<(), DhcpError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("replace", path)(error)),
        _ => Ok(()),
    }
}

fn failed(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DhcpError {
    let path = path.to_owned();
    move |source| DhcpError::Io {
        attempt,
        path,
        source,
    }
}
