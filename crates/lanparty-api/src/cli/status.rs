//! The `status` subcommand, the same in all binaries.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use super::{ExitCode, Failure};
use crate::{
    local::{LocalError, query, query_discovery, socket_path},
    render,
    status::{Program, Status},
};

/// The flags behind `status`.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct StatusArgs {
    /// Print JSON for scripts
    #[arg(long)]
    pub json: bool,
}

/// Asks the instance of `program` that runs with this state dir, and prints what it answers.
///
/// # Errors
/// Nothing is running there, or its answer is not understood.
pub async fn print_status(args: StatusArgs, state_dir: &Path, program: Program) -> Result<(), Failure> {
    print_status_at(args, &socket_path(state_dir, program), program).await
}

/// Like [`print_status`], of the instance that answers at this socket.
///
/// # Errors
/// As [`print_status`].
pub async fn print_status_at(args: StatusArgs, socket: &Path, program: Program) -> Result<(), Failure> {
    let status = query(socket).await.map_err(|error| explain(error, program))?;
    let shown = shown(&status, args.json)?;
    match io::stdout().write_all(shown.as_bytes()) {
        // Whoever read our output has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.map_err(|error| Failure::new(ExitCode::Unexpected, error)),
    }
}

/// The flags behind `save-discovery`.
#[derive(clap::Args, Clone, Debug)]
pub struct SaveDiscoveryArgs {
    /// The pcapng file to make, for Wireshark or tcpdump
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Asks the instance of `program` that runs with this state dir for the last minute of discovery frames, and makes a file of them.
///
/// # Errors
/// Nothing is running there, or the file exists or cannot be made.
pub async fn save_discovery(
    args: SaveDiscoveryArgs,
    state_dir: &Path,
    program: Program,
) -> Result<(), Failure> {
    let bytes = query_discovery(&socket_path(state_dir, program))
        .await
        .map_err(|error| explain(error, program))?;
    write_private(&args.file, &bytes)
        .map_err(|error| Failure::new(ExitCode::Host, error).advise("name a file that does not exist yet"))?;
    // Whoever does not read our output has the file.
    let _ = writeln!(
        io::stdout(),
        "The last minute of discovery frames is in {}",
        args.file.display()
    );
    Ok(())
}

/// Makes a file that its owner alone can read: it shows who was there.
///
/// # Errors
/// The file exists, or cannot be made.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(bytes)
}

fn shown(status: &Status, json: bool) -> Result<String, Failure> {
    if !json {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        return Ok(render::text(status, now));
    }
    let mut text =
        serde_json::to_string_pretty(status).map_err(|error| Failure::new(ExitCode::Unexpected, error))?;
    text.push('\n');
    Ok(text)
}

/// An error of a local socket with what to do.
pub fn explain(error: LocalError, program: Program) -> Failure {
    let name = program.name();
    match error {
        LocalError::NotRunning { .. } => Failure::new(ExitCode::NotRunning, error).advise(format!(
            "start {name}, or give the --state-dir that it was started with"
        )),
        LocalError::Refused {
            reason,
            advice: Some(advice),
            ..
        } => Failure::new(ExitCode::Refused, reason).advise(advice),
        LocalError::Answer { .. } | LocalError::Refused { .. } => Failure::new(ExitCode::Unexpected, error)
            .advise(format!(
                "use the same version of {name} as the one that is running"
            )),
        LocalError::Ask { .. } | LocalError::Serve { .. } => Failure::new(ExitCode::Host, error)
            .advise("run this as the user that the instance runs as, or as root"),
    }
}
