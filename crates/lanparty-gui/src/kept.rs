//! What the window itself keeps from one time to the next, for the person who uses it. Everything about the party is kept by the service.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use eframe::egui::ThemePreference;
use serde::{Deserialize, Serialize};

/// The newest form of the file that this program writes.
const VERSION: u32 = 1;

/// The file's content. What a later version adds is left alone by this one, as long as the number is the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
struct Contents {
    version: u32,
    colours: Colours,
}

impl Default for Contents {
    fn default() -> Contents {
        Contents {
            version: VERSION,
            colours: Colours::System,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Colours {
    /// As the system has them.
    #[default]
    System,
    Dark,
    Light,
}

/// The file, and what is in it.
#[derive(Debug)]
pub struct Kept {
    /// None if there is no place for it, or a later version has written it.
    file: Option<PathBuf>,
    contents: Contents,
}

impl Kept {
    /// That of this person, if the system says where such files go.
    pub fn of_this_person() -> Kept {
        let folder = if cfg!(windows) {
            env::var_os("APPDATA").map(PathBuf::from)
        } else {
            let config = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
            config
                .filter(|config| config.is_absolute())
                .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")))
        };
        Kept::at(folder.map(|folder| folder.join("lanparty/window.toml")))
    }

    /// What is in a file, if it is there and can be understood.
    fn at(file: Option<PathBuf>) -> Kept {
        let text = file.as_deref().and_then(|file| fs::read_to_string(file).ok());
        let contents: Contents = text
            .and_then(|text| toml::from_str(&text).ok())
            .unwrap_or_default();
        Kept {
            // What a later version has written is not made poorer by this one.
            file: file.filter(|_| contents.version <= VERSION),
            contents: Contents {
                version: VERSION,
                ..contents
            },
        }
    }

    pub fn theme(&self) -> ThemePreference {
        match self.contents.colours {
            Colours::System => ThemePreference::System,
            Colours::Dark => ThemePreference::Dark,
            Colours::Light => ThemePreference::Light,
        }
    }

    /// Keeps the theme if it is another one. What cannot be kept is as it was the next time.
    pub fn set_theme(&mut self, theme: ThemePreference) {
        let colours = match theme {
            ThemePreference::System => Colours::System,
            ThemePreference::Dark => Colours::Dark,
            ThemePreference::Light => Colours::Light,
        };
        if self.contents.colours == colours {
            return;
        }
        self.contents.colours = colours;
        if let Some(file) = &self.file
            && let Err(error) = write(file, &self.contents)
        {
            eprintln!(
                "lanparty: could not keep the colours in {}: {error}",
                file.display()
            );
        }
    }
}

/// After a crash there is the old file or the new one.
fn write(file: &Path, contents: &Contents) -> io::Result<()> {
    let text = toml::to_string(contents).map_err(io::Error::other)?;
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let fresh = file.with_extension("new");
    fs::write(&fresh, text)?;
    fs::rename(&fresh, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_there_again_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lanparty/window.toml");
        let mut kept = Kept::at(Some(file.clone()));
        assert_eq!(kept.theme(), ThemePreference::System);
        kept.set_theme(ThemePreference::System);
        assert!(!file.exists(), "nothing has changed");
        kept.set_theme(ThemePreference::Light);
        assert_eq!(Kept::at(Some(file)).theme(), ThemePreference::Light);
    }

    #[test]
    fn what_a_later_version_has_written_stays_as_it_is_and_nonsense_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("window.toml");
        let later = "version = 2\ncolours = \"dark\"\nplaces = [1]\n";
        for (text, theme, stays) in [
            (later, ThemePreference::Dark, true),
            ("colours = 7", ThemePreference::System, false),
        ] {
            fs::write(&file, text).unwrap();
            let mut kept = Kept::at(Some(file.clone()));
            assert_eq!(kept.theme(), theme);
            kept.set_theme(ThemePreference::Light);
            assert_eq!(fs::read_to_string(&file).unwrap() == text, stays);
        }
    }
}
