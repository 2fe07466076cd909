//! Settings from a TOML file, with errors that name the file, the line and the key.

use std::{fs, io, path::Path, path::PathBuf};

use serde::{Deserialize, de::DeserializeOwned};
use toml::{
    Spanned,
    de::{DeTable, DeValue, Deserializer, Error},
};

use super::{CommonArgs, ExitCode, Failure};

/// A set of settings that can lie over another one. Implemented by `layer!` for structs, and for every `Option`.
pub trait Layer: Default + DeserializeOwned {
    /// What is set here wins over `below`.
    fn over(self, below: Self) -> Self;
}

impl<T: DeserializeOwned> Layer for Option<T> {
    fn over(self, below: Option<T>) -> Option<T> {
        self.or(below)
    }
}

/// Implements [`Layer`](crate::cli::Layer) for a struct whose fields are all layers. A field that is left out does not compile.
#[macro_export]
macro_rules! layer {
    ($type:ty { $($field:ident),+ $(,)? }) => {
        impl $crate::cli::Layer for $type {
            fn over(self, below: Self) -> Self {
                let Self { $($field),+ } = self;
                Self { $($field: $crate::cli::Layer::over($field, below.$field)),+ }
            }
        }
    };
}

/// Why a settings file is not taken.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("could not read the settings file {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}, line {line}: {problem}", path.display())]
    Syntax {
        path: PathBuf,
        line: usize,
        problem: String,
    },
    #[error("{}, line {line}, key {key:?}: {problem}", path.display())]
    Value {
        path: PathBuf,
        line: usize,
        key: String,
        problem: String,
    },
    #[error("{}, line {line}: there is no setting {key:?}{}", path.display(), suggestion(nearest))]
    Unknown {
        path: PathBuf,
        line: usize,
        key: String,
        nearest: Option<String>,
    },
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Failure {
        Failure::new(ExitCode::Usage, error)
    }
}

fn suggestion(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map(|name| format!("; did you mean {name:?}?"))
        .unwrap_or_default()
}

/// Reads the common settings and a program's own from one file.
///
/// # Errors
/// See [`SettingsError`].
pub fn load<T: Layer>(path: &Path) -> Result<(CommonArgs, T), SettingsError> {
    let text = fs::read_to_string(path).map_err(|source| SettingsError::Read {
        path: path.to_owned(),
        source,
    })?;
    parse_text(path, &text)
}

/// Like [`load`], for a text that was read already.
///
/// # Errors
/// See [`SettingsError`]; never [`SettingsError::Read`].
pub fn parse_text<T: Layer>(path: &Path, text: &str) -> Result<(CommonArgs, T), SettingsError> {
    let source = Source { path, text };
    let document = DeTable::parse(text).map_err(|error| source.syntax(&error))?;
    let span = document.span();
    let positions = document.get_ref().clone();
    let (common, own): (DeTable<'_>, DeTable<'_>) = document
        .into_inner()
        .into_iter()
        .partition(|(key, _)| CommonArgs::KEYS.contains(&&**key.get_ref()));
    let explain = |error: Error| source.explain(&error, &positions);
    let common = CommonArgs::deserialize(Deserializer::from(Spanned::new(span.clone(), common)));
    let own = T::deserialize(Deserializer::from(Spanned::new(span, own)));
    Ok((common.map_err(explain)?, own.map_err(explain)?))
}

struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn line(&self, offset: usize) -> usize {
        self.text
            .bytes()
            .take(offset)
            .filter(|&byte| byte == b'\n')
            .count()
            + 1
    }

    fn syntax(&self, error: &Error) -> SettingsError {
        let line = self.line(error.span().map_or(0, |span| span.start));
        SettingsError::Syntax {
            path: self.path.to_owned(),
            line,
            problem: one_line(error.message()),
        }
    }

    fn explain(&self, error: &Error, table: &DeTable<'_>) -> SettingsError {
        let Some(span) = error.span() else {
            return self.syntax(error);
        };
        let (path, line) = (self.path.to_owned(), self.line(span.start));
        let key = key_at(table, span.start).unwrap_or_default();
        match expected_names(error.message()) {
            Some((name, expected)) => SettingsError::Unknown {
                path,
                line,
                nearest: nearest(&name, &expected),
                key: name,
            },
            None => SettingsError::Value {
                path,
                line,
                key,
                problem: one_line(error.message()),
            },
        }
    }
}

/// The dotted key whose name or value covers `offset`.
fn key_at(table: &DeTable<'_>, offset: usize) -> Option<String> {
    let inside = |(key, value): &(&Spanned<_>, &Spanned<DeValue<'_>>)| {
        key.span().contains(&offset) || value.span().contains(&offset)
    };
    // A table's span ends with its header, so its keys are looked through wherever they stand.
    let nested = table.iter().find_map(|(key, value)| {
        let DeValue::Table(inner) = value.get_ref() else {
            return None;
        };
        key_at(inner, offset).map(|rest| format!("{}.{rest}", key.get_ref()))
    });
    nested.or_else(|| {
        table
            .iter()
            .find(inside)
            .map(|(key, _)| key.get_ref().to_string())
    })
}

/// serde names an unknown field and those that there are, in back quotes.
fn expected_names(message: &str) -> Option<(String, Vec<String>)> {
    let quoted = message.strip_prefix("unknown field ")?;
    let mut names = quoted.split('`').skip(1).step_by(2).map(str::to_owned);
    Some((names.next()?, names.collect()))
}

/// The known name that a mistyped one was meant to be: at most a third of its letters differ.
fn nearest(name: &str, known: &[String]) -> Option<String> {
    let best = known.iter().min_by_key(|candidate| distance(name, candidate))?;
    (distance(name, best) * 3 <= best.chars().count().max(3)).then(|| best.clone())
}

/// Levenshtein's distance; underscores count as dashes.
fn distance(a: &str, b: &str) -> usize {
    let letters = |text: &str| -> Vec<char> { text.to_lowercase().replace('_', "-").chars().collect() };
    let (a, b) = (letters(a), letters(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use lanparty_wire::{RelayAddress, RoomCode};
    use proptest::prelude::*;

    use super::*;
    use crate::cli::LogFormat;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
    struct Example {
        relay: Option<RelayAddress>,
        room: Option<RoomCode>,
        tap_name: Option<String>,
        limits: Limits,
    }
    layer!(Example {
        relay,
        room,
        tap_name,
        limits
    });

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
    struct Limits {
        max_members: Option<u16>,
    }
    layer!(Limits { max_members });

    #[test]
    fn a_file_sets_common_and_own_settings() {
        let (common, own) =
            read("state-dir = '/x'\nlog-format = 'json'\nroom = 'abc'\n[limits]\nmax-members = 3\n").unwrap();
        assert_eq!(common.state_dir, Some("/x".into()));
        assert_eq!(common.log_format, Some(LogFormat::Json));
        assert_eq!(own.room.unwrap().as_str(), "ABC");
        assert_eq!(own.limits.max_members, Some(3));
    }

    #[test]
    fn what_lies_over_wins_key_by_key() {
        let (_, file) = read("room = 'abc'\nrelay = 'a.example'\n[limits]\nmax-members = 3\n").unwrap();
        let (_, flags) = read("room = 'xyz'\n").unwrap();
        let merged = flags.over(file);
        assert_eq!(merged.room.unwrap().as_str(), "XYZ");
        assert_eq!(merged.relay.unwrap().host, "a.example");
        assert_eq!(merged.limits.max_members, Some(3));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_likely_one() {
        assert_eq!(
            refusal("\nrom = 'abc'\n"),
            "f.toml, line 2: there is no setting \"rom\"; did you mean \"room\"?"
        );
        assert_eq!(
            refusal("tap_name = 'x'\n"),
            "f.toml, line 1: there is no setting \"tap_name\"; did you mean \"tap-name\"?"
        );
        assert_eq!(
            refusal("colour = 1\n"),
            "f.toml, line 1: there is no setting \"colour\""
        );
        assert_eq!(
            refusal("[limits]\n\nmax-member = 1\n"),
            "f.toml, line 3: there is no setting \"max-member\"; did you mean \"max-members\"?"
        );
    }

    #[test]
    fn a_wrong_value_is_named_with_its_line_and_key() {
        assert_eq!(
            refusal("# a comment\nroom = 'a b'\n"),
            "f.toml, line 2, key \"room\": a room code has only letters, digits and dashes, not ' '"
        );
        assert_eq!(
            refusal("room = 'abc'\n[limits]\nmax-members = 'x'\n"),
            "f.toml, line 3, key \"limits.max-members\": invalid type: string \"x\", expected u16"
        );
        assert!(
            refusal("log-format = 'xml'\n")
                .starts_with("f.toml, line 1, key \"log-format\": unknown variant")
        );
    }

    #[test]
    fn broken_toml_is_named_with_its_line() {
        assert!(refusal("room = 'abc'\nrelay = \n").starts_with("f.toml, line 2: "));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load::<Example>("/nowhere/f.toml".as_ref()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "could not read the settings file /nowhere/f.toml"
        );
    }

    proptest! {
        #[test]
        fn no_text_panics_and_every_refusal_names_the_file(
            words in prop::collection::vec("room|relay|limits|max-members|[a-z]{1,3}|=|\\[|\\]|\\{|\\}|'[a-z]*'|[0-9]{1,9}|\n|\\.|\"|#|é|,", 0..30)
        ) {
            if let Err(error) = read(&words.concat()) {
                prop_assert!(error.to_string().starts_with("f.toml, line "), "{error}");
            }
        }
    }

    fn read(text: &str) -> Result<(CommonArgs, Example), SettingsError> {
        parse_text("f.toml".as_ref(), text)
    }

    fn refusal(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }
}
