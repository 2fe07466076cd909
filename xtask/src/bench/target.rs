//! What issue and design ask for, as arithmetic on the medians of a run.

use super::report::Report;

/// One row of the table of targets.
pub struct Target {
    pub measure: &'static str,
    pub must: &'static str,
    pub stretch: &'static str,
    check: fn(&Report, &str) -> Option<Vec<Part>>,
}

/// A number against its limits.
struct Part {
    text: String,
    must: bool,
    stretch: bool,
}

/// How one target stands for one kind of room.
pub struct Verdict {
    pub text: String,
    pub must: bool,
    pub stretch: bool,
}

impl Target {
    /// How `ours` (a kind of room) stands; `None` if the run has not measured it.
    pub fn verdict(&self, report: &Report, ours: &str) -> Option<Verdict> {
        let parts = (self.check)(report, ours)?;
        let must = parts.iter().all(|part| part.must);
        Some(Verdict {
            text: parts
                .iter()
                .map(|part| part.text.as_str())
                .collect::<Vec<_>>()
                .join("; "),
            must,
            stretch: must && parts.iter().all(|part| part.stretch),
        })
    }
}

const PEER: &str = "openvpn";

pub const TARGETS: [Target; 11] = [
    Target {
        measure: "TCP through the relay, each way, against OpenVPN",
        must: "≥ 2.5 x",
        stretch: "≥ 4 x",
        check: |report, ours| all(["up", "down"].map(|way| throughput(report, "tcp", ours, way, (2.5, 4.0)))),
    },
    Target {
        measure: "CPU seconds per GB, client + relay + LAN gateway, against OpenVPN",
        must: "≤ 0.4 x",
        stretch: "≤ 0.25 x",
        check: |report, ours| {
            all([times_at_most(
                report,
                "tcp",
                ours,
                "cpu_programs_s_per_gb",
                "s",
                (0.4, 0.25),
            )])
        },
    },
    Target {
        measure: "64-byte packets a second at < 1 % loss",
        must: "≥ 2 x OpenVPN",
        stretch: "≥ 0.8 x plain path",
        check: packets,
    },
    Target {
        measure: "idle RTT of UDP, p50 and p99, against OpenVPN",
        must: "≤ 1 x",
        stretch: "≤ 0.5 x",
        check: |report, ours| {
            let part = |value| times_at_most(report, "idle", ours, value, "ms", (1.0, 0.5));
            all(["udp_p50_ms", "udp_p99_ms"].map(part))
        },
    },
    Target {
        measure: "RTT of UDP beside an unshaped TCP flow, up and down, p99, against OpenVPN",
        must: "≤ 1/5",
        stretch: "≤ 2 ms",
        check: |report, ours| {
            let part = |measure: &str| {
                let [ours, peer] = pair(report, measure, ours, "udp_p99_ms")?;
                Some(Part {
                    text: format!("{:.2} x ({ours:.2} ms)", ours / peer),
                    must: ours <= peer / 5.0,
                    stretch: ours <= 2.0,
                })
            };
            all(["loaded-up", "loaded-down"].map(part))
        },
    },
    Target {
        measure: "RTT of UDP beside TCP on a 20 Mbit/s **uplink** with 100 ms of buffer, at ≥ 85 % of the link used",
        must: "p50 ≤ idle + 5 ms, p99 ≤ idle + 15 ms",
        stretch: "p99 ≤ idle + 5 ms",
        check: |report, ours| narrow(report, ours, "narrow-up"),
    },
    Target {
        measure: "the same for the **downlink**",
        must: "p50 ≤ idle + 5 ms, p99 ≤ idle + 15 ms",
        stretch: "p99 ≤ idle + 5 ms",
        check: |report, ours| narrow(report, ours, "narrow-down"),
    },
    Target {
        measure: "small packets lost inside at 2 % random loss on the last mile; TCP there against OpenVPN",
        must: "≤ 0.1 %; ≥ 1 x",
        stretch: "≤ 0.02 %; ≥ 1.5 x",
        check: |report, ours| {
            let lost = |way: &str| {
                let lost = report.median("lossy", ours, &format!("lost_{way}_percent"))?;
                Some(at_most(lost, (0.1, 0.02), &format!("{lost:.3} % {way}")))
            };
            all([
                lost("up"),
                lost("down"),
                throughput(report, "lossy", ours, "up", (1.0, 1.5)),
                throughput(report, "lossy", ours, "down", (1.0, 1.5)),
            ])
        },
    },
    Target {
        measure: "sealed room against open, throughput",
        must: "≥ 0.75 x",
        stretch: "≥ 0.9 x",
        check: |report, ours| {
            let part = |way: &str| {
                let value = format!("{way}_mbit_per_s");
                let ratio = report.median("tcp", ours, &value)? / report.median("tcp", "open", &value)?;
                Some(at_least(ratio, (0.75, 0.9), &format!("{ratio:.2} x {way}")))
            };
            if ours == "open" {
                return None;
            }
            all(["up", "down"].map(part))
        },
    },
    Target {
        measure: "relay memory a member at rest",
        must: "≤ 256 KiB",
        stretch: "≤ 64 KiB",
        check: |report, ours| {
            let kib = report.median("crowd", ours, "kib_per_member")?;
            let members = report.median("crowd", ours, "members")?;
            Some(vec![at_most(
                kib,
                (256.0, 64.0),
                &format!("{kib:.0} KiB with {members:.0} members who join, play and leave"),
            )])
        },
    },
    Target {
        measure: "Connect to DHCP lease",
        must: "≤ 1 s",
        stretch: "≤ 300 ms",
        check: |report, ours| {
            let time = report.median("connect", ours, "lease_ms")?;
            Some(vec![at_most(time, (1000.0, 300.0), &format!("{time:.0} ms"))])
        },
    },
];

/// Nothing if one of them was not measured.
fn all<const N: usize>(parts: [Option<Part>; N]) -> Option<Vec<Part>> {
    parts.into_iter().collect()
}

/// How many times the peer's number ours is, where less is better.
fn times_at_most(
    report: &Report,
    measure: &str,
    ours: &str,
    value: &str,
    unit: &str,
    limits: (f64, f64),
) -> Option<Part> {
    let [ours, peer] = pair(report, measure, ours, value)?;
    let text = format!("{:.2} x ({ours:.2} {unit})", ours / peer);
    Some(at_most(ours / peer, limits, &text))
}

fn at_most(value: f64, (must, stretch): (f64, f64), text: &str) -> Part {
    Part {
        text: text.to_owned(),
        must: value <= must,
        stretch: value <= stretch,
    }
}

fn at_least(value: f64, (must, stretch): (f64, f64), text: &str) -> Part {
    Part {
        text: text.to_owned(),
        must: value >= must,
        stretch: value >= stretch,
    }
}

fn pair(report: &Report, measure: &str, ours: &str, value: &str) -> Option<[f64; 2]> {
    Some([
        report.median(measure, ours, value)?,
        report.median(measure, PEER, value)?,
    ])
}

fn throughput(report: &Report, measure: &str, ours: &str, way: &str, limits: (f64, f64)) -> Option<Part> {
    let [ours, peer] = pair(report, measure, ours, &format!("{way}_mbit_per_s"))?;
    let text = format!("{:.2} x {way} ({ours:.0} Mbit/s)", ours / peer);
    Some(at_least(ours / peer, limits, &text))
}

fn packets(report: &Report, ours: &str) -> Option<Vec<Part>> {
    let [ours, peer] = pair(report, "packets", ours, "arrived_per_s")?;
    let plain = report.median("packets", "plain", "arrived_per_s");
    let of_plain = plain.map_or(String::new(), |plain| format!(", {:.2} x plain", ours / plain));
    Some(vec![Part {
        text: format!("{:.2} x OpenVPN{of_plain} ({ours:.0}/s)", ours / peer),
        must: ours >= 2.0 * peer,
        stretch: plain.is_some_and(|plain| ours >= 0.8 * plain),
    }])
}

fn narrow(report: &Report, ours: &str, measure: &str) -> Option<Vec<Part>> {
    let idle = |value: &str| report.median("idle", ours, value);
    let (p50, p99) = (
        report.median(measure, ours, "udp_p50_ms")?,
        report.median(measure, ours, "udp_p99_ms")?,
    );
    let used = report.median(measure, ours, "line_used_percent")?;
    let (idle50, idle99) = (idle("udp_p50_ms")?, idle("udp_p99_ms")?);
    let full = used >= 85.0;
    Some(vec![Part {
        text: format!(
            "p50 {p50:.1} ms (idle {idle50:.1}), p99 {p99:.1} ms (idle {idle99:.1}), {used:.0} % used"
        ),
        must: full && p50 <= idle50 + 5.0 && p99 <= idle99 + 15.0,
        stretch: full && p50 <= idle50 + 5.0 && p99 <= idle99 + 5.0,
    }])
}
