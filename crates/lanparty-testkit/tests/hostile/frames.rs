//! What a remote member must not bring to the LAN, open and hidden, and why each is refused.

use lanparty_testkit::lab::{
    frame::{BROADCAST, UDP},
    junk::{EXPERIMENT, control_frames, remote_frames},
};
use lanparty_wire::DropReason::{self, *};

use super::packets::*;

/// A frame that the LAN gateway refuses.
#[derive(Debug)]
pub struct Unwanted {
    pub name: String,
    pub bytes: Vec<u8>,
    /// Bytes that only this frame contains.
    pub mark: [u8; 8],
    pub reason: DropReason,
    /// False if it would be something else with padding behind it.
    pub can_be_padded: bool,
}

/// Whom frames are from and for.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// The hostile member itself.
    pub own: [u8; 6],
    /// Another member.
    pub member: [u8; 6],
    /// A host on the LAN.
    pub station: [u8; 6],
    /// The LAN gateway's own interface.
    pub gateway: [u8; 6],
}

/// All of them.
pub fn unwanted(of: Addresses) -> Vec<Unwanted> {
    let mut all = open(of.own);
    let mut list = List { of, all: Vec::new() };
    links(&mut list);
    tags(&mut list);
    dhcp(&mut list);
    routers(&mut list);
    chains(&mut list);
    broken(&mut list);
    addresses(&mut list);
    all.extend(list.all);
    all
}

/// As they look in the wild.
fn open(own: [u8; 6]) -> Vec<Unwanted> {
    let reasons = [
        Eapol,
        Eapol,
        SwitchControl,
        Lldp,
        SlowProtocol,
        DhcpServer,
        Dhcpv6Server,
        RouterAdvertisement,
        RouterAdvertisement,
        Ipv6Fragment,
        Ipv6Fragment,
        VlanTag,
        VlanTag,
        ForgedSource,
        InvalidSource,
        InvalidSource,
    ];
    let mut junk = control_frames(own);
    junk.extend(remote_frames(own));
    assert_eq!(junk.len(), reasons.len());
    junk.into_iter()
        .zip(reasons)
        .map(|(junk, reason)| Unwanted {
            name: junk.name.to_owned(),
            bytes: junk.frame.bytes().to_vec(),
            mark: junk.mark,
            reason,
            can_be_padded: true,
        })
        .collect()
}

/// Control planes behind other link headers, and more of them.
fn links(list: &mut List) {
    for (name, kind, reason) in [
        ("EAPOL", 0x888e, Eapol),
        ("LLDP", 0x88cc, Lldp),
        ("LACP", 0x8809, SlowProtocol),
    ] {
        for oui in [[0; 3], [0, 0, 0xf8]] {
            list.add(
                reason,
                &format!("{name} in SNAP of {oui:x?}"),
                BROADCAST,
                |mark| snap(oui, &typed(kind, mark)),
            );
        }
    }
    list.add(
        Eapol,
        "EAPOL in SNAP with a length beyond its end",
        BROADCAST,
        |mark| {
            let mut frame = snap([0; 3], &typed(0x888e, mark));
            frame[..2].copy_from_slice(&0x05ff_u16.to_be_bytes());
            frame
        },
    );
    list.add(SwitchControl, "a BPDU to everybody", BROADCAST, |mark| {
        llc(&[0x42, 0x42, 3, 0, 0, 0, 0, 0], mark)
    });
    for (name, kind) in [
        ("a pause", 0x8808),
        ("Realtek's switch configuration", 0x8899),
        ("a frame inside a frame", 0x88e7),
        ("MVRP", 0x88f5),
        ("configuration testing", 0x9000),
    ] {
        list.add(SwitchControl, name, BROADCAST, |mark| typed(kind, mark));
    }
    for (name, destination) in [
        ("GVRP", [0x01, 0x80, 0xc2, 0, 0, 0x21]),
        ("CDP", [0x01, 0, 0x0c, 0xcc, 0xcc, 0xcc]),
        ("PVST", [0x01, 0, 0x0c, 0xcc, 0xcc, 0xcd]),
    ] {
        list.add(SwitchControl, name, destination, |mark| typed(EXPERIMENT, mark));
    }
    list.add(SwitchControl, "CDP in SNAP to everybody", BROADCAST, |mark| {
        snap([0, 0, 0x0c], &typed(0x2000, mark))
    });
}

fn tags(list: &mut List) {
    for kind in [0x9100, 0x9200] {
        list.add(VlanTag, &format!("a tag {kind:x}"), BROADCAST, |mark| {
            tag(kind, 5, &typed(EXPERIMENT, mark))
        });
    }
    list.add(VlanTag, "a tag that has only a priority", BROADCAST, |mark| {
        tag(0x8100, 0xe000, &typed(EXPERIMENT, mark))
    });
    list.add(
        VlanTag,
        "two tags, the way into another VLAN",
        BROADCAST,
        |mark| tag(0x8100, 1, &tag(0x8100, 20, &typed(EXPERIMENT, mark))),
    );
    list.add(VlanTag, "three tags", BROADCAST, |mark| {
        tag(
            0x88a8,
            1,
            &tag(0x8100, 2, &tag(0x8100, 3, &typed(EXPERIMENT, mark))),
        )
    });
    list.add(VlanTag, "a tag in SNAP", BROADCAST, |mark| {
        snap([0; 3], &tag(0x8100, 5, &typed(EXPERIMENT, mark)))
    });
    list.add(Eapol, "EAPOL behind a tag", BROADCAST, |mark| {
        tag(0x8100, 5, &typed(0x888e, mark))
    });
    list.add(
        VlanTag,
        "an answer of a DHCP server behind a tag",
        BROADCAST,
        |mark| tag(0x8100, 5, &v4(&offer(mark))),
    );
}

fn offer(mark: &[u8]) -> Vec<u8> {
    ipv4(UDP, &[], WHOLE, &udp(67, 68, &bootp(2, mark)))
}

fn dhcp(list: &mut List) {
    let station = list.of.station;
    list.add(DhcpServer, "an offer to one host", station, |mark| {
        v4(&offer(mark))
    });
    list.add(DhcpServer, "an offer in SNAP", BROADCAST, |mark| {
        snap([0; 3], &v4(&offer(mark)))
    });
    list.add(
        DhcpServer,
        "an offer in SNAP with other flags",
        BROADCAST,
        |mark| llc(&[0xab, 0xab, 0xf3, 0, 0, 0], &v4(&offer(mark))),
    );
    list.add(
        DhcpServer,
        "an offer by IP's own access point",
        BROADCAST,
        |mark| llc(&[6, 6, 3], &offer(mark)),
    );
    list.add(DhcpServer, "an offer behind IPv4 options", BROADCAST, |mark| {
        v4(&ipv4(UDP, &[1; 40], WHOLE, &udp(67, 68, &bootp(2, mark))))
    });
    list.add(DhcpServer, "an offer from another port", BROADCAST, |mark| {
        v4(&ipv4(UDP, &[], WHOLE, &udp(9, 68, &bootp(2, mark))))
    });
    list.add(DhcpServer, "a reply to a relay agent", BROADCAST, |mark| {
        v4(&ipv4(UDP, &[], WHOLE, &udp(9, 67, &bootp(2, mark))))
    });
    list.add(DhcpServer, "a boot server's reply", BROADCAST, |mark| {
        v4(&ipv4(UDP, &[], WHOLE, &udp(4011, 9, &bootp(2, mark))))
    });
    list.add(
        DhcpServer,
        "an offer behind the packet's end",
        BROADCAST,
        |mark| v4(&[ipv4(UDP, &[], WHOLE, &udp(9, 68, &[])), bootp(2, mark)].concat()),
    );
    list.add(DhcpServer, "the first fragment of an offer", BROADCAST, |mark| {
        v4(&ipv4(UDP, &[], MORE, &udp(67, 68, &bootp(2, mark))[..96]))
    });
    list.add(
        Ipv4Fragment,
        "a first fragment that says little",
        BROADCAST,
        |mark| v4(&ipv4(UDP, &[], MORE, &udp(9, 67, mark))),
    );
    list.add(Ipv4Fragment, "a fragment over the ports", BROADCAST, |mark| {
        v4(&ipv4(UDP, &[], MORE | 1, &[mark, &[0; 24]].concat()))
    });
    list.add(
        Dhcpv6Server,
        "a DHCPv6 server's answer to another agent",
        BROADCAST,
        |mark| v6(&ipv6(UDP, &udp(9, 547, &[&[13, 0][..], mark].concat()))),
    );
    list.add(
        Dhcpv6Server,
        "a DHCPv6 answer behind options",
        BROADCAST,
        |mark| {
            let answer = udp(9, 546, &[&[7, 0, 0, 1][..], mark].concat());
            v6(&ipv6(60, &extension(UDP, 0, &answer)))
        },
    );
}

fn routers(list: &mut List) {
    let station = list.of.station;
    list.add(
        RouterAdvertisement,
        "an advertisement to one host",
        station,
        |mark| v6(&ipv6(58, &icmp6(134, mark))),
    );
    list.add(
        RouterAdvertisement,
        "an advertisement in SNAP",
        BROADCAST,
        |mark| snap([0; 3], &v6(&ipv6(58, &icmp6(134, mark)))),
    );
    list.add(RouterAdvertisement, "a router of IPv4", BROADCAST, |mark| {
        v4(&ipv4(
            1,
            &[],
            WHOLE,
            &[&[9, 0, 0, 0, 1, 2, 7, 8][..], mark].concat(),
        ))
    });
    list.add(Ipv6Redirect, "a redirect", station, |mark| {
        v6(&ipv6(58, &icmp6(137, mark)))
    });
}

fn chains(list: &mut List) {
    for kind in [0, 43, 60, 135, 139, 140] {
        let name = format!("an advertisement behind header {kind}");
        list.add(RouterAdvertisement, &name, BROADCAST, |mark| {
            v6(&ipv6(kind, &extension(58, 1, &icmp6(134, mark))))
        });
    }
    list.add(
        RouterAdvertisement,
        "an authenticated advertisement",
        BROADCAST,
        |mark| v6(&ipv6(51, &[&[58, 4][..], &[0; 22], &icmp6(134, mark)].concat())),
    );
    list.add(
        RouterAdvertisement,
        "one behind headers in disorder",
        BROADCAST,
        |mark| {
            let inner = extension(43, 0, &extension(0, 2, &extension(58, 0, &icmp6(134, mark))));
            v6(&ipv6(60, &extension(60, 1, &inner)))
        },
    );
    list.add(Ipv6Redirect, "a redirect behind options", BROADCAST, |mark| {
        v6(&ipv6(60, &extension(58, 0, &icmp6(137, mark))))
    });
    list.add(Ipv6Chain, "one behind seventeen headers", BROADCAST, |mark| {
        let chain = (0..17).fold(icmp6(134, mark), |inner, depth| {
            extension(if depth == 0 { 58 } else { 60 }, 0, &inner)
        });
        v6(&ipv6(60, &chain))
    });
    list.add(
        Ipv6Chain,
        "a chain whose end is behind the packet's",
        BROADCAST,
        |mark| v6(&[ipv6(60, &extension(58, 0, &[])), icmp6(134, mark)].concat()),
    );
    list.add(
        Ipv6Fragment,
        "an advertisement in its only fragment",
        BROADCAST,
        |mark| {
            v6(&ipv6(
                44,
                &[&[58, 0, 0, 0, 0, 0, 0, 7][..], &icmp6(134, mark)].concat(),
            ))
        },
    );
    list.add(Ipv6Fragment, "a fragment behind options", BROADCAST, |mark| {
        let fragment = [&[58, 0, 0, 1, 0, 0, 0, 7][..], &icmp6(134, mark)].concat();
        v6(&ipv6(60, &extension(44, 0, &fragment)))
    });
}

fn broken(list: &mut List) {
    list.add(Malformed, "IPv6 that says it is IPv4", BROADCAST, |mark| {
        v4(&ipv6(58, &icmp6(134, mark)))
    });
    list.add(Malformed, "IPv4 that ends behind the frame", BROADCAST, |mark| {
        let mut packet = offer(mark);
        packet[2] = 0xff;
        v4(&packet)
    });
    list.add(Malformed, "IPv6 that ends behind the frame", BROADCAST, |mark| {
        let mut packet = ipv6(58, &icmp6(134, mark));
        packet[4] = 0xff;
        v6(&packet)
    });
    list.add(Runt, "less than a header", BROADCAST, |_| Vec::new());
    let runt = list.all.last_mut().expect("just added");
    runt.bytes = [&runt.mark[..], &[0; 5]].concat();
    runt.can_be_padded = false;
}

fn addresses(list: &mut List) {
    let Addresses {
        own,
        member,
        station,
        gateway,
    } = list.of;
    for (reason, name, source) in [
        (ForgedSource, "a frame from a host of the LAN", station),
        (ForgedSource, "a frame from another member", member),
        (ForgedSource, "a frame from the LAN gateway's interface", gateway),
        (ForgedSource, "a frame from nearly its own address", {
            let mut near = own;
            near[0] ^= 0x40;
            near
        }),
        (InvalidSource, "a frame from everybody", BROADCAST),
        (
            InvalidSource,
            "a frame from a multicast group",
            [0x33, 0x33, 0, 0, 0, 1],
        ),
    ] {
        list.add(reason, name, BROADCAST, |mark| typed(EXPERIMENT, mark));
        let forged = list.all.last_mut().expect("just added");
        forged.bytes[6..12].copy_from_slice(&source);
    }
    // Nothing of a member's is to be seen on the LAN's way to another one, nor to itself.
    list.add(Misdirected, "a frame for another member", member, |mark| {
        typed(EXPERIMENT, mark)
    });
    list.add(Reflection, "a frame for itself", own, |mark| {
        typed(EXPERIMENT, mark)
    });
}

struct List {
    of: Addresses,
    all: Vec<Unwanted>,
}

impl List {
    /// Adds a frame of the member's own; `make` gives what follows the addresses.
    fn add(
        &mut self,
        reason: DropReason,
        name: &str,
        destination: [u8; 6],
        make: impl FnOnce(&[u8]) -> Vec<u8>,
    ) {
        let number = u8::try_from(self.all.len()).unwrap();
        let mark = [0xf0, number, b'h', b'i', b'd', b'd', number, 0xf0];
        self.all.push(Unwanted {
            name: name.to_owned(),
            bytes: [&destination[..], &self.of.own, &make(&mark)].concat(),
            mark,
            reason,
            can_be_padded: true,
        });
    }
}
