//! The network driver, as OpenVPN gives it out: never changed, and taken only if it is what we know.

use std::{
    fmt::Write,
    fs::{self, File},
    io::{self, Cursor},
    path::Path,
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use zip::ZipArchive;

const NAME: &str = "tap-windows6 9.27.0, dist.win10.zip";
const SOURCE: &str = "https://github.com/OpenVPN/tap-windows6/releases/tag/9.27.0";
/// SHA-256 of that package. Several projects that pack the driver independently of each other have pinned the same.
const SUM: &str = "36e2609b7ceefedcb978ce5c48caf9e0e5af83423717c4e2e3c1d7ebca8f62a5";
/// What Windows' driver store wants: the description, the driver, and the catalogue that Microsoft has signed.
const FILES: [&str; 3] = ["OemVista.inf", "tap0901.sys", "tap0901.cat"];
const FOLDER: &str = "dist.win10/amd64";

/// A package that was checked.
#[derive(Debug)]
pub struct Driver {
    bytes: Vec<u8>,
}

impl Driver {
    /// The official package.
    ///
    /// # Errors
    /// It is another file, and where to get the right one.
    pub fn official(package: &Path) -> Result<Driver> {
        let bytes =
            fs::read(package).with_context(|| format!("could not read --tap {}", package.display()))?;
        Driver::checked(bytes, SUM)
            .with_context(|| format!("--tap {}: this is not {NAME} of {SOURCE}", package.display()))
    }

    fn checked(bytes: Vec<u8>, expected: &str) -> Result<Driver> {
        let found = sum(&bytes);
        if found != expected {
            bail!("its SHA-256 is {found} and has to be {expected}");
        }
        Ok(Driver { bytes })
    }

    /// Writes its files for 64-bit Windows, and where their source is, into a new folder.
    ///
    /// # Errors
    /// The package has no such file, or the folder cannot be written.
    pub fn unpack(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("could not make {}", folder.display()))?;
        let mut package =
            ZipArchive::new(Cursor::new(&self.bytes)).context("the driver's package is no zip")?;
        for name in FILES {
            let mut packed = package
                .by_name(&format!("{FOLDER}/{name}"))
                .with_context(|| format!("the driver's package has no {FOLDER}/{name}"))?;
            let file = folder.join(name);
            File::create(&file)
                .and_then(|mut file| io::copy(&mut packed, &mut file))
                .with_context(|| format!("could not write {}", file.display()))?;
        }
        // Its licence, the GPL, wants to be told to those who get it.
        let note = format!(
            "These files are {NAME}, unmodified.\r\nCopyright OpenVPN Inc. and others, licensed under the GNU General Public License, \
             version 2.\r\nSource and licence: {SOURCE}\r\n"
        );
        fs::write(folder.join("SOURCE.txt"), note).context("could not write the driver's note")
    }
}

/// SHA-256, as people compare it.
pub fn sum(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    fn package(names: &[&str]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for name in names {
            zip.start_file(format!("{FOLDER}/{name}"), SimpleFileOptions::default())
                .unwrap();
            zip.write_all(name.as_bytes()).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn a_package_that_is_not_the_pinned_one_is_refused_and_the_right_one_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dist.win10.zip");
        fs::write(&file, package(&FILES)).unwrap();
        let refusal = format!("{:#}", Driver::official(&file).unwrap_err());
        assert!(refusal.contains(SUM) && refusal.contains(SOURCE), "{refusal}");
    }

    #[test]
    fn its_files_are_unpacked_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = package(&["devcon.exe", FILES[0], FILES[1], FILES[2]]);
        let expected = sum(&bytes);
        Driver::checked(bytes, &expected)
            .unwrap()
            .unpack(folder.path())
            .unwrap();
        for name in FILES {
            assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), name);
        }
        let note = fs::read_to_string(folder.path().join("SOURCE.txt")).unwrap();
        assert!(note.contains(SOURCE), "{note}");
        assert!(!folder.path().join("devcon.exe").exists());
    }

    #[test]
    fn a_package_with_a_file_missing_says_which() {
        let bytes = package(&FILES[..2]);
        let expected = sum(&bytes);
        let folder = tempfile::tempdir().unwrap();
        let refusal = Driver::checked(bytes, &expected)
            .unwrap()
            .unpack(folder.path())
            .unwrap_err()
            .to_string();
        assert!(refusal.contains("tap0901.cat"), "{refusal}");
    }
}
