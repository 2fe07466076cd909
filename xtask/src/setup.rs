//! What has to be on the machine. Installed when we are root; otherwise one line says what to install.

use std::{path::Path, process::Command, thread, time::Duration};

use anyhow::{Result, bail};

use crate::step::{cargo, run, succeeds};

/// A file that shows that a Debian package is there.
type Part = (&'static str, &'static str);

/// What the lab runs, and the test of the relay against a CA.
const LAB: [Part; 13] = [
    ("/usr/sbin/ip", "iproute2"),
    ("/usr/sbin/nft", "nftables"),
    ("/usr/sbin/dnsmasq", "dnsmasq-base"),
    ("/usr/sbin/udhcpc", "udhcpc"),
    ("/usr/sbin/conntrack", "conntrack"),
    ("/usr/bin/ping", "iputils-ping"),
    ("/usr/bin/tcpdump", "tcpdump"),
    ("/usr/bin/iperf3", "iperf3"),
    ("/usr/sbin/sysctl", "procps"),
    ("/usr/bin/pebble", "pebble"),
    ("/usr/bin/curl", "curl"),
    ("/usr/games/chocolate-doom", "chocolate-doom"),
    ("/usr/share/games/doom/freedm.wad", "freedm"),
];

/// What the bench compares us with and measures with, beside the lab's.
const BENCH: [Part; 4] = [
    ("/usr/sbin/openvpn", "openvpn"),
    ("/usr/bin/fastd", "fastd"),
    ("/usr/sbin/tincd", "tinc"),
    ("/usr/sbin/ethtool", "ethtool"),
];

/// What builds and runs the Windows client.
const WINDOWS: [Part; 3] = [
    ("/usr/bin/x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64"),
    ("/usr/lib/wine/wine64", "wine64"),
    ("/usr/bin/wine", "wine"),
];

/// What packs the Windows client, and takes the symbols out of it.
const DIST: [Part; 2] = [
    ("/usr/bin/makensis", "nsis"),
    ("/usr/bin/x86_64-w64-mingw32-strip", "binutils-mingw-w64-x86-64"),
];

/// What the window is linked with, and what shows it to its test.
const WINDOW: [Part; 11] = [
    ("/usr/bin/pkg-config", "pkgconf"),
    ("/usr/include/wayland-client.h", "libwayland-dev"),
    ("/usr/include/xkbcommon/xkbcommon.h", "libxkbcommon-dev"),
    (
        "/usr/lib/x86_64-linux-gnu/libxkbcommon-x11.so.0",
        "libxkbcommon-x11-0",
    ),
    ("/usr/lib/x86_64-linux-gnu/libXcursor.so.1", "libxcursor1"),
    ("/usr/lib/x86_64-linux-gnu/libXi.so.6", "libxi6"),
    ("/usr/lib/x86_64-linux-gnu/libGL.so.1", "libgl1"),
    ("/usr/lib/x86_64-linux-gnu/dri/swrast_dri.so", "libgl1-mesa-dri"),
    ("/usr/bin/Xvfb", "xvfb"),
    ("/usr/bin/xdotool", "xdotool"),
    ("/usr/bin/import", "imagemagick"),
];

/// Debian's mirrors and the road to them have bad moments.
const TRIES: u32 = 3;

/// True if we may make namespaces and install packages.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Fails unless we are root, with a sentence that names the way out.
pub fn need_root(task: &str, way_out: &str) -> Result<()> {
    if is_root() {
        return Ok(());
    }
    bail!(
        "`cargo xtask {task}` makes network namespaces and needs root: run `sudo -E cargo xtask {task}`{way_out}"
    )
}

/// Makes sure that everything the lab runs is installed.
pub fn lab_packages() -> Result<()> {
    packages(&LAB)
}

/// Makes sure that everything the bench runs beside the lab is installed.
pub fn bench_packages() -> Result<()> {
    packages(&BENCH)
}

/// Makes sure that everything the window is built, shown and tested with is installed.
pub fn window_packages() -> Result<()> {
    packages(&WINDOW)
}

/// Makes sure that everything is there that an installer is made with.
pub fn dist_packages() -> Result<()> {
    packages(&DIST)
}

fn packages(parts: &[Part]) -> Result<()> {
    let missing: Vec<&str> = missing_parts(parts, |path| Path::new(path).exists());
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root() {
        bail!(
            "install first: apt-get install --no-install-recommends {}",
            missing.join(" ")
        );
    }
    println!("installing {}", missing.join(" "));
    with_retries(|| run(&mut apt_get(&["update", "-q"])))?;
    let words = [&["install", "-q", "-y", "--no-install-recommends"], &missing[..]].concat();
    with_retries(|| run(&mut apt_get(&words)))?;
    let missing = missing_parts(parts, |path| Path::new(path).exists());
    if missing.is_empty() {
        return Ok(());
    }
    bail!(
        "apt-get installed everything and yet these are missing: {}",
        missing.join(" ")
    )
}

/// Makes sure that everything is there that builds and runs the Windows client.
pub fn windows() -> Result<()> {
    packages(&WINDOWS)?;
    target("x86_64-pc-windows-gnu")
}

/// Makes sure that Rust can build for a target without an operating system.
pub fn wasm_target() -> Result<()> {
    target("wasm32-unknown-unknown")
}

fn target(name: &str) -> Result<()> {
    let installed = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", name])
        .output();
    if installed.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).exists()) {
        return Ok(());
    }
    with_retries(|| run(Command::new("rustup").args(["target", "add", name])))
}

/// Makes sure that cargo-deny is there. Building it takes minutes, once for each machine.
pub fn cargo_deny() -> Result<()> {
    if succeeds(&mut cargo(&["deny", "--version"])) {
        return Ok(());
    }
    println!("installing cargo-deny");
    // Unoptimised it is built in a fifth of the time, and runs for two seconds.
    with_retries(|| run(&mut cargo(&["install", "cargo-deny", "--locked", "--debug"])))
}

/// True if nextest is there; without it `cargo test` does the same more slowly.
pub fn has_nextest() -> bool {
    succeeds(&mut cargo(&["nextest", "--version"]))
}

fn missing_parts(parts: &[Part], exists: impl Fn(&str) -> bool) -> Vec<&'static str> {
    parts
        .iter()
        .filter(|(path, _)| !exists(path))
        .map(|(_, package)| *package)
        .collect()
}

fn apt_get(words: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(words).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn with_retries(mut action: impl FnMut() -> Result<()>) -> Result<()> {
    for attempt in 1..TRIES {
        match action() {
            Ok(()) => return Ok(()),
            Err(error) => eprintln!("{error:#}; trying again"),
        }
        thread::sleep(Duration::from_secs(2) * attempt);
    }
    action()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_missing_packages_are_named() {
        let missing = missing_parts(&LAB, |path| !path.contains("games"));
        assert_eq!(missing, ["chocolate-doom", "freedm"]);
    }
}
