//! Windows programs on this machine: Wine, in a folder of its own.
//!
//! A prefix is what Wine takes for the C: drive and the registry. One is made once (it takes some seconds) and kept in the target folder;
//! who needs one that nobody else changes takes a copy, whose programs are the same ones by hard links. Wine's server makes
//! the sockets of all programs of a prefix, so a machine of the lab needs a copy of its own as well.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, Read, Seek},
    ops::Deref,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use crate::lab::LabError;

/// The loader of 64-bit programs, where Debian has it.
pub const LOADER: &str = "/usr/lib/wine/wine64";
/// The server that stands for Windows' kernel.
const SERVER: &str = "/usr/lib/wine/wineserver64";
const COMPILER: &str = "x86_64-w64-mingw32-gcc";
/// Rust's standard library asks for a library that Wine 8 has not got; this stands in for it.
const SHIM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/wine/process_prng.c");
const SHIM_NAME: &str = "bcryptprimitives.dll";
/// The files that Wine keeps a registry in.
const REGISTRY: [&str; 3] = ["system.reg", "user.reg", "userdef.reg"];
/// Written when a prefix is whole.
const READY: &str = "lanparty-ready";
/// The first start of a prefix takes 10 s, in seconds.
const BOOT_LIMIT: &str = "300";
/// A server ends by itself a moment after its last program; one that is to end now gets this long, twice.
const END_LIMIT: Duration = Duration::from_secs(20);

/// The client, as `cargo xtask test` builds it below the target folder.
pub const CLIENT: &str = "x86_64-pc-windows-gnu/debug/lanparty-client.exe";
/// The window, likewise.
pub const WINDOW: &str = "window/x86_64-pc-windows-gnu/debug/lanparty.exe";

/// The target folder of the running test, if this was built in it.
///
/// # Errors
/// It was not, and what builds it.
pub fn target_with(program: &str) -> Result<PathBuf, LabError> {
    let test = env::current_exe().map_err(failed("find the test in", Path::new("/proc")))?;
    let folder = test.ancestors().find(|folder| folder.join(program).is_file());
    folder.map(Path::to_owned).ok_or_else(|| LabError::Missing {
        program: program.to_owned(),
        remedy: "cargo xtask test builds it into the target folder".to_owned(),
    })
}

/// A prefix.
#[derive(Debug)]
pub struct Wine {
    prefix: PathBuf,
}

impl Wine {
    /// The one in `target`, made if it is not there yet.
    ///
    /// # Errors
    /// Wine or mingw is missing, or does not do as it is told.
    pub fn prepare(target: &Path) -> Result<Wine, LabError> {
        let wine = Wine {
            prefix: target.join("wine/prefix"),
        };
        if wine.prefix.join(READY).is_file() {
            return Ok(wine);
        }
        if !Path::new(LOADER).is_file() {
            return Err(LabError::Missing {
                program: LOADER.to_owned(),
                remedy: "apt-get install --no-install-recommends wine wine64 gcc-mingw-w64-x86-64".to_owned(),
            });
        }
        // What an interrupted start has left is not whole.
        remove(&wine.prefix)?;
        fs::create_dir_all(&wine.prefix).map_err(failed("create", &wine.prefix))?;
        run(Command::new("timeout")
            .args(["--kill-after=5", BOOT_LIMIT, LOADER, "wineboot", "--init"])
            .envs(wine.environment())
            .env_remove("DISPLAY"))?;
        wine.end()?;
        let shim = wine.drive().join("windows/system32").join(SHIM_NAME);
        run(Command::new(COMPILER)
            .args(["-shared", "-O1", "-o"])
            .arg(&shim)
            .args([SHIM, "-ladvapi32"]))?;
        let ready = wine.prefix.join(READY);
        fs::write(&ready, "").map_err(failed("write", &ready))?;
        Ok(wine)
    }

    /// A prefix of its own that begins like this one, beside it.
    ///
    /// # Errors
    /// It cannot be written there.
    pub fn copy(&self) -> Result<WineCopy, LabError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let folder = self.prefix.parent().unwrap_or(&self.prefix);
        remove_leftovers(folder);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{}-{number}", std::process::id()));
        run(Command::new("cp").arg("-al").arg(&self.prefix).arg(&path))?;
        // Wine writes into a registry that has several links, so these have to be real copies.
        for name in REGISTRY {
            let (from, to) = (self.prefix.join(name), path.join(name));
            fs::remove_file(&to).map_err(failed("replace", &to))?;
            fs::copy(&from, &to).map_err(failed("write", &to))?;
        }
        Ok(WineCopy(Wine { prefix: path }))
    }

    /// What Wine's own program is started with.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("WINEPREFIX", self.prefix.clone().into()),
            ("WINEDEBUG", "-all".into()),
            // Neither .NET nor a browser is asked for.
            ("WINEDLLOVERRIDES", "mscoree,mshtml=".into()),
        ]
    }

    /// Wine's loader, to be given a program and its arguments.
    pub fn command(&self) -> Command {
        let mut command = Command::new(LOADER);
        command.envs(self.environment()).env_remove("DISPLAY");
        command
    }

    /// The command line of a program in it, for a machine of the lab.
    pub fn words(&self, program: &Path, arguments: &[&str]) -> Vec<String> {
        let environment = self.environment().into_iter();
        let environment = environment.map(|(name, value)| format!("{name}={}", value.to_string_lossy()));
        let program = [LOADER.to_owned(), program.display().to_string()];
        let arguments = arguments.iter().map(|&word| word.to_owned());
        std::iter::once("env".to_owned())
            .chain(environment)
            .chain(program)
            .chain(arguments)
            .collect()
    }

    /// Where its C: drive lies on this machine.
    pub fn drive(&self) -> PathBuf {
        self.prefix.join("drive_c")
    }

    /// A path of this machine as its programs see it.
    pub fn path(path: &str) -> String {
        format!("Z:{path}").replace('/', "\\")
    }

    /// Ends all programs of this prefix.
    ///
    /// # Errors
    /// Wine's server does not end.
    pub fn end(&self) -> Result<(), LabError> {
        let limit = END_LIMIT.as_secs().to_string();
        let server = |order: &str| {
            let mut command = Command::new("timeout");
            command
                .args(["--kill-after=5", &limit, SERVER, order])
                .envs(self.environment());
            command
        };
        // Nobody to be ended is not an error.
        let _ = server("-k").status();
        run(&mut server("-w"))
    }
}

/// A prefix that is removed when this is dropped.
#[derive(Debug)]
pub struct WineCopy(Wine);

impl Deref for WineCopy {
    type Target = Wine;

    fn deref(&self) -> &Wine {
        &self.0
    }
}

impl Drop for WineCopy {
    fn drop(&mut self) {
        // Whatever is left is removed by the next copy.
        let _ = self.0.end();
        let _ = remove(&self.0.prefix);
    }
}

/// Copies whose process is gone.
fn remove_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.split_once('-'));
        if owner.is_some_and(|(pid, _)| pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists())
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn run(command: &mut Command) -> Result<(), LabError> {
    let words = format!("{command:?}");
    let failed = |source: io::Error| LabError::Io {
        attempt: format!("run {words}: {source}"),
        source,
    };
    // A file, because what Wine leaves running would hold a pipe open for ever.
    let mut said = tempfile::tempfile().map_err(failed)?;
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said.try_clone().map_err(failed)?)
        .status()
        .map_err(failed)?;
    if status.success() {
        return Ok(());
    }
    let mut output = String::new();
    said.rewind()
        .and_then(|()| said.read_to_string(&mut output))
        .map_err(failed)?;
    Err(LabError::Command {
        machine: "this machine".to_owned(),
        command: words,
        status: status.to_string(),
        output,
    })
}

fn remove(path: &Path) -> Result<(), LabError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn failed<'a>(attempt: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> LabError + 'a {
    move |source| LabError::Io {
        attempt: format!("{attempt} {}: {source}", path.display()),
        source,
    }
}
