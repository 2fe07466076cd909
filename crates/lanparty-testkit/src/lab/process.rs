//! A program that runs on a machine of the lab, with its log.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    error::{Attempt, LabError},
    machine::{only_child_of, tail},
    wait::wait_for,
};

/// How long a program may take from `fork` to `exec`; only a very busy machine comes near it.
const START_LIMIT: Duration = Duration::from_secs(5);

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    label: String,
    /// `nsenter`, which waits for the program and ends as it did.
    parent: Child,
    pid: Pid,
    log: PathBuf,
    /// Where in the log the newest run began: a restarted program appends.
    log_start: u64,
}

impl Process {
    pub(super) fn start(label: &str, mut command: Command, log: PathBuf) -> Result<Self, LabError> {
        let open = || -> io::Result<(File, File, u64)> {
            let file = File::options().create(true).append(true).open(&log)?;
            let length = file.metadata()?.len();
            Ok((file.try_clone()?, file, length))
        };
        let (stdout, stderr, log_start) = open().attempt(|| format!("open log {}", log.display()))?;
        let parent = command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .attempt(|| format!("start {label}"))?;
        let mut process = Self {
            label: label.to_owned(),
            parent,
            pid: Pid::from_raw(0),
            log,
            log_start,
        };
        let pid = wait_for(&format!("{label} to start"), START_LIMIT, || {
            only_child_of(process.parent.id())
                .map(Some)
                .or_else(|| process.finished().map(|_| None))
        })?;
        let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()) else {
            return Err(process.ended_early());
        };
        process.pid = Pid::from_raw(pid);
        Ok(process)
    }

    /// The process id as the test process sees it.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Where standard output and error go.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// What this run of the program has printed so far.
    pub fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let start = usize::try_from(self.log_start)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        String::from_utf8_lossy(&bytes[start..]).into_owned()
    }

    /// True until the program has ended.
    pub fn is_running(&mut self) -> bool {
        self.finished().is_none()
    }

    /// Waits for a line that contains `text`, and gives it. A program that ends before is an error at once.
    pub fn wait_for_log(&mut self, text: &str, limit: Duration) -> Result<String, LabError> {
        let what = format!("{text:?} in the log of {}", self.label);
        let found = wait_for(&what, limit, || {
            // Before the look at its log, which is whole then.
            let has_ended = self.finished().is_some();
            let line = self
                .log()
                .lines()
                .find(|line| line.contains(text))
                .map(str::to_owned);
            match line {
                Some(line) => Some(Some(line)),
                None => has_ended.then_some(None),
            }
        });
        match found {
            Ok(Some(line)) => Ok(line),
            Ok(None) => Err(self.ended_early()),
            Err(LabError::Timeout { what, waited, .. }) => Err(LabError::Timeout {
                what,
                waited,
                detail: format!("; its log:\n{}", tail(&self.log())),
            }),
            Err(other) => Err(other),
        }
    }

    /// Sends a signal; a program that has ended already is no error.
    pub fn signal(&self, signal: Signal) {
        let _ = kill(self.pid, signal);
    }

    /// Lets a program go on that was stopped, and `nsenter`, which stops with it.
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
        if let Ok(parent) = i32::try_from(self.parent.id()) {
            let _ = kill(Pid::from_raw(parent), Signal::SIGCONT);
        }
    }

    /// `kill -9`, as a crash would be.
    pub fn crash(mut self) {
        self.end_now();
    }

    /// Asks the program to end (SIGTERM) and waits for it.
    pub fn stop(mut self, limit: Duration) -> Result<ExitStatus, LabError> {
        self.signal(Signal::SIGTERM);
        self.wait(limit)
    }

    /// Waits for the program to end by itself.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus, LabError> {
        let what = format!("{} to end", self.label);
        let waited = wait_for(&what, limit, || self.finished());
        waited.map_err(|error| match error {
            LabError::Timeout { what, waited, .. } => LabError::Timeout {
                what,
                waited,
                detail: format!("; its log:\n{}", tail(&self.log())),
            },
            other => other,
        })
    }

    /// The effective capabilities, as the kernel shows them.
    pub fn effective_capabilities(&self) -> Result<u64, LabError> {
        let path = format!("/proc/{}/status", self.pid);
        let text = fs::read_to_string(&path).attempt(|| format!("read {path}"))?;
        let bits = text
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))
            .map(str::trim);
        bits.and_then(|bits| u64::from_str_radix(bits, 16).ok())
            .ok_or_else(|| LabError::Unreadable {
                what: format!("CapEff in {path}"),
                text,
            })
    }

    /// Memory in use, in kibibytes.
    pub fn resident_kib(&self) -> Result<u64, LabError> {
        let path = format!("/proc/{}/status", self.pid);
        let text = fs::read_to_string(&path).attempt(|| format!("read {path}"))?;
        let size = text
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .map(str::trim);
        size.and_then(|size| size.trim_end_matches("kB").trim().parse().ok())
            .ok_or_else(|| LabError::Unreadable {
                what: format!("VmRSS in {path}"),
                text,
            })
    }

    /// Processor time that the program with this id has used so far, user and system together.
    pub fn cpu_time_of(pid: i32) -> Result<Duration, LabError> {
        /// `USER_HZ`, which Linux has fixed at 100 for every architecture that Rust knows.
        const TICK: Duration = Duration::from_millis(10);
        let path = format!("/proc/{pid}/stat");
        let text = fs::read_to_string(&path).attempt(|| format!("read {path}"))?;
        // proc_pid_stat(5): the name in parentheses may contain anything; utime and stime are fields 14 and 15.
        let ticks = text.rsplit_once(')').and_then(|(_, rest)| {
            let mut fields = rest.split_whitespace().skip(11);
            let user: u32 = fields.next()?.parse().ok()?;
            let system: u32 = fields.next()?.parse().ok()?;
            user.checked_add(system)
        });
        ticks
            .map(|ticks| TICK * ticks)
            .ok_or(LabError::Unreadable { what: path, text })
    }

    fn finished(&mut self) -> Option<ExitStatus> {
        self.parent.try_wait().ok().flatten()
    }

    fn ended_early(&mut self) -> LabError {
        let status = self
            .finished()
            .map_or_else(|| "no status".to_owned(), |status| status.to_string());
        LabError::Command {
            machine: self.label.clone(),
            command: "its program".to_owned(),
            status,
            output: tail(&self.log()),
        }
    }

    fn end_now(&mut self) {
        if self.finished().is_some() {
            return;
        }
        if self.pid.as_raw() > 0 {
            self.signal(Signal::SIGKILL);
        } else {
            let _ = self.parent.kill();
        }
        let _ = self.parent.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end_now();
    }
}
