//! What a doctor has found, for people as it comes, and for scripts at the end.

use std::io::{self, IsTerminal, Write};

use lanparty_wire::doctor::{Finding, Light};
use serde::Serialize;

use crate::cli::{ExitCode, Failure};

/// Collects findings and prints them.
#[derive(Debug)]
pub struct DoctorPage {
    json: bool,
    colours: bool,
    findings: Vec<Finding>,
}

/// What scripts read.
#[derive(Serialize)]
struct Report<'a> {
    findings: &'a [Finding],
}

impl DoctorPage {
    /// On standard output, with colours if that is a terminal.
    pub fn new(json: bool) -> DoctorPage {
        DoctorPage {
            json,
            colours: !json && io::stdout().is_terminal(),
            findings: Vec::new(),
        }
    }

    /// Shows findings to people at once.
    ///
    /// # Errors
    /// Standard output takes nothing more.
    pub fn add(&mut self, findings: impl IntoIterator<Item = Finding>) -> Result<(), Failure> {
        for finding in findings {
            if !self.json {
                print(&text(&finding, self.colours))?;
            }
            self.findings.push(finding);
        }
        Ok(())
    }

    /// Shows all of them to scripts.
    ///
    /// # Errors
    /// Something is red, or standard output takes nothing more.
    pub fn finish(self) -> Result<(), Failure> {
        if self.json {
            let report = Report {
                findings: &self.findings,
            };
            let text = serde_json::to_string_pretty(&report)
                .map_err(|error| Failure::new(ExitCode::Unexpected, error))?;
            print(&format!("{text}\n"))?;
        }
        match self.findings.iter().filter(|f| f.light == Light::Red).count() {
            0 => Ok(()),
            1 => Err(red("one thing keeps a party from working".into())),
            count => Err(red(format!("{count} things keep a party from working"))),
        }
    }
}

/// One finding as text: light, name and what was found in a line, and below it what to do.
pub fn text(finding: &Finding, colours: bool) -> String {
    let (light, colour) = match finding.light {
        Light::Green => ("green", "\x1b[32m"),
        Light::Yellow => ("yellow", "\x1b[33m"),
        Light::Red => ("red", "\x1b[31m"),
    };
    let (begin, end) = if colours { (colour, "\x1b[0m") } else { ("", "") };
    let name = finding.name;
    let mut text = format!(
        "{begin}{light:<7}{end} {name:<14} {}\n",
        printable(&finding.found)
    );
    if let Some(advice) = &finding.advice {
        text.push_str(&format!("{:<22} what to do: {}\n", "", printable(advice)));
    }
    text
}

/// One finding as a sentence among others that a program says while it runs; `None` if there is nothing to do.
pub fn sentence(finding: &Finding) -> Option<String> {
    let advice = finding.advice.as_deref()?;
    let word = match finding.light {
        Light::Green => return None,
        Light::Yellow => "Doctor: ",
        Light::Red => "Doctor, red: ",
    };
    Some(format!(
        "{word}{}; what to do: {} ({})",
        printable(&finding.found),
        printable(advice),
        finding.name
    ))
}

/// Words from a relay must not steer a terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever read our output has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.map_err(|error| Failure::new(ExitCode::Unexpected, error)),
    }
}

fn red(text: String) -> Failure {
    Failure::new(ExitCode::Unexpected, text)
}

#[cfg(test)]
mod tests {
    use lanparty_wire::doctor::Check;

    use super::*;

    #[test]
    fn a_line_has_its_light_its_name_and_the_way_out_below() {
        let finding = Finding::yellow(Check::Dhcp, "none \x1b[2J answers", "switch it on");
        assert_eq!(
            text(&finding, false),
            "yellow  dhcp           none [2J answers\n                       what to do: switch it on\n"
        );
        assert!(text(&finding, true).starts_with("\x1b[33myellow \x1b[0m "));
        assert_eq!(
            sentence(&finding).unwrap(),
            "Doctor: none [2J answers; what to do: switch it on (dhcp)"
        );
        assert_eq!(sentence(&Finding::green(Check::Dhcp, "fine")), None);
    }

    #[test]
    fn only_red_ends_with_a_failure() {
        let end = |findings: Vec<Finding>| {
            let page = DoctorPage {
                json: false,
                colours: false,
                findings,
            };
            page.finish().map_err(|failure| failure.code())
        };
        let green = Finding::green(Check::Mtu, "a");
        let yellow = Finding::yellow(Check::Mtu, "a", "b");
        assert_eq!(end(vec![green.clone(), yellow]), Ok(()));
        let red = Finding::red(Check::Mtu, "a", "b");
        assert_eq!(end(vec![green, red]), Err(ExitCode::Unexpected));
    }
}
