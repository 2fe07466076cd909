//! `docs/bench/README.md`, made from the report alone.

use std::fmt::Write;

use super::{
    report::{Report, Summary},
    rows::rows,
    target::TARGETS,
};

/// The whole page.
pub fn write(report: &Report, plots: &[&str]) -> String {
    let mut page = String::new();
    // Writing into a string cannot fail.
    let _ = write_into(&mut page, report, plots);
    page
}

fn write_into(page: &mut String, report: &Report, plots: &[&str]) -> std::fmt::Result {
    writeln!(page, "# What the bench measured\n")?;
    writeln!(
        page,
        "Written by `cargo xtask bench` from [`bench.json`](bench.json); how each number comes about stands in \
         [`../performance.md`](../performance.md).\n"
    )?;
    origin(page, report)?;
    targets(page, report)?;
    numbers(page, report)?;
    relay(page, report)?;
    if !plots.is_empty() {
        writeln!(page, "\n## Plots\n")?;
        writeln!(
            page,
            "Bars are medians, the line on them reaches from the least to the most of all rounds.\n"
        )?;
        for plot in plots {
            writeln!(page, "![{plot}]({plot})")?;
        }
    }
    if !report.failures.is_empty() {
        writeln!(page, "\n## What did not work\n")?;
        for failure in &report.failures {
            let why = failure.why.lines().next().unwrap_or_default();
            writeln!(page, "* {} of {}: {why}", failure.measure, failure.variant)?;
        }
    }
    Ok(())
}

fn origin(page: &mut String, report: &Report) -> std::fmt::Result {
    let (machine, run) = (&report.machine, &report.run);
    writeln!(
        page,
        "Commit `{}`, {} rounds{}, {} minutes, profile `{}`; {} x {}, {} MiB, Linux {}; load before the run {:.2}.",
        run.commit,
        run.rounds,
        if run.quick { " of the quick kind" } else { "" },
        run.seconds / 60,
        run.profile,
        machine.processors,
        machine.processor,
        machine.memory_mib,
        machine.kernel,
        run.load_before,
    )?;
    let versions: Vec<&str> = machine.versions.values().map(String::as_str).collect();
    writeln!(page, "{}.\n", versions.join("; "))?;
    for variant in &report.variants {
        writeln!(page, "* **{}**: {}", variant.name, variant.what)?;
    }
    Ok(())
}

fn targets(page: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(page, "\n## Targets\n")?;
    writeln!(
        page,
        "| measure | must | stretch | room | measured | met |\n|---|---|---|---|---|---|"
    )?;
    for target in &TARGETS {
        for ours in ["open", "sealed"] {
            let Some(verdict) = target.verdict(report, ours) else {
                continue;
            };
            let met = match (verdict.must, verdict.stretch) {
                (_, true) => "stretch",
                (true, false) => "must",
                (false, false) => "**no**",
            };
            writeln!(
                page,
                "| {} | {} | {} | {ours} | {} | {met} |",
                target.measure, target.must, target.stretch, verdict.text
            )?;
        }
    }
    Ok(())
}

fn numbers(page: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(page, "\n## Numbers\n")?;
    writeln!(
        page,
        "Medians, and in brackets the least and the most of all rounds.\n"
    )?;
    write!(page, "| |")?;
    for variant in &report.variants {
        write!(page, " {} |", variant.name)?;
    }
    writeln!(page, "\n|---|{}", "---:|".repeat(report.variants.len()))?;
    for row in &rows() {
        let cells: Vec<Option<Summary>> = report
            .variants
            .iter()
            .map(|variant| report.summary(row.measure, &variant.name, &row.value))
            .collect();
        if cells.iter().all(Option::is_none) {
            continue;
        }
        write!(page, "| {}, {} |", row.title, row.unit)?;
        for cell in cells {
            write!(
                page,
                " {} |",
                cell.map(|summary| spread(summary, row.decimals))
                    .unwrap_or_default()
            )?;
        }
        writeln!(page)?;
    }
    Ok(())
}

fn spread(summary: Summary, decimals: usize) -> String {
    let Summary {
        median,
        least,
        most,
        rounds,
    } = summary;
    if rounds < 2 {
        return format!("{median:.decimals$}");
    }
    format!("{median:.decimals$} ({least:.decimals$}–{most:.decimals$})")
}

/// What a relay on a small virtual machine carries, computed from what the relay's process used here.
fn relay(page: &mut String, report: &Report) -> std::fmt::Result {
    /// Of one processor; the rest is for the kernel's share of the network and for bursts.
    const BUSY: f64 = 0.6;
    /// What a player of a shooter sends and gets, a second.
    const FRAMES: f64 = 60.0 * 2.0;
    const MEMORY_KIB: f64 = 512.0 * 1024.0;
    let bulk = report.median("tcp", "open", "cpu_relay_s_per_gb");
    let small = report.median("crowd", "open", "relay_cpu_us_per_frame");
    let memory = report.median("crowd", "open", "kib_per_member");
    let (Some(bulk), Some(small), Some(memory)) = (bulk, small, memory) else {
        return Ok(());
    };
    let players = BUSY * 1e6 / small / FRAMES;
    writeln!(page, "\n## What a relay carries\n")?;
    writeln!(
        page,
        "Of one processor like this one, {:.0} % used by the relay ({bulk:.2} s a gigabyte, {small:.1} µs a small frame, {memory:.0} KiB \
         a member):\n",
        BUSY * 100.0
    )?;
    writeln!(page, "| | |\n|---|---|")?;
    writeln!(
        page,
        "| bulk through the relay | {:.0} Mbit/s |",
        BUSY / bulk * 8000.0
    )?;
    writeln!(page, "| small frames | {:.0} a second |", BUSY * 1e6 / small)?;
    writeln!(
        page,
        "| players of a shooter, 60 frames a second each way | {players:.0}, or {:.0} rooms of ten |",
        players / 10.0
    )?;
    writeln!(
        page,
        "| members at rest in 512 MiB | {:.0} |",
        MEMORY_KIB / memory
    )
}
