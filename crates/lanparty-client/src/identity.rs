//! Who this install is: one key and one MAC address, made once and kept in one file that only its owner reads.
//!
//! Relay and LAN know a player again by them: the key keeps his place in the room, the address his lease and his friends' ARP
//! caches. `--virtual-mac` wins for one run and is not kept.

use std::{fs, io, path::Path, path::PathBuf};

use lanparty_os::dirs::{DirError, make_private, write_private};
use lanparty_quic::{Identity, IdentityError};
use lanparty_wire::Mac;
use serde::{Deserialize, Serialize};

const FILE: &str = "lanparty-client-identity.json";
const FORMAT: u32 = 1;

/// A key with its address.
#[derive(Debug)]
pub struct Install {
    pub identity: Identity,
    pub mac: Mac,
}

/// Why there is none. A file that cannot be used is never overwritten.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error("could not read the identity {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the identity {} is damaged; restore it from a backup, or move it away to get a new one", path.display())]
    Damaged {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("the identity {} holds {what}; restore it from a backup, or move it away to get a new one", path.display())]
    Unusable { path: PathBuf, what: &'static str },
    #[error("could not make a new identity")]
    Make(#[source] IdentityError),
    #[error("could not keep the new identity")]
    Write(#[source] DirError),
}

#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    mac: Mac,
    /// Ed25519, PKCS#8 in PEM.
    key: String,
}

impl Install {
    /// The install of this state dir; a new one at the first start, with an address made of `random`.
    ///
    /// # Errors
    /// See [`InstallError`].
    pub fn load_or_create(state_dir: &Path, random: [u8; 5]) -> Result<Install, InstallError> {
        let path = state_dir.join(FILE);
        match fs::read(&path) {
            Ok(bytes) => Install::parse(&path, &bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Install::create(&path, random),
            Err(source) => Err(InstallError::Read { path, source }),
        }
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Install, InstallError> {
        let path = path.to_owned();
        let unusable = |what| InstallError::Unusable {
            path: path.clone(),
            what,
        };
        let stored: Stored = serde_json::from_slice(bytes).map_err(|source| InstallError::Damaged {
            path: path.clone(),
            source,
        })?;
        if stored.format != FORMAT {
            return Err(unusable("a format of another version"));
        }
        if !stored.mac.is_identity() {
            return Err(unusable("an address that no member may have"));
        }
        let identity = Identity::from_pem(&stored.key).ok_or_else(|| unusable("no Ed25519 key"))?;
        // A copy or a backup may have opened it to others.
        make_private(&path).map_err(|source| InstallError::Read { path, source })?;
        Ok(Install {
            identity,
            mac: stored.mac,
        })
    }

    fn create(path: &Path, random: [u8; 5]) -> Result<Install, InstallError> {
        let (identity, key) = Identity::generate().map_err(InstallError::Make)?;
        let stored = Stored {
            format: FORMAT,
            mac: Mac::from_random(random),
            key,
        };
        let json = serde_json::to_vec_pretty(&stored).map_err(|source| InstallError::Damaged {
            path: path.to_owned(),
            source,
        })?;
        write_private(path, &json).map_err(InstallError::Write)?;
        Ok(Install {
            identity,
            mac: stored.mac,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn key_and_address_stay_and_only_the_owner_reads_them() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let first = Install::load_or_create(dir.path(), [1, 2, 3, 4, 5]).unwrap();
        assert_eq!(first.mac, Mac([2, 1, 2, 3, 4, 5]));
        let path = dir.path().join("lanparty-client-identity.json");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let second = Install::load_or_create(dir.path(), [9; 5]).unwrap();
        assert_eq!(
            (second.mac, second.identity.peer_id()),
            (first.mac, first.identity.peer_id())
        );
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_cannot_be_used_is_named_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lanparty-client-identity.json");
        for content in [
            "",
            "{}",
            r#"{"format":1,"mac":"02:00:00:00:00:01","key":"none"}"#,
            r#"{"format":1,"mac":"ff:ff:ff:ff:ff:ff","key":"none"}"#,
            r#"{"format":7,"mac":"02:00:00:00:00:01","key":"none"}"#,
        ] {
            fs::write(&path, content).unwrap();
            let error = Install::load_or_create(dir.path(), [9; 5])
                .unwrap_err()
                .to_string();
            assert!(error.contains("move it away to get a new one"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
    }
}
