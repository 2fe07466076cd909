//! How our QUIC connections behave, the same on both sides.
//!
//! The numbers serve games: notice a dead path soon, keep NATs open, hold few packets where nobody can reorder them.

use std::{sync::Arc, time::Duration};

use quinn_proto::{AckFrequencyConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

use crate::congestion::DelayControl;

/// NATs forget UDP mappings after 30 s (FIELD-NOTES F26); a shorter interval also lets a watchdog act within seconds.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// Five keep-alives; a member that is silent for longer is gone.
const IDLE_TIMEOUT_MS: u32 = 10_000;
/// A guess for the first flights: 333 ms, RFC 9002's, makes a lost first packet cost a second.
const INITIAL_RTT: Duration = Duration::from_millis(100);
/// What any path that carries QUIC lets through (RFC 9000, section 14).
const INITIAL_MTU: u16 = 1200;
/// The UDP payload that fits an Ethernet of 1500 under IPv6 (40 + 8 bytes of headers).
const LARGEST_MTU: u16 = 1452;
/// Never full: the engine gives QUIC a train at most, 64 datagrams of less than 1,452 bytes.
pub(crate) const DATAGRAM_SEND_BUFFER: usize = 256 * 1024;
/// What one train of the kernel holds, twice; it is emptied after each.
const DATAGRAM_RECEIVE_BUFFER: usize = 128 * 1024;
/// One control stream; a peer cannot make us keep more than this of unread control messages.
const STREAM_WINDOW: u32 = 256 * 1024;

/// The side of the connection that an endpoint is on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Dials, and keeps the path alive through NATs.
    Dialler,
    /// Is dialled.
    Relay,
}

pub(crate) fn config(side: Side) -> Arc<TransportConfig> {
    let mut mtu = MtuDiscoveryConfig::default();
    // A suspected black hole halves nothing but costs a second datagram for each full frame: look again soon.
    mtu.upper_bound(LARGEST_MTU)
        .interval(Duration::from_secs(120))
        .black_hole_cooldown(Duration::from_secs(20));
    let mut acks = AckFrequencyConfig::default();
    // Datagrams are never retransmitted; one acknowledgement for twenty of them is enough to steer congestion control at any
    // speed, and at 20 Mbit/s the delay keeps the sender's window moving.
    acks.ack_eliciting_threshold(VarInt::from_u32(20))
        .max_ack_delay(Some(Duration::from_millis(2)));
    let mut config = TransportConfig::default();
    config
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))))
        .keep_alive_interval((side == Side::Dialler).then_some(KEEP_ALIVE))
        .initial_rtt(INITIAL_RTT)
        .initial_mtu(INITIAL_MTU)
        .mtu_discovery_config(Some(mtu))
        .ack_frequency_config(Some(acks))
        .datagram_send_buffer_size(DATAGRAM_SEND_BUFFER)
        .datagram_receive_buffer_size(Some(DATAGRAM_RECEIVE_BUFFER))
        .max_concurrent_bidi_streams(VarInt::from_u32(if side == Side::Relay { 1 } else { 0 }))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(STREAM_WINDOW))
        .send_window(u64::from(STREAM_WINDOW))
        // The one place that says how a path's speed is found.
        .congestion_controller_factory(Arc::new(DelayControl));
    Arc::new(config)
}
