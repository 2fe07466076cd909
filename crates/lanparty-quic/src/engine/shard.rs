//! Several engines behind one address: each connection's ids say which engine it belongs to.
//!
//! The kernel spreads packets over sockets by address, so that a client that roams arrives at another socket than before. What
//! arrives at the wrong engine is handed on by these ids.

use std::time::Duration;

use quinn_proto::{ConnectionId, ConnectionIdGenerator, HashedConnectionIdGenerator, InvalidCid};

/// The first byte of an id is its engine; the rest can be told from what somebody has made up.
pub(crate) struct ShardedIds {
    shard: u8,
    inner: HashedConnectionIdGenerator,
}

impl ShardedIds {
    /// The same key gives ids that are known again after a restart.
    pub(crate) fn new(shard: u8, key: u64) -> ShardedIds {
        ShardedIds {
            shard,
            inner: HashedConnectionIdGenerator::from_key(key),
        }
    }
}

impl ConnectionIdGenerator for ShardedIds {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&[&[self.shard], &self.inner.generate_cid()[..]].concat())
    }

    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        let rest = id.get(1..).ok_or(InvalidCid)?;
        if rest.len() != self.inner.cid_len() {
            return Err(InvalidCid);
        }
        self.inner.validate(&ConnectionId::new(rest))
    }

    fn cid_len(&self) -> usize {
        1 + self.inner.cid_len()
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        self.inner.cid_lifetime()
    }
}

/// The engine that a packet belongs to, as far as its header says so (RFC 9000, section 17): a short header begins with an id
/// that we have given, and so does a long one after its length, except in the very first packets.
pub(crate) fn of(packet: &[u8]) -> Option<u8> {
    const LONG: u8 = 0x80;
    const TYPE: u8 = 0x30;
    const HANDSHAKE: u8 = 0x20;
    let first = *packet.first()?;
    if first & LONG == 0 {
        return packet.get(1).copied();
    }
    if first & TYPE != HANDSHAKE {
        return None;
    }
    packet.get(6).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_say_their_shard_and_are_known_again() {
        let id = ShardedIds::new(3, 42).generate_cid();
        assert_eq!(id.len(), ShardedIds::new(3, 42).cid_len());
        assert!(ShardedIds::new(3, 42).validate(&id).is_ok());
        assert!(ShardedIds::new(3, 43).validate(&id).is_err());
        assert_eq!(of(&[&[0x40], &id[..]].concat()), Some(3));
    }

    #[test]
    fn a_strange_length_is_no_id() {
        assert!(ShardedIds::new(0, 1).validate(&ConnectionId::new(&[])).is_err());
        assert!(
            ShardedIds::new(0, 1)
                .validate(&ConnectionId::new(&[0; 5]))
                .is_err()
        );
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[0x40]), None);
    }
}
