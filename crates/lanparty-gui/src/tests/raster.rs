//! Triangles to pixels on the processor, so that pictures are the same on every machine and no graphics card is needed.
//!
//! egui's meshes are blended in the order in which they come, premultiplied and in gamma space, as its own renderers do it.

use std::collections::HashMap;

use eframe::{
    egui::{Color32, ColorImage, Context, FullOutput, ImageData, Mesh, Pos2, Rect, TextureId, TexturesDelta},
    epaint::{ImageDelta, Primitive, Vertex},
};
use egui_kittest::TestRenderer;
use image::{Rgba, RgbaImage};

#[derive(Default)]
pub struct Raster {
    textures: HashMap<TextureId, ColorImage>,
}

impl TestRenderer for Raster {
    fn handle_delta(&mut self, delta: &mut TexturesDelta) {
        for (id, changes) in std::mem::take(&mut delta.set) {
            for change in changes {
                self.change(id, change);
            }
        }
        for id in std::mem::take(&mut delta.free) {
            self.textures.remove(&id);
        }
    }

    fn render(&mut self, context: &Context, output: &FullOutput) -> Result<RgbaImage, String> {
        let scale = output.pixels_per_point;
        let size = context.content_rect().size() * scale;
        let behind = context.global_style().visuals.panel_fill.to_array();
        let mut picture = RgbaImage::from_pixel(size.x.round() as u32, size.y.round() as u32, Rgba(behind));
        for part in context.tessellate(output.shapes.clone(), scale) {
            let Primitive::Mesh(mesh) = &part.primitive else {
                return Err("nothing but meshes is drawn".to_owned());
            };
            let texture = self
                .textures
                .get(&mesh.texture_id)
                .ok_or("a texture is missing")?;
            let clip = Rect::from_min_max(
                (part.clip_rect.min.to_vec2() * scale).to_pos2(),
                (part.clip_rect.max.to_vec2() * scale).to_pos2(),
            );
            draw(&mut picture, mesh, texture, clip, scale);
        }
        Ok(picture)
    }
}

impl Raster {
    fn change(&mut self, id: TextureId, change: ImageDelta) {
        let ImageData::Color(new) = &change.image;
        let Some([left, top]) = change.pos else {
            self.textures.insert(id, (**new).clone());
            return;
        };
        let Some(texture) = self.textures.get_mut(&id) else {
            return;
        };
        let [width, height] = new.size;
        for row in 0..height {
            let to = (top + row) * texture.size[0] + left;
            texture.pixels[to..to + width].copy_from_slice(&new.pixels[row * width..][..width]);
        }
    }
}

fn draw(picture: &mut RgbaImage, mesh: &Mesh, texture: &ColorImage, clip: Rect, scale: f32) {
    for corners in mesh.indices.chunks_exact(3) {
        let mut corners = [corners[0], corners[1], corners[2]].map(|index| {
            let mut vertex = mesh.vertices[index as usize];
            vertex.pos = (vertex.pos.to_vec2() * scale).to_pos2();
            vertex
        });
        if area(corners[0].pos, corners[1].pos, corners[2].pos) < 0.0 {
            corners.swap(1, 2);
        }
        triangle(picture, corners, texture, clip);
    }
}

fn triangle(picture: &mut RgbaImage, corners: [Vertex; 3], texture: &ColorImage, clip: Rect) {
    let [a, b, c] = corners;
    let whole = area(a.pos, b.pos, c.pos);
    if whole <= 0.0 {
        return;
    }
    let bounds = Rect::from_points(&[a.pos, b.pos, c.pos]).intersect(clip);
    let end = |most: u32, to: f32| (to.ceil().max(0.0) as u32).min(most);
    for y in bounds.min.y.floor().max(0.0) as u32..end(picture.height(), bounds.max.y) {
        for x in bounds.min.x.floor().max(0.0) as u32..end(picture.width(), bounds.max.x) {
            let at = Pos2::new(x as f32 + 0.5, y as f32 + 0.5);
            let weights = [
                edge(b.pos, c.pos, at),
                edge(c.pos, a.pos, at),
                edge(a.pos, b.pos, at),
            ];
            if !clip.contains(at) || weights.iter().any(Option::is_none) {
                continue;
            }
            let weights = weights.map(|weight| weight.unwrap_or_default() / whole);
            blend(picture.get_pixel_mut(x, y), shade(&corners, weights, texture));
        }
    }
}

/// Twice the signed area.
fn area(a: Pos2, b: Pos2, c: Pos2) -> f32 {
    (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x)
}

/// On the inner side of an edge; a point on the edge belongs to one of the two triangles that share it.
fn edge(from: Pos2, to: Pos2, at: Pos2) -> Option<f32> {
    let side = area(from, to, at);
    let is_ours = to.y < from.y || to.y == from.y && to.x > from.x;
    (side > 0.0 || side == 0.0 && is_ours).then_some(side)
}

/// Colour times texture, both premultiplied.
fn shade(corners: &[Vertex; 3], weights: [f32; 3], texture: &ColorImage) -> [f32; 4] {
    let mix = |value: &dyn Fn(&Vertex) -> f32| -> f32 {
        corners
            .iter()
            .zip(weights)
            .map(|(corner, weight)| value(corner) * weight)
            .sum()
    };
    let texel = sample(texture, mix(&|v| v.uv.x), mix(&|v| v.uv.y));
    std::array::from_fn(|channel| mix(&|v| f32::from(v.color.to_array()[channel])) * texel[channel] / 255.0)
}

/// Bilinear, clamped to the edge.
fn sample(texture: &ColorImage, u: f32, v: f32) -> [f32; 4] {
    let [width, height] = texture.size;
    let (x, y) = (u * width as f32 - 0.5, v * height as f32 - 0.5);
    let texel = |x: f32, y: f32| -> Color32 {
        let at = |value: f32, most: usize| (value.max(0.0) as usize).min(most - 1);
        texture.pixels[at(y, height) * width + at(x, width)]
    };
    let (left, top) = (x.floor(), y.floor());
    let (right, below) = (x - left, y - top);
    let mut mixed = [0.0; 4];
    for (dx, dy, weight) in [
        (0.0, 0.0, (1.0 - right) * (1.0 - below)),
        (1.0, 0.0, right * (1.0 - below)),
        (0.0, 1.0, (1.0 - right) * below),
        (1.0, 1.0, right * below),
    ] {
        for (channel, value) in texel(left + dx, top + dy).to_array().into_iter().enumerate() {
            mixed[channel] += f32::from(value) * weight;
        }
    }
    mixed
}

fn blend(pixel: &mut Rgba<u8>, [red, green, blue, alpha]: [f32; 4]) {
    let rest = 1.0 - alpha / 255.0;
    for (under, over) in pixel.0.iter_mut().zip([red, green, blue]) {
        *under = (over + f32::from(*under) * rest).round().clamp(0.0, 255.0) as u8;
    }
}
