//! Everything on a machine that a program of ours may have changed, as text that can be compared.

use std::{collections::BTreeMap, fmt::Write};

use super::{error::LabError, machine::Machine};

/// What is asked, under which name. Counters, ages and lifetimes are left out: they change by themselves.
const QUESTIONS: [(&str, &str); 10] = [
    ("links", "ip -o link show | sed -E 's/ qlen [0-9]+//'"),
    (
        "addresses",
        "ip -o address show | sed -E 's/(valid_lft|preferred_lft) [0-9]+sec/\\1 some/g'",
    ),
    (
        "routes",
        "ip route show table all | sed -E 's/ expires [0-9]+sec//' | sort",
    ),
    (
        "routes of IPv6",
        "ip -6 route show table all | sed -E 's/ expires [0-9]+sec//' | sort",
    ),
    ("rules", "ip rule show; ip -6 rule show"),
    (
        "nftables",
        "nft list ruleset | sed -E 's/(packets|bytes) [0-9]+//g'",
    ),
    ("traffic control", "tc qdisc show"),
    (
        "sysctls",
        "sysctl -a 2>/dev/null | grep -E '^net\\.' | grep -vE 'nf_conntrack_count|\\.stable_secret'",
    ),
    ("resolv.conf", "cat /etc/resolv.conf"),
    (
        "NetworkManager's files",
        "cd /run; find NetworkManager -path '*/conf.d*' -print -type f -exec cat {} + 2>/dev/null || true",
    ),
];

/// The state of a machine at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSnapshot(BTreeMap<&'static str, String>);

impl HostSnapshot {
    /// Takes the snapshot.
    pub fn take(machine: &Machine) -> Result<Self, LabError> {
        let mut answers = BTreeMap::new();
        for (name, script) in QUESTIONS {
            answers.insert(name, machine.shell(script)?);
        }
        Ok(Self(answers))
    }

    /// The lines that are only in `self` (with `-`) or only in `later` (with `+`); empty if nothing changed.
    pub fn difference(&self, later: &Self) -> String {
        let mut report = String::new();
        for (name, before) in &self.0 {
            let after = later.0.get(name).map_or("", String::as_str);
            let gone = before
                .lines()
                .filter(|line| !after.lines().any(|other| other == *line));
            let new = after
                .lines()
                .filter(|line| !before.lines().any(|other| other == *line));
            for (sign, line) in gone.map(|line| ('-', line)).chain(new.map(|line| ('+', line))) {
                // Writing to a string cannot fail.
                let _ = writeln!(report, "{name}: {sign} {line}");
            }
        }
        report
    }
}
