//! What a run leaves: every sample of every round, on what it ran, and what did not work.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A whole run, as it stands in `docs/bench/bench.json`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    pub machine: Machine,
    pub run: Run,
    /// What was compared, in the order of the tables.
    pub variants: Vec<Contestant>,
    pub samples: Vec<Sample>,
    pub failures: Vec<Failure>,
}

/// On what it ran.
#[derive(Debug, Serialize, Deserialize)]
pub struct Machine {
    pub processor: String,
    pub processors: usize,
    pub memory_mib: u64,
    pub kernel: String,
    /// Programs and their versions.
    pub versions: BTreeMap<String, String>,
}

/// What was run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Run {
    pub commit: String,
    /// UTC, in seconds since 1970.
    pub started: u64,
    pub seconds: u64,
    pub quick: bool,
    pub rounds: u32,
    /// Cargo's profile that the binaries were built with.
    pub profile: String,
    /// Processes that were ready to run when the run began, this one included: what else used the machine.
    pub load_before: f64,
}

/// One of those that are compared.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Contestant {
    pub name: String,
    /// What it is, in one sentence.
    pub what: String,
}

/// What one measure gave for one contestant in one round.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Sample {
    pub measure: String,
    pub variant: String,
    pub round: u32,
    /// Single numbers; the unit is the end of the name.
    pub values: BTreeMap<String, f64>,
    /// Distributions: 101 values, from the smallest over every hundredth of the way to the largest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub distributions: BTreeMap<String, Vec<f64>>,
}

/// Something that did not work, and why; the rest of the run went on.
#[derive(Debug, Serialize, Deserialize)]
pub struct Failure {
    pub variant: String,
    pub measure: String,
    pub why: String,
}

impl Sample {
    /// Notes one number.
    pub fn put(&mut self, name: &str, value: f64) {
        self.values.insert(name.to_owned(), value);
    }

    /// Notes a distribution of milliseconds, with its median and its 99th percentile as numbers of their own.
    pub fn put_times(&mut self, name: &str, mut times: Vec<f64>) {
        if times.is_empty() {
            return;
        }
        times.sort_by(f64::total_cmp);
        self.put(&format!("{name}_p50_ms"), percentile(&times, 50));
        self.put(&format!("{name}_p99_ms"), percentile(&times, 99));
        let steps = (0..=100).map(|percent| (percentile(&times, percent) * 1e3).round() / 1e3);
        self.distributions.insert(name.to_owned(), steps.collect());
    }
}

/// The middle of several rounds, and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    pub median: f64,
    pub least: f64,
    pub most: f64,
    pub rounds: usize,
}

impl Summary {
    /// `None` without a value.
    pub fn of(mut values: Vec<f64>) -> Option<Summary> {
        values.retain(|value| value.is_finite());
        values.sort_by(f64::total_cmp);
        let (&least, &most) = (values.first()?, values.last()?);
        let half = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[half]
        } else {
            f64::midpoint(values[half - 1], values[half])
        };
        Some(Summary {
            median,
            least,
            most,
            rounds: values.len(),
        })
    }
}

impl Report {
    /// The middle of all rounds of one number.
    pub fn summary(&self, measure: &str, variant: &str, value: &str) -> Option<Summary> {
        let samples = self.samples.iter();
        let wanted = samples.filter(|sample| sample.measure == measure && sample.variant == variant);
        Summary::of(
            wanted
                .filter_map(|sample| sample.values.get(value).copied())
                .collect(),
        )
    }

    /// The median alone.
    pub fn median(&self, measure: &str, variant: &str, value: &str) -> Option<f64> {
        self.summary(measure, variant, value)
            .map(|summary| summary.median)
    }

    /// A distribution, each of its steps being the median of the rounds.
    pub fn distribution(&self, measure: &str, variant: &str, name: &str) -> Option<Vec<f64>> {
        let rounds: Vec<&Vec<f64>> = self
            .samples
            .iter()
            .filter(|sample| sample.measure == measure && sample.variant == variant)
            .filter_map(|sample| sample.distributions.get(name))
            .collect();
        let steps = 0..rounds.first()?.len();
        steps
            .map(|step| {
                let values = rounds.iter().filter_map(|round| round.get(step).copied());
                Summary::of(values.collect()).map(|summary| summary.median)
            })
            .collect()
    }
}

/// A value of `sorted` that so many percent of all lie below; NaN if there is none.
pub fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let times: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((percentile(&times, 50), percentile(&times, 99)), (51.0, 100.0));
        assert!(percentile(&[], 50).is_nan());
    }

    #[test]
    fn a_summary_is_the_middle_and_the_edges() {
        let summary = Summary::of(vec![4.0, 1.0, f64::NAN, 2.0, 3.0]).unwrap();
        assert_eq!((summary.median, summary.least, summary.most), (2.5, 1.0, 4.0));
        assert_eq!(summary.rounds, 4);
        assert_eq!(Summary::of(vec![]), None);
    }
}
