//! Whose turn it is: the class, the member, the flow; and what a turn costs them.

use lanparty_wire::Class;

use super::{PASS_OVER, QUANTUM, SHARE, Scheduler, table::NONE};

impl<T> Scheduler<T> {
    /// The class that has earned a turn, else the most urgent that has something.
    pub(super) fn next_class(&self) -> Option<Class> {
        let waiting = |class: &Class| self.queue(*class).packets > 0;
        let due = |class: &Class| self.queue(*class).passed_over >= PASS_OVER;
        let mut by_urgency = Class::BY_URGENCY.into_iter().filter(waiting);
        let first = by_urgency.next()?;
        Some(by_urgency.find(due).unwrap_or(first))
    }

    /// Who is next, by deficit round robin among members and then among the member's flows. Whose turn it is stays in front
    /// until it has spent what it had.
    pub(super) fn next_flow(&mut self, class: Class) -> Option<u32> {
        let queue = &mut self.classes[class as usize];
        if queue.members == NONE {
            return None;
        }
        while self.members[queue.members].deficit <= 0 {
            self.members[queue.members].deficit += QUANTUM;
            self.members.rotate(&mut queue.members);
        }
        let member = &mut self.members[queue.members];
        while self.flows[member.flows].deficit <= 0 {
            self.flows[member.flows].deficit += QUANTUM;
            self.flows.rotate(&mut member.flows);
        }
        Some(member.flows)
    }

    /// A packet of a flow goes: its flow and its member have spent, and the less urgent classes have been passed over.
    pub(super) fn charge(&mut self, class: Class, flow: u32, bytes: u32) {
        let entry = &mut self.flows[flow];
        entry.deficit -= bytes as i32;
        self.members[entry.member].deficit -= bytes as i32;
        let bytes = bytes as usize;
        for other in Class::BY_URGENCY {
            let queue = &mut self.classes[other as usize];
            if other == class {
                queue.passed_over = queue.passed_over.saturating_sub(SHARE * bytes);
            } else if queue.packets == 0 {
                queue.passed_over = 0;
            } else if other < class {
                queue.passed_over += bytes;
            }
        }
    }
}
