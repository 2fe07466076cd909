//! Giving up privileges, in processes of their own: it cannot be taken back, and has to come before other threads.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    process::{Command, Output},
    thread,
};

use lanparty_os::privileges::{Privilege, PrivilegeError, held, keep};

/// CAP_NET_BIND_SERVICE, CAP_NET_ADMIN and CAP_NET_RAW are bits 10, 12 and 13 of capabilities(7).
const ADMIN_AND_RAW: &str = "0000000000003000";
const NONE: &str = "0000000000000000";
const SETS: [&str; 5] = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, role, mode] = arguments.as_slice()
        && role == "child"
    {
        return child(mode);
    }
    let tests: [(&str, fn()); 5] = [
        (
            "root_keeps_what_it_names_in_every_set_thread_and_child",
            root_keeps,
        ),
        (
            "a_service_with_ambient_capabilities_keeps_them_for_its_children",
            service_keeps,
        ),
        ("what_is_not_there_is_named", missing_is_named),
        ("keeping_nothing_leaves_nothing", nothing_is_left),
        ("with_other_threads_it_is_too_late", too_late),
    ];
    if arguments.iter().any(|word| word == "--list") {
        // A runner asks for the ignored ones too, and there are none.
        if arguments.iter().any(|word| word == "--ignored") {
            return;
        }
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    let filter = arguments.iter().skip(1).find(|word| !word.starts_with('-'));
    let mut count = 0;
    for (name, test) in tests
        .into_iter()
        .filter(|(name, _)| filter.is_none_or(|filter| name.contains(filter.as_str())))
    {
        test();
        println!("test {name} ... ok");
        count += 1;
    }
    println!("test result: ok. {count} passed; 0 failed");
}

fn root_keeps() {
    let said = said(own("frames"));
    for who in ["thread", "grandchild"] {
        for set in SETS {
            assert!(
                said.contains(&format!("{who} {set}: {ADMIN_AND_RAW}")),
                "{who} {set} in\n{said}"
            );
        }
        assert!(said.contains(&format!("{who} NoNewPrivs: 1")), "{said}");
    }
    assert!(said.contains("held [ConfigureNetwork, RawFrames]"), "{said}");
}

fn service_keeps() {
    let said = said(as_nobody("+net_admin,+net_raw,+net_bind_service", "frames"));
    for who in ["thread", "grandchild"] {
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert!(
                said.contains(&format!("{who} {set}: {ADMIN_AND_RAW}")),
                "{who} {set} in\n{said}"
            );
        }
    }
}

fn missing_is_named() {
    let said = said(as_nobody("+net_admin", "frames"));
    assert!(
        said.contains("refused: this program needs CAP_NET_RAW; run it as root"),
        "{said}"
    );
}

fn nothing_is_left() {
    let said = said(own("nothing"));
    for set in SETS {
        assert!(
            said.contains(&format!("grandchild {set}: {NONE}")),
            "{set} in\n{said}"
        );
    }
    assert!(said.contains("held []"), "{said}");
}

fn too_late() {
    let said = said(own("late"));
    assert!(said.contains("too late: 2 threads"), "{said}");
}

fn child(mode: &str) {
    let frames = [Privilege::ConfigureNetwork, Privilege::RawFrames];
    let wanted = if mode == "nothing" { &[][..] } else { &frames[..] };
    if mode == "late" {
        let (_hold, wait) = std::sync::mpsc::channel::<()>();
        let _other = thread::spawn(move || wait.recv());
        match keep(wanted) {
            Err(PrivilegeError::Threads { count }) => return println!("too late: {count} threads"),
            other => panic!("{other:?}"),
        }
    }
    if let Err(error) = keep(wanted) {
        return println!("refused: {error}");
    }
    println!(
        "held {:?}",
        held(&[
            Privilege::LowPorts,
            Privilege::ConfigureNetwork,
            Privilege::RawFrames
        ])
    );
    let status = thread::spawn(|| fs::read_to_string("/proc/thread-self/status").unwrap())
        .join()
        .unwrap();
    tell("thread", &status);
    let grandchild = Command::new("cat").arg("/proc/self/status").output().unwrap();
    tell("grandchild", &String::from_utf8(grandchild.stdout).unwrap());
}

fn tell(who: &str, status: &str) {
    for line in status
        .lines()
        .filter(|line| line.starts_with("Cap") || line.starts_with("NoNewPrivs"))
    {
        println!("{who} {}", line.replace('\t', " "));
    }
}

fn own(mode: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["child", mode])
        .output()
        .unwrap()
}

/// As systemd starts a unit with `User=` and `AmbientCapabilities=`. From a copy, since `nobody` may not read the
/// build's directory.
fn as_nobody(capabilities: &str, mode: &str) -> Output {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = directory.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .args([
            format!("--inh-caps=-all,{capabilities}"),
            format!("--ambient-caps=-all,{capabilities}"),
        ])
        .arg(program)
        .args(["child", mode])
        .output()
        .unwrap()
}

fn said(output: Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
