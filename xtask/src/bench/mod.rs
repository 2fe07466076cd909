//! `cargo xtask bench`: what lanparty costs and gives, beside other systems, over the same lines, in one run.
//!
//! Every contestant has machines of its own (network namespaces), laid out alike: player, NAT, internet, relay, internet, NAT, LAN
//! gateway, LAN. All of them are up all the time, and every measure goes round all contestants before the next one starts,
//! again and again, so that what else happens on this host meets all of them. All machines share its processors, so only
//! the ratio of two numbers of one run means something.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;

use self::{
    line::SocketBuffers,
    measure::{MEASURES, Measure, Plan, Take},
    report::{Contestant, Failure, Report, Run, Sample},
    tunnel::Tunnel,
    variant::{VARIANTS, Variant},
};
use crate::{binaries, interrupt::Interrupt, setup, step::root};

mod connect;
mod cpu;
mod crowd;
mod echo;
mod fanout;
mod flood;
mod line;
mod machine;
mod measure;
mod ours;
mod page;
mod peers;
mod plot;
mod report;
mod rows;
mod seen;
mod table;
mod target;
mod tcp;
mod tunnel;
mod variant;

#[derive(Args)]
pub struct Options {
    /// One short round of everything, in some minutes
    #[arg(long)]
    quick: bool,
    /// How often everything is measured [default: 3, with --quick 1]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=50))]
    rounds: Option<u32>,
    /// Only these contestants and measures, as CONTESTANT, /MEASURE or CONTESTANT/MEASURE; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Where report, page and plots go [default: docs/bench for a full run, else target/bench]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Measure nothing; write page and plots again from the report in the folder of --out [default: docs/bench]
    #[arg(long)]
    render: bool,
    /// Name contestants and measures, and end
    #[arg(long)]
    list: bool,
}

const REPORT: &str = "bench.json";

pub fn run(options: &Options) -> Result<()> {
    if options.list {
        list();
        return Ok(());
    }
    let folder = folder(options);
    if options.render {
        return render(&folder);
    }
    let wanted = Wanted::parse(&options.only)?;
    setup::need_root("bench", "")?;
    setup::lab_packages()?;
    if let Err(error) = setup::bench_packages() {
        eprintln!("{error:#}; what is missing cannot be compared");
    }
    binaries::build_release()?;
    let _buffers = SocketBuffers::raise()?;
    let interrupt = Interrupt::install()?;
    let mut bench = Bench::start(options, wanted, &interrupt)?;
    bench.go(&folder)?;
    drop(bench.tunnels);
    save(&bench.report, &folder)?;
    table::print(&bench.report);
    render(&folder)?;
    println!("\nreport, page and plots: {}", folder.display());
    if interrupt.requested() {
        bail!("interrupted; the report has what was measured until then");
    }
    Ok(())
}

fn list() {
    println!("contestants:");
    for variant in &VARIANTS {
        println!("  {:<12} {}", variant.name, variant.what);
    }
    println!("measures:");
    for measure in &MEASURES {
        println!("  {:<12} {}", measure.name, measure.what);
    }
}

/// Only a full run may replace the numbers that are committed.
fn folder(options: &Options) -> PathBuf {
    let full = options.render || (!options.quick && options.only.is_empty());
    let usual = if full { "docs/bench" } else { "target/bench" };
    options.out.clone().unwrap_or_else(|| root().join(usual))
}

fn save(report: &Report, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("could not create {}", folder.display()))?;
    let path = folder.join(REPORT);
    let text = serde_json::to_string(report).context("could not write the report as JSON")?;
    // One sample a line: a diff shows what has changed, and the file stays small.
    let text = text.replace("{\"measure\"", "\n{\"measure\"");
    fs::write(&path, text + "\n").with_context(|| format!("could not write {}", path.display()))
}

fn render(folder: &Path) -> Result<()> {
    let path = folder.join(REPORT);
    let text = fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
    let report: Report =
        serde_json::from_str(&text).with_context(|| format!("could not read {}", path.display()))?;
    let plots = plot::draw(&report, folder)?;
    let page = folder.join("README.md");
    fs::write(&page, page::write(&report, &plots))
        .with_context(|| format!("could not write {}", page.display()))
}

/// What `--only` leaves.
struct Wanted(Vec<(String, String)>);

impl Wanted {
    fn parse(only: &[String]) -> Result<Wanted> {
        let pairs = only.iter().map(|name| {
            let (variant, measure) = name.split_once('/').unwrap_or((name, ""));
            let known = (variant.is_empty() || VARIANTS.iter().any(|known| known.name == variant))
                && (measure.is_empty() || MEASURES.iter().any(|known| known.name == measure));
            if !known {
                bail!("--only {name}: no such contestant or measure; --list names them");
            }
            Ok((variant.to_owned(), measure.to_owned()))
        });
        Ok(Wanted(pairs.collect::<Result<_>>()?))
    }

    fn has(&self, variant: &str, measure: &str) -> bool {
        let fits = |name: &str, wanted: &str| wanted.is_empty() || wanted == name;
        self.0.is_empty() || self.0.iter().any(|(v, m)| fits(variant, v) && fits(measure, m))
    }

    fn has_variant(&self, variant: &str) -> bool {
        MEASURES.iter().any(|measure| self.has(variant, measure.name))
    }

    /// Whether the contestant has to be up for what is wanted.
    fn needs_tunnel(&self, variant: &str) -> bool {
        MEASURES
            .iter()
            .any(|measure| measure.is_of_tunnel(variant) && self.has(variant, measure.name))
    }
}

/// A run.
struct Bench<'a> {
    wanted: Wanted,
    plan: Plan,
    interrupt: &'a Interrupt,
    report: Report,
    started: Instant,
    tunnels: Vec<(&'static Variant, Tunnel)>,
}

impl<'a> Bench<'a> {
    /// Brings everybody up. Who does not come up is in the report, and the others go on.
    fn start(options: &Options, wanted: Wanted, interrupt: &'a Interrupt) -> Result<Bench<'a>> {
        let rounds = options.rounds.unwrap_or(if options.quick { 1 } else { 3 });
        let variants: Vec<&Variant> = VARIANTS
            .iter()
            .filter(|variant| wanted.has_variant(variant.name))
            .collect();
        let mut bench = Bench {
            plan: if options.quick { Plan::QUICK } else { Plan::FULL },
            interrupt,
            started: Instant::now(),
            tunnels: Vec::new(),
            report: Report {
                machine: machine::describe(),
                run: Run {
                    commit: machine::commit(),
                    started: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
                    seconds: 0,
                    quick: options.quick,
                    rounds,
                    profile: binaries::RELEASE.to_owned(),
                    load_before: machine::load(),
                },
                variants: variants
                    .iter()
                    .map(|variant| Contestant {
                        name: variant.name.to_owned(),
                        what: variant.what.to_owned(),
                    })
                    .collect(),
                samples: Vec::new(),
                failures: Vec::new(),
            },
            wanted,
        };
        for &variant in &variants {
            if bench.wanted.needs_tunnel(variant.name) && !interrupt.requested() {
                bench.bring_up(variant);
            }
        }
        let wants_bbr = variants
            .iter()
            .any(|variant| bench.wanted.has(variant.name, "bbr"));
        if wants_bbr && !tcp::knows("bbr") {
            bench.fail("all", "bbr", &anyhow!("this kernel has no tcp_bbr"));
        }
        Ok(bench)
    }

    fn bring_up(&mut self, variant: &'static Variant) {
        println!("starting {}", variant.name);
        let started = (variant.start)().and_then(|tunnel| {
            // A connection that has carried something: caches are warm, windows open, tables learned.
            tcp::transfer(tunnel.player(), tcp::Direction::Up, "cubic", 1)?;
            Ok(tunnel)
        });
        match started {
            Ok(tunnel) => self.tunnels.push((variant, tunnel)),
            Err(error) => self.fail(variant.name, "start", &error),
        }
    }

    fn go(&mut self, folder: &Path) -> Result<()> {
        for round in 1..=self.report.run.rounds {
            for measure in &MEASURES {
                match measure.take {
                    Take::Tunnel(take) | Take::TunnelOf(_, take) => self.take_of_all(measure, round, take),
                    Take::Alone(variants, take) => self.take_alone(measure, round, variants, take),
                }
            }
            self.report.run.seconds = self.started.elapsed().as_secs();
            save(&self.report, folder)?;
        }
        Ok(())
    }

    fn take_of_all(
        &mut self,
        measure: &Measure,
        round: u32,
        take: fn(&mut Tunnel, &Plan, &mut Sample) -> Result<()>,
    ) {
        for (variant, mut tunnel) in std::mem::take(&mut self.tunnels) {
            let wanted = measure.is_of_tunnel(variant.name) && self.wanted.has(variant.name, measure.name);
            if self.interrupt.requested() || !wanted {
                self.tunnels.push((variant, tunnel));
                continue;
            }
            let plan = self.plan;
            let worked = self.sample(variant.name, measure, round, |sample| {
                take(&mut tunnel, &plan, sample)
            });
            if worked || self.interrupt.requested() {
                self.tunnels.push((variant, tunnel));
            } else {
                // Whatever it was, the next measure is to find it well.
                drop(tunnel);
                self.bring_up(variant);
            }
        }
    }

    fn take_alone(
        &mut self,
        measure: &Measure,
        round: u32,
        variants: &[&str],
        take: fn(&str, &Plan, &mut Sample) -> Result<()>,
    ) {
        for variant in variants {
            if !self.interrupt.requested() && self.wanted.has(variant, measure.name) {
                let plan = self.plan;
                self.sample(variant, measure, round, |sample| take(variant, &plan, sample));
            }
        }
    }

    /// Takes one sample; false if it failed.
    fn sample(
        &mut self,
        variant: &str,
        measure: &Measure,
        round: u32,
        take: impl FnOnce(&mut Sample) -> Result<()>,
    ) -> bool {
        let mut sample = Sample {
            measure: measure.name.to_owned(),
            variant: variant.to_owned(),
            round,
            ..Sample::default()
        };
        let result = take(&mut sample);
        let values: Vec<String> = sample
            .values
            .iter()
            .map(|(name, value)| format!("{name} {value:.2}"))
            .collect();
        println!("{round}: {:<12} {variant:<9} {}", measure.name, values.join("  "));
        if let Err(error) = result {
            // What Ctrl-C has broken is nobody's failure.
            if !self.interrupt.requested() {
                self.fail(variant, measure.name, &error);
            }
            return false;
        }
        if !sample.values.is_empty() {
            self.report.samples.push(sample);
        }
        true
    }

    fn fail(&mut self, variant: &str, measure: &str, error: &anyhow::Error) {
        eprintln!("failed: {measure} of {variant}: {error:#}");
        self.report.failures.push(Failure {
            variant: variant.to_owned(),
            measure: measure.to_owned(),
            why: format!("{error:#}"),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_takes_contestants_measures_and_pairs() {
        let wanted =
            |only: &[&str]| Wanted::parse(&only.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        let some = wanted(&["plain/tcp", "/idle"]).unwrap();
        assert!(some.has("plain", "tcp") && some.has("open", "idle") && !some.has("open", "tcp"));
        assert!(wanted(&["open"]).unwrap().has("open", "crowd"));
        assert!(!wanted(&["/crowd"]).unwrap().needs_tunnel("open"));
        assert!(wanted(&["nobody"]).is_err() && wanted(&["open/nothing"]).is_err());
    }
}
