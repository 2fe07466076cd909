#![no_main]

#[path = "../bodies/groups.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
