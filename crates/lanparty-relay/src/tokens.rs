//! The tokens that hosts open rooms with: a file of hashes, which the `token` command changes and a running relay reads.
//!
//! A token is 128 random bits, so a plain hash keeps it: nobody finds it again by trying. Who changes the file holds the lock of its
//! directory, and the file is replaced as a whole, so the command and the relay never undo each other's changes.

use std::{
    fmt::Write as _,
    fs, io,
    os::unix::fs::{MetadataExt, lchown},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use lanparty_api::cli::{ExitCode, Failure};
use lanparty_core::relay::{UnixTime, plain_words};
use lanparty_os::dirs::{self, DirError, StateDir};
use lanparty_wire::RelayToken;
use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{memory::unix_now, settings::TokenCommand};

const DIRECTORY: &str = "tokens";
const FILE: &str = "tokens.json";
const VERSION: u8 = 1;
/// What the hash is taken of besides the token, so that it is no other protocol's hash.
const LABEL: &[u8] = b"lanparty relay token v1\0";
/// Seconds between two notes of the same token's use.
const NOTE_INTERVAL: u64 = 60;
/// Others hold the lock for a few milliseconds.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// One token, without the token.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Entry {
    /// The first bytes of the hash; to name it by.
    id: String,
    #[serde(default)]
    label: String,
    created: UnixTime,
    #[serde(default)]
    last_used: Option<UnixTime>,
    /// SHA-256 in hex.
    hash: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Table {
    version: u8,
    tokens: Vec<Entry>,
}

/// The tokens as a running relay sees them.
#[derive(Debug)]
pub struct Tokens {
    state_dir: PathBuf,
    seen: Mutex<Seen>,
}

/// What was read last, and of which state of the file.
#[derive(Debug, Default)]
struct Seen {
    of: Option<(SystemTime, u64, u64)>,
    table: Table,
}

impl Default for Table {
    fn default() -> Table {
        Table {
            version: VERSION,
            tokens: Vec::new(),
        }
    }
}

impl Tokens {
    /// Those of this state directory; the file is read when somebody shows a token.
    pub fn new(state_dir: &Path) -> Tokens {
        Tokens {
            state_dir: state_dir.to_owned(),
            seen: Mutex::default(),
        }
    }

    /// True if the token is one of ours now; its use is noted. Reads and writes files.
    pub fn check(&self, now: UnixTime, token: &RelayToken) -> bool {
        let hash = hash_of(token.secret());
        let mut seen = self.seen.lock();
        if let Err(error) = seen.refresh(&self.state_dir) {
            tracing::warn!(%error, "the tokens cannot be read; nobody can open a room");
            return false;
        }
        let entry = seen.table.tokens.iter().find(|entry| entry.hash == hash);
        let Some(entry) = entry.cloned() else {
            return false;
        };
        drop(seen);
        let is_noted = entry
            .last_used
            .is_some_and(|last| now.since(last) < NOTE_INTERVAL);
        if !is_noted && let Err(error) = note_use(&self.state_dir, &hash, now) {
            tracing::warn!(%error, token = entry.id, "the use of a token could not be noted");
        }
        true
    }
}

impl Seen {
    fn refresh(&mut self, state_dir: &Path) -> io::Result<()> {
        let path = path_in(state_dir);
        let now = match fs::metadata(&path) {
            Ok(file) => Some((file.modified()?, file.ino(), file.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if now.is_none() || now != self.of {
            self.table = read(state_dir)?;
            self.of = now;
        }
        Ok(())
    }
}

/// `lanparty-relay token …`
///
/// # Errors
/// The file cannot be read or written, or there is no such token.
pub fn run(command: TokenCommand, state_dir: &Path) -> Result<(), Failure> {
    match command {
        TokenCommand::Create { label } => {
            let token = create(state_dir, &label, unix_now()).map_err(host)?;
            print(&format!(
                "{token}\nIt is shown this once. The host gives it to the LAN gateway: LANPARTY_RELAY_TOKEN or --relay-token.\n"
            ))
        }
        TokenCommand::List => print(&list(&read(state_dir).map_err(host)?, unix_now())),
        TokenCommand::Revoke { id } => match revoke(state_dir, &id).map_err(host)? {
            true => print("Revoked. Rooms that are open stay open until their hosts leave.\n"),
            false => Err(Failure::new(ExitCode::Usage, format!("there is no token {id}"))
                .advise("`lanparty-relay token list` shows the ids")),
        },
    }
}

fn host(error: io::Error) -> Failure {
    Failure::new(ExitCode::Host, error)
        .advise("run it as the relay's user or as root, with the same --state-dir as the relay")
}

fn print(text: &str) -> Result<(), Failure> {
    io::Write::write_all(&mut io::stdout(), text.as_bytes())
        .map_err(|error| Failure::new(ExitCode::Unexpected, error))
}

fn create(state_dir: &Path, label: &str, now: UnixTime) -> io::Result<String> {
    let secret: [u8; 16] = StdRng::from_os_rng().random();
    let token = BASE32_NOPAD.encode(&secret).to_ascii_lowercase();
    let hash = hash_of(&token);
    change(state_dir, |table| {
        table.tokens.push(Entry {
            id: hash[..8].to_owned(),
            label: plain_words(label),
            created: now,
            last_used: None,
            hash,
        });
    })?;
    Ok(token)
}

fn revoke(state_dir: &Path, id: &str) -> io::Result<bool> {
    change(state_dir, |table| {
        let before = table.tokens.len();
        table.tokens.retain(|entry| entry.id != id);
        table.tokens.len() != before
    })
}

fn note_use(state_dir: &Path, hash: &str, now: UnixTime) -> io::Result<()> {
    change(state_dir, |table| {
        let mut tokens = table.tokens.iter_mut();
        if let Some(entry) = tokens.find(|entry| entry.hash == hash) {
            entry.last_used = Some(now);
        }
    })
}

fn list(table: &Table, now: UnixTime) -> String {
    if table.tokens.is_empty() {
        return "There are no tokens; `lanparty-relay token create` makes one.\n".to_owned();
    }
    let mut text = format!("{:<10}{:<16}{:<16}{}\n", "ID", "CREATED", "LAST USED", "LABEL");
    for entry in &table.tokens {
        let used = entry.last_used.map_or("never".to_owned(), |used| age(now, used));
        // A string takes everything.
        let _ = writeln!(
            text,
            "{:<10}{:<16}{used:<16}{}",
            entry.id,
            age(now, entry.created),
            entry.label
        );
    }
    text
}

fn age(now: UnixTime, then: UnixTime) -> String {
    match now.since(then) {
        seconds @ 0..60 => format!("{seconds} s ago"),
        seconds @ 60..3600 => format!("{} min ago", seconds / 60),
        seconds @ 3600..172_800 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

/// Reads, changes and replaces the table under the directory's lock.
fn change<T>(state_dir: &Path, change: impl FnOnce(&mut Table) -> T) -> io::Result<T> {
    let directory = lock(&state_dir.join(DIRECTORY))?;
    let mut table = read(state_dir)?;
    let result = change(&mut table);
    let bytes = serde_json::to_vec_pretty(&table).map_err(io::Error::other)?;
    let path = path_in(state_dir);
    dirs::write_private(&path, &bytes).map_err(plain)?;
    belong_to_owner(state_dir, &[directory.path(), &path])?;
    Ok(result)
}

/// What root makes belongs to the relay's user, who has to read it.
fn belong_to_owner(state_dir: &Path, paths: &[&Path]) -> io::Result<()> {
    let owner = fs::metadata(state_dir)?;
    let inside = fs::read_dir(state_dir.join(DIRECTORY))?;
    let inside: Vec<PathBuf> = inside.filter_map(|entry| Some(entry.ok()?.path())).collect();
    for path in paths.iter().copied().chain(inside.iter().map(PathBuf::as_path)) {
        let file = fs::symlink_metadata(path)?;
        if (file.uid(), file.gid()) != (owner.uid(), owner.gid()) {
            lchown(path, Some(owner.uid()), Some(owner.gid()))?;
        }
    }
    Ok(())
}

fn lock(directory: &Path) -> io::Result<StateDir> {
    let until = Instant::now() + LOCK_PATIENCE;
    loop {
        match StateDir::open(directory) {
            Err(DirError::InUse { .. }) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(5));
            }
            opened => return opened.map_err(plain),
        }
    }
}

fn plain(error: DirError) -> io::Error {
    match error {
        DirError::Io {
            attempt,
            path,
            source,
        } => io::Error::new(
            source.kind(),
            format!("could not {attempt} {}: {source}", path.display()),
        ),
        DirError::InUse { .. } | DirError::NoDefault => io::Error::other(error),
    }
}

fn read(state_dir: &Path) -> io::Result<Table> {
    let path = path_in(state_dir);
    let with_path = |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", path.display());
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Table::default()),
        Err(error) => return Err(io::Error::new(error.kind(), with_path(&error))),
        Ok(bytes) => bytes,
    };
    let table: Table = serde_json::from_slice(&bytes).map_err(|error| io::Error::other(with_path(&error)))?;
    if table.version != VERSION {
        return Err(io::Error::other(with_path(&"a later version has written it")));
    }
    Ok(table)
}

fn path_in(state_dir: &Path) -> PathBuf {
    state_dir.join(DIRECTORY).join(FILE)
}

fn hash_of(token: &str) -> String {
    let digest = Sha256::new().chain_update(LABEL).chain_update(token).finalize();
    HEXLOWER.encode(&digest)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const NOW: UnixTime = UnixTime(1_000_000);

    #[test]
    fn a_token_works_until_it_is_revoked_and_the_file_has_only_its_hash() {
        let directory = tempfile::tempdir().unwrap();
        let tokens = Tokens::new(directory.path());
        assert!(!tokens.check(NOW, &"guess".parse().unwrap()));
        let text = create(directory.path(), "ada\u{1b}[31m", NOW).unwrap();
        let token: RelayToken = text.parse().unwrap();
        assert!(tokens.check(NOW.after(60), &token));
        assert!(!tokens.check(NOW, &"guess".parse().unwrap()));
        let path = path_in(directory.path());
        assert!(!fs::read_to_string(&path).unwrap().contains(&text));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let table = read(directory.path()).unwrap();
        assert_eq!(table.tokens[0].last_used, Some(NOW.after(60)));
        let listed = list(&table, NOW.after(120));
        assert!(
            listed.contains("1 min ago") && listed.contains("ada[31m"),
            "{listed}"
        );
        assert!(!listed.contains(&text));
        assert!(!revoke(directory.path(), "00").unwrap());
        assert!(revoke(directory.path(), &table.tokens[0].id).unwrap());
        assert!(!tokens.check(NOW, &token));
    }

    #[test]
    fn a_damaged_file_opens_no_room() {
        let directory = tempfile::tempdir().unwrap();
        let token = create(directory.path(), "", NOW).unwrap().parse().unwrap();
        let tokens = Tokens::new(directory.path());
        assert!(tokens.check(NOW, &token));
        fs::write(path_in(directory.path()), "{").unwrap();
        assert!(!tokens.check(NOW, &token));
        assert!(
            create(directory.path(), "", NOW).is_err(),
            "and is not overwritten"
        );
    }

    #[test]
    fn changes_at_the_same_time_are_all_kept() {
        let directory = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| create(directory.path(), "", NOW).unwrap());
            }
        });
        assert_eq!(read(directory.path()).unwrap().tokens.len(), 8);
    }
}
