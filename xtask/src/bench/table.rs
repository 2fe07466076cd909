//! The table on the terminal: medians, and how many times OpenVPN's they are.

use super::{report::Report, rows::rows, target::TARGETS};

const PEER: &str = "openvpn";

pub fn print(report: &Report) {
    print!("\n{:<46}", "median of all rounds (x OpenVPN's)");
    for variant in &report.variants {
        print!("{:>20}", variant.name);
    }
    println!();
    for row in &rows() {
        let cells: Vec<Option<f64>> = report
            .variants
            .iter()
            .map(|variant| report.median(row.measure, &variant.name, &row.value))
            .collect();
        if cells.iter().all(Option::is_none) {
            continue;
        }
        let peer = report.median(row.measure, PEER, &row.value);
        print!("{:<46}", format!("{}, {}", row.title, row.unit));
        for cell in cells {
            let text = cell.map_or_else(|| "-".to_owned(), |value| with_ratio(value, peer, row.decimals));
            print!("{text:>20}");
        }
        println!();
    }
    print_targets(report);
    for failure in &report.failures {
        println!(
            "failed: {} of {}: {}",
            failure.measure, failure.variant, failure.why
        );
    }
}

fn with_ratio(value: f64, peer: Option<f64>, decimals: usize) -> String {
    match peer {
        Some(peer) if peer > 0.0 => format!("{value:.decimals$} ({:.2} x)", value / peer),
        _ => format!("{value:.decimals$}"),
    }
}

fn print_targets(report: &Report) {
    println!();
    for ours in ["open", "sealed"] {
        for target in &TARGETS {
            let Some(verdict) = target.verdict(report, ours) else {
                continue;
            };
            let met = match (verdict.must, verdict.stretch) {
                (_, true) => "stretch",
                (true, false) => "must",
                (false, false) => "MISSED",
            };
            println!(
                "{met:<8} {ours:<7} {}: {} (must {})",
                target.measure, verdict.text, target.must
            );
        }
    }
}
