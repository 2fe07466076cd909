//! The hook: a few milliseconds of process that a DHCP client starts for each event.
//!
//! udhcpc runs it as `lanparty-dhcp-event EVENT`, dhclient with the event in the variable `reason`; both start it
//! by its path, and so it finds the socket beside itself.

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{self, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use super::{
    HOOK_NAME, SOCKET_NAME,
    report::{Report, VARIABLES},
};

/// `None` if this process is no hook.
pub(super) fn run_if_asked() -> Option<io::Result<()>> {
    let mut arguments = env::args_os();
    let program = arguments.next()?;
    let program = Path::new(&program);
    if program.file_name() != Some(OsStr::new(HOOK_NAME)) {
        return None;
    }
    let directory = program.parent()?;
    Some(report(directory, arguments.next()))
}

fn report(directory: &Path, event: Option<OsString>) -> io::Result<()> {
    let text = |value: OsString| value.into_string().ok();
    let event = event.or_else(|| env::var_os("reason")).and_then(text);
    let event = event.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "there is no event"))?;
    let known = VARIABLES
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), env::var_os(name).and_then(text)?)));
    let mut line = serde_json::to_vec(&Report {
        event,
        variables: known.collect(),
    })?;
    line.push(b'\n');
    // A socket's address may have 108 bytes, a path in it more: hence from within.
    env::set_current_dir(directory)?;
    UnixStream::connect(SOCKET_NAME)?.write_all(&line)
}
