//! `cargo xtask dist`: what players download.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use self::driver::Driver;
use crate::{
    setup,
    step::{cargo, root, run},
};

mod driver;

const TARGET: &str = "x86_64-pc-windows-gnu";
const STRIP: &str = "x86_64-w64-mingw32-strip";
const SCRIPT: &str = "packaging/windows/lanparty.nsi";

#[derive(Args)]
pub struct Options {
    #[command(subcommand)]
    system: System,
}

#[derive(Subcommand)]
enum System {
    /// One installer: service, window, start menu, lanparty:// links, uninstaller
    Windows(Windows),
}

#[derive(Args)]
#[command(
    after_help = "Examples:\n  cargo xtask dist windows --tap dist.win10.zip\n  cargo xtask dist windows --sign ./sign.sh   \
                        it is called with the path of a file, which it signs in place"
)]
struct Windows {
    /// The official package of tap-windows6, dist.win10.zip; without it the installer says where the driver comes from
    #[arg(long, value_name = "FILE")]
    tap: Option<PathBuf>,
    /// Cargo's profile to build with; everything but `release` is packed without compression
    #[arg(long, default_value = "release")]
    profile: String,
    /// A program that is called with each executable's path and signs it in place: both programs, uninstaller, installer
    #[arg(long, value_name = "PROGRAM")]
    sign: Option<PathBuf>,
    /// Three numbers with dots [default: the workspace's]
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// A lanparty-client.exe that is there already, instead of building it
    #[arg(long, value_name = "FILE")]
    client: Option<PathBuf>,
    /// A lanparty.exe that is there already, instead of building it
    #[arg(long, value_name = "FILE")]
    window: Option<PathBuf>,
    /// Where the installer is written [default: target/dist/lanparty-VERSION-setup.exe]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub fn start(options: &Options) -> Result<()> {
    match &options.system {
        System::Windows(windows) => windows.make(),
    }
}

impl Windows {
    fn make(&self) -> Result<()> {
        let version = self.version()?;
        let driver = self.tap.as_deref().map(Driver::official).transpose()?;
        let sign = self.sign.as_deref().map(signer).transpose()?;
        setup::dist_packages()?;
        let out = match &self.out {
            Some(out) => std::path::absolute(out)?,
            None => root().join(format!("target/dist/lanparty-{version}-setup.exe")),
        };
        // One for each installer, so that two can be made at the same time.
        let stage = out.with_extension("stage");
        empty(&stage)?;
        let programs = self.programs()?.map(|(built, name)| (built, stage.join(name)));
        for (built, staged) in &programs {
            stage_program(built, staged)?;
            sign.as_deref().map_or(Ok(()), |sign| sign_file(sign, staged))?;
        }
        let mut command = makensis(&version, &stage, &out, self.profile != "release");
        if let Some(driver) = driver {
            let folder = stage.join("driver");
            driver.unpack(&folder)?;
            command.arg(define("DRIVER", &folder.display()));
        }
        if let Some(sign) = &sign {
            command.arg(define("SIGN", &format_args!("\"{}\"", sign.display())));
        }
        run(command.arg(root().join(SCRIPT)))
            .with_context(|| format!("makensis could not make {}; what it says is above", out.display()))?;
        sign.as_deref().map_or(Ok(()), |sign| sign_file(sign, &out))?;
        fs::remove_dir_all(&stage).with_context(|| format!("could not remove {}", stage.display()))?;
        self.report(&out)
    }

    fn version(&self) -> Result<String> {
        let version = self
            .version
            .clone()
            .unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned());
        let numbers: Vec<&str> = version.split('.').collect();
        if numbers.len() == 3 && numbers.iter().all(|number| number.parse::<u16>().is_ok()) {
            return Ok(version);
        }
        bail!("Windows takes versions of three numbers below 65536, such as 0.1.0, and not {version:?}")
    }

    /// Both programs, built if they were not given, and what they are called when they are installed.
    fn programs(&self) -> Result<[(PathBuf, &'static str); 2]> {
        if self.client.is_none() || self.window.is_none() {
            setup::windows()?;
        }
        let client = match &self.client {
            Some(file) => file.clone(),
            None => self.build("lanparty-client", "target", &["-p", "lanparty-client"])?,
        };
        let manifest = ["--manifest-path", "crates/lanparty-gui/Cargo.toml"];
        let window = match &self.window {
            Some(file) => file.clone(),
            None => self.build("lanparty", "target/window", &manifest)?,
        };
        Ok([(client, "lanparty-client.exe"), (window, "lanparty.exe")])
    }

    fn build(&self, name: &str, target: &str, words: &[&str]) -> Result<PathBuf> {
        let mut command = cargo(&["build", "--target", TARGET, "--profile", &self.profile]);
        command.args(["--target-dir", target]).args(words);
        if self.profile == "release" {
            // What is given away does not tell where it was built.
            let map = format!("--remap-path-prefix={}=lanparty", root().display());
            let home = std::env::var("HOME").map(|home| format!("\x1f--remap-path-prefix={home}=home"));
            command.env("CARGO_ENCODED_RUSTFLAGS", map + &home.unwrap_or_default());
        }
        run(&mut command)?;
        // The one profile whose folder has another name.
        let folder = if self.profile == "dev" {
            "debug"
        } else {
            &self.profile
        };
        Ok(root()
            .join(target)
            .join(TARGET)
            .join(folder)
            .join(name)
            .with_extension("exe"))
    }

    fn report(&self, out: &Path) -> Result<()> {
        let bytes = fs::read(out).with_context(|| format!("could not read {}", out.display()))?;
        println!(
            "{}\n  {} bytes, SHA-256 {}\n  driver: {}\n  signed: {}",
            out.display(),
            bytes.len(),
            driver::sum(&bytes),
            if self.tap.is_some() {
                "tap-windows6, unmodified"
            } else {
                "not inside; the installer says where it comes from (--tap FILE packs it)"
            },
            if self.sign.is_some() {
                "by --sign"
            } else {
                "no: Windows warns who starts it (--sign PROGRAM)"
            },
        );
        Ok(())
    }
}

fn makensis(version: &str, stage: &Path, out: &Path, quick: bool) -> Command {
    let mut command = Command::new("makensis");
    // Warnings are errors: NSIS warns of what is a mistake in the script.
    command.args(["-V2", "-WX", "-NOCONFIG"]).args([
        define("VERSION", &version),
        define("NUMBERS", &format_args!("{version}.0")),
        define("CLIENT", &stage.join("lanparty-client.exe").display()),
        define("WINDOW", &stage.join("lanparty.exe").display()),
        define("HERE", &root().join("packaging/windows").display()),
        define("LICENSES", &root().display()),
        define("OUT", &out.display()),
    ]);
    if quick {
        command.arg("-DQUICK");
    }
    command
}

fn define(name: &str, value: &dyn std::fmt::Display) -> String {
    format!("-D{name}={value}")
}

/// Symbols are for who builds, and ten times the size of what runs.
fn stage_program(built: &Path, staged: &Path) -> Result<()> {
    if !built.is_file() {
        bail!(
            "{} is not there; leave its flag out, and it is built",
            built.display()
        );
    }
    run(Command::new(STRIP).arg("-o").arg(staged).arg(built))
}

fn signer(program: &Path) -> Result<PathBuf> {
    let program = fs::canonicalize(program)
        .with_context(|| format!("--sign {}: no such program", program.display()))?;
    if program.to_string_lossy().contains(['"', '\'', '$']) {
        bail!(
            "--sign {}: makensis needs a path without quotes and dollars",
            program.display()
        );
    }
    Ok(program)
}

/// A signer that changes nothing has not signed.
fn sign_file(sign: &Path, file: &Path) -> Result<()> {
    let before = fs::read(file).with_context(|| format!("could not read {}", file.display()))?;
    run(Command::new(sign).arg(file))
        .with_context(|| format!("--sign {} failed on {}", sign.display(), file.display()))?;
    let after = fs::read(file).with_context(|| format!("could not read {}", file.display()))?;
    if before == after {
        bail!(
            "--sign {} has left {} as it was; it has to sign the file in place",
            sign.display(),
            file.display()
        );
    }
    Ok(())
}

fn empty(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("could not empty {}", folder.display()));
        }
        Ok(()) | Err(_) => {}
    }
    fs::create_dir_all(folder).with_context(|| format!("could not make {}", folder.display()))
}
