//! How much each class may queue.

use lanparty_wire::Class;

/// The most that one class may queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bound {
    pub packets: usize,
    pub bytes: usize,
}

/// The bounds of all classes, by `class as usize`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds(pub [Bound; Class::COUNT]);

impl Default for Bounds {
    /// Bulk holds 100 ms at 150 Mbit/s, which is what one TCP flow needs to fill such a path; the others hold what nobody would
    /// still want if it waited longer.
    fn default() -> Bounds {
        let bound = |packets, kib: usize| Bound {
            packets,
            bytes: kib * 1024,
        };
        let mut bounds = [bound(0, 0); Class::COUNT];
        bounds[Class::Bulk as usize] = bound(2048, 2048);
        bounds[Class::Chatter as usize] = bound(256, 128);
        bounds[Class::Interactive as usize] = bound(1024, 512);
        bounds[Class::Neighbor as usize] = bound(256, 64);
        Bounds(bounds)
    }
}
