//! Kernel settings by their path below `/proc/sys`, as [`lanparty_wire::host::Change::SetSysctl`] names them.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

const ROOT: &str = "/proc/sys";

/// Whether this system speaks IPv6 at all; some are booted without it.
pub fn has_ipv6() -> bool {
    Path::new("/proc/sys/net/ipv6").exists()
}

/// The value of a setting; `None` if the kernel has none of this name.
pub(crate) fn read(key: &str) -> io::Result<Option<String>> {
    match fs::read_to_string(path(key)?) {
        Ok(text) => Ok(Some(text.trim_end().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sets a setting that exists.
pub(crate) fn write(key: &str, value: &str) -> io::Result<()> {
    use io::Write;
    fs::OpenOptions::new()
        .write(true)
        .open(path(key)?)?
        .write_all(value.as_bytes())
}

/// A key may come from a journal, so it must not lead out of the settings.
fn path(key: &str) -> io::Result<PathBuf> {
    let relative = Path::new(key);
    if relative
        .components()
        .all(|component| matches!(component, Component::Normal(_)))
    {
        Ok(Path::new(ROOT).join(relative))
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{key:?} is no kernel setting"),
        ))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::testing::{in_namespace, ip};

    #[test]
    fn a_setting_is_written_and_read_in_the_callers_namespace() {
        in_namespace(|| async {
            ip("link add lan0 type veth peer name host0");
            let key = "net/ipv6/conf/lan0/accept_ra_defrtr";
            assert_eq!(read(key).unwrap().as_deref(), Some("1"));
            write(key, "0").unwrap();
            assert_eq!(read(key).unwrap().as_deref(), Some("0"));
            assert_eq!(
                read("net/ipv6/conf/host0/accept_ra_defrtr").unwrap().as_deref(),
                Some("1")
            );
            assert!(has_ipv6());
        });
    }

    #[test]
    fn keys_cannot_lead_elsewhere() {
        for key in ["../../etc/passwd", "/etc/passwd", "net/../../../etc/passwd"] {
            assert!(read(key).is_err() && write(key, "").is_err(), "{key}");
        }
        assert_eq!(read("net/ipv6/conf/nobody/accept_ra").unwrap(), None);
    }
}
