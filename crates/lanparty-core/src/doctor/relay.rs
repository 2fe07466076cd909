//! The relay, and the way to it.

use lanparty_wire::doctor::{Check, Finding, Line, RelayProbe};

/// Loss in parts of a thousand that a player sees as stutter.
const LOSS_FELT: u64 = 10;
/// Loss in parts of a thousand with which games are no fun, whatever is sent twice.
const LOSS_BAD: u64 = 50;
/// Below this many kbit/s a handful of players fill the line.
const SLOW: u64 = 2_000;
/// Beyond that there and back, in ms, games of skill feel it.
const FAR_MS: u64 = 100;

/// Judges the dial.
pub fn relay(address: &str, probe: &RelayProbe) -> Finding {
    match probe {
        RelayProbe::Unreachable { why } => Finding::red(
            Check::Relay,
            format!("{address} cannot be reached: {why}"),
            "check the name and the port, that the relay runs, and that this network lets UDP out",
        ),
        RelayProbe::Untrusted { why } => Finding::red(
            Check::Relay,
            format!("{address} is not trusted: {why}"),
            "do not play over it before its operator has confirmed the key",
        ),
        RelayProbe::Refused { why } => Finding::yellow(
            Check::Relay,
            format!("{address} answers and is trusted, but lets nobody measure: {why}"),
            "give the token of its operator with --relay-token, if it asks for one",
        ),
        RelayProbe::Reached {
            first_use: Some(pin), ..
        } => Finding::yellow(
            Check::Relay,
            format!("{address} answers; it was seen for the first time, with the key {pin}"),
            "compare the key with what the relay prints, or give it with --relay-pin",
        ),
        RelayProbe::Reached { rtt_ms, .. } if *rtt_ms > FAR_MS => Finding::yellow(
            Check::Relay,
            format!("{address} answers and is trusted, but is {rtt_ms} ms away"),
            "use a relay that is nearer to the LAN",
        ),
        RelayProbe::Reached { rtt_ms, .. } => Finding::green(
            Check::Relay,
            format!("{address} answers within {rtt_ms} ms and is trusted"),
        ),
    }
}

/// Judges a measurement over the relay.
pub fn line(line: &Line) -> Finding {
    let cable = "look for Wi-Fi or an overloaded line between this machine and the internet, and use a cable";
    let (sent, arrived, kbit_per_second) = match line {
        Line::Measured {
            sent,
            arrived,
            kbit_per_second,
        } => (*sent, *arrived, *kbit_per_second),
        Line::Broken { why } => {
            let found = format!("the relay answered once, and then no more: {why}");
            return Finding::red(Check::Line, found, cable);
        }
    };
    let lost = sent.saturating_sub(arrived);
    let permille = lost * 1000 / sent.max(1);
    let speed = kbit_per_second
        .map(|kbit| format!(", {}.{} Mbit/s", kbit / 1000, kbit % 1000 / 100))
        .unwrap_or_default();
    let found = format!(
        "{lost} of {sent} datagrams lost to the relay and back ({}.{} %){speed}",
        permille / 10,
        permille % 10
    );
    if permille >= LOSS_BAD {
        return Finding::red(Check::Line, found, cable);
    }
    if permille >= LOSS_FELT {
        return Finding::yellow(Check::Line, found, cable);
    }
    match kbit_per_second {
        Some(kbit) if kbit < SLOW => Finding::yellow(
            Check::Line,
            found,
            "the line is slow: stop other uploads and downloads, and let nobody copy files at the party",
        ),
        Some(_) | None => Finding::green(Check::Line, found),
    }
}
