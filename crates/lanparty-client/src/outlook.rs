//! The client's part of the status, and what of it is said aloud.

use std::time::Instant;

use lanparty_api::{
    Status,
    status::{EndpointStatus, InterfaceStatus},
};
use lanparty_core::host::warnings;
use lanparty_wire::host::Snapshot;
use tokio::sync::watch;

use crate::lease::LeaseKeeper;

/// Puts what this machine shows into the status, and what games see of the room. `troubles` are said beside the warnings.
pub fn note_host(
    status: &watch::Sender<Status>,
    snapshot: &Snapshot,
    tap: &str,
    interface: Option<InterfaceStatus>,
    troubles: Vec<String>,
) {
    let warnings = warnings(snapshot, tap).into_iter();
    let warnings = warnings.map(|warning| warning.to_string());
    let warnings: Vec<String> = warnings.chain(troubles).collect();
    change(status, |endpoint| {
        endpoint.interface = interface;
        endpoint.warnings = warnings;
    });
}

/// Puts the lease into the status.
pub fn note_lease(status: &watch::Sender<Status>, lease: &LeaseKeeper) {
    change(status, |endpoint| {
        endpoint.dhcp = lease.status();
        endpoint.default_route_offered = lease.router_offered();
    });
}

/// Says for how long the room has been joined. `since` is when it was joined last.
pub fn note_time(status: &watch::Sender<Status>, now: Instant, since: Option<Instant>) {
    change(status, |endpoint| {
        let joined = since
            .filter(|_| endpoint.is_joined())
            .map(|since| now.saturating_duration_since(since));
        // Never 0 while joined.
        endpoint.joined_ms = joined.map_or(0, |joined| {
            u64::try_from(joined.as_millis()).unwrap_or(u64::MAX).max(1)
        });
    });
}

fn change(status: &watch::Sender<Status>, change: impl FnOnce(&mut EndpointStatus)) {
    status.send_if_modified(|status| {
        let Some(endpoint) = &mut status.endpoint else {
            return false;
        };
        let before = endpoint.clone();
        change(endpoint);
        *endpoint != before
    });
}
