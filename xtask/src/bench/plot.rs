//! The plots: bars for what is one number, curves for distributions.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::report::{Report, Summary};

/// Bars of one number each.
struct Bars {
    file: &'static str,
    title: &'static str,
    unit: &'static str,
    /// Without those who run in the kernel: it passes up to 64 KiB over a veth as one packet, and all other bars would vanish.
    programs_only: bool,
    /// Measure, value, and what the group is called.
    groups: &'static [(&'static str, &'static str, &'static str)],
}

/// Curves of one distribution each.
struct Curves {
    file: &'static str,
    title: &'static str,
    measure: &'static str,
}

const BARS: [Bars; 4] = [
    Bars {
        file: "throughput.svg",
        title: "One TCP flow through the relay",
        unit: "Mbit/s",
        programs_only: true,
        groups: &[("tcp", "up_mbit_per_s", "up"), ("tcp", "down_mbit_per_s", "down")],
    },
    Bars {
        file: "cpu.svg",
        title: "Processor time of client, relay and LAN gateway",
        unit: "seconds for each gigabyte",
        programs_only: true,
        groups: &[
            ("tcp", "cpu_programs_s_per_gb", "programs"),
            ("tcp", "cpu_machine_s_per_gb", "whole machine"),
        ],
    },
    Bars {
        file: "packets.svg",
        title: "64-byte frames at less than 1 % loss",
        unit: "frames a second",
        programs_only: false,
        groups: &[("packets", "arrived_per_s", "")],
    },
    Bars {
        file: "loss.svg",
        title: "TCP while the player's line loses 2 % each way",
        unit: "Mbit/s",
        programs_only: false,
        groups: &[
            ("lossy", "up_mbit_per_s", "up"),
            ("lossy", "down_mbit_per_s", "down"),
        ],
    },
];

const CURVES: [Curves; 5] = [
    Curves {
        file: "idle.svg",
        title: "Round trip of a small UDP packet, idle",
        measure: "idle",
    },
    Curves {
        file: "loaded-up.svg",
        title: "Round trip of a small UDP packet beside TCP, up",
        measure: "loaded-up",
    },
    Curves {
        file: "loaded-down.svg",
        title: "Round trip of a small UDP packet beside TCP, down",
        measure: "loaded-down",
    },
    Curves {
        file: "narrow-up.svg",
        title: "Round trip of a small UDP packet, 20 Mbit/s uplink full",
        measure: "narrow-up",
    },
    Curves {
        file: "narrow-down.svg",
        title: "Round trip of a small UDP packet, 20 Mbit/s downlink full",
        measure: "narrow-down",
    },
];

const SIZE: (u32, u32) = (860, 420);
/// The hundredth that a curve begins with: the very quickest packet came before the line was full.
const FIRST: usize = 2;

/// Draws every plot that the report has numbers for, and gives the names of the files.
pub fn draw(report: &Report, folder: &Path) -> Result<Vec<&'static str>> {
    let mut files = Vec::new();
    for bars in &BARS {
        if draw_bars(report, bars, &folder.join(bars.file))
            .map_err(|error| anyhow!("{}: {error}", bars.file))?
        {
            files.push(bars.file);
        }
    }
    for curves in &CURVES {
        if draw_curves(report, curves, &folder.join(curves.file))
            .map_err(|error| anyhow!("{}: {error}", curves.file))?
        {
            files.push(curves.file);
        }
    }
    Ok(files)
}

type Drawn = Result<bool, Box<dyn std::error::Error>>;

/// Ours in one colour, the others in grey, so that one sees at once who is meant.
fn colour(name: &str) -> RGBColor {
    match name {
        "plain" => RGBColor(150, 150, 150),
        "vxlan" => RGBColor(110, 110, 110),
        "openvpn" => RGBColor(227, 119, 28),
        "fastd" => RGBColor(148, 103, 189),
        "tinc" => RGBColor(140, 86, 75),
        "sealed" => RGBColor(23, 110, 180),
        _ => RGBColor(44, 160, 44),
    }
}

fn draw_bars(report: &Report, bars: &Bars, path: &Path) -> Drawn {
    let shown = |name: &str| !bars.programs_only || !["plain", "vxlan"].contains(&name);
    let rows: Vec<(String, RGBColor, Summary)> = report
        .variants
        .iter()
        .filter(|variant| shown(&variant.name))
        .flat_map(|variant| {
            bars.groups.iter().filter_map(|(measure, value, group)| {
                let summary = report.summary(measure, &variant.name, value)?;
                let label = format!("{} {group}", variant.name).trim().to_owned();
                Some((label, colour(&variant.name), summary))
            })
        })
        .collect();
    if rows.is_empty() {
        return Ok(false);
    }
    let most = rows
        .iter()
        .map(|(_, _, summary)| summary.most)
        .fold(0.0, f64::max)
        * 1.1;
    let count = i32::try_from(rows.len())?;
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(bars.title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(130)
        .build_cartesian_2d(0.0..most, (0..count - 1).into_segmented())?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .max_light_lines(1)
        .x_label_formatter(&|value| format!("{value}"))
        .y_labels(rows.len() + 1)
        .x_desc(bars.unit)
        .y_label_formatter(&|place| {
            let (SegmentValue::Exact(index) | SegmentValue::CenterOf(index)) = place else {
                return String::new();
            };
            // The first stands on top.
            let label = usize::try_from(count - 1 - index)
                .ok()
                .and_then(|index| rows.get(index));
            label.map(|(label, _, _)| label.clone()).unwrap_or_default()
        })
        .draw()?;
    for (index, (_, colour, summary)) in (0..count).rev().zip(&rows) {
        let (low, high) = (SegmentValue::Exact(index), SegmentValue::Exact(index + 1));
        let mut bar = Rectangle::new([(0.0, low), (summary.median, high)], colour.mix(0.85).filled());
        bar.set_margin(3, 3, 0, 0);
        chart.draw_series([bar])?;
        let middle = SegmentValue::CenterOf(index);
        let spread = [(summary.least, middle.clone()), (summary.most, middle)];
        chart.draw_series([PathElement::new(spread, BLACK.stroke_width(2))])?;
    }
    area.present()?;
    Ok(true)
}

fn draw_curves(report: &Report, curves: &Curves, path: &Path) -> Drawn {
    let lines: Vec<(&str, Vec<f64>)> = report
        .variants
        .iter()
        .filter_map(|variant| {
            let steps = report.distribution(curves.measure, &variant.name, "udp")?;
            Some((variant.name.as_str(), steps))
        })
        .collect();
    let all = || {
        lines
            .iter()
            .flat_map(|(_, steps)| steps.iter().skip(FIRST))
            .copied()
            .filter(|time| *time > 0.0)
    };
    let (least, most) = (all().fold(f64::MAX, f64::min), all().fold(0.0, f64::max));
    if most <= 0.0 {
        return Ok(false);
    }
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(curves.title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d((least * 0.8..most * 1.2).log_scale(), 0.0..100.0)?;
    chart
        .configure_mesh()
        .max_light_lines(1)
        .x_label_formatter(&|value| format!("{value}"))
        .y_label_formatter(&|value| format!("{value}"))
        .x_desc("milliseconds, logarithmic")
        .y_desc("% of packets back by then")
        .draw()?;
    for (name, steps) in &lines {
        let colour = colour(name);
        let points = steps
            .iter()
            .enumerate()
            .skip(FIRST)
            .map(|(percent, time)| (*time, percent as f64));
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()?;
    Ok(true)
}
