//! The endpoint's part of the status: what the core and the path know, put into the words of the API.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use lanparty_api::{
    Status,
    status::{
        Admission, BroadcastFlow, EndpointStatus, GatewayStatus, MemberStatus, Redundancy, RouteStatus,
        Traffic,
    },
};
use lanparty_core::node::{Counters, Node};
use lanparty_quic::{Link, TrustOutcome};
use lanparty_wire::{MemberId, control::Welcome};

use crate::uplink::Uplink;

/// What the shell knows besides the core, at one moment.
pub(crate) struct Moment<'a> {
    pub node: &'a Node,
    pub link: Option<&'a Link>,
    /// How long there has been no working session.
    pub away: Duration,
    /// Whether we ask without being answered, rather than not getting so far as to ask.
    pub silent: bool,
    pub attempts: u32,
    pub route: Option<RouteStatus>,
    pub problem: Option<String>,
    /// What we were told at our start, not what the relay says.
    pub sealed: bool,
    pub admission: Option<Admission>,
    /// Of each member, within the last second.
    pub broadcasts: &'a BTreeMap<MemberId, u64>,
}

/// A session has begun.
pub(crate) fn joined(endpoint: &mut EndpointStatus, uplink: &Uplink, welcome: &Welcome) {
    endpoint.relay.remote = Some(uplink.link.remote_address());
    endpoint.relay.datagrams = Some(true);
    endpoint.relay.trust = Some(trust_name(uplink.trust).to_owned());
    if let TrustOutcome::FirstUse(pin) = uplink.trust {
        endpoint.relay.pin = Some(pin.to_string());
    }
    endpoint.member = Some(welcome.member);
    endpoint.incarnation = Some(welcome.incarnation);
    endpoint.mode = Some(welcome.mode);
    endpoint.joins += 1;
}

/// Everything that changes while a session lives or is missed.
pub(crate) fn update(status: &mut Status, moment: Moment<'_>) {
    let counters = moment.node.counters();
    status.traffic = traffic(counters);
    status.drops = counters.drops.clone();
    status.problem = moment.problem;
    let Some(endpoint) = &mut status.endpoint else {
        return;
    };
    let up = moment.away.is_zero();
    endpoint.relay.connected = up;
    let unanswered = if moment.silent {
        moment.away
    } else {
        Duration::ZERO
    };
    endpoint.relay.unanswered_ms = u64::try_from(unanswered.as_millis()).unwrap_or(u64::MAX);
    endpoint.relay.attempts = moment.attempts;
    endpoint.relay.budget = moment.link.map(Link::budget);
    endpoint.relay.rtt_us = moment.link.map(|link| micros(link.rtt()));
    endpoint.sealed = moment.sealed;
    endpoint.admission = moment.admission;
    endpoint.profile = moment.node.profile();
    endpoint.route = moment.route;
    let (loss, active) = moment.node.loss();
    endpoint.redundancy = moment.link.map(|_| Redundancy {
        mode: moment.node.redundancy().to_string(),
        active,
        loss_percent: (loss * 1000.0).round() / 10.0,
    });
    if !up {
        endpoint.mode = None;
    }
    endpoint.gateway = gateway(moment.node);
    endpoint.port_fault = moment.node.own_port_fault();
    endpoint.on_duty = moment.node.lan().map(|_| moment.node.is_on_duty(Instant::now()));
    endpoint.broadcast = BroadcastFlow {
        to_lan: counters.broadcast_out,
        from_lan: counters.broadcast_in_lan,
    };
    endpoint.lan_answers = counters.unicast_in_lan;
    endpoint.members = members(moment.node, moment.broadcasts);
}

fn traffic(counters: &Counters) -> Traffic {
    Traffic {
        frames_out: counters.frames_out,
        frames_in: counters.frames_in,
        datagrams_out: counters.datagrams_out,
        datagrams_in: counters.datagrams_in,
        bytes_out: counters.bytes_out,
        bytes_in: counters.bytes_in,
        duplicates_out: counters.duplicates_out,
        duplicate_bytes_out: counters.duplicate_bytes_out,
        duplicates_in: counters.duplicates_in,
    }
}

fn gateway(node: &Node) -> Option<GatewayStatus> {
    let gateway = node.gateway()?;
    Some(GatewayStatus {
        member: gateway.id,
        name: gateway.name.clone(),
        lan_link: gateway.lan_link,
        rtt_us: node.gateway_rtt().map(micros),
    })
}

fn members(node: &Node, broadcasts: &BTreeMap<MemberId, u64>) -> Vec<MemberStatus> {
    // Both walk the same members in the same order.
    node.roster()
        .zip(node.member_drops())
        .map(|(member, (_, drops))| MemberStatus {
            incarnation: Some(member.incarnation),
            name: member.name.clone(),
            mac: member.mac,
            identity: Some(member.identity),
            budget: Some(member.budget),
            lan_link: member.lan_link,
            port_fault: node.port_fault(member.id),
            broadcasts_per_s: broadcasts.get(&member.id).copied().unwrap_or(0),
            rtt_us: node
                .gateway()
                .filter(|gateway| gateway.id == member.id)
                .and_then(|_| node.gateway_rtt())
                .map(micros),
            drops: drops.clone(),
            ..MemberStatus::new(member.id, member.role)
        })
        .collect()
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// How the relay came to be trusted, in the status.
fn trust_name(trust: TrustOutcome) -> &'static str {
    match trust {
        TrustOutcome::Pinned => "pin",
        TrustOutcome::Ca => "ca file",
        TrustOutcome::System => "system ca",
        TrustOutcome::FirstUse(_) => "first use",
        TrustOutcome::Known => "known since first use",
    }
}
