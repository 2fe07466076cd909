//! Which crate may use which. The table in `docs/architecture.md` is the rule itself, so it cannot become untrue.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::step::{cargo, root};

/// May be used by every crate's own tests.
const FOR_TESTS: &str = "lanparty-testkit";

/// The window is a workspace of its own.
const WINDOW: &str = "crates/lanparty-gui/Cargo.toml";

/// Crate → what it may use.
type Rules = BTreeMap<String, BTreeSet<String>>;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    path: Option<String>,
}

/// Compares `cargo metadata` with the table.
pub fn run() -> Result<()> {
    let page = root().join("docs/architecture.md");
    let text = fs::read_to_string(&page).with_context(|| format!("could not read {}", page.display()))?;
    let mut metadata = metadata("Cargo.toml")?;
    metadata.packages.extend(self::metadata(WINDOW)?.packages);
    let wrong = violations(&metadata, &rules(&text)?);
    if wrong.is_empty() {
        println!("{} crates keep to the table", metadata.packages.len());
        return Ok(());
    }
    bail!(
        "the table in docs/architecture.md forbids:\n  {}",
        wrong.join("\n  ")
    )
}

/// What cargo knows of the workspace with this manifest.
fn metadata(manifest: &str) -> Result<Metadata> {
    let manifest = root().join(manifest).display().to_string();
    let words = [
        "metadata",
        "--format-version",
        "1",
        "--no-deps",
        "--manifest-path",
        &manifest,
    ];
    let output = cargo(&words).output().context("could not start cargo metadata")?;
    if !output.status.success() {
        bail!(
            "cargo metadata ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    serde_json::from_slice(&output.stdout).context("could not read cargo metadata")
}

/// Reads the table's rows: names in back quotes in the first column, what they may use in the last.
fn rules(page: &str) -> Result<Rules> {
    let mut rules = Rules::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let (Some(names), Some(uses)) = (cells.first(), cells.last()) else {
            continue;
        };
        let above: BTreeSet<String> = rules.keys().cloned().collect();
        let allowed: BTreeSet<String> = match *uses {
            "nothing of ours" => BTreeSet::new(),
            "all of the above" => above,
            list => list.split(',').map(|name| full_name(name.trim())).collect(),
        };
        for name in names.split('`').skip(1).step_by(2) {
            rules.insert(name.to_owned(), allowed.clone());
        }
    }
    let unknown: Vec<&String> = rules
        .values()
        .flatten()
        .filter(|name| !rules.contains_key(*name))
        .collect();
    if rules.is_empty() || !unknown.is_empty() {
        bail!("the table in docs/architecture.md has no rows, or names crates without a row: {unknown:?}");
    }
    Ok(rules)
}

fn full_name(short: &str) -> String {
    if short == "xtask" || short.starts_with("lanparty-") {
        short.to_owned()
    } else {
        format!("lanparty-{short}")
    }
}

fn violations(metadata: &Metadata, rules: &Rules) -> Vec<String> {
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        let Some(allowed) = rules.get(&package.name) else {
            wrong.push(format!("{} (it has no row)", package.name));
            continue;
        };
        for dependency in package
            .dependencies
            .iter()
            .filter(|dependency| dependency.path.is_some())
        {
            let only_for_tests = dependency.kind.as_deref() == Some("dev") && dependency.name == FOR_TESTS;
            if !only_for_tests && !allowed.contains(&dependency.name) {
                wrong.push(format!("{} → {}", package.name, dependency.name));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "| crate | what it is | may import |\n|---|---|---|\n\
        | `lanparty-wire` | nouns | nothing of ours |\n\
        | `lanparty-core` | verbs: `Node` | wire |\n\
        | `lanparty-node` | shell | all of the above |\n\
        | `lanparty-client`, `lanparty-relay` | binaries | all of the above |\n\
        | `lanparty-testkit` | lab | wire, core |\n";

    #[test]
    fn an_edge_that_the_table_does_not_name_is_a_violation() {
        let rules = rules(PAGE).unwrap();
        assert_eq!(
            violations(&package("lanparty-core", "lanparty-wire", None), &rules),
            [""; 0]
        );
        assert_eq!(
            violations(&package("lanparty-relay", "lanparty-node", None), &rules),
            [""; 0]
        );
        let backwards = violations(&package("lanparty-wire", "lanparty-core", None), &rules);
        assert_eq!(backwards, ["lanparty-wire → lanparty-core"]);
        let sideways = violations(&package("lanparty-client", "lanparty-relay", None), &rules);
        assert_eq!(sideways, ["lanparty-client → lanparty-relay"]);
    }

    #[test]
    fn tests_may_use_the_testkit_and_only_tests() {
        let rules = rules(PAGE).unwrap();
        assert_eq!(
            violations(&package("lanparty-core", "lanparty-testkit", Some("dev")), &rules),
            [""; 0]
        );
        assert_eq!(
            violations(&package("lanparty-core", "lanparty-testkit", None), &rules).len(),
            1
        );
    }

    #[test]
    fn a_crate_without_a_row_is_a_violation() {
        let rules = rules(PAGE).unwrap();
        let found = violations(&package("lanparty-util", "serde", None), &rules);
        assert_eq!(found, ["lanparty-util (it has no row)"]);
        assert!(super::rules("no table").is_err());
    }

    fn package(name: &str, uses: &str, kind: Option<&str>) -> Metadata {
        let dependency = Dependency {
            name: uses.to_owned(),
            kind: kind.map(str::to_owned),
            path: Some("somewhere".to_owned()),
        };
        Metadata {
            packages: vec![Package {
                name: name.to_owned(),
                dependencies: vec![dependency],
            }],
        }
    }
}
