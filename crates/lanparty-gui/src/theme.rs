//! How the window looks: one accent, generous spacing, the same in dark and light.

use eframe::egui::{
    Color32, Context, CornerRadius, FontFamily, FontId, Margin, Stroke, Style, TextStyle, Theme, Vec2, vec2,
};

/// Colours that mean something; contrast on both backgrounds is at least 4.5 to 1 for text (WCAG 2.1, 1.4.3).
#[derive(Clone, Copy, Debug)]
pub struct Palette {
    pub accent: Color32,
    pub on_accent: Color32,
    pub good: Color32,
    pub warning: Color32,
    pub bad: Color32,
    pub quiet: Color32,
    pub card: Color32,
    pub line: Color32,
}

const DARK: Palette = Palette {
    accent: Color32::from_rgb(0x4c, 0x8d, 0xff),
    on_accent: Color32::from_rgb(0x06, 0x12, 0x2b),
    good: Color32::from_rgb(0x4c, 0xc3, 0x8a),
    warning: Color32::from_rgb(0xf2, 0xb5, 0x5a),
    bad: Color32::from_rgb(0xff, 0x7b, 0x72),
    quiet: Color32::from_rgb(0x9a, 0xa7, 0xb8),
    card: Color32::from_rgb(0x20, 0x27, 0x33),
    line: Color32::from_rgb(0x33, 0x3d, 0x4d),
};

const LIGHT: Palette = Palette {
    accent: Color32::from_rgb(0x1f, 0x5f, 0xd6),
    on_accent: Color32::WHITE,
    good: Color32::from_rgb(0x17, 0x7a, 0x4b),
    warning: Color32::from_rgb(0x8f, 0x5a, 0x00),
    bad: Color32::from_rgb(0xb4, 0x23, 0x18),
    quiet: Color32::from_rgb(0x55, 0x61, 0x70),
    card: Color32::WHITE,
    line: Color32::from_rgb(0xd5, 0xdb, 0xe3),
};

pub fn palette(dark: bool) -> Palette {
    if dark { DARK } else { LIGHT }
}

/// Sets up both themes; the system or the player says which is shown.
pub fn install(context: &Context) {
    for (theme, background, text) in [
        (
            Theme::Dark,
            Color32::from_rgb(0x15, 0x1a, 0x22),
            Color32::from_rgb(0xe6, 0xeb, 0xf2),
        ),
        (
            Theme::Light,
            Color32::from_rgb(0xf3, 0xf5, 0xf8),
            Color32::from_rgb(0x17, 0x1d, 0x26),
        ),
    ] {
        let palette = palette(theme == Theme::Dark);
        context.style_mut_of(theme, |style| {
            sizes(style);
            colours(style, palette, background, text);
        });
    }
}

fn sizes(style: &mut Style) {
    for (text, size) in [
        (TextStyle::Heading, 24.0),
        (TextStyle::Body, 15.0),
        (TextStyle::Button, 15.0),
        (TextStyle::Small, 12.5),
    ] {
        style
            .text_styles
            .insert(text, FontId::new(size, FontFamily::Proportional));
    }
    let spacing = &mut style.spacing;
    spacing.item_spacing = vec2(8.0, 8.0);
    spacing.button_padding = vec2(14.0, 8.0);
    spacing.interact_size = Vec2::new(40.0, 32.0);
}

fn colours(style: &mut Style, palette: Palette, background: Color32, text: Color32) {
    let visuals = &mut style.visuals;
    visuals.panel_fill = background;
    visuals.window_fill = background;
    visuals.override_text_color = Some(text);
    visuals.hyperlink_color = palette.accent;
    visuals.selection.bg_fill = palette.accent.gamma_multiply(0.35);
    visuals.selection.stroke = Stroke::new(1.5, palette.accent);
    visuals.extreme_bg_color = palette.card;
    let widgets = &mut visuals.widgets;
    widgets.noninteractive.bg_stroke = Stroke::new(1.0, palette.line);
    for widget in [
        &mut widgets.inactive,
        &mut widgets.hovered,
        &mut widgets.active,
        &mut widgets.open,
    ] {
        widget.corner_radius = CornerRadius::same(8);
        widget.bg_stroke = Stroke::new(1.0, palette.line);
        widget.weak_bg_fill = palette.line;
    }
    widgets.hovered.bg_stroke = Stroke::new(1.0, palette.accent);
    widgets.active.bg_stroke = Stroke::new(2.0, palette.accent);
}

/// The space inside a card.
pub const CARD: Margin = Margin::same(16);
