//! The adapter as Windows knows it: made and restarted by SetupAPI, described in the registry.

use std::{
    fs::OpenOptions,
    io,
    os::windows::{fs::OpenOptionsExt, io::OwnedHandle},
    ptr, thread,
    time::{Duration, Instant},
};

use lanparty_wire::Mac;
use windows_sys::Win32::{
    Devices::DeviceAndDriverInstallation::{
        DICD_GENERATE_ID, DICS_DISABLE, DICS_ENABLE, DICS_FLAG_GLOBAL, DIF_PROPERTYCHANGE,
        DIF_REGISTERDEVICE, DIF_REMOVE, DIGCF_PRESENT, DIREG_DRV, DiInstallDevice, GUID_DEVCLASS_NET,
        HDEVINFO, SETUP_DI_STATE_CHANGE, SP_CLASSINSTALL_HEADER, SP_DEVINFO_DATA, SP_PROPCHANGE_PARAMS,
        SPDRP_HARDWAREID, SetupDiCallClassInstaller, SetupDiCreateDeviceInfoList, SetupDiCreateDeviceInfoW,
        SetupDiDestroyDeviceInfoList, SetupDiEnumDeviceInfo, SetupDiGetClassDevsW, SetupDiOpenDevRegKey,
        SetupDiSetClassInstallParamsW, SetupDiSetDeviceRegistryPropertyW,
    },
    Storage::FileSystem::{FILE_ATTRIBUTE_SYSTEM, FILE_FLAG_OVERLAPPED},
    System::Registry::{HKEY_LOCAL_MACHINE, KEY_READ, KEY_SET_VALUE},
};

use crate::{
    network,
    registry::Key,
    win32::{check, wide},
};

/// What the driver's installation file calls its devices.
const HARDWARE_ID: &str = r"root\tap0901";
/// Where we remember which adapter is ours, by the name that we gave it.
const REMEMBERED: &str = r"SOFTWARE\lanparty\adapters";
const INSTANCE: &str = "NetCfgInstanceId";
/// The address that the driver reads when it starts, as twelve hexadecimal digits.
const ADDRESS: &str = "NetworkAddress";
/// A new or restarted adapter shows up within this, on a slow machine too.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(100);

/// An adapter of ours.
pub(super) struct Adapter {
    /// `{…}`, as Windows names it for ever.
    instance: String,
    devices: Devices,
    device: SP_DEVINFO_DATA,
}

impl Adapter {
    /// The one that we remember under this name, or a new one.
    pub(super) fn of(name: &str) -> io::Result<Adapter> {
        let remembered = Key::open(HKEY_LOCAL_MACHINE, REMEMBERED, KEY_READ)
            .and_then(|key| key.text(name))
            .ok();
        if let Some(instance) = remembered
            && let Some(adapter) = Adapter::find(&instance)?
        {
            return Ok(adapter);
        }
        let adapter = Adapter::make()?;
        Key::create(HKEY_LOCAL_MACHINE, REMEMBERED)?.set_text(name, &adapter.instance)?;
        adapter.rename(name)?;
        Ok(adapter)
    }

    /// Takes off the one that we remember under this name. False if there is none.
    pub(super) fn remove(name: &str) -> io::Result<bool> {
        let remembered = Key::open(HKEY_LOCAL_MACHINE, REMEMBERED, KEY_READ | KEY_SET_VALUE)
            .and_then(|key| key.text(name).map(|instance| (key, instance)));
        let (key, instance) = match remembered {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            remembered => remembered?,
        };
        let adapter = Adapter::find(&instance)?;
        if let Some(Adapter { devices, device, .. }) = &adapter {
            // SAFETY: the device is of this list.
            check(unsafe { SetupDiCallClassInstaller(DIF_REMOVE, devices.0, device) })?;
        }
        key.remove(name)?;
        Ok(adapter.is_some())
    }

    fn find(instance: &str) -> io::Result<Option<Adapter>> {
        // SAFETY: the class is live, and everything else null.
        let devices = Devices::of(unsafe {
            SetupDiGetClassDevsW(&GUID_DEVCLASS_NET, ptr::null(), ptr::null_mut(), DIGCF_PRESENT)
        })?;
        for index in 0.. {
            let mut device = no_device();
            // SAFETY: the list is ours, and the structure says its size.
            if unsafe { SetupDiEnumDeviceInfo(devices.0, index, &mut device) } == 0 {
                break;
            }
            let its = driver_key(&devices, &device, KEY_READ).and_then(|key| key.text(INSTANCE));
            if its.is_ok_and(|its| its.eq_ignore_ascii_case(instance)) {
                return Ok(Some(Adapter {
                    instance: instance.to_owned(),
                    devices,
                    device,
                }));
            }
        }
        Ok(None)
    }

    /// A new device, with the driver that is in Windows' store.
    fn make() -> io::Result<Adapter> {
        // SAFETY: the class is live.
        let devices =
            Devices::of(unsafe { SetupDiCreateDeviceInfoList(&GUID_DEVCLASS_NET, ptr::null_mut()) })?;
        let (name, mut device) = (wide("lanparty"), no_device());
        // SAFETY: the name ends with a zero, and the structure says its size.
        check(unsafe {
            SetupDiCreateDeviceInfoW(
                devices.0,
                name.as_ptr(),
                &GUID_DEVCLASS_NET,
                ptr::null(),
                ptr::null_mut(),
                DICD_GENERATE_ID,
                &mut device,
            )
        })?;
        // A list of texts, which ends with an empty one.
        let mut ids = wide(HARDWARE_ID);
        ids.push(0);
        // SAFETY: the list is live and as many bytes as stated; the device is of this list.
        check(unsafe {
            SetupDiSetDeviceRegistryPropertyW(
                devices.0,
                &mut device,
                SPDRP_HARDWAREID,
                ids.as_ptr().cast(),
                (ids.len() * 2) as u32,
            )
        })?;
        // SAFETY: the device is of this list.
        check(unsafe { SetupDiCallClassInstaller(DIF_REGISTERDEVICE, devices.0, &device) })?;
        let made = install(&devices, &mut device).and_then(|()| instance_of(&devices, &device));
        match made {
            Ok(instance) => Ok(Adapter {
                instance,
                devices,
                device,
            }),
            Err(error) => {
                // A device without a driver would stay in the device manager with a yellow mark.
                // SAFETY: the device is of this list.
                unsafe { SetupDiCallClassInstaller(DIF_REMOVE, devices.0, &device) };
                Err(error)
            }
        }
    }

    /// True if the driver has to be restarted to use it.
    pub(super) fn set_mac(&self, mac: Mac) -> io::Result<bool> {
        let wanted: String = mac.0.iter().map(|octet| format!("{octet:02X}")).collect();
        let key = driver_key(&self.devices, &self.device, KEY_READ | KEY_SET_VALUE)?;
        if key
            .text(ADDRESS)
            .is_ok_and(|now| now.eq_ignore_ascii_case(&wanted))
        {
            return Ok(false);
        }
        key.set_text(ADDRESS, &wanted)?;
        Ok(true)
    }

    /// Takes the adapter down and up, so that the driver reads its settings.
    pub(super) fn restart(&self) -> io::Result<()> {
        for state in [DICS_DISABLE, DICS_ENABLE] {
            self.change(state)?;
        }
        Ok(())
    }

    /// The driver's file of frames. Nobody else can have it at the same time.
    pub(super) fn open(&self) -> io::Result<OwnedHandle> {
        let path = format!(r"\\.\Global\{}.tap", self.instance);
        until(|| {
            OpenOptions::new()
                .read(true)
                .write(true)
                .share_mode(0)
                .custom_flags(FILE_ATTRIBUTE_SYSTEM | FILE_FLAG_OVERLAPPED)
                .open(&path)
                .map(OwnedHandle::from)
        })
    }

    /// The number of its interface.
    pub(super) fn index(&self) -> io::Result<u32> {
        until(|| match network::adapter_of(&self.instance)? {
            Some((index, _)) => Ok(index),
            None => Err(io::ErrorKind::NotFound.into()),
        })
    }

    /// Gives it the name that a player sees. A new adapter is known to all of Windows a moment later.
    fn rename(&self, name: &str) -> io::Result<()> {
        until(|| network::rename(&self.instance, name))
    }

    /// Names that this machine looks up are not asked at the party's name servers.
    pub(super) fn keep_names_out(&self) -> io::Result<()> {
        network::keep_names_out(&self.instance)
    }

    fn change(&self, state: SETUP_DI_STATE_CHANGE) -> io::Result<()> {
        let parameters = SP_PROPCHANGE_PARAMS {
            ClassInstallHeader: SP_CLASSINSTALL_HEADER {
                cbSize: size_of::<SP_CLASSINSTALL_HEADER>() as u32,
                InstallFunction: DIF_PROPERTYCHANGE,
            },
            StateChange: state,
            Scope: DICS_FLAG_GLOBAL,
            HwProfile: 0,
        };
        // SAFETY: the parameters are live, begin with their header and are as long as stated; the device is of this list.
        check(unsafe {
            SetupDiSetClassInstallParamsW(
                self.devices.0,
                &self.device,
                &parameters.ClassInstallHeader,
                size_of::<SP_PROPCHANGE_PARAMS>() as u32,
            )
        })?;
        // SAFETY: as above.
        check(unsafe { SetupDiCallClassInstaller(DIF_PROPERTYCHANGE, self.devices.0, &self.device) })
    }
}

/// A list of devices that SetupAPI has made.
struct Devices(HDEVINFO);

impl Devices {
    fn of(list: HDEVINFO) -> io::Result<Devices> {
        // INVALID_HANDLE_VALUE
        if list == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(Devices(list))
    }
}

impl Drop for Devices {
    fn drop(&mut self) {
        // SAFETY: the list is ours.
        unsafe { SetupDiDestroyDeviceInfoList(self.0) };
    }
}

fn no_device() -> SP_DEVINFO_DATA {
    SP_DEVINFO_DATA {
        cbSize: size_of::<SP_DEVINFO_DATA>() as u32,
        ..SP_DEVINFO_DATA::default()
    }
}

fn install(devices: &Devices, device: &mut SP_DEVINFO_DATA) -> io::Result<()> {
    let mut restart = 0;
    // SAFETY: the device is of this list; without a driver's description the best one of the store is taken.
    check(unsafe { DiInstallDevice(ptr::null_mut(), devices.0, device, ptr::null(), 0, &mut restart) })
}

/// Windows names an instance while it installs it, sometimes a moment later.
fn instance_of(devices: &Devices, device: &SP_DEVINFO_DATA) -> io::Result<String> {
    until(|| driver_key(devices, device, KEY_READ)?.text(INSTANCE))
}

fn driver_key(devices: &Devices, device: &SP_DEVINFO_DATA, rights: u32) -> io::Result<Key> {
    // SAFETY: the device is of this list, and the key that is opened is ours.
    unsafe {
        Key::owned(SetupDiOpenDevRegKey(
            devices.0,
            device,
            DICS_FLAG_GLOBAL,
            0,
            DIREG_DRV,
            rights,
        ))
    }
}

/// Tries until it works or the patience is over.
fn until<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(_) if start.elapsed() < PATIENCE => thread::sleep(LOOK),
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_that_is_gone_already_is_forgotten() {
        let name = format!("lanparty-test-{}", std::process::id());
        assert!(!Adapter::remove(&name).unwrap());
        let key = Key::create(HKEY_LOCAL_MACHINE, REMEMBERED).unwrap();
        key.set_text(&name, "{00000000-0000-0000-0000-000000000000}")
            .unwrap();
        assert!(!Adapter::remove(&name).unwrap());
        assert_eq!(key.text(&name).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
