//! LAN gateways that may take over from the host: the host names their identities, and has them in its roster while they come.

use lanparty_wire::{Admitted, MemberId, PeerId, Standing, UnixTime};

use super::Host;

impl Host {
    /// Says whose machines may take over as LAN gateways, before the host enters its room. Those of former times that are not named are no members any more.
    pub fn name_standbys(&mut self, identities: &[PeerId]) {
        let own = self.key.peer_id();
        self.standbys = identities.iter().copied().filter(|other| *other != own).collect();
        let standbys = &self.standbys;
        self.state.members.retain(|member| {
            member.standing != Standing::Gateway
                || member.identity == own
                || standbys.contains(&member.identity)
        });
    }

    /// Another LAN gateway is there under this id. If it was named it is a member from here on; it proves who it is to each member.
    pub fn standby_came(&mut self, now: UnixTime, identity: PeerId, id: MemberId) {
        if !self.standbys.contains(&identity) || self.state.bans.contains(&identity) {
            return;
        }
        self.present.insert(identity);
        let is_known = |member: &Admitted| {
            (member.identity, member.id, member.standing) == (identity, id, Standing::Gateway)
                && now < member.expires
        };
        if self.state.members.iter().any(is_known) {
            return;
        }
        let given = self.state.names.get(&identity).cloned();
        self.state
            .members
            .retain(|other| other.identity != identity && other.id != id);
        self.state.members.push(Admitted {
            identity,
            id,
            mac: None,
            standing: Standing::Gateway,
            expires: now.after(self.config.lifetime),
            name: given.unwrap_or_default(),
        });
        self.publish(now);
    }
}

#[cfg(test)]
mod tests {
    use lanparty_wire::HostKey;

    use super::*;
    use crate::admission::{HostConfig, HostEvent, HostState};

    const NOW: UnixTime = UnixTime(1_000_000);

    fn id(value: u16) -> MemberId {
        MemberId::new(value).unwrap()
    }

    fn host(state: HostState) -> Host {
        Host::new(HostKey::from_seed(&[1; 32]), HostConfig::default(), state).unwrap()
    }

    fn gateways(host: &Host) -> Vec<(PeerId, MemberId)> {
        let members = &host.roster().unwrap().content().members;
        let gateways = members
            .iter()
            .filter(|member| member.standing == Standing::Gateway);
        let mut gateways: Vec<_> = gateways.map(|member| (member.identity, member.id)).collect();
        gateways.sort_unstable_by_key(|(_, id)| *id);
        gateways
    }

    #[test]
    fn only_who_was_named_becomes_a_lan_gateway_and_is_one_until_he_is_named_no_more() {
        let (named, other) = (PeerId([7; 32]), PeerId([8; 32]));
        let mut first = host(HostState::default());
        first.name_standbys(&[named]);
        first.enter(NOW, id(1));
        first.standby_came(NOW, other, id(8));
        assert_eq!(gateways(&first), [(first.identity(), id(1))]);
        first.standby_came(NOW, named, id(7));
        assert_eq!(gateways(&first), [(first.identity(), id(1)), (named, id(7))]);
        let number = first.state().roster_number;
        first.standby_came(NOW, named, id(7));
        assert_eq!(first.state().roster_number, number, "nothing new");
        first.standby_came(NOW, named, id(9));
        assert_eq!(gateways(&first), [(first.identity(), id(1)), (named, id(9))]);

        let mut again = host(first.state().clone());
        again.name_standbys(&[named]);
        again.enter(NOW, id(1));
        assert_eq!(gateways(&again).len(), 2);
        let mut alone = host(first.state().clone());
        alone.name_standbys(&[]);
        alone.enter(NOW, id(1));
        assert_eq!(gateways(&alone), [(alone.identity(), id(1))]);
    }

    #[test]
    fn one_that_is_there_is_renewed() {
        let named = PeerId([7; 32]);
        let mut host = host(HostState::default());
        host.name_standbys(&[named]);
        host.enter(NOW, id(1));
        host.standby_came(NOW, named, id(7));
        while host.poll_event().is_some() {}
        host.handle_timeout(NOW.after(13 * 3600));
        let events: Vec<HostEvent> = std::iter::from_fn(|| host.poll_event()).collect();
        assert!(
            events.iter().any(|event| matches!(event, HostEvent::Roster(_))),
            "{events:?}"
        );
        let later = NOW.after(30 * 3600);
        assert!(host.roster().unwrap().member(&named, later).is_some());
    }
}
