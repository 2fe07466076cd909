//! Settings, and what helps when something does not work.

use eframe::egui::{RichText, TextEdit, Ui, vec2};
use lanparty_api::{Command, render};

use super::{card, colours, text, title};
use crate::model::Model;

pub fn draw(ui: &mut Ui, model: &mut Model, orders: &mut Vec<Command>) {
    title(ui, "Help and settings");
    if model.service().is_some() {
        card(ui, |ui| settings(ui, model, orders));
    }
    card(ui, |ui| diagnostics(ui, model, orders));
    card(ui, |ui| story(ui, model));
    if let Some(status) = model.status() {
        let mut details = render::text(status, status.since_unix);
        ui.collapsing("Details for experts", |ui| {
            ui.add(
                TextEdit::multiline(&mut details)
                    .desired_width(f32::INFINITY)
                    .interactive(false),
            );
        });
    }
}

fn settings(ui: &mut Ui, model: &mut Model, orders: &mut Vec<Command>) {
    let colours = colours(ui);
    let mut settings = model.settings();
    let label = ui.label(RichText::new("What others see you called").strong());
    let mut name = model.name.clone().unwrap_or_else(|| settings.name.clone());
    let field = TextEdit::singleline(&mut name)
        .hint_text("your name")
        .char_limit(40)
        .desired_width(f32::INFINITY)
        .margin(vec2(10.0, 9.0));
    let typed = ui.add(field).labelled_by(label.id);
    if typed.changed() {
        model.name = Some(name);
    }
    if typed.lost_focus()
        && let Some(name) = model.name.take()
        && name != settings.name
    {
        settings.name = name;
        orders.extend(model.change(settings.clone()));
    }
    ui.add_space(4.0);
    let dhcp = ui.checkbox(&mut settings.dhcp, "Get an address from the party");
    let games = ui.checkbox(&mut settings.lan_games, "LAN games go through the party");
    if dhcp.changed() || games.changed() {
        orders.extend(model.change(settings));
    }
    text(
        ui,
        RichText::new("Name and address hold from the next room on.")
            .small()
            .color(colours.quiet),
    );
}

fn diagnostics(ui: &mut Ui, model: &Model, orders: &mut Vec<Command>) {
    let colours = colours(ui);
    ui.label(RichText::new("Ask somebody for help").strong());
    text(
        ui,
        RichText::new(
            "One file with what the service has seen and logged. Invites, codes and keys are taken out; names and addresses stay in.",
        )
        .small()
        .color(colours.quiet),
    );
    if ui
        .add_enabled(
            model.service().is_some(),
            eframe::egui::Button::new("Save diagnostics"),
        )
        .clicked()
    {
        orders.push(Command::Diagnostics);
    }
}

fn story(ui: &mut Ui, model: &Model) {
    let colours = colours(ui);
    ui.label(RichText::new("What has happened").strong());
    if model.story.is_empty() {
        ui.label(RichText::new("Nothing yet.").color(colours.quiet));
    }
    for line in &model.story {
        let words = RichText::new(&line.text).small();
        text(
            ui,
            if Model::is_worry(line) {
                words.color(colours.warning)
            } else {
                words
            },
        );
    }
}
