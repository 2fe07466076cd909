//! In no room: an invite and one button, and the rooms of earlier evenings.

use eframe::egui::{self, RichText, TextEdit, Ui};
use lanparty_api::{Command, order::RecentRoom};

use super::{card, colours, main_button, show_notice, text, title};
use crate::{entry::Entry, model::Model};

pub fn draw(ui: &mut Ui, model: &mut Model, orders: &mut Vec<Command>) {
    if let Some(ended) = model.ended() {
        show_notice(ui, &ended, false);
    }
    title(ui, "Join a party");
    card(ui, |ui| form(ui, model, orders));
    if model.rooms.is_empty() {
        return;
    }
    ui.add_space(8.0);
    ui.label(RichText::new("Earlier parties").strong());
    for room in model.rooms.clone() {
        card(ui, |ui| earlier(ui, model, &room, orders));
    }
}

fn form(ui: &mut Ui, model: &mut Model, orders: &mut Vec<Command>) {
    let colours = colours(ui);
    let label = ui.label(RichText::new("Invite link or code from the host").strong());
    let field = TextEdit::singleline(&mut model.text)
        .hint_text("lanparty://…  or  4711-word-word-word")
        .desired_width(f32::INFINITY)
        .margin(egui::vec2(10.0, 9.0));
    let typed = ui.add(field).labelled_by(label.id);
    let entry = model.entry();
    let mut confirmed = typed.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
    match &entry {
        Entry::Nothing => {}
        Entry::Link(invite) => {
            let words = format!(
                "Invite to a sealed room at {}. The relay cannot read what is played.",
                invite.relay
            );
            text(ui, RichText::new(words).small().color(colours.good));
        }
        Entry::Code => {
            text(
                ui,
                RichText::new("Short code of a sealed room.")
                    .small()
                    .color(colours.good),
            );
        }
        Entry::Room(code) => {
            let words = format!(
                "Open room {}: the relay's operator could read what is played.",
                code.as_str()
            );
            text(ui, RichText::new(words).small().color(colours.warning));
        }
        Entry::Wrong(reason) => {
            text(ui, RichText::new(reason).small().color(colours.bad));
        }
    }
    if entry.needs_relay() {
        ui.add_space(4.0);
        let label = ui.label(RichText::new("Relay").strong());
        let field = TextEdit::singleline(&mut model.relay)
            .hint_text("relay.example.org")
            .desired_width(f32::INFINITY)
            .margin(egui::vec2(10.0, 9.0));
        let relay = ui.add(field).labelled_by(label.id);
        confirmed |= relay.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
    }
    ui.add_space(8.0);
    let is_possible = !matches!(entry, Entry::Wrong(_) | Entry::Nothing);
    if main_button(ui, "Connect", is_possible).clicked() || confirmed && is_possible {
        orders.extend(model.connect());
    }
    if entry == Entry::Nothing {
        let words = "The host sends you a link, or reads you a short code. Your games then see the party as their own network.";
        text(ui, RichText::new(words).small().color(colours.quiet));
    }
}

fn earlier(ui: &mut Ui, model: &mut Model, room: &RecentRoom, orders: &mut Vec<Command>) {
    let colours = colours(ui);
    let name = match (room.host.as_str(), room.sealed) {
        ("", true) => format!("Sealed room {}", room.title),
        ("", false) => format!("Room {}", room.title),
        (host, _) => host.to_owned(),
    };
    ui.horizontal(|ui| {
        ui.vertical(|ui| {
            ui.label(RichText::new(&name).strong());
            ui.label(
                RichText::new(format!("at {}", room.relay))
                    .small()
                    .color(colours.quiet),
            );
        });
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let button = |ui: &mut Ui, word: &str| {
                let shown = ui.button(word);
                // Each button says to a screen reader which room it means.
                let label = format!("{word} {name}");
                shown.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Button, true, &label));
                shown.clicked()
            };
            if button(ui, "Join") {
                orders.extend(model.rejoin(&room.id));
            }
            if button(ui, "Forget") {
                orders.extend(model.forget(&room.id));
            }
        });
    });
}

/// A link was opened from outside.
pub fn ask(ui: &mut Ui, model: &mut Model, orders: &mut Vec<Command>) {
    let Some(says) = model.invitation().cloned() else {
        return;
    };
    title(ui, model.headline());
    card(ui, |ui| match says {
        Ok(where_to) => {
            text(ui, RichText::new(where_to).strong());
            text(
                ui,
                RichText::new(
                    "If you join, this machine gets a network adapter in the party's LAN: everybody there can reach it as if it stood in \
                     the same room. Join parties of people whom you know.",
                ),
            );
            ui.add_space(8.0);
            if main_button(ui, "Join", true).clicked() {
                orders.extend(model.accept());
            }
            if ui.button("Not now").clicked() {
                model.decline();
            }
        }
        Err(reason) => {
            text(ui, RichText::new(reason));
            if main_button(ui, "OK", true).clicked() {
                model.decline();
            }
        }
    });
}
