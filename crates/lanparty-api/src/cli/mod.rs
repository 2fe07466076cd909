//! The words that all three binaries understand, and the layers that settings come from.
//!
//! Settings come from a TOML file, the environment and flags, and the later one wins. A key of the file is the flag without its dashes, a
//! variable is the flag in capitals behind `LANPARTY_`; so whoever knows one spelling knows all three. clap puts flags over the
//! environment, [`layered`] puts both over the file.

mod doctor;
mod exit;
mod log_file;
mod logging;
mod settings;
mod status;

use std::{ffi::OsString, path::PathBuf, process};

use clap::{
    CommandFactory, FromArgMatches,
    error::{ContextKind, ContextValue, ErrorKind},
};
use serde::Deserialize;

pub use self::{
    doctor::DoctorArgs,
    exit::{EXIT_CODES_HELP, ExitCode, Failure, finish},
    logging::{LogFormat, LogTail, init_logging, init_logging_with},
    settings::{Layer, SettingsError, load, parse_text},
    status::{
        SaveDiscoveryArgs, StatusArgs, explain, print_status, print_status_at, save_discovery, write_private,
    },
};

/// The flags that every binary has. Flatten it into the parser; each works before and after a subcommand.
#[derive(clap::Args, Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct CommonArgs {
    /// Read settings from this TOML file; the environment and flags win over it
    #[arg(long, global = true, value_name = "FILE", env = "LANPARTY_CONFIG")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Keep identity, certificates and the status socket here [default: by the platform's convention]
    #[arg(long, global = true, value_name = "DIR", env = "LANPARTY_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// How log lines look on standard error [default: text]
    #[arg(long, global = true, value_name = "FORMAT", env = "LANPARTY_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Log more; repeat for still more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

impl CommonArgs {
    /// The names of its keys in a file, where they stand beside a program's own.
    const KEYS: [&'static str; 3] = ["state-dir", "log-format", "verbose"];

    fn over(self, below: CommonArgs) -> CommonArgs {
        CommonArgs {
            config: self.config,
            state_dir: self.state_dir.or(below.state_dir),
            log_format: self.log_format.or(below.log_format),
            verbose: if self.verbose > 0 {
                self.verbose
            } else {
                below.verbose
            },
        }
    }
}

/// Parses the command line and the environment. Help, version and mistakes are printed, and end the process with the code that
/// [`ExitCode`] gives them.
pub fn parse<T: CommandFactory + FromArgMatches>() -> T {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    try_parse(&arguments, |name| std::env::var_os(name)).unwrap_or_else(|(error, hint)| {
        let code = if error.use_stderr() {
            ExitCode::Usage
        } else {
            ExitCode::Ok
        };
        // Nothing is left to tell anybody when standard error is gone.
        let _ = error.print();
        if let Some(hint) = hint {
            eprintln!("\n{hint}");
        }
        process::exit(code.value())
    })
}

/// Puts flags and environment over the file that `--config` names.
///
/// # Errors
/// A file that cannot be read or is wrong, with the line and the key.
pub fn layered<T: Layer>(common: CommonArgs, settings: T) -> Result<(CommonArgs, T), Failure> {
    let Some(path) = common.config.clone() else {
        return Ok((common, settings));
    };
    let (common_below, settings_below) = load::<T>(&path)?;
    Ok((common.over(common_below), settings.over(settings_below)))
}

type ParseError = (clap::Error, Option<String>);

fn try_parse<T: CommandFactory + FromArgMatches>(
    arguments: &[OsString],
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<T, ParseError> {
    let mut command = T::command();
    let matches = command.try_get_matches_from_mut(arguments);
    matches
        .and_then(|matches| T::from_arg_matches(&matches))
        .map_err(|error| {
            let error = error.format(&mut command);
            let hint = environment_hint(&command, &error, arguments, variable);
            (error, hint)
        })
}

/// clap names the flag of a wrong value even where the value came from the environment; this says so.
fn environment_hint(
    command: &clap::Command,
    error: &clap::Error,
    arguments: &[OsString],
    variable: impl Fn(&str) -> Option<OsString>,
) -> Option<String> {
    if !matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue) {
        return None;
    }
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let flag = shown.split([' ', '=']).next()?;
    let argument = command
        .get_arguments()
        .find(|a| a.get_long().is_some_and(|l| flag == format!("--{l}")))?;
    let name = argument.get_env()?.to_str()?;
    let typed = arguments
        .iter()
        .filter_map(|a| a.to_str())
        .any(|a| a.split('=').next() == Some(flag));
    if typed || variable(name).is_none() {
        return None;
    }
    Some(format!("The value comes from the environment variable {name}."))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    #[command(name = "example")]
    struct Example {
        #[command(flatten)]
        common: CommonArgs,
        #[arg(long, env = "LANPARTY_API_TEST_NUMBER")]
        number: Option<u16>,
        #[command(subcommand)]
        command: Option<Sub>,
    }

    #[derive(clap::Subcommand, Debug)]
    enum Sub {
        Status,
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Example::command().debug_assert();
    }

    #[test]
    fn common_flags_work_before_and_after_a_subcommand() {
        for line in [
            "example --state-dir here -vv status",
            "example status --state-dir here -vv",
        ] {
            let example = from_line(line, None).unwrap();
            assert_eq!(
                example.common.state_dir.as_deref(),
                Some("here".as_ref()),
                "{line}"
            );
            assert_eq!(example.common.verbose, 2, "{line}");
            assert!(matches!(example.command, Some(Sub::Status)), "{line}");
        }
    }

    #[test]
    fn a_wrong_value_says_when_it_came_from_the_environment() {
        let (error, hint) = from_line("example --number many", Some("7")).unwrap_err();
        assert!(error.to_string().contains("--number"), "{error}");
        assert_eq!(hint, None);
        let mut command = Example::command();
        let error = command
            .try_get_matches_from_mut(["example", "--number", "many"])
            .unwrap_err();
        let hint = environment_hint(&command, &error, &["example".into()], |_| Some("many".into()));
        assert_eq!(
            hint.unwrap(),
            "The value comes from the environment variable LANPARTY_API_TEST_NUMBER."
        );
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_nothing() {
        let flags = CommonArgs {
            state_dir: Some("flag".into()),
            ..CommonArgs::default()
        };
        let file = CommonArgs {
            state_dir: Some("file".into()),
            log_format: Some(LogFormat::Json),
            verbose: 1,
            config: None,
        };
        let merged = flags.over(file);
        assert_eq!(merged.state_dir.as_deref(), Some("flag".as_ref()));
        assert_eq!(merged.log_format, Some(LogFormat::Json));
        assert_eq!(merged.verbose, 1);
    }

    fn from_line(line: &str, variable: Option<&str>) -> Result<Example, ParseError> {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        try_parse(&arguments, |_| variable.map(OsString::from))
    }
}
