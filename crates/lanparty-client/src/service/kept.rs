//! Files that the service keeps from evening to evening: JSON with a version, and a way up from every older version.
//!
//! A file of a newer program, or one that cannot be read, is set aside under another name, never overwritten: who goes back to an
//! older program for an evening finds his settings again.

use std::{
    fs,
    path::{Path, PathBuf},
};

use lanparty_api::{
    cli::{ExitCode, Failure},
    order::ServiceSettings,
};
use lanparty_os::dirs::write_private;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// From the version of its place (counted from 0) to the next one.
pub type Migration = fn(&mut Value);

/// What a kind of file is called, and how older ones come up to date.
pub struct Kind {
    pub name: &'static str,
    /// As many as there are older versions.
    pub migrations: &'static [Migration],
}

impl Kind {
    fn version(&self) -> u64 {
        self.migrations.len() as u64
    }

    /// The content in this program's version; `None` if there is none that can be used.
    pub fn load<T: DeserializeOwned>(&self, directory: &Path) -> Option<T> {
        let path = directory.join(self.name);
        let text = fs::read(&path).ok()?;
        match self.read(&text) {
            Ok(content) => Some(content),
            Err(reason) => {
                let aside = path.with_extension("set-aside.json");
                let kept = fs::rename(&path, &aside);
                tracing::warn!(file = %path.display(), reason, kept = kept.is_ok(), "a file of the service is not used and set aside");
                None
            }
        }
    }

    fn read<T: DeserializeOwned>(&self, text: &[u8]) -> Result<T, String> {
        let mut file: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        // The first files had no version.
        let version = file.get("version").map_or(Some(0), Value::as_u64);
        let version = version.ok_or("its version is no number")?;
        let Some(missing) = usize::try_from(version)
            .ok()
            .and_then(|v| self.migrations.get(v..))
        else {
            return Err(format!(
                "it is of version {version}, and this program knows up to {}",
                self.version()
            ));
        };
        let content = match file.get_mut("content") {
            Some(content) => content,
            None => &mut file,
        };
        for migrate in missing {
            migrate(content);
        }
        serde_json::from_value(content.take()).map_err(|error| error.to_string())
    }

    /// # Errors
    /// The system refuses.
    pub fn save<T: Serialize>(&self, directory: &Path, content: &T) -> Result<(), Failure> {
        let file = json!({"version": self.version(), "content": content});
        let text =
            serde_json::to_vec_pretty(&file).map_err(|error| Failure::new(ExitCode::Unexpected, error))?;
        write_private(&directory.join(self.name), &text).map_err(|error| Failure::new(ExitCode::Host, error))
    }
}

const SETTINGS: Kind = Kind {
    name: "service-settings.json",
    // Version 0 was the bare content.
    migrations: &[|_| {}],
};

/// The settings with their place.
pub struct SettingsFile {
    directory: PathBuf,
    pub current: ServiceSettings,
}

impl SettingsFile {
    pub fn load(directory: &Path) -> SettingsFile {
        SettingsFile {
            directory: directory.to_owned(),
            current: SETTINGS.load(directory).unwrap_or_default(),
        }
    }

    /// # Errors
    /// They cannot be kept; then nothing is changed.
    pub fn change(&mut self, settings: ServiceSettings) -> Result<(), Failure> {
        SETTINGS.save(&self.directory, &settings)?;
        self.current = settings;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Pet {
        name: String,
        legs: u32,
    }

    /// Version 0 called the name `title`, version 1 did not count legs.
    const PETS: Kind = Kind {
        name: "pets.json",
        migrations: &[
            |pet| {
                let title = pet["title"].take();
                pet["name"] = title;
            },
            |pet| pet["legs"] = 4.into(),
        ],
    };

    #[test]
    fn every_older_version_comes_up_to_date() {
        let dir = tempfile::tempdir().unwrap();
        let cat = Pet {
            name: "cat".into(),
            legs: 4,
        };
        for text in [
            r#"{"title":"cat"}"#,
            r#"{"version":1,"content":{"name":"cat"}}"#,
            r#"{"version":2,"content":{"name":"cat","legs":4}}"#,
        ] {
            fs::write(dir.path().join("pets.json"), text).unwrap();
            assert_eq!(PETS.load::<Pet>(dir.path()).as_ref(), Some(&cat), "{text}");
        }
        PETS.save(dir.path(), &cat).unwrap();
        let text = fs::read_to_string(dir.path().join("pets.json")).unwrap();
        assert!(text.contains("\"version\": 2"), "{text}");
        assert_eq!(PETS.load::<Pet>(dir.path()), Some(cat));
    }

    #[test]
    fn what_cannot_be_used_is_set_aside_and_not_lost() {
        let dir = tempfile::tempdir().unwrap();
        for text in [
            r#"{"version":3,"content":{}}"#,
            "{",
            r#"{"version":"x"}"#,
            r#"{"version":2,"content":{"name":7}}"#,
        ] {
            fs::write(dir.path().join("pets.json"), text).unwrap();
            assert_eq!(PETS.load::<Pet>(dir.path()), None, "{text}");
            assert_eq!(
                fs::read_to_string(dir.path().join("pets.set-aside.json")).unwrap(),
                text
            );
            assert!(!dir.path().join("pets.json").exists());
        }
    }

    #[test]
    fn settings_are_found_again_and_new_ones_have_their_defaults() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = SettingsFile::load(dir.path());
        assert_eq!(file.current, ServiceSettings::default());
        let settings = ServiceSettings {
            name: "ada".into(),
            lan_games: false,
            ..ServiceSettings::default()
        };
        file.change(settings.clone()).unwrap();
        assert_eq!(SettingsFile::load(dir.path()).current, settings);
        fs::write(dir.path().join("service-settings.json"), r#"{"name":"bob"}"#).unwrap();
        let found = SettingsFile::load(dir.path()).current;
        assert_eq!((found.name.as_str(), found.dhcp), ("bob", true));
    }
}
