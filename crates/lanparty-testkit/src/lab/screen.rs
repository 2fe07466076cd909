//! A screen in front of a machine of the lab, with somebody at its keyboard.

use std::{env, path::PathBuf, time::Duration};

use super::{Machine, Process, error::LabError, wait_for};

const LIMIT: Duration = Duration::from_secs(60);
/// What the titles of our windows begin with, as a pattern.
const WINDOW: &str = "^lanparty";

/// A virtual screen. Dropping it switches it off.
#[derive(Debug)]
pub struct Screen {
    display: String,
    _server: Process,
}

impl Screen {
    /// One of the size of our window.
    ///
    /// # Errors
    /// `Xvfb` is missing or does not start.
    pub fn new(machine: &Machine) -> Result<Screen, LabError> {
        let words = [
            "Xvfb",
            "-displayfd",
            "1",
            "-screen",
            "0",
            "520x900x24",
            "-nolisten",
            "tcp",
        ];
        let mut server = machine.spawn("screen", &words)?;
        let display = wait_for("a screen", LIMIT, || {
            let has_ended = !server.is_running();
            let number = server
                .log()
                .lines()
                .find_map(|line| line.trim().parse::<u32>().ok());
            number.map(Some).or_else(|| has_ended.then_some(None))
        })?;
        let Some(display) = display else {
            return Err(LabError::Unreadable {
                what: "the screen's number".to_owned(),
                text: server.log(),
            });
        };
        Ok(Screen {
            display: format!("DISPLAY=:{display}"),
            _server: server,
        })
    }

    /// What a program is started with to be seen on it, as words behind `env`.
    pub fn environment(&self) -> [String; 2] {
        [self.display.clone(), "LIBGL_ALWAYS_SOFTWARE=1".to_owned()]
    }

    /// What a tool of the screen prints; nothing if it finds nothing.
    fn tool(&self, machine: &Machine, script: &str) -> Result<String, LabError> {
        let script = format!("export {}; {script}", self.display);
        Ok(machine.output(&["sh", "-c", &script], LIMIT)?.stdout)
    }

    /// Waits for one of our windows to have this title.
    ///
    /// # Errors
    /// None has it in time; the titles that there are.
    pub fn wait_for_title(&self, machine: &Machine, title: &str) -> Result<(), LabError> {
        let mut last = Ok(String::new());
        let look = format!("xdotool search --onlyvisible --name {WINDOW} getwindowname %@");
        let found = wait_for(title, LIMIT, || {
            last = self.tool(machine, &look);
            let is_there = |titles: &String| titles.lines().any(|line| line == title);
            last.as_ref().is_ok_and(is_there).then_some(())
        });
        let last = last?;
        found.map_err(|_| LabError::Timeout {
            what: format!("the title {title:?}"),
            waited: LIMIT,
            detail: format!("; the title is {last}"),
        })
    }

    /// Presses keys in our window, one after the other, as xdotool calls them.
    ///
    /// # Errors
    /// The machine is gone.
    pub fn keys(&self, machine: &Machine, keys: &[&str]) -> Result<(), LabError> {
        let window = format!("$(xdotool search --onlyvisible --name {WINDOW} | head -1)");
        self.tool(machine, &format!("xdotool windowfocus --sync {window}"))?;
        for key in keys {
            self.tool(machine, &format!("xdotool key {key}; sleep 0.3"))?;
        }
        Ok(())
    }

    /// How many colours are on the screen: one on a blank one, two or three if a window draws nothing.
    ///
    /// # Errors
    /// ImageMagick is missing.
    pub fn colours(&self, machine: &Machine) -> Result<u32, LabError> {
        let text = self.tool(machine, "import -window root miff:- | identify -format %k -")?;
        text.trim().parse().map_err(|_| LabError::Unreadable {
            what: "the number of colours on the screen".to_owned(),
            text,
        })
    }

    /// With LANPARTY_PICTURES=FOLDER takes a picture for the documentation.
    ///
    /// # Errors
    /// The machine is gone.
    pub fn picture(&self, machine: &Machine, name: &str) -> Result<(), LabError> {
        let Some(folder) = env::var_os("LANPARTY_PICTURES") else {
            return Ok(());
        };
        let file = PathBuf::from(folder).join(name).with_extension("png");
        // What has just been told is drawn a moment later.
        let script = format!("sleep 2; import -window root '{}'", file.display());
        self.tool(machine, &script).map(drop)
    }
}
