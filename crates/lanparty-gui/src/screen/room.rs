//! In a room: how far it has come, how the line is, and who is there.

use eframe::egui::{self, Color32, RichText, Stroke, Ui, Vec2, vec2};
use egui_plot::{Line, Plot, PlotPoints};
use lanparty_api::{
    Command,
    order::Phase,
    status::{EndpointStatus, MemberStatus},
};
use lanparty_wire::control::Role;

use super::{card, colours, mood_colour, text, title};
use crate::{
    checklist::{Progress, Step, milliseconds},
    model::{HISTORY, Model},
    theme::Palette,
};

pub fn draw(ui: &mut Ui, model: &mut Model, orders: &mut Vec<Command>) {
    let colours = colours(ui);
    ui.horizontal(|ui| {
        let (rect, _) = ui.allocate_exact_size(Vec2::splat(14.0), egui::Sense::hover());
        ui.painter()
            .circle_filled(rect.center(), 7.0, mood_colour(model.mood(), colours));
        title(ui, model.headline());
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            let leaving = model.phase() == Phase::Leaving;
            if ui
                .add_enabled(!leaving, egui::Button::new("Disconnect"))
                .clicked()
            {
                orders.extend(model.disconnect());
            }
        });
    });
    if let Some(room) = model.room() {
        ui.label(RichText::new(room).color(colours.quiet));
    }
    card(ui, |ui| {
        for step in model.steps() {
            line(ui, &step, colours);
        }
    });
    let endpoint = model.status().and_then(|status| status.endpoint.clone());
    if let Some(endpoint) = &endpoint
        && endpoint.is_joined()
    {
        card(ui, |ui| connection(ui, model, endpoint));
        card(ui, |ui| people(ui, endpoint));
    }
    card(ui, |ui| lan_games(ui, model, orders));
}

fn line(ui: &mut Ui, step: &Step, colours: Palette) {
    let colour = match step.progress {
        Progress::Later => colours.quiet,
        Progress::Now => colours.warning,
        Progress::Done => colours.good,
        Progress::Stuck => colours.bad,
    };
    ui.horizontal_top(|ui| {
        sign(ui, step.progress, colour, colours.card);
        ui.vertical(|ui| {
            let name = RichText::new(step.name).strong();
            let is_later = step.progress == Progress::Later;
            ui.label(if is_later { name.color(colours.quiet) } else { name });
            if !step.detail.is_empty() {
                text(ui, RichText::new(&step.detail).small().color(colours.quiet));
            }
            if let Some(fix) = step.fix {
                text(ui, RichText::new(fix).small().color(colour));
            }
        });
    });
    ui.add_space(2.0);
}

/// Never by its colour alone: each has a shape, and a word for a screen reader.
fn sign(ui: &mut Ui, progress: Progress, colour: Color32, behind: Color32) {
    let (rect, shown) = ui.allocate_exact_size(Vec2::splat(22.0), egui::Sense::hover());
    let (middle, painter) = (rect.center(), ui.painter());
    let stroke = |from: Vec2, to: Vec2| {
        painter.line_segment([middle + from, middle + to], Stroke::new(2.0, behind));
    };
    let word = match progress {
        Progress::Later => {
            painter.circle_stroke(middle, 6.0, Stroke::new(1.5, colour));
            "later"
        }
        Progress::Now => {
            painter.circle_stroke(middle, 7.0, Stroke::new(2.0, colour));
            painter.circle_filled(middle, 3.0, colour);
            "now"
        }
        Progress::Done => {
            painter.circle_filled(middle, 9.0, colour);
            stroke(vec2(-4.0, 0.5), vec2(-1.0, 3.5));
            stroke(vec2(-1.0, 3.5), vec2(4.5, -3.0));
            "done"
        }
        Progress::Stuck => {
            painter.circle_filled(middle, 9.0, colour);
            stroke(vec2(-3.0, -3.0), vec2(3.0, 3.0));
            stroke(vec2(-3.0, 3.0), vec2(3.0, -3.0));
            "problem"
        }
    };
    shown.widget_info(|| egui::WidgetInfo::labeled(egui::accesskit::Role::Label, true, word));
}

fn connection(ui: &mut Ui, model: &Model, endpoint: &EndpointStatus) {
    let colours = colours(ui);
    let rtt = endpoint
        .gateway
        .as_ref()
        .and_then(|gateway| gateway.rtt_us)
        .or(endpoint.relay.rtt_us);
    let loss = endpoint
        .redundancy
        .as_ref()
        .map(|redundancy| redundancy.loss_percent);
    ui.horizontal(|ui| {
        ui.label(RichText::new("Your line").strong());
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            if let Some(loss) = loss {
                ui.label(RichText::new(format!("{loss:.1} % lost")).color(colours.warning));
            }
            if let Some(rtt) = rtt {
                ui.label(RichText::new(milliseconds(rtt)).color(colours.accent));
            }
        });
    });
    let newest = model.samples.back().map_or(0.0, |sample| sample.at);
    let curve = |value: fn(&crate::model::Sample) -> Option<f64>| -> PlotPoints<'static> {
        let point = |sample: &crate::model::Sample| value(sample).map(|value| [sample.at - newest, value]);
        model.samples.iter().filter_map(point).collect()
    };
    Plot::new("line")
        .height(96.0)
        .allow_drag(false)
        .allow_zoom(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .show_x(false)
        .show_axes([false, true])
        .show_grid([false, true])
        .include_x(-HISTORY)
        .include_x(0.0)
        .include_y(0.0)
        .include_y(40.0)
        .show(ui, |plot| {
            plot.line(
                Line::new("there and back, ms", curve(|sample| sample.latency))
                    .color(colours.accent)
                    .width(2.0),
            );
            plot.line(
                Line::new("lost, %", curve(|sample| sample.loss))
                    .color(colours.warning)
                    .width(2.0),
            );
        });
    let words = "The last two minutes: milliseconds there and back, and percent of packets lost.";
    text(ui, RichText::new(words).small().color(colours.quiet));
}

fn people(ui: &mut Ui, endpoint: &EndpointStatus) {
    let colours = colours(ui);
    ui.label(RichText::new("In the room").strong());
    let own = if endpoint.name.is_empty() {
        "You"
    } else {
        &endpoint.name
    };
    person(ui, own, "this machine", None, colours);
    for member in &endpoint.members {
        let role = match member.role {
            Role::Gateway => "connects the party's LAN",
            Role::Client => "player",
        };
        person(ui, &MemberStatus::label(member), role, member.rtt_us, colours);
    }
}

fn person(ui: &mut Ui, name: &str, role: &str, rtt: Option<u64>, colours: Palette) {
    ui.horizontal(|ui| {
        ui.label(name);
        ui.label(RichText::new(role).small().color(colours.quiet));
        if let Some(rtt) = rtt {
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                ui.label(milliseconds(rtt));
            });
        }
    });
}

fn lan_games(ui: &mut Ui, model: &mut Model, orders: &mut Vec<Command>) {
    let colours = colours(ui);
    let mut settings = model.settings();
    if ui
        .checkbox(&mut settings.lan_games, "LAN games go through the party")
        .changed()
    {
        orders.extend(model.change(settings));
    }
    let words = "Games look for servers by calling into the network. With this on, they call into the party; with it off, into your own \
                 home's.";
    text(ui, RichText::new(words).small().color(colours.quiet));
}
