//! Who has how much waiting, and who is dropped from when a class is full.

use lanparty_wire::Class;

use super::{Flow, Member, Scheduler};

impl<T> Scheduler<T> {
    pub(super) fn drop_from_fattest(&mut self, class: Class) -> Option<T> {
        let flow = match self.fattest(class) {
            Some(flow) => flow,
            None => self.next_flow(class)?,
        };
        let taken = self.take_head(flow)?;
        self.settle(flow);
        Some(taken.item)
    }

    /// The fattest flow of the fattest member, if what is remembered of them still holds.
    fn fattest(&self, class: Class) -> Option<u32> {
        let fattest = self.queue(class).fattest;
        let member = self
            .members
            .get(fattest)
            .filter(|member| member.class == class && member.bytes > 0)?;
        let is_its = |flow: &Flow| flow.member == fattest && flow.class == class && !flow.chain.is_empty();
        let remembered = self.flows.get(member.fattest).is_some_and(is_its);
        Some(if remembered { member.fattest } else { member.flows })
    }

    /// A flow has more waiting than before; the chain knows already.
    pub(super) fn grow(&mut self, flow: u32, packets: u32, bytes: u32) {
        let Flow { class, member, .. } = self.flows[flow];
        let queue = &mut self.classes[class as usize];
        queue.packets += packets as usize;
        queue.bytes += bytes as usize;
        self.members[member].bytes += bytes;
        self.note_size(flow);
    }

    /// A flow has less waiting than before; the chain knows already, where the flow stays.
    pub(super) fn shrink(&mut self, flow: u32, packets: u32, bytes: u32) {
        let Flow { class, member, .. } = self.flows[flow];
        let queue = &mut self.classes[class as usize];
        queue.packets -= packets as usize;
        queue.bytes -= bytes as usize;
        self.members[member].bytes -= bytes;
        self.note_size(flow);
    }

    fn note_size(&mut self, flow: u32) {
        let Flow {
            class, member, chain, ..
        } = self.flows[flow];
        let Member { bytes, fattest, .. } = self.members[member];
        let most = self.flows.get(fattest).filter(|other| other.member == member);
        if most.is_none_or(|other| chain.bytes >= other.chain.bytes) {
            self.members[member].fattest = flow;
        }
        let queue = &mut self.classes[class as usize];
        let most = self
            .members
            .get(queue.fattest)
            .filter(|other| other.class == class);
        if most.is_none_or(|other| bytes >= other.bytes) {
            queue.fattest = member;
        }
    }
}
