//! What a relay holds: memory for each member at rest, and a thousand members who join, play and leave.

use std::{thread, time::Duration};

use anyhow::{Context, Result, ensure};
use lanparty_testkit::{
    crowd::{Crowd, Gathering, Played},
    lab::{Lab, Party, Who},
};

use super::{cpu, measure::Plan, report::Sample};

const ROOM_SIZE: usize = 10;
/// Frames a second of each member.
const RATE: u32 = 10;
const PLAY: Duration = Duration::from_secs(5);
/// What a handshake needed is given back by then.
const REST: Duration = Duration::from_secs(3);
const LIMIT: Duration = Duration::from_secs(20);

pub fn measure(_variant: &str, plan: &Plan, sample: &mut Sample) -> Result<()> {
    let mut party = Party::prepare(&Lab::builder().binaries_of(crate::binaries::RELEASE))?;
    party.launch(Who::Relay)?;
    party.wait_for_status(Who::Relay, "to answer", LIMIT, |_| true)?;
    let empty = resident_kib(&mut party)?;
    let certificate = party.certificate();
    let gathering = Gathering {
        machine: &party.lab.internet.router,
        certificate: certificate.as_ref(),
        members: plan.crowd,
        room_size: ROOM_SIZE,
    };
    let (crowd, times) = Crowd::gather(&gathering)?;
    thread::sleep(REST);
    let full = resident_kib(&mut party)?;
    let played = play(&party, &crowd, sample)?;
    let busy = resident_kib(&mut party)?;
    crowd.leave();
    party.wait_for_status(Who::Relay, "to be empty", LIMIT, |status| {
        members_in(status) == Some(0)
    })?;
    sample.put("members", plan.crowd as f64);
    sample.put("kib_per_member", (full - empty) / plan.crowd as f64);
    sample.put("kib_per_member_after_play", (busy - empty) / plan.crowd as f64);
    sample.put("empty_relay_kib", empty);
    sample.put_times(
        "join",
        times.iter().map(|time| time.as_secs_f64() * 1e3).collect(),
    );
    sample.put(
        "lost_percent",
        (1.0 - played.arrived as f64 / played.sent as f64) * 100.0,
    );
    Ok(())
}

fn play(party: &Party, crowd: &Crowd, sample: &mut Sample) -> Result<Played> {
    let relay = party.pid(Who::Relay).context("the relay has ended")?;
    let cpu = || lanparty_testkit::lab::Process::cpu_time_of(relay);
    let (before, busy) = (cpu()?, cpu::busy_time()?);
    let played = crowd.play(RATE, PLAY);
    let (used, busy) = (cpu()? - before, cpu::busy_time()? - busy);
    ensure!(played.sent > 0, "nobody could send");
    sample.put(
        "relay_cpu_us_per_frame",
        used.as_secs_f64() * 1e6 / played.sent as f64,
    );
    sample.put(
        "machine_cpu_us_per_frame",
        busy.as_secs_f64() * 1e6 / played.sent as f64,
    );
    Ok(played)
}

fn resident_kib(party: &mut Party) -> Result<f64> {
    Ok(party.process(Who::Relay)?.resident_kib()? as f64)
}

fn members_in(status: &serde_json::Value) -> Option<u64> {
    let rooms = status["relay"]["rooms"].as_array()?;
    let members = rooms
        .iter()
        .map(|room| room["members"].as_array().map_or(0, Vec::len));
    Some(members.sum::<usize>() as u64)
}
