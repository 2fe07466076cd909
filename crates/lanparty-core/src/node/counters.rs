//! What a node counts. The story that drops and frames tell in `status`, in logs and to the relay.

use lanparty_wire::{DropCounters, control::Stats};
use serde::{Deserialize, Serialize};

/// Totals since the node was made. *Out* is from the device to the room, *in* from the room to the device.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Frames from the device that were queued for the room; a super-frame counts its segments.
    pub frames_out: u64,
    /// Frames handed to the device.
    pub frames_in: u64,
    /// Datagrams handed to a path, fragments each for itself.
    pub datagrams_out: u64,
    /// Datagrams from paths, dropped ones included.
    pub datagrams_in: u64,
    /// Bytes of the datagrams out.
    pub bytes_out: u64,
    /// Bytes of the datagrams in.
    pub bytes_in: u64,
    /// Second copies of urgent datagrams, among the datagrams out: what a leg's losses cost.
    pub duplicates_out: u64,
    /// Bytes of these.
    pub duplicate_bytes_out: u64,
    /// Datagrams that had come before, by the same path or another. Not counted as drops: nothing was lost.
    pub duplicates_in: u64,
    /// Frames that left as fragments.
    pub fragmented_out: u64,
    /// Frames that came as fragments and were completed.
    pub reassembled_in: u64,
    /// Broadcast and multicast frames among the frames out.
    pub broadcast_out: u64,
    /// Broadcast and multicast frames from the LAN, among the frames in.
    pub broadcast_in_lan: u64,
    /// Frames that hosts of the LAN sent to this member alone, among the frames in.
    pub unicast_in_lan: u64,
    /// Broadcast and multicast frames from other players, among the frames in.
    pub broadcast_in_members: u64,
    /// TCP handshakes whose segment size was lowered to what fits one datagram.
    pub mss_clamped: u64,
    /// Probes answered.
    pub probes_answered: u64,
    /// Frames and datagrams that went no further, both ways.
    pub drops: DropCounters,
}

impl Counters {
    /// As they are reported to the relay.
    pub fn stats(&self) -> Stats {
        Stats {
            frames_out: self.frames_out,
            frames_in: self.frames_in,
            datagrams_out: self.datagrams_out,
            datagrams_in: self.datagrams_in,
            bytes_out: self.bytes_out,
            bytes_in: self.bytes_in,
            drops: self.drops.clone().into(),
        }
    }
}
