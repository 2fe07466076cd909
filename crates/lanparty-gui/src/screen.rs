//! Draws a model, and returns the orders that the player's clicks make. Everything that can be decided is decided in the
//! [`model`](crate::model).

mod help;
mod room;
mod start;

use eframe::egui::{
    self, Button, CentralPanel, CornerRadius, Frame, Label, Layout, Margin, Panel, Response, RichText,
    ScrollArea, Stroke, Ui, vec2,
};
use lanparty_api::Command;

use crate::{
    model::{Model, Mood, Notice, Page, Screen},
    theme::{CARD, Palette, palette},
};

/// The text column never becomes wider than one can read.
const COLUMN: f32 = 560.0;

/// One frame of the whole window.
pub fn draw(ui: &mut Ui, model: &mut Model) -> Vec<Command> {
    let mut orders = Vec::new();
    Panel::top("header")
        .frame(
            Frame::new()
                .fill(ui.visuals().panel_fill)
                .inner_margin(Margin::symmetric(20, 14)),
        )
        .show(ui, |ui| header(ui, model));
    let margin = Margin::symmetric(20, 8);
    CentralPanel::default()
        .frame(Frame::central_panel(ui.style()).inner_margin(margin))
        .show(ui, |ui| {
            ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
                ui.set_max_width(COLUMN.min(ui.available_width()));
                if let Some(notice) = model.notice.clone()
                    && show_notice(ui, &notice, true)
                {
                    model.notice = None;
                }
                match (model.page, model.screen()) {
                    (Page::Help, _) => help::draw(ui, model, &mut orders),
                    (Page::Play, Screen::NoService) => no_service(ui, model),
                    (Page::Play, Screen::Asking) => start::ask(ui, model, &mut orders),
                    (Page::Play, Screen::Start) => start::draw(ui, model, &mut orders),
                    (Page::Play, Screen::Room) => room::draw(ui, model, &mut orders),
                }
                ui.add_space(16.0);
            });
        });
    orders
}

fn header(ui: &mut Ui, model: &mut Model) {
    ui.horizontal(|ui| {
        ui.label(RichText::new("lanparty").size(20.0).strong());
        ui.add_space(8.0);
        for (page, name) in [(Page::Play, "Play"), (Page::Help, "Help and settings")] {
            if ui.selectable_label(model.page == page, name).clicked() {
                model.page = page;
            }
        }
        ui.with_layout(Layout::right_to_left(egui::Align::Center), |ui| {
            let dark = ui.visuals().dark_mode;
            let (name, other) = if dark {
                ("Light", egui::ThemePreference::Light)
            } else {
                ("Dark", egui::ThemePreference::Dark)
            };
            if ui
                .button(name)
                .on_hover_text("Change how the window looks")
                .clicked()
            {
                ui.ctx().set_theme(other);
            }
        });
    });
}

fn no_service(ui: &mut Ui, model: &Model) {
    title(ui, model.headline());
    let colours = colours(ui);
    match model.away() {
        None => {
            ui.label("Looking for it …");
        }
        Some(reason) => card(ui, |ui| {
            text(
                ui,
                RichText::new(
                    "The window has no rights of its own: a service on this machine makes the network adapter and the tunnel. It has to \
                 run, and you have to be allowed to use it.",
                ),
            );
            ui.add_space(4.0);
            ui.label(RichText::new("What to do").strong());
            for line in ADVICE {
                text(ui, RichText::new(format!("•  {line}")));
            }
            ui.add_space(4.0);
            text(ui, RichText::new(reason).small().color(colours.quiet));
        }),
    }
}

#[cfg(not(windows))]
const ADVICE: &[&str] = &[
    "Start it: sudo systemctl start lanparty-client",
    "Once for each player: sudo usermod -aG lanparty NAME, then log in anew.",
    "This page goes away by itself as soon as the service answers.",
];
#[cfg(windows)]
const ADVICE: &[&str] = &[
    "Open Services from the start menu, look for lanparty, and press Start.",
    "If it is not in that list, install lanparty again.",
    "This page goes away by itself as soon as the service answers.",
];

/// True when it was closed.
fn show_notice(ui: &mut Ui, notice: &Notice, can_close: bool) -> bool {
    let colours = colours(ui);
    let colour = if notice.is_good { colours.good } else { colours.bad };
    let mut closed = false;
    Frame::new()
        .fill(colour.gamma_multiply(0.12))
        .stroke(Stroke::new(1.0, colour.gamma_multiply(0.6)))
        .corner_radius(CornerRadius::same(10))
        .inner_margin(CARD)
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            text(ui, RichText::new(&notice.text).strong());
            if let Some(advice) = &notice.advice {
                text(ui, RichText::new(advice));
            }
            closed = can_close && ui.button("OK").clicked();
        });
    ui.add_space(8.0);
    closed
}

fn title(ui: &mut Ui, text: &str) {
    ui.add_space(4.0);
    ui.heading(text);
    ui.add_space(4.0);
}

/// Text that goes on in the next line.
fn text(ui: &mut Ui, text: RichText) -> Response {
    ui.add(Label::new(text).wrap())
}

fn card<R>(ui: &mut Ui, contents: impl FnOnce(&mut Ui) -> R) -> R {
    let colours = colours(ui);
    let shown = Frame::new()
        .fill(colours.card)
        .stroke(Stroke::new(1.0, colours.line))
        .corner_radius(CornerRadius::same(12))
        .inner_margin(CARD)
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            contents(ui)
        });
    ui.add_space(8.0);
    shown.inner
}

/// The one button of a screen.
fn main_button(ui: &mut Ui, name: &str, enabled: bool) -> Response {
    let colours = colours(ui);
    let text = RichText::new(name).size(17.0).strong().color(colours.on_accent);
    let button = Button::new(text)
        .fill(colours.accent)
        .corner_radius(CornerRadius::same(10));
    let size = vec2(ui.available_width(), 44.0);
    ui.add_enabled_ui(enabled, |ui| ui.add_sized(size, button)).inner
}

fn colours(ui: &Ui) -> Palette {
    palette(ui.visuals().dark_mode)
}

/// A coloured dot in front of a headline.
fn mood_colour(mood: Mood, colours: Palette) -> egui::Color32 {
    match mood {
        Mood::Off => colours.quiet,
        Mood::Busy => colours.warning,
        Mood::Good => colours.good,
        Mood::Bad => colours.bad,
    }
}
