//! On what a run happens: processor, kernel, programs and their versions.

use std::{collections::BTreeMap, fs, process::Command, thread};

use super::report::Machine;
use crate::step::root;

/// A program, and what makes it print its version in the first line of something.
const PROGRAMS: [(&str, &[&str]); 5] = [
    ("openvpn", &["--version"]),
    ("fastd", &["--version"]),
    ("tincd", &["--version"]),
    ("iperf3", &["--version"]),
    ("ip", &["-V"]),
];

pub fn describe() -> Machine {
    let versions = PROGRAMS.iter().map(|(program, words)| {
        (
            (*program).to_owned(),
            first_line(Command::new(program).args(*words)),
        )
    });
    let rustc = [(
        "rustc".to_owned(),
        first_line(Command::new("rustc").arg("--version")),
    )];
    Machine {
        processor: field("/proc/cpuinfo", "model name"),
        processors: thread::available_parallelism().map_or(0, usize::from),
        memory_mib: field("/proc/meminfo", "MemTotal")
            .split_whitespace()
            .next()
            .and_then(|kib| kib.parse::<u64>().ok())
            .unwrap_or_default()
            / 1024,
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
            .unwrap_or_default()
            .trim()
            .to_owned(),
        versions: versions.chain(rustc).collect::<BTreeMap<_, _>>(),
    }
}

/// The commit that the binaries come from, with `+` if files were changed since.
pub fn commit() -> String {
    let git = |words: &[&str]| first_line(Command::new("git").args(words).current_dir(root()));
    let changed = !git(&["status", "--porcelain", "--untracked-files=no"]).is_empty();
    format!(
        "{}{}",
        git(&["rev-parse", "--short=12", "HEAD"]),
        if changed { "+" } else { "" }
    )
}

/// The mean number of processes that wanted to run in the last minute.
pub fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace()
        .next()
        .and_then(|load| load.parse().ok())
        .unwrap_or(f64::NAN)
}

fn field(path: &str, name: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.split_once(':'))
        .map(|(_, value)| value.trim().to_owned())
        .unwrap_or_default()
}

fn first_line(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&output);
    text.lines().next().unwrap_or_default().trim().to_owned()
}
