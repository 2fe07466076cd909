//! Processor time: of the programs of a tunnel by their role, and of the whole machine.

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::{Context, Result};
use lanparty_testkit::lab::Process;

use super::{report::Sample, tunnel::Tunnel};

/// What had been used at one moment.
pub struct Used {
    programs: BTreeMap<&'static str, Duration>,
    machine: Duration,
}

impl Used {
    pub fn now(tunnel: &Tunnel) -> Result<Used> {
        let mut programs = BTreeMap::new();
        for (role, pid) in tunnel.programs() {
            *programs.entry(role.name()).or_insert(Duration::ZERO) += Process::cpu_time_of(pid)?;
        }
        Ok(Used {
            programs,
            machine: busy_time()?,
        })
    }

    /// Notes what was used since, in seconds for each gigabyte of payload.
    pub fn put_per_gigabyte(&self, until: &Used, gigabytes: f64, sample: &mut Sample) {
        let per_gigabyte =
            |from: Duration, until: Duration| until.saturating_sub(from).as_secs_f64() / gigabytes;
        let mut all = 0.0;
        for (role, time) in &until.programs {
            let from = self.programs.get(role).copied().unwrap_or_default();
            let cost = per_gigabyte(from, *time);
            sample.put(&format!("cpu_{role}_s_per_gb"), cost);
            all += cost;
        }
        sample.put("cpu_programs_s_per_gb", all);
        sample.put("cpu_machine_s_per_gb", per_gigabyte(self.machine, until.machine));
    }
}

/// Time that this machine's processors have not been idle since it started.
pub fn busy_time() -> Result<Duration> {
    /// `USER_HZ`.
    const TICK: Duration = Duration::from_millis(10);
    let text = fs::read_to_string("/proc/stat").context("could not read /proc/stat")?;
    let fields: Vec<u32> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    // proc_stat(5): user nice system idle iowait irq softirq steal guest guest_nice; guests are counted in user already.
    let busy = [0, 1, 2, 5, 6]
        .iter()
        .filter_map(|&index| fields.get(index))
        .sum::<u32>();
    Ok(TICK * busy)
}
