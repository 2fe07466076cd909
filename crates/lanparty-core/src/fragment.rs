//! Payloads that do not fit one datagram: cutting them, cutting them again on the way, and putting them together.
//!
//! A LAN host believes in 1500 bytes and cannot be told otherwise, so what does not fit travels in balanced pieces: two
//! of half the size pass every leg that a full and a tiny one would, and cost the same. Pieces are cut from the sealed
//! payload and carry their byte range, not their number, so that any hop may cut one again. Putting together is by byte range too:
//! pieces may come in any order, twice, and in other sizes than they left.
//!
//! Everything that a hostile sender can make us keep is bounded: bytes, unfinished payloads, ranges of one payload and time. When a
//! table is full the oldest payload goes, because the newest is the likelier to be completed.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use lanparty_wire::{
    DropCounters, DropReason, FRAGMENT_HEADER_LEN, FragmentHeader, HEADER_LEN, Header, TAG_LEN, mtu,
};

/// How long pieces wait for the rest. Skew between two paths is far below it, and what comes later nobody waits for.
pub const TIMEOUT: Duration = Duration::from_millis(250);
/// Unfinished payloads of one sender: 2 % loss of two-piece frames at 150 Mbit/s leaves about 120 in [`TIMEOUT`].
pub const MAX_PAYLOADS: usize = 256;
/// Bytes of unfinished payloads of one sender: [`MAX_PAYLOADS`] full frames.
pub const MAX_BYTES: usize = MAX_PAYLOADS * 1536;
/// Separate byte ranges of one payload. An honest sender's two pieces, each cut again twice on the way, make eight.
const MAX_RANGES: usize = 16;

/// Which pieces a payload travels in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    /// It fits one datagram.
    Whole,
    /// It travels in pieces of at most `size` bytes each, all but the last equal.
    Pieces { size: usize },
}

/// How to cut a payload of `length` bytes, and the `tag` bytes that its seal has added, for a leg of `budget` bytes. A tag is counted
/// whether there is one or not, so that a room's budgets do not depend on sealing.
///
/// # Errors
/// [`DropReason::DatagramBudget`] if the leg is too small for the shortest first piece, or the payload longer than a
/// fragment header can say.
pub fn cut(length: usize, tag: usize, budget: u16) -> Result<Cut, DropReason> {
    if length <= mtu::whole_payload(budget) {
        return Ok(Cut::Whole);
    }
    balanced(length + tag, length + TAG_LEN, budget).map(|size| Cut::Pieces { size })
}

/// The size of equal pieces of `length` bytes when `counted` bytes must find room.
fn balanced(length: usize, counted: usize, budget: u16) -> Result<usize, DropReason> {
    let room = mtu::piece(budget);
    if room < FragmentHeader::MIN_FIRST || counted > usize::from(u16::MAX) {
        return Err(DropReason::DatagramBudget);
    }
    let size = length.div_ceil(counted.div_ceil(room).max(1));
    // A shorter first piece would hide the headers that filters must see.
    Ok(size.max(FragmentHeader::MIN_FIRST))
}

/// Writes the two headers of a piece.
pub fn piece_header(header: &Header, range: FragmentHeader) -> [u8; HEADER_LEN + FRAGMENT_HEADER_LEN] {
    let mut out = [0; HEADER_LEN + FRAGMENT_HEADER_LEN];
    let header = Header {
        fragment: true,
        ..*header
    };
    out[..HEADER_LEN].copy_from_slice(&header.encode());
    out[HEADER_LEN..].copy_from_slice(&range.encode());
    out
}

/// Cuts a datagram, whole or itself a piece, for a leg whose budget it exceeds, and hands each new datagram to `each` as
/// headers and bytes. One that fits is handed on as it is, in two parts. The payload is neither read nor changed, so a
/// relay may do this in a sealed room too.
///
/// # Errors
/// [`DropReason::Malformed`] if it is no datagram, [`DropReason::DatagramBudget`] if the leg is too small for any piece.
pub fn recut(datagram: &[u8], budget: u16, mut each: impl FnMut(&[u8], &[u8])) -> Result<(), DropReason> {
    let (header, rest) = Header::decode(datagram).map_err(|_| DropReason::Malformed)?;
    if datagram.len() <= usize::from(budget) {
        let (head, body) = datagram.split_at(HEADER_LEN);
        each(head, body);
        return Ok(());
    }
    let (start, total, bytes) = if header.fragment {
        let (range, bytes) = FragmentHeader::decode(rest).map_err(|_| DropReason::Malformed)?;
        (range.offset, range.total, bytes)
    } else {
        let total = u16::try_from(rest.len()).map_err(|_| DropReason::DatagramBudget)?;
        (0, total, rest)
    };
    let size = balanced(bytes.len(), bytes.len(), budget)?;
    let mut offset = start;
    for piece in bytes.chunks(size) {
        each(&piece_header(&header, FragmentHeader { offset, total }), piece);
        offset += piece.len() as u16;
    }
    Ok(())
}

/// Puts the pieces of one sending member together, whatever path they came by.
#[derive(Debug)]
pub struct Reassembler {
    /// No payload longer than this is begun.
    largest: usize,
    unfinished: BTreeMap<Key, Unfinished>,
    /// In the order of their beginning, and so of their end; may name payloads that are finished.
    deadlines: VecDeque<(Instant, Key)>,
    bytes: usize,
    /// The last payload that was completed; its buffer is the next one's.
    finished: Vec<u8>,
}

/// Destination value, key and sequence; the source is the reassembler's.
type Key = (u16, u8, u64);

#[derive(Debug)]
struct Unfinished {
    header: Header,
    begun: Instant,
    payload: Vec<u8>,
    /// What has come: sorted, neither overlapping nor touching.
    ranges: Vec<(usize, usize)>,
    /// Its pieces contradicted each other; what still comes of it is refused until the time is over.
    void: bool,
}

impl Reassembler {
    /// For payloads of up to `largest` bytes.
    pub fn new(largest: usize) -> Reassembler {
        Reassembler {
            largest,
            unfinished: BTreeMap::new(),
            deadlines: VecDeque::new(),
            bytes: 0,
            finished: Vec::new(),
        }
    }

    /// Takes what follows a header whose FRAGMENT is set. Returns the header and the payload if that was the last
    /// missing piece. A payload that had to go to make room is counted in `drops`.
    ///
    /// # Errors
    /// [`DropReason::Malformed`] for an impossible range, [`DropReason::OverMtu`] for a payload that is too long,
    /// [`DropReason::FragmentConflict`] if the piece contradicts what came before: then the whole payload is void.
    pub fn insert(
        &mut self,
        now: Instant,
        header: &Header,
        rest: &[u8],
        drops: &mut DropCounters,
    ) -> Result<Option<(Header, &[u8])>, DropReason> {
        let (range, piece) = FragmentHeader::decode(rest).map_err(|_| DropReason::Malformed)?;
        let total = usize::from(range.total);
        if total > self.largest {
            return Err(DropReason::OverMtu);
        }
        self.expire(now, drops);
        let key = (header.destination.to_wire(), header.key_id, header.sequence);
        if !self.unfinished.contains_key(&key) {
            self.begin(now, key, header, total, drops);
        }
        let Some(unfinished) = self.unfinished.get_mut(&key) else {
            return Err(DropReason::ReassemblyFull);
        };
        let whole = match unfinished.add(header, total, usize::from(range.offset), piece) {
            Ok(whole) => whole,
            Err(reason) => {
                self.bytes -= unfinished.discard();
                return Err(reason);
            }
        };
        if !whole {
            return Ok(None);
        }
        let Some(done) = self.unfinished.remove(&key) else {
            return Ok(None);
        };
        self.bytes -= done.payload.len();
        self.finished = done.payload;
        Ok(Some((done.header, &self.finished)))
    }

    /// Forgets what has waited for [`TIMEOUT`] and counts it.
    pub fn expire(&mut self, now: Instant, drops: &mut DropCounters) {
        while let Some(&(deadline, key)) = self.deadlines.front() {
            if deadline > now {
                break;
            }
            self.deadlines.pop_front();
            self.forget(key, deadline, DropReason::ReassemblyTimeout, drops);
        }
    }

    /// When something must be forgotten.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.unfinished.is_empty() {
            return None;
        }
        self.deadlines.front().map(|&(deadline, _)| deadline)
    }

    /// Bytes kept of unfinished payloads.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn begin(&mut self, now: Instant, key: Key, header: &Header, total: usize, drops: &mut DropCounters) {
        while self.unfinished.len() >= MAX_PAYLOADS || self.bytes + total > MAX_BYTES {
            let Some((deadline, oldest)) = self.deadlines.pop_front() else {
                break;
            };
            self.forget(oldest, deadline, DropReason::ReassemblyFull, drops);
        }
        if self.deadlines.len() >= 2 * MAX_PAYLOADS {
            let unfinished = &self.unfinished;
            self.deadlines
                .retain(|(deadline, key)| unfinished.get(key).is_some_and(|u| u.ends(*deadline)));
        }
        let mut payload = std::mem::take(&mut self.finished);
        payload.clear();
        payload.resize(total, 0);
        self.bytes += total;
        self.deadlines.push_back((now + TIMEOUT, key));
        self.unfinished.insert(
            key,
            Unfinished {
                header: *header,
                begun: now,
                payload,
                ranges: Vec::with_capacity(2),
                void: false,
            },
        );
    }

    /// Drops the payload that was begun for this deadline, if it is still there.
    fn forget(&mut self, key: Key, deadline: Instant, reason: DropReason, drops: &mut DropCounters) {
        if !self.unfinished.get(&key).is_some_and(|u| u.ends(deadline)) {
            return;
        }
        let Some(unfinished) = self.unfinished.remove(&key) else {
            return;
        };
        self.bytes -= unfinished.payload.len();
        // A void one was counted when it became so.
        if !unfinished.void {
            drops.count(reason);
        }
    }
}

impl Unfinished {
    /// False if the deadline was that of an earlier payload under the same key.
    fn ends(&self, deadline: Instant) -> bool {
        self.begun + TIMEOUT == deadline
    }

    /// Adds a piece; true if nothing is missing any more.
    fn add(&mut self, header: &Header, total: usize, start: usize, piece: &[u8]) -> Result<bool, DropReason> {
        let end = start + piece.len();
        let same = header.associated_data() == self.header.associated_data();
        if self.void || !same || total != self.payload.len() || self.contradicts(start, piece) {
            return Err(DropReason::FragmentConflict);
        }
        self.header.congested |= header.congested;
        self.payload[start..end].copy_from_slice(piece);
        self.merge(start, end);
        if self.ranges.len() > MAX_RANGES {
            return Err(DropReason::FragmentConflict);
        }
        Ok(self.ranges == [(0, total)])
    }

    /// True if a byte that has come before is another one now.
    fn contradicts(&self, start: usize, piece: &[u8]) -> bool {
        let end = start + piece.len();
        self.ranges.iter().any(|&(from, to)| {
            let (from, to) = (from.max(start), to.min(end));
            from < to && self.payload[from..to] != piece[from - start..to - start]
        })
    }

    fn merge(&mut self, mut start: usize, mut end: usize) {
        self.ranges.retain(|&(from, to)| {
            let touches = from <= end && start <= to;
            if touches {
                start = start.min(from);
                end = end.max(to);
            }
            !touches
        });
        let at = self.ranges.partition_point(|&(from, _)| from < start);
        self.ranges.insert(at, (start, end));
    }

    /// Makes it void and returns how many bytes that freed.
    fn discard(&mut self) -> usize {
        self.void = true;
        self.ranges = Vec::new();
        std::mem::take(&mut self.payload).len()
    }
}

#[cfg(test)]
mod tests;
