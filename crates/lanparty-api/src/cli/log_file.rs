//! A log in a file, for a service that nobody hears: the last lines, and never more than a disk bears.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Bytes, after which a new file is begun and the one before is kept beside it.
const MOST: u64 = 4 << 20;

#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    written: u64,
    most: u64,
}

impl LogFile {
    pub(super) fn open(path: &Path) -> io::Result<LogFile> {
        LogFile::with_limit(path, MOST)
    }

    fn with_limit(path: &Path, most: u64) -> io::Result<LogFile> {
        let file = File::options().create(true).append(true).open(path)?;
        let written = file.metadata()?.len();
        Ok(LogFile {
            path: path.to_owned(),
            file,
            written,
            most,
        })
    }

    /// What cannot be written is left out: a full disk ends no evening.
    pub(super) fn write(&mut self, line: &[u8]) {
        if self.written >= self.most {
            // Without the other name, the file goes on growing until there is room for it.
            let _ = self.begin_anew();
        }
        if self.file.write_all(line).is_ok() {
            self.written += line.len() as u64;
        }
    }

    fn begin_anew(&mut self) -> io::Result<()> {
        let mut before = self.path.clone().into_os_string();
        before.push(".1");
        fs::rename(&self.path, before)?;
        *self = LogFile::with_limit(&self.path, self.most)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_full_is_kept_once_and_another_one_begun() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("service.log");
        for line in ["first\n", "second\n", "third\n", "fourth\n"] {
            // Opened anew each time, as by one start of a service after the other.
            LogFile::with_limit(&path, 10).unwrap().write(line.as_bytes());
        }
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
        assert_eq!(read("service.log.1"), "first\nsecond\n");
        assert_eq!(read("service.log"), "third\nfourth\n");
    }
}
