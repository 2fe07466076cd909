//! The window: what the player's service does, and one button to tell it what to do.
//!
//! It runs without privileges and imports nothing of what moves frames. What is on the screen is decided by a pure [`model`] and drawn
//! by [`screen`]; [`service`] is the line to the service, which does the work.

#![cfg_attr(all(windows, not(debug_assertions)), windows_subsystem = "windows")]

mod checklist;
mod entry;
mod kept;
mod model;
#[cfg(test)]
mod samples;
mod screen;
mod service;
#[cfg(test)]
mod tests;
mod theme;

use std::{
    env,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use eframe::egui::{self, ViewportBuilder};
use lanparty_api::local::service_path;

use crate::{kept::Kept, model::Model, service::Service};

const HELP: &str = "\
lanparty: the window of the lanparty client

Usage: lanparty [OPTIONS] [--] [LINK]

  LINK               an invite link; the window asks before it joins. Behind -- nothing else is an option
  --socket PATH      the service's socket, instead of the well-known one (or LANPARTY_SOCKET)
  --version, --help

It needs the service: `lanparty-client service`, as root.";

/// What the command line and the environment say.
#[derive(Debug, Default, PartialEq)]
struct Arguments {
    link: Option<String>,
    socket: Option<PathBuf>,
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let mut options = words.iter().map(String::as_str).take_while(|&word| word != "--");
    match options.find(|word| ["--help", "-h", "--version", "-V"].contains(word)) {
        Some("--help" | "-h") => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Some(_) => {
            println!("lanparty {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        None => {}
    }
    let outcome = arguments(&words).and_then(|arguments| open(arguments).map_err(|error| error.to_string()));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!(
                "lanparty: {error}\n  what to do: the window needs OpenGL 2.1 or newer; without it the command line does the same: \
                 `lanparty-client connect LINK`, `lanparty-client status`"
            );
            ExitCode::FAILURE
        }
    }
}

fn arguments(words: &[String]) -> Result<Arguments, String> {
    let mut arguments = Arguments::default();
    let mut words = words.iter();
    let mut only_links = false;
    while let Some(word) = words.next() {
        match word.as_str() {
            "--" if !only_links => only_links = true,
            "--socket" if !only_links => {
                let path = words.next().ok_or("--socket needs a path")?;
                arguments.socket = Some(path.into());
            }
            flag if flag.starts_with('-') && !only_links => {
                return Err(format!("there is no flag {flag}; see --help"));
            }
            link if arguments.link.is_none() => arguments.link = Some(link.to_owned()),
            _ => return Err("one link at a time".to_owned()),
        }
    }
    Ok(arguments)
}

fn open(arguments: Arguments) -> eframe::Result {
    let socket = arguments
        .socket
        .or_else(|| env::var_os("LANPARTY_SOCKET").map(PathBuf::from))
        .unwrap_or_else(service_path);
    let options = eframe::NativeOptions {
        viewport: ViewportBuilder::default()
            .with_title("lanparty")
            .with_app_id("lanparty")
            .with_inner_size([520.0, 760.0])
            .with_min_inner_size([380.0, 420.0]),
        ..eframe::NativeOptions::default()
    };
    let create: eframe::AppCreator<'_> = Box::new(move |creation| {
        theme::install(&creation.egui_ctx);
        let kept = Kept::of_this_person();
        creation.egui_ctx.set_theme(kept.theme());
        let context = creation.egui_ctx.clone();
        let service = Service::find(socket, folder(), move || context.request_repaint())?;
        Ok(Box::new(Window {
            model: Model::opened_with(arguments.link),
            service,
            opened: Instant::now(),
            title: "",
            kept,
        }))
    });
    eframe::run_native("lanparty", options, create)
}

/// Where a player looks for a file that was just saved.
fn folder() -> PathBuf {
    let home = env::var_os(if cfg!(windows) { "USERPROFILE" } else { "HOME" }).map(PathBuf::from);
    let home = home.unwrap_or_else(env::temp_dir);
    let downloads = home.join("Downloads");
    if downloads.is_dir() { downloads } else { home }
}

struct Window {
    model: Model,
    service: Service,
    opened: Instant,
    /// What the title says.
    title: &'static str,
    kept: Kept,
}

impl eframe::App for Window {
    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        let now = self.opened.elapsed().as_secs_f64();
        let mut orders = Vec::new();
        for news in self.service.news() {
            orders.extend(self.model.hear(news, now));
        }
        orders.extend(screen::draw(ui, &mut self.model));
        for order in orders {
            if let Some(refused) = self.service.give(order) {
                self.model.hear(refused, now);
            }
        }
        let title = self.model.headline();
        if self.title != title {
            self.title = title;
            let title = format!("lanparty: {title}");
            ui.ctx().send_viewport_cmd(egui::ViewportCommand::Title(title));
        }
        self.kept
            .set_theme(ui.ctx().options(|options| options.theme_preference));
        // The plot moves on while nothing changes.
        ui.ctx().request_repaint_after(Duration::from_secs(1));
    }
}

#[cfg(test)]
mod argument_tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Arguments, String> {
        arguments(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn what_a_link_from_the_web_brings_along_is_no_option() {
        let link = |link: &str| Arguments {
            link: Some(link.to_owned()),
            socket: None,
        };
        assert_eq!(parsed(&["lanparty://x"]), Ok(link("lanparty://x")));
        assert_eq!(parsed(&["--", "lanparty://x"]), Ok(link("lanparty://x")));
        assert_eq!(parsed(&["--", "--socket"]), Ok(link("--socket")));
        assert!(parsed(&["--", "lanparty://x", "--socket", "elsewhere"]).is_err());
        assert!(parsed(&["--sockets", "lanparty://x"]).is_err());
    }
}
