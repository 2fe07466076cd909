//! The window without a mouse, and without eyes: in which order the Tab key goes, what Enter does, and that everything has a name.

use eframe::egui::{
    Key, Theme,
    accesskit::{Action, Role},
};
use egui_kittest::{
    Harness,
    kittest::{NodeT, Queryable},
};
use lanparty_api::Command;

use super::{Table, harness, playing, table};
use crate::{
    model::{News, Page},
    samples,
};

const INVITE: &str = "Invite link or code from the host";

#[test]
fn the_tab_key_goes_from_top_to_bottom() {
    let mut start = table(Some(samples::idle()));
    start.model.hear(News::Rooms(samples::rooms()), 0.0);
    let mut harness = harness(start, Theme::Dark);
    harness.run_ok();
    let head = ["Play", "Help and settings", "Light"];
    let form = [INVITE];
    // Connect is not to be pressed yet.
    let rooms = [
        "Join Ada's house",
        "Forget Ada's house",
        "Join Room FRIDAY",
        "Forget Room FRIDAY",
    ];
    assert_eq!(tour(&mut harness, 8), [&head[..], &form, &rooms].concat());
}

#[test]
fn in_a_room_everything_that_can_be_done_is_reached() {
    let mut harness = harness(playing(), Theme::Dark);
    harness.run_ok();
    let reached = tour(&mut harness, 8);
    for name in ["Disconnect", "LAN games go through the party"] {
        assert!(reached.iter().any(|reached| reached == name), "{reached:?}");
    }
}

#[test]
fn enter_in_the_field_connects() {
    let mut harness = harness(table(Some(samples::idle())), Theme::Dark);
    for (field, words) in [(INVITE, "FRIDAY"), ("Relay", "relay.example.org")] {
        harness.get_by_role_and_label(Role::TextInput, field).focus();
        harness.run_ok();
        harness
            .get_by_role_and_label(Role::TextInput, field)
            .type_text(words);
        harness.run_ok();
    }
    assert_eq!(harness.state().orders, []);
    harness.key_press(Key::Enter);
    harness.run_ok();
    let [Command::Connect(wish)] = harness.state().orders.as_slice() else {
        panic!("{:?}", harness.state().orders)
    };
    assert_eq!(wish.relay.as_ref().unwrap().to_string(), "relay.example.org:443");
}

#[test]
fn an_invite_is_accepted_by_its_button_alone() {
    let link = "lanparty://nonsense";
    let mut asked = table(Some(samples::idle()));
    asked.model.open(link.to_owned());
    let mut harness = harness(asked, Theme::Light);
    harness.run_ok();
    harness.key_press(Key::Enter);
    harness.key_press(Key::Space);
    harness.run_ok();
    assert!(harness.state().model.invitation().is_some());
    assert_eq!(tour(&mut harness, 4).last().map(String::as_str), Some("OK"));
    harness.key_press(Key::Enter);
    harness.run_ok();
    assert!(harness.state().model.invitation().is_none());
    assert_eq!(harness.state().orders, []);
}

#[test]
fn a_screen_reader_has_a_name_for_everything_that_can_be_used() {
    let mut help = playing();
    help.model.page = Page::Help;
    let mut rooms = table(Some(samples::idle()));
    rooms.model.hear(News::Rooms(samples::rooms()), 0.0);
    let mut asked = table(Some(samples::idle()));
    asked.model.open("lanparty://nonsense".into());
    for table in [rooms, asked, playing(), help, table(Some(samples::ended()))] {
        let mut harness = harness(table, Theme::Dark);
        harness.run_ok();
        let usable = harness.root().children_recursive().filter(|node| {
            let node = node.accesskit_node();
            let data = node.data();
            data.supports_action(Action::Click) || data.supports_action(Action::Focus)
        });
        let mut count = 0;
        for node in usable {
            let node = node.accesskit_node();
            // Selectable text is read as what it says.
            let is_text = matches!(node.role(), Role::Label | Role::TextRun);
            let has_name = node.label().is_some_and(|label| !label.trim().is_empty());
            let is_part = node.role() == Role::ScrollBar || node.role() == Role::Unknown;
            assert!(is_text || has_name || is_part, "{node:?} has no name");
            count += usize::from(has_name);
        }
        assert!(count >= 4, "only {count} things can be used");
    }
}

/// Who has the keyboard after each press of the Tab key.
fn tour(harness: &mut Harness<'static, Table>, presses: usize) -> Vec<String> {
    let press = |_| {
        harness.key_press(Key::Tab);
        harness.run_ok();
        let focused = harness
            .root()
            .children_recursive()
            .find(|node| node.accesskit_node().is_focused())
            .and_then(|node| node.accesskit_node().label());
        focused.unwrap_or_default()
    };
    (0..presses).map(press).collect()
}
