//! A listener for changes of the network.
//!
//! Windows calls back on threads of its own. A call only sets a bit; the truth is asked for anew by who waits.

use std::{
    ffi::c_void,
    io, ptr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use windows_sys::Win32::{
    Foundation::HANDLE,
    NetworkManagement::IpHelper::{
        CancelMibChangeNotify2, MIB_IPFORWARD_ROW2, MIB_IPINTERFACE_ROW, MIB_NOTIFICATION_TYPE,
        MIB_UNICASTIPADDRESS_ROW, NotifyIpInterfaceChange, NotifyRouteChange2, NotifyUnicastIpAddressChange,
    },
    Networking::WinSock::AF_UNSPEC,
};

use crate::{
    network::{
        NetworkChange,
        settle::{QUIET, Settle},
    },
    win32::check_code,
};

const LINKS: u8 = 1;
const ADDRESSES: u8 = 2;
const ROUTES: u8 = 4;

/// A stream of changes.
pub struct Watch {
    heard: Arc<Heard>,
    settle: Settle,
    _subscriptions: [Subscription; 3],
}

#[derive(Default)]
struct Heard {
    bits: AtomicU8,
    notify: Notify,
}

impl Watch {
    /// Reports a change 200 ms after its last message, or a second after its first, and hears of everything from now on.
    ///
    /// # Errors
    /// When the system refuses to tell.
    pub fn new() -> io::Result<Watch> {
        Watch::with_quiet(QUIET)
    }

    /// Reports each change at once.
    ///
    /// # Errors
    /// When the system refuses to tell.
    pub fn immediate() -> io::Result<Watch> {
        Watch::with_quiet(Duration::ZERO)
    }

    fn with_quiet(quiet: Duration) -> io::Result<Watch> {
        let heard = Arc::<Heard>::default();
        // SAFETY (of all three): the context is what the callback expects, and lives until the subscription is over.
        let links = Subscription::new(&heard, |context, handle| unsafe {
            NotifyIpInterfaceChange(AF_UNSPEC, Some(link_changed), context, false, handle)
        })?;
        let addresses = Subscription::new(&heard, |context, handle| unsafe {
            NotifyUnicastIpAddressChange(AF_UNSPEC, Some(address_changed), context, false, handle)
        })?;
        let routes = Subscription::new(&heard, |context, handle| unsafe {
            NotifyRouteChange2(AF_UNSPEC, Some(route_changed), context, false, handle)
        })?;
        Ok(Watch {
            heard,
            settle: Settle::new(quiet),
            _subscriptions: [links, addresses, routes],
        })
    }

    /// Waits for the next change. Cancel safe.
    ///
    /// # Errors
    /// None here.
    pub async fn changed(&mut self) -> io::Result<NetworkChange> {
        loop {
            let bits = self.heard.bits.swap(0, Ordering::AcqRel);
            let change = NetworkChange {
                links: bits & LINKS != 0,
                addresses: bits & ADDRESSES != 0,
                routes: bits & ROUTES != 0,
            };
            self.settle.note(Instant::now(), change);
            if let Some(change) = self.settle.poll(Instant::now()) {
                return Ok(change);
            }
            let due = self.settle.due();
            // Without a change there is nothing to be due; the arm below is then off.
            let wake = due.unwrap_or_else(Instant::now);
            tokio::select! {
                () = sleep_until(wake), if due.is_some() => {}
                () = self.heard.notify.notified() => {}
            }
        }
    }
}

/// One kind of change that Windows calls back for.
struct Subscription {
    handle: HANDLE,
    /// Kept for the callback.
    _heard: Arc<Heard>,
}

// SAFETY: a notification may be ended by any thread.
unsafe impl Send for Subscription {}
// SAFETY: nothing can be done with a shared one.
unsafe impl Sync for Subscription {}

impl Subscription {
    fn new(
        heard: &Arc<Heard>,
        subscribe: impl FnOnce(*const c_void, *mut HANDLE) -> u32,
    ) -> io::Result<Subscription> {
        let heard = Arc::clone(heard);
        let mut handle = ptr::null_mut();
        check_code(subscribe(Arc::as_ptr(&heard).cast(), &mut handle))?;
        Ok(Subscription {
            handle,
            _heard: heard,
        })
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // Wine gives none.
        if !self.handle.is_null() {
            // SAFETY: the handle is of a subscription that is ended once. The call waits for callbacks, which need what is dropped next.
            unsafe { CancelMibChangeNotify2(self.handle) };
        }
    }
}

unsafe extern "system" fn link_changed(
    context: *const c_void,
    _: *const MIB_IPINTERFACE_ROW,
    _: MIB_NOTIFICATION_TYPE,
) {
    // SAFETY: Windows hands back the context of the subscription.
    unsafe { note(context, LINKS) };
}

unsafe extern "system" fn address_changed(
    context: *const c_void,
    _: *const MIB_UNICASTIPADDRESS_ROW,
    _: MIB_NOTIFICATION_TYPE,
) {
    // SAFETY: as above.
    unsafe { note(context, ADDRESSES) };
}

unsafe extern "system" fn route_changed(
    context: *const c_void,
    _: *const MIB_IPFORWARD_ROW2,
    _: MIB_NOTIFICATION_TYPE,
) {
    // SAFETY: as above.
    unsafe { note(context, ROUTES) };
}

/// # Safety
/// `context` is that of a living [`Subscription`].
unsafe fn note(context: *const c_void, bit: u8) {
    // SAFETY: it points to the subscription's `Heard`.
    let heard = unsafe { &*context.cast::<Heard>() };
    heard.bits.fetch_or(bit, Ordering::AcqRel);
    heard.notify.notify_one();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_called_back_is_told_once_with_all_that_came() {
        let mut watch = Watch::immediate().unwrap();
        let context = Arc::as_ptr(&watch.heard).cast();
        // SAFETY: the watch lives.
        unsafe {
            link_changed(context, ptr::null(), 0);
            route_changed(context, ptr::null(), 0);
        }
        let expected = NetworkChange {
            links: true,
            addresses: false,
            routes: true,
        };
        assert_eq!(watch.changed().await.unwrap(), expected);
    }
}
