//! What a player is told: the difference between two moments as sentences.
//!
//! The sentences come from what was measured, never from what was intended, and each is said once, when it becomes true. Keeping
//! them in one pure function keeps window, terminal and tests on the same words.

use std::collections::BTreeSet;

use crate::status::{Admission, Dhcp, EndpointStatus, GatewayStatus, MemberStatus, Program, Status};
use lanparty_wire::control::Role;

/// From this time without any answer on, UDP itself is the suspect.
pub const UDP_SUSPECT_MS: u64 = 5_000;

/// How long after joining the TAP may take to be ready.
pub const TAP_READY_MS: u64 = 3_000;
/// How long after joining the relay may take to name the LAN gateway that is there.
pub const ROSTER_MS: u64 = 500;
/// How long after joining broadcasts may take to be seen both ways before one way alone is worth a sentence.
pub const ONE_WAY_MS: u64 = 10_000;

/// Broadcasts of one member in a second from which on it is named as the cause: more than any game sends, and less than a member may send,
/// so that it is named whoever cuts it.
pub const STORM_PER_S: u64 = 350;

/// Whether a sentence is news or a worry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tone {
    Good,
    Warning,
}

/// One sentence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    pub tone: Tone,
    pub text: String,
}

/// What became true between `previous` (`None`: the process has just started) and `current`, in the order in which it is told.
/// Relays have no story.
pub fn story(previous: Option<&Status>, current: &Status) -> Vec<Line> {
    let Some(now) = &current.endpoint else {
        return Vec::new();
    };
    let nothing = EndpointStatus::new(now.relay.address.clone(), now.room.clone());
    let before = previous
        .and_then(|status| status.endpoint.as_ref())
        .unwrap_or(&nothing);
    let mut teller = Teller {
        lines: Vec::new(),
        before,
        now,
    };
    let problem_before = previous.and_then(|status| status.problem.as_deref());
    teller.problem(problem_before, current.problem.as_deref());
    teller.relay();
    teller.readiness();
    match current.program {
        Program::Client => {
            teller.admission();
            teller.gateway();
            teller.address();
            teller.broadcast();
            teller.own_port();
        }
        Program::Gateway => {
            teller.own_cable();
            teller.duty();
            teller.ports();
            teller.storms();
        }
        Program::Relay => {}
    }
    teller.members();
    teller.lines
}

struct Teller<'a> {
    lines: Vec<Line>,
    before: &'a EndpointStatus,
    now: &'a EndpointStatus,
}

impl Teller<'_> {
    fn good(&mut self, text: impl Into<String>) {
        self.lines.push(Line {
            tone: Tone::Good,
            text: text.into(),
        });
    }

    fn warn(&mut self, text: impl Into<String>) {
        self.lines.push(Line {
            tone: Tone::Warning,
            text: text.into(),
        });
    }

    /// Joined now, and not joined before or joined anew in between.
    fn just_joined(&self) -> bool {
        self.now.is_joined() && (!self.before.is_joined() || self.now.joins != self.before.joins)
    }

    fn problem(&mut self, before: Option<&str>, now: Option<&str>) {
        if self.before.is_joined() && !self.now.is_joined() {
            let why = now.map(|text| format!(": {text}")).unwrap_or_default();
            self.warn(format!("Connection to relay lost{why}; reconnecting"));
            return;
        }
        // A relay's addresses are tried in turn; another one that does not answer is no other problem.
        if let Some(text) = now.filter(|now| before.is_none_or(|before| gist(before) != gist(now))) {
            self.warn(sentence(text));
        }
    }

    fn relay(&mut self) {
        let silent = |endpoint: &EndpointStatus| endpoint.relay.unanswered_ms >= UDP_SUSPECT_MS;
        if silent(self.now) && !silent(self.before) {
            self.warn(format!(
                "No answer from {} for {} s: this network seems to block UDP, or the relay is down",
                self.now.relay.address,
                UDP_SUSPECT_MS / 1000
            ));
        }
        if self.just_joined() {
            self.good("Connected to relay");
        }
    }

    /// Checked while joined: before that, nothing has to be ready.
    fn readiness(&mut self) {
        let unpinned = |e: &EndpointStatus| e.is_joined() && e.route.as_ref().is_some_and(|r| !r.pinned);
        if unpinned(self.now) && !unpinned(self.before) {
            let reason = self.now.route.as_ref().and_then(|route| route.reason.as_ref());
            let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            self.warn(format!(
                "Warning: relay route is not pinned, the tunnel could run through itself{why}"
            ));
        }
        let idle = |e: &EndpointStatus| {
            // The cable of a sealed room is plugged in once somebody can be reached.
            let ready =
                e.interface.as_ref().is_some_and(|i| i.up && i.carrier) || e.sealed && e.gateway.is_none();
            e.is_joined() && e.mac.is_some() && e.joined_ms >= TAP_READY_MS && !ready
        };
        if idle(self.now) && !idle(self.before) {
            self.warn("Warning: TAP is not ready, games cannot see the LAN");
        }
        for warning in &self.now.warnings {
            if !self.before.warnings.contains(warning) {
                self.warn(warning);
            }
        }
    }

    fn gateway(&mut self) {
        let before = self.before.gateway.as_ref().filter(|_| !self.just_joined());
        match (before, &self.now.gateway) {
            _ if !self.now.is_joined() => {}
            (before, Some(now)) => self.gateway_present(before, now),
            (Some(_), None) => {
                self.warn("LAN gateway left");
                self.waiting();
            }
            // Told once: when the time for it has come, or came with the join that was missed.
            (None, None) if waits(self.now) && (!waits(self.before) || self.just_joined()) => self.waiting(),
            (None, None) => {}
        }
    }

    /// Of a sealed room: what the host has said to our request.
    fn admission(&mut self) {
        let told = |endpoint: &EndpointStatus| endpoint.admission.filter(|_| waits_for_host(endpoint));
        let (before, now) = (told(self.before), told(self.now));
        if before == now {
            return;
        }
        match now {
            None | Some(Admission::Asking) => {}
            Some(Admission::Waiting) => self.good("Waiting for the host to let you in"),
            Some(Admission::HostAway) => {
                self.warn("The host is away, and only the host can let you in: waiting until it is back")
            }
            Some(Admission::Refused { reason }) => self.warn(sentence(reason.sentence())),
            Some(Admission::Admitted) => {
                self.good("Admitted by the host: the room is sealed, and the relay cannot read it");
            }
        }
    }

    fn waiting(&mut self) {
        if self.now.sealed {
            // Who is not admitted has been told already.
            if self.now.admission == Some(Admission::Admitted) {
                self.good("The host is away: waiting for it, and playing on with who is here");
            }
            return;
        }
        self.good(format!(
            "No LAN gateway in room {} yet: waiting for the host",
            self.now.room
        ));
    }

    fn gateway_present(&mut self, before: Option<&GatewayStatus>, now: &GatewayStatus) {
        let out = |gateway: &GatewayStatus| gateway.lan_link == Some(false);
        let same = before.filter(|before| before.member == now.member);
        if same.is_none() {
            self.good("Connected to LAN gateway");
        }
        match (same.is_some_and(out), out(now)) {
            (false, true) => self.warn("No LAN for now: the host's LAN cable is out"),
            (true, false) => self.good("The host's LAN cable is in again"),
            (true, true) | (false, false) => {}
        }
        if let (None, Some(rtt)) = (same.and_then(|before| before.rtt_us), now.rtt_us) {
            self.good(format!("Gateway latency: {} ms", whole_ms(rtt)));
        }
    }

    fn address(&mut self) {
        let address = |endpoint: &EndpointStatus| match endpoint.dhcp {
            Dhcp::Bound { address, .. } => Some(address.address()),
            Dhcp::Off | Dhcp::Asking => None,
        };
        match (address(self.before), address(self.now)) {
            (before, Some(now)) if before != Some(now) => self.good(format!("DHCP received: {now}")),
            (Some(before), None) => {
                self.warn(format!("DHCP address {before} is no longer valid, asking again"))
            }
            (_, Some(_)) | (None, None) => {}
        }
        if self.now.default_route_offered && !self.before.default_route_offered {
            self.warn("Warning: TAP received default route, adjusted metric");
        }
    }

    /// What is received proves the LAN's side, what is sent only ours.
    fn broadcast(&mut self) {
        let flow = Flow::of(self.now);
        match flow {
            _ if flow == Flow::of(self.before) => {}
            Flow::BothWays => self.good("Broadcast traffic flowing"),
            Flow::OnlyToLan => {
                self.warn("Broadcast traffic goes to the LAN, but none has come back from it yet");
            }
            Flow::OnlyFromLan => {
                self.warn("Broadcast traffic comes from the LAN, but none was sent to it yet");
            }
            Flow::Undecided => {}
        }
    }

    /// Of a LAN gateway: whether it is the active one.
    fn duty(&mut self) {
        if !self.now.is_joined() {
            return;
        }
        match (self.before.on_duty, self.now.on_duty) {
            (None | Some(true), Some(false)) => {
                self.warn(
                    "Another LAN gateway of this room is the active one; this one waits to take over from it",
                );
            }
            (Some(false), Some(true)) => self.good("This LAN gateway is the active one from here on"),
            (_, None) | (None, Some(true)) | (Some(false), Some(false)) | (Some(true), Some(true)) => {}
        }
    }

    /// Of a client: whether the LAN gateway has stopped its port.
    fn own_port(&mut self) {
        match (self.before.port_fault, self.now.port_fault) {
            (before, Some(fault)) if before != Some(fault) => self.warn(fault.sentence()),
            (Some(_), None) => self.good("Your port is open again"),
            (_, Some(_)) | (None, None) => {}
        }
    }

    /// Of a LAN gateway: whose ports it has stopped.
    fn ports(&mut self) {
        let (before, now) = (self.before, self.now);
        for member in &now.members {
            let known = before.members.iter().find(|known| known.id == member.id);
            match (known.and_then(|known| known.port_fault), member.port_fault) {
                (before, Some(fault)) if before != Some(fault) => {
                    self.warn(format!("{} {}", member.label(), fault.host_sentence()));
                }
                (Some(_), None) => self.good(format!("The port of {} is open again", member.label())),
                (_, Some(_)) | (None, None) => {}
            }
        }
    }

    /// Of a LAN gateway: who floods the room.
    fn storms(&mut self) {
        let (before, now) = (self.before, self.now);
        for member in &now.members {
            let known = before.members.iter().find(|known| known.id == member.id);
            let storms = |member: &MemberStatus| member.broadcasts_per_s >= STORM_PER_S;
            if storms(member) && !known.is_some_and(storms) {
                self.warn(format!(
                    "{} floods the room: {} broadcasts a second; what is over the limits is dropped",
                    member.label(),
                    member.broadcasts_per_s
                ));
            }
        }
    }

    fn own_cable(&mut self) {
        let out = |endpoint: &EndpointStatus| endpoint.interface.as_ref().is_some_and(|i| !i.carrier);
        let name = self
            .now
            .interface
            .as_ref()
            .map(|i| i.name.clone())
            .unwrap_or_default();
        match (out(self.before), out(self.now)) {
            (false, true) => self.warn(format!("The LAN cable of {name} is out, players are told so")),
            (true, false) => self.good(format!("The LAN cable of {name} is in again")),
            (true, true) | (false, false) => {}
        }
    }

    /// Who is there already when we come needs no line each.
    fn members(&mut self) {
        if !self.now.is_joined() {
            return;
        }
        let players = |endpoint: &EndpointStatus| -> Vec<MemberStatus> {
            let is_player = |m: &&MemberStatus| m.role == Role::Client;
            endpoint.members.iter().filter(is_player).cloned().collect()
        };
        let (before, now) = (players(self.before), players(self.now));
        if self.just_joined() {
            match now.as_slice() {
                [] => {}
                [one] => self.good(format!("Another player is here: {}", one.label())),
                several => self.good(format!("{} other players are here", several.len())),
            }
            return;
        }
        let missing = |from: &[MemberStatus], member: &MemberStatus| from.iter().all(|m| m.id != member.id);
        for member in now.iter().filter(|member| missing(&before, member)) {
            self.good(format!("{} joined", member.label()));
        }
        for member in before.iter().filter(|member| missing(&now, member)) {
            self.good(format!("{} left", member.label()));
        }
    }
}

/// Tells a story as it goes on: remembers the last moment, and repeats no worry before there was good news from the relay.
#[derive(Debug, Default)]
pub struct Storyteller {
    last: Option<Status>,
    worries: BTreeSet<String>,
}

impl Storyteller {
    /// What to say now.
    pub fn tell(&mut self, now: &Status) -> Vec<Line> {
        let mut lines = story(self.last.as_ref(), now);
        if lines.iter().any(|line| line.tone == Tone::Good) {
            self.worries.clear();
        }
        lines.retain(|line| line.tone == Tone::Good || self.worries.insert(gist(&line.text)));
        self.last = Some(now.clone());
        lines
    }
}

/// Joined for long enough that what was found out about the host is no passing moment.
fn waits_for_host(endpoint: &EndpointStatus) -> bool {
    endpoint.is_joined()
        && (endpoint.joined_ms >= ROSTER_MS || endpoint.admission == Some(Admission::Admitted))
}

/// In the room, and no LAN gateway is.
fn waits(endpoint: &EndpointStatus) -> bool {
    endpoint.is_joined() && endpoint.gateway.is_none() && endpoint.joined_ms >= ROSTER_MS
}

/// An error's text as a sentence of its own.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default()
}

/// A sentence without its numbers and addresses.
fn gist(text: &str) -> String {
    let plain = |word: &&str| !word.contains(|c: char| c.is_ascii_digit());
    text.split_whitespace()
        .filter(plain)
        .collect::<Vec<_>>()
        .join(" ")
}

/// What the two counters of broadcasts say together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// Nothing yet, or too early to worry about one way.
    Undecided,
    OnlyToLan,
    OnlyFromLan,
    BothWays,
}

impl Flow {
    pub fn of(endpoint: &EndpointStatus) -> Flow {
        let early = endpoint.joined_ms < ONE_WAY_MS;
        match (endpoint.broadcast.to_lan > 0, endpoint.broadcast.from_lan > 0) {
            (true, true) => Flow::BothWays,
            (false, false) => Flow::Undecided,
            (true, false) | (false, true) if early => Flow::Undecided,
            (true, false) => Flow::OnlyToLan,
            (false, true) => Flow::OnlyFromLan,
        }
    }
}

/// Rounded up, so that a gateway next door is not 0 ms away.
pub fn whole_ms(us: u64) -> u64 {
    us.div_ceil(1000)
}

#[cfg(test)]
mod tests;
