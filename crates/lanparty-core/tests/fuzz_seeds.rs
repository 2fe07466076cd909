//! Replays the committed fuzz corpus through the fuzz targets' own bodies, so that what fuzzing has found stays found without a
//! nightly compiler.

use std::{fs, path::Path};

#[path = "../../../fuzz/bodies/code_message.rs"]
mod code_message;
#[path = "../../../fuzz/bodies/fragment.rs"]
mod fragment;
#[path = "../../../fuzz/bodies/frame_view.rs"]
mod frame_view;
#[path = "../../../fuzz/bodies/groups.rs"]
mod groups;
#[path = "../../../fuzz/bodies/guard.rs"]
mod guard;
#[path = "../../../fuzz/bodies/handshake.rs"]
mod handshake;
#[path = "../../../fuzz/bodies/parcel.rs"]
mod parcel;
#[path = "../../../fuzz/bodies/segment.rs"]
mod segment;
#[path = "../../../fuzz/bodies/shape.rs"]
mod shape;

#[test]
fn code_message_seeds_hold() {
    replay("code_message", code_message::run);
}

#[test]
fn fragment_seeds_hold() {
    replay("fragment", fragment::run);
}

#[test]
fn frame_view_seeds_hold() {
    replay("frame_view", frame_view::run);
}

#[test]
fn groups_seeds_hold() {
    replay("groups", groups::run);
}

#[test]
fn guard_seeds_hold() {
    replay("guard", guard::run);
}

#[test]
fn handshake_seeds_hold() {
    replay("handshake", handshake::run);
}

#[test]
fn parcel_seeds_hold() {
    replay("parcel", parcel::run);
}

#[test]
fn segment_seeds_hold() {
    replay("segment", segment::run);
}

#[test]
fn shape_seeds_hold() {
    replay("shape", shape::run);
}

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/seeds")
        .join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is committed") {
        let path = entry.expect("a folder can be read to its end").path();
        println!("{}", path.display());
        run(&fs::read(&path).expect("a seed is a file"));
        count += 1;
    }
    assert!(count > 5, "hardly a corpus: {count} in {}", folder.display());
}
