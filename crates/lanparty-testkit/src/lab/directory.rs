//! The lab's folder for logs and state files, named after the process that uses it, so that a later lab can tell
//! which folders nobody needs any more.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use super::error::{Attempt, LabError};

/// Tells the labs of one process apart.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A folder that is removed when it is dropped, except by a panic: then somebody wants to read the logs.
#[derive(Debug)]
pub(super) struct Directory(PathBuf);

impl Directory {
    /// Makes the folder, and removes those of labs whose process is gone.
    pub(super) fn create() -> Result<Self, LabError> {
        let base = env::temp_dir().join("lanparty-lab");
        fs::create_dir_all(&base).attempt(|| format!("create {}", base.display()))?;
        remove_leftovers(&base);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("{}-{number}", process::id()));
        fs::create_dir_all(&path).attempt(|| format!("create {}", path.display()))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!(
                "the lab's logs stay in {} until the next lab starts",
                self.0.display()
            );
        } else {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

fn remove_leftovers(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.split_once('-'))
            .map(|(pid, _)| pid);
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_dead_processes_go_and_those_of_living_stay() {
        let base = tempfile::tempdir().unwrap();
        // Process ids end at 2^22 on every Linux.
        let dead = base.path().join("4194305-0");
        let alive = base.path().join(format!("{}-0", process::id()));
        fs::create_dir(&dead).unwrap();
        fs::create_dir(&alive).unwrap();
        remove_leftovers(base.path());
        assert!(!dead.exists() && alive.exists());
    }
}
