//! One machine of the lab: its own network, mounts, processes and host name.
//!
//! A machine is a shell that waits for its standard input to close; that shell is process 1 of a PID namespace. When
//! the test process ends, in whatever way (return, panic, Ctrl-C, `kill -9`), the pipe closes, the shell ends, and
//! the kernel ends everything else in the machine with it: processes, links, firewall rules, mounts. So nothing has a
//! name that could be left over, and no clean-up code has to run for that.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    net::Ipv4Addr,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use nix::sched::{CloneFlags, setns};

use super::{
    error::{Attempt, LabError},
    process::Process,
};

/// Commands of the lab answer at once; one that does not is stuck.
const COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// What `timeout` answers when it had to end the command.
const TIMED_OUT: i32 = 124;

/// Makes a machine feel like one: `/sys` shows its own devices, `/run` is empty, `/etc` can be written without the
/// host seeing it (a bind mount of `resolv.conf` would refuse programs that replace the file by rename), and IPv6
/// addresses are usable at once instead of after a second of duplicate detection.
const INIT: &str = r#"
set -e
mount --make-rprivate /
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/.etc/upper /run/.etc/work /run/lanparty /run/dbus
if ! mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/.etc/upper,workdir=/run/.etc/work /etc 2>/dev/null; then
    touch /run/.etc/resolv.conf
    mount --bind /run/.etc/resolv.conf /etc/resolv.conf
fi
: > /etc/resolv.conf
hostname "$1"
ip link set lo up
echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad
echo ready
read -r _ || true
"#;

/// What a finished command left.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// One machine. Dropping it takes it off the (virtual) power.
#[derive(Debug)]
pub struct Machine {
    name: String,
    directory: PathBuf,
    holder: Child,
    /// Closing this ends the machine.
    lifeline: Option<ChildStdin>,
    /// Process 1 of the machine, as the test process sees it.
    init: u32,
}

impl Machine {
    /// Boots a machine called `name` that keeps its files (logs, state) in `directory`.
    pub fn boot(name: &str, directory: &Path) -> Result<Self, LabError> {
        fs::create_dir_all(directory).attempt(|| format!("create {}", directory.display()))?;
        let mut holder = Command::new("unshare")
            .args([
                "--net",
                "--mount",
                "--uts",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
            ])
            .args(["sh", "-c", INIT, "lab-init", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is for the test process alone; what it wants to end in order must not be gone before.
            .process_group(0)
            .spawn()
            .attempt(|| format!("boot machine {name} with unshare"))?;
        let lifeline = holder.stdin.take();
        let mut answer = String::new();
        if let Some(stdout) = holder.stdout.take() {
            BufReader::new(stdout)
                .read_line(&mut answer)
                .attempt(|| format!("wait for machine {name}"))?;
        }
        if answer.trim() != "ready" {
            return Err(boot_failure(name, holder));
        }
        let init = only_child_of(holder.id()).ok_or_else(|| LabError::Unreadable {
            what: format!("process 1 of machine {name}"),
            text: format!("no child of process {}", holder.id()),
        })?;
        Ok(Self {
            name: name.to_owned(),
            directory: directory.to_owned(),
            holder,
            lifeline,
            init,
        })
    }

    /// The machine's name, which is its host name too.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the machine's logs and state files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Process 1 of the machine, for `nsenter -t` and for `ip … netns`.
    pub fn init_pid(&self) -> u32 {
        self.init
    }

    /// Runs a command line (words split at spaces, no quoting) and gives what it printed; failing is an error.
    pub fn run(&self, command: &str) -> Result<String, LabError> {
        let words: Vec<&str> = command.split_whitespace().collect();
        self.run_words(&words)
    }

    /// Like [`Machine::run`] for words that contain spaces.
    pub fn run_words(&self, words: &[&str]) -> Result<String, LabError> {
        let output = self.output(words, COMMAND_LIMIT)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(LabError::Command {
            machine: self.name.clone(),
            command: words.join(" "),
            status: output.status.to_string(),
            output: format!("{}{}", tail(&output.stdout), tail(&output.stderr)),
        })
    }

    /// Runs a shell script; failing is an error.
    pub fn shell(&self, script: &str) -> Result<String, LabError> {
        self.run_words(&["sh", "-ec", script])
    }

    /// Runs a command to its end, whatever that is, but not beyond `limit`.
    pub fn output(&self, words: &[&str], limit: Duration) -> Result<Output, LabError> {
        let output = self
            .enter()
            .args([
                "timeout",
                "--kill-after=1",
                &format!("{:.1}", limit.as_secs_f32()),
            ])
            .args(words)
            .stdin(Stdio::null())
            .output()
            .attempt(|| format!("run `{}` on {}", words.join(" "), self.name))?;
        let result = Output {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        if result.status.code() == Some(TIMED_OUT) {
            return Err(LabError::Timeout {
                what: format!("`{}` on {} to end", words.join(" "), self.name),
                waited: limit,
                detail: format!(": {}{}", tail(&result.stdout), tail(&result.stderr)),
            });
        }
        Ok(result)
    }

    /// Feeds `input` to a command's standard input; failing is an error. For `nft -f -` and `ip -batch -`.
    pub fn feed(&self, words: &[&str], input: &str) -> Result<(), LabError> {
        let mut child = self
            .enter()
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .attempt(|| format!("run `{}` on {}", words.join(" "), self.name))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that ends early closes the pipe; its status says more than the write error would.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child
            .wait_with_output()
            .attempt(|| format!("wait for `{}` on {}", words.join(" "), self.name))?;
        if output.status.success() {
            return Ok(());
        }
        Err(LabError::Command {
            machine: self.name.clone(),
            command: format!("{} <<< {input}", words.join(" ")),
            status: output.status.to_string(),
            output: tail(&String::from_utf8_lossy(&output.stderr)),
        })
    }

    /// Starts a program that goes on running; `label` names its log file.
    pub fn spawn(&self, label: &str, words: &[&str]) -> Result<Process, LabError> {
        let log = self.directory.join(format!("{label}.log"));
        let mut command = self.enter();
        command.args(words);
        Process::start(&format!("{label} on {}", self.name), command, log)
    }

    /// Runs `action` on a thread that is inside the machine's network. A socket made there belongs to the machine
    /// for as long as it lives, whoever uses it.
    pub fn inside<T: Send>(&self, action: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        let path = format!("/proc/{}/ns/net", self.init);
        let namespace = File::open(&path).attempt(|| format!("open {path}"))?;
        thread::scope(|scope| {
            scope
                .spawn(|| {
                    setns(&namespace, CloneFlags::CLONE_NEWNET)
                        .attempt(|| format!("enter the network of {}", self.name))?;
                    Ok(action())
                })
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Says what `/etc/resolv.conf` contains.
    pub fn set_resolver(&self, server: Ipv4Addr) -> Result<(), LabError> {
        self.shell(&format!("echo 'nameserver {server}' > /etc/resolv.conf"))
            .map(drop)
    }

    /// Sets a value below `/proc/sys`, for example `net/ipv4/ip_forward`.
    pub fn sysctl(&self, path: &str, value: &str) -> Result<(), LabError> {
        self.shell(&format!("echo {value} > /proc/sys/{path}")).map(drop)
    }

    fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.init.to_string()])
            .args(["--net", "--mount", "--uts", "--pid", "--"]);
        command
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        // Process 1 ends at the end of its input; unshare ends with it. Waiting makes sure that links and routes are
        // gone before a caller builds the next machine.
        let _ = self.holder.wait();
    }
}

fn boot_failure(name: &str, mut holder: Child) -> LabError {
    let _ = holder.kill();
    let text = match holder.wait_with_output() {
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    LabError::Unreadable {
        what: format!("the boot of machine {name}"),
        text,
    }
}

/// The process that `parent` (an `unshare` or `nsenter` that forked) started.
pub(super) fn only_child_of(parent: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// The end of a text, which is where programs say what is wrong.
pub(super) fn tail(text: &str) -> String {
    const LINES: usize = 40;
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
