//! Every screen as a picture and by clicks, without a window: egui draws in memory, [`raster`] turns that into pixels.

mod keyboard;
mod raster;

use eframe::egui::{Theme, Vec2, accesskit::Role};
use egui_kittest::{
    Harness, SnapshotResults,
    kittest::{NodeT, Queryable},
};
use lanparty_api::{Command, Status};

use self::raster::Raster;
use crate::{
    model::{Model, News, Page},
    samples, screen, theme,
};

/// What is on the table: the model, and the orders that clicks have made.
#[derive(Default)]
struct Table {
    model: Model,
    orders: Vec<Command>,
}

#[test]
fn every_screen_looks_as_it_did() {
    let no_service = table(None);
    let mut missing = table(None);
    missing.model.hear(
        News::Away("nothing is running that answers at /run/lanparty/service.sock".into()),
        0.0,
    );
    let mut start = table(Some(samples::idle()));
    start.model.hear(News::Rooms(samples::rooms()), 0.0);
    let mut asked = table(Some(samples::idle()));
    asked.model.open("lanparty://nonsense".into());
    let mut help = table(Some(samples::playing()));
    help.model.page = Page::Help;
    let mut results = SnapshotResults::new();
    for (name, table, theme) in [
        ("looking", no_service, Theme::Dark),
        ("no_service", missing, Theme::Light),
        ("start", start, Theme::Dark),
        ("link", asked, Theme::Light),
        ("ended", table(Some(samples::ended())), Theme::Dark),
        ("preparing", table(Some(samples::preparing())), Theme::Dark),
        ("blocked", table(Some(samples::blocked())), Theme::Light),
        ("playing", playing(), Theme::Dark),
        ("playing_light", playing(), Theme::Light),
        ("help", help, Theme::Light),
    ] {
        let mut harness = harness(table, theme);
        harness.run_ok();
        results.add(harness.try_snapshot(name));
    }
}

#[test]
fn a_code_and_a_relay_and_connect_give_the_order() {
    let mut harness = harness(table(Some(samples::idle())), Theme::Dark);
    harness.get_by_label("Invite link or code from the host").click();
    harness.run_ok();
    harness
        .get_by_role_and_label(Role::TextInput, "Invite link or code from the host")
        .type_text("FRIDAY");
    harness.run_ok();
    harness.get_by_role_and_label(Role::TextInput, "Relay").focus();
    harness.run_ok();
    harness
        .get_by_role_and_label(Role::TextInput, "Relay")
        .type_text("relay.example.org");
    harness.run_ok();
    harness.get_by_label("Connect").click();
    harness.run_ok();
    let [Command::Connect(wish)] = harness.state().orders.as_slice() else {
        panic!("{:?}", harness.state().orders)
    };
    assert_eq!(wish.relay.as_ref().unwrap().to_string(), "relay.example.org:443");
}

#[test]
fn nothing_is_connected_to_before_there_is_something_to_connect_to() {
    let mut harness = harness(table(Some(samples::idle())), Theme::Dark);
    harness.run_ok();
    assert!(harness.get_by_label("Connect").accesskit_node().is_disabled());
}

#[test]
fn a_room_is_left_and_a_switch_is_thrown_by_one_click() {
    let mut harness = harness(playing(), Theme::Dark);
    harness.get_by_label("LAN games go through the party").click();
    harness.run_ok();
    harness.get_by_label("Disconnect").click();
    harness.run_ok();
    let orders = &harness.state().orders;
    assert!(
        matches!(&orders[0], Command::Change { settings } if !settings.lan_games),
        "{orders:?}"
    );
    assert_eq!(orders[1], Command::Disconnect);
}

#[test]
fn earlier_rooms_are_joined_and_forgotten_by_their_names() {
    let mut table = table(Some(samples::idle()));
    table.model.hear(News::Rooms(samples::rooms()), 0.0);
    let mut harness = harness(table, Theme::Dark);
    harness.get_by_label("Join Ada's house").click();
    harness.run_ok();
    harness.get_by_label("Forget Room FRIDAY").click();
    harness.run_ok();
    let orders = &harness.state().orders;
    assert!(
        matches!(&orders[0], Command::Connect(wish) if wish.recent.as_deref() == Some("a")),
        "{orders:?}"
    );
    assert_eq!(orders[1], Command::Forget { room: "b".into() });
}

#[test]
fn diagnostics_are_one_click_away_on_the_help_page() {
    let mut harness = harness(playing(), Theme::Light);
    harness.get_by_label("Help and settings").click();
    harness.run_ok();
    harness.get_by_label("Save diagnostics").click();
    harness.run_ok();
    assert_eq!(harness.state().orders, [Command::Diagnostics]);
}

fn table(status: Option<Status>) -> Table {
    let mut table = Table::default();
    if let Some(status) = status {
        table.model.hear(News::Status(Box::new(status)), 0.0);
    }
    table
}

/// Two minutes of an evening.
fn playing() -> Table {
    let mut table = Table::default();
    for second in 0..120_u32 {
        let mut status = samples::playing();
        let wave = u64::from(second % 20) * 400;
        status.endpoint.as_mut().unwrap().gateway.as_mut().unwrap().rtt_us = Some(28_000 + wave);
        table
            .model
            .hear(News::Status(Box::new(status)), f64::from(second));
    }
    table
}

fn harness(table: Table, theme: Theme) -> Harness<'static, Table> {
    Harness::builder()
        .with_size(Vec2::new(520.0, 1080.0))
        .with_theme(theme)
        .with_context_setup(theme::install)
        .renderer(Raster::default())
        .build_ui_state(
            |ui, table: &mut Table| {
                let orders = screen::draw(ui, &mut table.model);
                table.orders.extend(orders);
            },
            table,
        )
}
