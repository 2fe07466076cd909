//! Where the hostile member's frames would be seen.

use lanparty_testkit::lab::{Capture, Party, TAP, Who};
use lanparty_wire::DropReason;

use super::frames::Unwanted;

/// What is seen of the hostile member's frames on the LAN and by another member.
pub struct Captures {
    /// At the switch's own port: a bridge would swallow some frames before any host saw them.
    pub gateway: Capture,
    pub station: Capture,
    player: Capture,
}

impl Captures {
    pub fn start(party: &Party) -> Captures {
        let lan = &party.lab.lan;
        Captures {
            gateway: Capture::start(&lan.switch, "p-gateway").unwrap(),
            station: Capture::start(&lan.games, "eth0").unwrap(),
            player: Capture::start(party.machine(Who::Player(0)), TAP).unwrap(),
        }
    }

    /// Asserts that nothing on the LAN had this mark so far.
    pub fn assert_absent(&self, name: &str, mark: &[u8]) {
        for at in [&self.gateway, &self.station] {
            let count = at.count(|frame| frame.contains(mark));
            assert_eq!(count, 0, "{name} came to the LAN:\n{}", at.summary());
        }
    }

    /// Asserts the same for all of them, and that another member's guard stops them as well.
    pub fn assert_none_of(&self, frames: &[Unwanted]) {
        for frame in frames {
            self.assert_absent(&frame.name, &frame.mark);
            // A frame for the other member itself may come.
            if frame.reason != DropReason::Misdirected {
                let count = self.player.count(|seen| seen.contains(&frame.mark));
                assert_eq!(
                    count,
                    0,
                    "{} came to a player:\n{}",
                    frame.name,
                    self.player.summary()
                );
            }
        }
    }
}
