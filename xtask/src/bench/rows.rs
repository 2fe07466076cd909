//! The numbers that tables and plots show, and in which order.

/// One number of one measure.
pub struct Row {
    pub measure: &'static str,
    pub value: String,
    pub title: String,
    pub unit: &'static str,
    pub decimals: usize,
}

/// All of them.
pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    rows.extend(both_ways("tcp", "TCP {way}, Cubic", 0));
    rows.extend(both_ways("bbr", "TCP {way}, BBR", 0));
    for (whose, title) in [
        ("programs", "CPU of all programs"),
        ("client", "CPU of the client"),
        ("relay", "CPU of the relay"),
        ("gateway", "CPU of the LAN gateway"),
        ("machine", "CPU of the machine, kernel and iperf3 too"),
    ] {
        rows.push(row("tcp", &format!("cpu_{whose}_s_per_gb"), title, "s/GB", 2));
    }
    rows.push(row(
        "packets",
        "arrived_per_s",
        "64-byte frames, < 1 % lost",
        "/s",
        0,
    ));
    rows.extend(round_trips("idle", "idle", 2));
    rows.extend(round_trips("loaded-up", "beside TCP up", 2));
    rows.extend(round_trips("loaded-down", "beside TCP down", 2));
    rows.extend(narrow("narrow-up", "up"));
    rows.extend(narrow("narrow-down", "down"));
    for way in ["up", "down"] {
        let title = format!("2 % loss, UDP lost {way}");
        rows.push(row("lossy", &format!("lost_{way}_percent"), &title, "%", 3));
    }
    rows.push(row("lossy", "udp_p99_ms", "2 % loss, UDP p99", "ms", 2));
    rows.extend(both_ways("lossy", "2 % loss, TCP {way}", 1));
    rows.push(row("connect", "lease_ms", "Connect to DHCP lease", "ms", 0));
    for (value, title, unit, decimals) in [
        ("last_p50_ms", "broadcast, last of 30 has it, p50", "ms", 2),
        ("last_p99_ms", "broadcast, last of 30 has it, p99", "ms", 2),
        ("lost_percent", "broadcast copies lost", "%", 2),
        ("relay_cpu_us_per_copy", "CPU of the relay for each copy", "µs", 1),
    ] {
        rows.push(row("fanout", value, title, unit, decimals));
    }
    for (value, title, unit, decimals) in [
        ("kib_per_member", "relay memory a member at rest", "KiB", 0),
        (
            "kib_per_member_after_play",
            "relay memory a member after play",
            "KiB",
            0,
        ),
        ("join_p99_ms", "crowd joins, p99", "ms", 0),
        ("lost_percent", "crowd plays, frames lost", "%", 2),
    ] {
        rows.push(row("crowd", value, title, unit, decimals));
    }
    rows
}

fn row(measure: &'static str, value: &str, title: &str, unit: &'static str, decimals: usize) -> Row {
    Row {
        measure,
        value: value.to_owned(),
        title: title.to_owned(),
        unit,
        decimals,
    }
}

fn both_ways(measure: &'static str, title: &str, decimals: usize) -> [Row; 2] {
    ["up", "down"].map(|way| {
        let title = title.replace("{way}", way);
        row(measure, &format!("{way}_mbit_per_s"), &title, "Mbit/s", decimals)
    })
}

fn round_trips(measure: &'static str, title: &str, decimals: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for (probe, name) in [("udp", "UDP"), ("ping", "ping")] {
        for percentile in ["p50", "p99"] {
            let title = format!("{title}, {name} {percentile}");
            rows.push(row(
                measure,
                &format!("{probe}_{percentile}_ms"),
                &title,
                "ms",
                decimals,
            ));
        }
    }
    rows
}

fn narrow(measure: &'static str, way: &str) -> Vec<Row> {
    let line = format!("20 Mbit/s {way}link");
    let mut rows = round_trips(measure, &format!("{line} full"), 1);
    rows.push(row(
        measure,
        &format!("lost_{way}_percent"),
        &format!("{line} full, UDP lost"),
        "%",
        2,
    ));
    rows.push(row(measure, "line_used_percent", &format!("{line} used"), "%", 0));
    rows.push(row(
        measure,
        "tcp_mbit_per_s",
        &format!("TCP on the {line}"),
        "Mbit/s",
        1,
    ));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_of_a_measure_and_stands_there_once() {
        let rows = rows();
        let mut seen = std::collections::BTreeSet::new();
        for row in &rows {
            assert!(
                seen.insert((row.measure, &row.value)),
                "{} {}",
                row.measure,
                row.value
            );
            assert!(
                super::super::measure::MEASURES
                    .iter()
                    .any(|known| known.name == row.measure)
            );
        }
        assert_eq!(rows.len(), 50);
    }
}
