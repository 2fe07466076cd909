//! Replays the committed fuzz corpus through the fuzz targets' own bodies, so that what fuzzing has found stays found without a
//! nightly compiler.

use std::{fs, path::Path};

#[path = "../../../fuzz/bodies/control.rs"]
mod control;
#[path = "../../../fuzz/bodies/header.rs"]
mod header;
#[path = "../../../fuzz/bodies/invite.rs"]
mod invite;
#[path = "../../../fuzz/bodies/paper.rs"]
mod paper;

#[test]
fn control_seeds_hold() {
    replay("control", control::run);
}

#[test]
fn header_seeds_hold() {
    replay("header", header::run);
}

#[test]
fn invite_seeds_hold() {
    replay("invite", invite::run);
}

#[test]
fn paper_seeds_hold() {
    replay("paper", paper::run);
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
