//! What Windows keeps as objects (COM) and has no calls for: what it takes a network for, and the name of a connection.

use std::{io, sync::OnceLock};

use lanparty_wire::host::Category;
use windows::{
    Win32::{
        NetworkManagement::WindowsFirewall::{
            INetConnection, INetConnectionManager, NCME_DEFAULT, NETCON_PROPERTIES,
        },
        Networking::NetworkListManager::{
            INetworkConnection, INetworkListManager, NLM_NETWORK_CATEGORY,
            NLM_NETWORK_CATEGORY_DOMAIN_AUTHENTICATED, NLM_NETWORK_CATEGORY_PRIVATE,
            NLM_NETWORK_CATEGORY_PUBLIC, NetworkListManager,
        },
        System::Com::{CLSCTX_ALL, CoCreateInstance, CoIncrementMTAUsage, CoTaskMemFree},
    },
    core::{GUID, HSTRING},
};

/// CLSID_ConnectionManager of netcon.h.
const CONNECTION_MANAGER: GUID = GUID::from_u128(0xba12_6ad1_2166_11d1_b1d0_0080_5fc1_270e);

/// What the networks behind adapters are taken for; adapters as Windows calls them, `{…}`.
pub(super) fn categories() -> io::Result<Vec<(String, Category)>> {
    let mut found = Vec::new();
    visit(|adapter, connection| {
        // SAFETY: the objects live.
        let category = unsafe { connection.GetNetwork().and_then(|network| network.GetCategory()) };
        // A connection that has just ended is left out.
        if let Ok(category) = category
            && let Some(category) = of_windows(category)
        {
            found.push((adapter, category));
        }
        Ok(true)
    })?;
    Ok(found)
}

/// Changes what the network behind an adapter is taken for.
pub(super) fn set_category(adapter: &str, category: Category) -> io::Result<()> {
    let mut is_set = false;
    visit(|its, connection| {
        if its.eq_ignore_ascii_case(adapter) {
            // SAFETY: the objects live.
            unsafe { connection.GetNetwork()?.SetCategory(to_windows(category)) }?;
            is_set = true;
        }
        Ok(!is_set)
    })?;
    if is_set {
        Ok(())
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Gives an adapter the name that a player sees.
pub(super) fn rename(adapter: &str, name: &str) -> io::Result<()> {
    prepare()?;
    // SAFETY: COM is there for every thread now.
    let manager: INetConnectionManager = unsafe { CoCreateInstance(&CONNECTION_MANAGER, None, CLSCTX_ALL) }?;
    // SAFETY: the object lives.
    let list = unsafe { manager.EnumConnections(NCME_DEFAULT) }?;
    loop {
        let (mut next, mut count) = ([None], 0);
        // SAFETY: there is room for the one that is asked for.
        unsafe { list.Next(&mut next, &mut count) }?;
        let [Some(connection)] = next else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if identity(&connection)?.eq_ignore_ascii_case(adapter) {
            // SAFETY: the object lives, and the name ends with a zero.
            return Ok(unsafe { connection.Rename(&HSTRING::from(name)) }?);
        }
    }
}

fn identity(connection: &INetConnection) -> io::Result<String> {
    // SAFETY: the object lives.
    let properties: *mut NETCON_PROPERTIES = unsafe { connection.GetProperties() }?;
    // SAFETY: the call has made them, with both texts, for us to free as NcFreeNetconProperties does; they are read before.
    unsafe {
        let id = (*properties).guidId;
        CoTaskMemFree(Some((*properties).pszwName.0.cast_const().cast()));
        CoTaskMemFree(Some((*properties).pszwDeviceName.0.cast_const().cast()));
        CoTaskMemFree(Some(properties.cast_const().cast()));
        Ok(instance(&id))
    }
}

/// Shows all connections with their adapters, as long as the visitor wants more. The list is held meanwhile, as Wine's networks do not
/// outlive it.
fn visit(mut visitor: impl FnMut(String, &INetworkConnection) -> io::Result<bool>) -> io::Result<()> {
    prepare()?;
    // SAFETY: COM is there for every thread now.
    let manager: INetworkListManager = unsafe { CoCreateInstance(&NetworkListManager, None, CLSCTX_ALL) }?;
    // SAFETY: the object lives.
    let list = unsafe { manager.GetNetworkConnections() }?;
    loop {
        let mut next = [None];
        // SAFETY: there is room for the one that is asked for.
        unsafe { list.Next(&mut next, None) }?;
        let [Some(connection)] = next else {
            return Ok(());
        };
        // SAFETY: the object lives. One that has just ended is left out.
        let adapter = unsafe { connection.GetAdapterId() };
        if let Ok(adapter) = adapter
            && !visitor(instance(&adapter), &connection)?
        {
            return Ok(());
        }
    }
}

/// COM for every thread of this process, as long as it lives: its tasks have no thread of their own.
fn prepare() -> io::Result<()> {
    static PREPARED: OnceLock<windows::core::Result<()>> = OnceLock::new();
    // SAFETY: no pointers are involved; it is never taken back.
    let prepared = PREPARED.get_or_init(|| unsafe { CoIncrementMTAUsage() }.map(drop));
    prepared.clone().map_err(io::Error::from)
}

fn instance(id: &GUID) -> String {
    format!("{{{id:?}}}")
}

fn of_windows(category: NLM_NETWORK_CATEGORY) -> Option<Category> {
    match category {
        NLM_NETWORK_CATEGORY_PUBLIC => Some(Category::Public),
        NLM_NETWORK_CATEGORY_PRIVATE => Some(Category::Private),
        NLM_NETWORK_CATEGORY_DOMAIN_AUTHENTICATED => Some(Category::Domain),
        _ => None,
    }
}

fn to_windows(category: Category) -> NLM_NETWORK_CATEGORY {
    match category {
        Category::Public => NLM_NETWORK_CATEGORY_PUBLIC,
        Category::Private => NLM_NETWORK_CATEGORY_PRIVATE,
        Category::Domain => NLM_NETWORK_CATEGORY_DOMAIN_AUTHENTICATED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adapters_are_called_as_everywhere_in_windows() {
        let id = GUID::from_u128(0x4d36_e972_e325_11ce_bfc1_0800_2be1_0318);
        assert_eq!(instance(&id), "{4D36E972-E325-11CE-BFC1-08002BE10318}");
    }

    #[test]
    fn categories_come_back_as_they_went() {
        for category in [Category::Public, Category::Private, Category::Domain] {
            assert_eq!(of_windows(to_windows(category)), Some(category));
        }
    }

    #[test]
    fn the_list_of_networks_is_read_or_refused_and_an_unknown_adapter_is_neither_set_nor_renamed() {
        const NOBODY: &str = "{00000000-0000-0000-0000-000000000001}";
        if let Ok(categories) = categories() {
            assert!(categories.iter().all(|(adapter, _)| adapter.starts_with('{')));
        }
        assert!(set_category(NOBODY, Category::Private).is_err());
        assert!(rename(NOBODY, "lanparty0").is_err());
    }
}
