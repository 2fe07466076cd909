//! From a status to six questions that a player has, each answered by something that was measured.

use lanparty_api::{
    Status,
    order::Phase,
    status::{Admission, Dhcp, EndpointStatus},
    story::{TAP_READY_MS, UDP_SUSPECT_MS},
};

/// How far a step has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Its turn has not come.
    Later,
    /// Under way.
    Now,
    Done,
    /// Something is in its way, and the step says what to do.
    Stuck,
}

/// One line of the checklist.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    pub name: &'static str,
    pub progress: Progress,
    /// What is known about it, in one sentence.
    pub detail: String,
    /// What the player can do.
    pub fix: Option<&'static str>,
}

/// How long the party's hosts may take to answer before that is a worry.
const ANSWER_MS: u64 = 20_000;

/// The six steps; empty while the service is in no room.
pub fn checklist(status: &Status) -> Vec<Step> {
    let phase = status
        .service
        .as_ref()
        .map_or(Phase::Playing, |service| service.phase);
    if phase == Phase::Idle {
        return Vec::new();
    }
    let endpoint = status.endpoint.as_ref();
    let mut steps = vec![relay(endpoint, status.problem.as_deref())];
    let rest: [fn(&EndpointStatus) -> Step; 5] = [room, adapter, address, host, broadcast];
    for (name, step) in NAMES[1..].iter().zip(rest) {
        let is_turn = steps.last().is_some_and(|last| last.progress == Progress::Done);
        steps.push(match endpoint.filter(|_| is_turn) {
            Some(endpoint) => step(endpoint),
            None => later(name),
        });
    }
    steps
}

const NAMES: [&str; 6] = [
    "Relay reached",
    "Room joined",
    "Adapter ready",
    "Address received",
    "LAN host answers",
    "Broadcasts both ways",
];

fn later(name: &'static str) -> Step {
    Step {
        name,
        progress: Progress::Later,
        detail: String::new(),
        fix: None,
    }
}

fn step(name: usize, progress: Progress, detail: impl Into<String>) -> Step {
    Step {
        name: NAMES[name],
        progress,
        detail: detail.into(),
        fix: None,
    }
}

fn stuck(name: usize, detail: impl Into<String>, fix: &'static str) -> Step {
    Step {
        fix: Some(fix),
        ..step(name, Progress::Stuck, detail)
    }
}

fn relay(endpoint: Option<&EndpointStatus>, problem: Option<&str>) -> Step {
    let Some(endpoint) = endpoint else {
        return match problem {
            Some(problem) => stuck(
                0,
                problem,
                "Check the relay's name with the host, and that this machine is online.",
            ),
            None => step(0, Progress::Now, "Asking for the room …"),
        };
    };
    let relay = &endpoint.relay;
    if relay.connected {
        let line = relay
            .rtt_us
            .map(|us| format!(", {} there and back", milliseconds(us)));
        return step(
            0,
            Progress::Done,
            format!("{}{}", relay.address, line.unwrap_or_default()),
        );
    }
    if relay.unanswered_ms >= UDP_SUSPECT_MS {
        let detail = format!(
            "No answer from {} for {} seconds.",
            relay.address,
            relay.unanswered_ms / 1000
        );
        return stuck(
            0,
            detail,
            "This network may block UDP: try another one, such as a phone's hotspot. Or the relay is down: ask the host.",
        );
    }
    match problem {
        Some(problem) => stuck(
            0,
            problem,
            "Check the relay's name with the host, and that this machine is online.",
        ),
        None => step(0, Progress::Now, format!("Calling {} …", relay.address)),
    }
}

fn room(endpoint: &EndpointStatus) -> Step {
    let joined = if endpoint.sealed {
        "Sealed: the relay cannot read what is played."
    } else {
        "Open room: the relay's operator could read what is played."
    };
    match endpoint.admission {
        _ if endpoint.member.is_none() => step(1, Progress::Now, "Knocking …"),
        None | Some(Admission::Admitted) => step(1, Progress::Done, joined),
        Some(Admission::Asking) => step(1, Progress::Now, "Asking the host to let you in …"),
        Some(Admission::Waiting) => Step {
            fix: Some("The host has to say yes: give them a call if it takes long."),
            ..step(1, Progress::Now, "Waiting for the host to let you in …")
        },
        Some(Admission::HostAway) => stuck(
            1,
            "The host is away, and only the host can let you in.",
            "Wait: this goes on by itself when the host is back.",
        ),
        Some(Admission::Refused { reason }) => stuck(1, reason.sentence(), "Ask the host for a new invite."),
    }
}

fn adapter(endpoint: &EndpointStatus) -> Step {
    let ready = endpoint.interface.as_ref().filter(|i| i.up && i.carrier);
    match ready {
        // The system knows every adapter by a number above 0.
        Some(interface) if interface.index == 0 => step(
            2,
            Progress::Done,
            "Only for trying: a host in memory is in the room, which games do not see.",
        ),
        Some(interface) => step(
            2,
            Progress::Done,
            format!("Games see the network adapter {}.", interface.name),
        ),
        None if endpoint.sealed && endpoint.gateway.is_none() => step(
            2,
            Progress::Now,
            "The cable is plugged in as soon as somebody is there.",
        ),
        None if endpoint.joined_ms >= TAP_READY_MS => stuck(
            2,
            "The network adapter is not ready.",
            "Leave the room and join again. If that does not help, export the diagnostics and ask for help.",
        ),
        None => step(2, Progress::Now, "Plugging in …"),
    }
}

fn address(endpoint: &EndpointStatus) -> Step {
    match endpoint.dhcp {
        Dhcp::Bound { address, .. } => step(
            3,
            Progress::Done,
            format!("You are {} at the party.", address.address()),
        ),
        Dhcp::Off => match endpoint.interface.as_ref().and_then(|i| i.preferred_address()) {
            Some(address) => step(
                3,
                Progress::Done,
                format!("{} was given by hand.", address.address()),
            ),
            None => stuck(
                3,
                "No address, and none is asked for.",
                "Turn on “Get an address from the party” below, or give the adapter one by hand.",
            ),
        },
        Dhcp::Asking if endpoint.gateway.is_none() => stuck(
            3,
            "Nobody connects this room to the party's LAN at the moment.",
            "Wait for the host: this goes on by itself.",
        ),
        Dhcp::Asking if cable_is_out(endpoint) => {
            stuck(3, "The host's LAN cable is out.", "Tell the host to plug it in.")
        }
        Dhcp::Asking if endpoint.joined_ms >= ANSWER_MS => stuck(
            3,
            "The party's router has given no address yet.",
            "Ask the host whether the router gives out addresses (DHCP).",
        ),
        Dhcp::Asking => step(3, Progress::Now, "Asking the party's router …"),
    }
}

fn cable_is_out(endpoint: &EndpointStatus) -> bool {
    endpoint
        .gateway
        .as_ref()
        .is_some_and(|gateway| gateway.lan_link == Some(false))
}

fn host(endpoint: &EndpointStatus) -> Step {
    if endpoint.lan_answers > 0 {
        return step(4, Progress::Done, "Machines at the party send to you.");
    }
    if endpoint.joined_ms >= ANSWER_MS {
        return stuck(
            4,
            "No machine at the party has sent you anything yet.",
            "Ask the host whether the LAN cable is in and the other machines are on.",
        );
    }
    step(4, Progress::Now, "Listening …")
}

fn broadcast(endpoint: &EndpointStatus) -> Step {
    let (to, from) = (endpoint.broadcast.to_lan, endpoint.broadcast.from_lan);
    match (to > 0, from > 0) {
        (true, true) => step(5, Progress::Done, "Games can find each other."),
        (false, false) => step(5, Progress::Now, "Nothing sent and nothing heard yet."),
        (true, false) if endpoint.joined_ms >= ANSWER_MS => stuck(
            5,
            "You send to the party, and nothing has come back.",
            "Start a server at the party, or ask the host to look at the LAN gateway's status.",
        ),
        (false, true) if endpoint.joined_ms >= ANSWER_MS => stuck(
            5,
            "You hear the party, and have sent it nothing.",
            "Open your game's list of LAN servers: that asks the party. Leave “LAN games go through the party” on.",
        ),
        (true, false) => step(5, Progress::Now, "Sent, and listening …"),
        (false, true) => step(5, Progress::Now, "Heard the party; nothing was sent yet."),
    }
}

/// Rounded up, so that nobody is 0 ms away.
pub fn milliseconds(us: u64) -> String {
    format!("{} ms", us.div_ceil(1000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn steps_come_one_after_the_other_and_end_with_all_done() {
        let progress = |status: &Status| -> Vec<Progress> {
            checklist(status).iter().map(|step| step.progress).collect()
        };
        use Progress::{Done, Later, Now};
        assert_eq!(progress(&samples::idle()), []);
        assert_eq!(
            progress(&samples::preparing()),
            [Now, Later, Later, Later, Later, Later]
        );
        assert_eq!(
            progress(&samples::calling()),
            [Now, Later, Later, Later, Later, Later]
        );
        assert_eq!(progress(&samples::playing()), [Done; 6]);
    }

    #[test]
    fn whatever_is_stuck_says_what_to_do_in_a_whole_sentence() {
        for status in samples::all() {
            for step in checklist(&status) {
                assert!(step.progress != Progress::Stuck || step.fix.is_some(), "{step:?}");
                for text in [Some(step.detail.as_str()), step.fix]
                    .into_iter()
                    .flatten()
                    .filter(|t| t.ends_with('.'))
                {
                    assert!(text.starts_with(|c: char| c.is_uppercase()), "{text}");
                }
            }
        }
    }

    #[test]
    fn a_network_without_udp_is_suspected_after_five_seconds() {
        let steps = checklist(&samples::blocked());
        assert_eq!(steps[0].progress, Progress::Stuck);
        assert!(steps[0].fix.is_some_and(|fix| fix.contains("UDP")));
    }

    #[test]
    fn a_silent_lan_is_told_apart_from_a_silent_player() {
        let mut status = samples::playing();
        let endpoint = status.endpoint.as_mut().unwrap();
        endpoint.broadcast.from_lan = 0;
        assert!(checklist(&status)[5].detail.starts_with("You send"));
        let endpoint = status.endpoint.as_mut().unwrap();
        endpoint.broadcast.to_lan = 0;
        endpoint.broadcast.from_lan = 3;
        assert!(checklist(&status)[5].detail.starts_with("You hear"));
    }

    #[test]
    fn the_hosts_cable_is_named_when_it_is_the_reason() {
        let mut status = samples::playing();
        let endpoint = status.endpoint.as_mut().unwrap();
        endpoint.dhcp = Dhcp::Asking;
        endpoint.gateway.as_mut().unwrap().lan_link = Some(false);
        assert_eq!(checklist(&status)[3].detail, "The host's LAN cable is out.");
    }
}
