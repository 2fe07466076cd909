//! The rows.

use super::{ALL, Burst, MAC, PCS, PHONE, Shape, WINDOWS};

const EVERYBODY: [u8; 4] = [255; 4];
const MDNS: Shape = Shape::Udp4([224, 0, 0, 251], 5353);
const MDNS6: Shape = Shape::Udp6(0xfb, 5353);
const LLMNR: Shape = Shape::Udp4([224, 0, 0, 252], 5355);
const LLMNR6: Shape = Shape::Udp6(3, 5355);
const SSDP: Shape = Shape::Udp4([239, 255, 255, 250], 1900);
const WSD: Shape = Shape::Udp4([239, 255, 255, 250], 3702);
const WSD6: Shape = Shape::Udp6(0xc, 3702);

/// What is said at each quarter of a second, and then twice more.
const PROBE_AND_ANNOUNCE: &[u32] = &[0, 250, 500, 750, 1_750];
/// The most announcements that there may be, each a second time as late.
const ANNOUNCE_OFTEN: &[u32] = &[0, 250, 500, 750, 1_750, 3_750, 7_750, 15_750];
const WSD_REPEATS: &[u32] = &[100, 150, 250, 450, 850];

/// 35 a second for ten seconds.
const TICS: &[u32] = &{
    let mut at = [0; 350];
    let mut tic = 0;
    while tic < at.len() {
        at[tic] = tic as u32 * 1000 / 35;
        tic += 1;
    }
    at
};

const fn row(
    machines: &'static [super::Machine],
    what: &'static str,
    source: &'static str,
    shape: Shape,
    length: usize,
    (at_once, at_ms): (u32, &'static [u32]),
) -> Burst {
    Burst {
        machines,
        what,
        source,
        shape,
        length,
        at_once,
        at_ms,
    }
}

/// What a party's machines say to everybody when they come or wake.
pub const BURSTS: &[Burst] = &[
    row(
        ALL,
        "DHCP: discover and request, and again while nobody answers",
        "RFC 2131, section 4.1 (4 s, doubled each time)",
        Shape::Udp4(EVERYBODY, 67),
        300,
        (2, &[0, 4_000, 12_000, 28_000]),
    ),
    row(
        ALL,
        "ARP: probes and announcements of the own address",
        "RFC 5227, section 1.1 (PROBE_NUM 3, ANNOUNCE_NUM 2)",
        Shape::Arp,
        0,
        (1, &[100, 1_100, 2_100, 4_100, 6_100]),
    ),
    row(
        ALL,
        "ARP: who has the addresses that were known before sleep",
        "RFC 1122, section 2.3.2.1 (one a second for each); thirty neighbours",
        Shape::Arp,
        0,
        (30, &[200, 1_200, 2_200]),
    ),
    row(
        ALL,
        "ND: duplicate address detection of three addresses",
        "RFC 4862, section 5.1 (DupAddrDetectTransmits 1)",
        Shape::Icmpv6(135),
        20,
        (3, &[20]),
    ),
    row(
        ALL,
        "ND: router solicitations",
        "RFC 4861, section 10 (MAX_RTR_SOLICITATIONS 3, 4 s apart)",
        Shape::Icmpv6(133),
        8,
        (1, &[30, 4_030, 8_030]),
    ),
    row(
        ALL,
        "MLDv2: reports of six groups",
        "RFC 3810, sections 9.1 and 9.11 (robustness 2, within 1 s)",
        Shape::Icmpv6(143),
        24,
        (6, &[10, 1_010]),
    ),
    row(
        ALL,
        "IGMPv3: reports of five groups",
        "RFC 3376, sections 8.1 and 8.11 (robustness 2, within 1 s)",
        Shape::Igmp,
        12,
        (5, &[10, 1_010]),
    ),
    row(
        WINDOWS,
        "NetBIOS: registration of four names",
        "RFC 1002, section 6 (BCAST_REQ_RETRY_COUNT 3, 250 ms), and the claim after it",
        Shape::Udp4(EVERYBODY, 137),
        68,
        (4, &[0, 250, 500, 750]),
    ),
    row(
        WINDOWS,
        "NetBIOS: queries for eight names",
        "Microsoft, NetBT parameters (BcastNameQueryCount 3, 750 ms)",
        Shape::Udp4(EVERYBODY, 137),
        50,
        (8, &[1_000, 1_750, 2_500]),
    ),
    row(
        WINDOWS,
        "NetBIOS: announcements of the browser",
        "Microsoft, MS-BRWS, sections 2.2.1 and 2.2.2, and TechNet cc959908 (once when it comes, then after minutes; here twice)",
        Shape::Udp4(EVERYBODY, 138),
        201,
        (2, &[1_000, 5_000]),
    ),
    row(
        WINDOWS,
        "LLMNR on IPv4: own name and six others, A and AAAA",
        "RFC 4795, sections 2.7 and 4 (LLMNR_TIMEOUT, at most three)",
        LLMNR,
        30,
        (14, &[0, 420, 830]),
    ),
    row(
        WINDOWS,
        "LLMNR on IPv6: the same",
        "RFC 4795, sections 2.7 and 4",
        LLMNR6,
        30,
        (14, &[0, 420, 830]),
    ),
    row(
        WINDOWS,
        "mDNS on IPv4 and the names of two services",
        "RFC 6762, sections 8.1 and 8.3",
        MDNS,
        200,
        (3, PROBE_AND_ANNOUNCE),
    ),
    row(
        WINDOWS,
        "mDNS on IPv6: the same",
        "RFC 6762, sections 8.1 and 8.3",
        MDNS6,
        200,
        (3, PROBE_AND_ANNOUNCE),
    ),
    row(
        WINDOWS,
        "SSDP: searches for six targets",
        "UPnP Device Architecture 1.1, section 1.3.2 (more than once), 3 s apart",
        SSDP,
        133,
        (6, &[0, 3_000, 6_000, 9_000]),
    ),
    row(
        WINDOWS,
        "SSDP: a media server comes, 3 + 2d + k messages of two devices with five services, three times",
        "UPnP Device Architecture 1.1, section 1.2.2",
        SSDP,
        420,
        (12, &[100, 300, 500]),
    ),
    row(
        WINDOWS,
        "WS-Discovery on IPv4: hello and two probes",
        "SOAP-over-UDP of 2004, its retransmission (MULTICAST_UDP_REPEAT 4, UDP_MIN_DELAY 50 ms, doubled)",
        WSD,
        900,
        (3, WSD_REPEATS),
    ),
    row(
        WINDOWS,
        "WS-Discovery on IPv6: the same",
        "SOAP-over-UDP of 2004",
        WSD6,
        900,
        (3, WSD_REPEATS),
    ),
    row(
        MAC,
        "mDNS on IPv4: probes and announcements of eight services, as often as allowed",
        "RFC 6762, sections 8.1 and 8.3 (up to eight, the time between them doubled)",
        MDNS,
        600,
        (8, ANNOUNCE_OFTEN),
    ),
    row(
        MAC,
        "mDNS on IPv6: the same",
        "RFC 6762, sections 8.1 and 8.3",
        MDNS6,
        600,
        (8, ANNOUNCE_OFTEN),
    ),
    row(
        MAC,
        "mDNS: browsing for ten kinds of service",
        "RFC 6762, section 5.2 (1 s, doubled each time)",
        MDNS,
        60,
        (10, &[20, 1_020, 3_020, 7_020, 15_020]),
    ),
    row(
        PHONE,
        "mDNS on IPv4: probes and announcements of four services",
        "RFC 6762, sections 8.1 and 8.3",
        MDNS,
        400,
        (4, PROBE_AND_ANNOUNCE),
    ),
    row(
        PHONE,
        "mDNS on IPv6: the same",
        "RFC 6762, sections 8.1 and 8.3",
        MDNS6,
        400,
        (4, PROBE_AND_ANNOUNCE),
    ),
    row(
        PHONE,
        "mDNS: browsing for six kinds of service",
        "RFC 6762, section 5.2",
        MDNS,
        60,
        (6, &[20, 1_020, 3_020, 7_020, 15_020]),
    ),
    row(
        PHONE,
        "SSDP: searches for players of films",
        "Netflix, DIAL 2.2.1, M-SEARCH request; UPnP Device Architecture 1.1, section 1.3.2",
        SSDP,
        125,
        (2, &[0, 500, 1_000, 10_000]),
    ),
    row(
        PCS,
        "Steam: who else is here",
        "codingrange.com, Steam In-Home Streaming Discovery Protocol (27036/udp)",
        Shape::Udp4(EVERYBODY, 27_036),
        60,
        (1, &[500, 5_500, 10_500]),
    ),
    row(
        PCS,
        "Minecraft: a world is open to the LAN",
        "wiki.vg, LAN Worlds (224.0.2.60:4445 every 1.5 s)",
        Shape::Udp4([224, 0, 2, 60], 4445),
        60,
        (1, &[0, 1_500, 3_000, 4_500, 6_000, 7_500, 9_000]),
    ),
    row(
        PCS,
        "Quake III and its kin look for servers on IPv4: four ports, twice",
        "id Software, Quake III Arena's published source, CL_LocalServers_f",
        Shape::Udp4(EVERYBODY, 27_960),
        16,
        (8, &[2_000]),
    ),
    row(
        PCS,
        "… and on IPX",
        "id Software, Quake III Arena's published source, CL_LocalServers_f",
        Shape::Ipx(27_960),
        16,
        (8, &[2_000]),
    ),
    row(
        PCS,
        "Games of the Source engine look for servers: ports 27015 to 27020",
        "Valve Developer Community, Server queries (A2S_INFO is 25 bytes); the ports that hosts are told to open",
        Shape::Udp4(EVERYBODY, 27_015),
        25,
        (6, &[2_500]),
    ),
    row(
        PCS,
        "Doom before 1.2 plays by broadcast: 35 tics a second",
        "doomwiki.org, Broadcast packet meltdown; id Software, Doom's published source (TICRATE 35)",
        Shape::Ipx(0x869c),
        60,
        (1, TICS),
    ),
    row(
        PCS,
        "IPX: service and route announcements",
        "Novell, NIAS 4.2, IPX Routing and Service Protocols (at once what is new, and every 60 s)",
        Shape::Ipx(0x452),
        64,
        (2, &[0, 1_000]),
    ),
];
