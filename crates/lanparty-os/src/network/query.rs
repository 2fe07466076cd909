//! Questions to the kernel, and its answers as our nouns.

use std::{io, net::IpAddr, path::Path};

use futures_util::{TryStreamExt, future};
use lanparty_wire::{
    Mac,
    host::{Address, Link, LinkKind, Prefix, Route, Snapshot},
};
use netlink_packet_route::{
    AddressFamily,
    address::{AddressAttribute, AddressHeaderFlags, AddressMessage},
    link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage},
    route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType, RouteVia},
};
use rtnetlink::{Handle, RouteMessageBuilder};

use super::{BestRoute, candidates, linux::to_io};

pub(super) async fn snapshot(handle: &Handle) -> io::Result<Snapshot> {
    let links = links(handle).await?;
    let addresses = handle
        .address()
        .get()
        .execute()
        .try_filter_map(|message| future::ok(address(&message)));
    let addresses = addresses.try_collect().await.map_err(to_io)?;
    let mut routes = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut question = RouteMessage::default();
        question.header.address_family = family;
        let mut answers = Box::pin(handle.route().get(question).execute());
        while let Some(message) = answers.try_next().await.map_err(to_io)? {
            collect_routes(&message, &mut routes);
        }
    }
    Ok(Snapshot {
        links,
        addresses,
        routes,
        ..Snapshot::default()
    })
}

pub(super) async fn best_route(
    handle: &Handle,
    to: IpAddr,
    excluding: &[&str],
) -> io::Result<Option<BestRoute>> {
    let links = links(handle).await?;
    let name = |index: u32| {
        links
            .iter()
            .find(|link| link.index == index)
            .map(|link| link.name.clone())
    };
    let complete = |answer: Answer| {
        let Answer { index, source, via } = answer;
        Some(BestRoute {
            interface: name(index)?,
            index,
            source,
            via,
        })
    };
    let allowed = |best: &BestRoute| !excluding.contains(&best.interface.as_str());
    let first = ask(handle, to, None).await?.and_then(complete).filter(allowed);
    // A route by a card whose cable is out stays in the table until somebody takes it away.
    if let Some(best) = &first
        && links.iter().any(|link| link.index == best.index && link.carrier)
    {
        return Ok(first);
    }
    let snapshot = snapshot(handle).await?;
    for route in candidates(&snapshot, to, excluding) {
        if let Some(best) = ask(handle, to, Some(route.link)).await?.and_then(complete) {
            return Ok(Some(best));
        }
    }
    Ok(first)
}

/// What the kernel answers to "how would you send this".
struct Answer {
    index: u32,
    source: Option<IpAddr>,
    via: Option<IpAddr>,
}

/// `None` where the kernel knows no way, for whatever reason it gives.
async fn ask(handle: &Handle, to: IpAddr, by: Option<u32>) -> io::Result<Option<Answer>> {
    let question = RouteMessageBuilder::<IpAddr>::new().destination_prefix(to, Prefix::host(to).length());
    let question = question.map_err(io::Error::other)?;
    let question = by
        .into_iter()
        .fold(question, |question, index| question.output_interface(index));
    let mut answers = Box::pin(handle.route().get(question.build()).execute());
    let message = match answers.try_next().await {
        Ok(Some(message)) => message,
        Ok(None) | Err(rtnetlink::Error::NetlinkError(_)) => return Ok(None),
        Err(error) => return Err(to_io(error)),
    };
    if !matches!(message.header.kind, RouteType::Unicast | RouteType::Local) {
        return Ok(None);
    }
    let (mut index, mut source, mut via) = (None, None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(oif) => index = Some(*oif),
            RouteAttribute::PrefSource(address) => source = ip(address),
            other => via = via.or(next_hop(other)),
        }
    }
    Ok(index.map(|index| Answer { index, source, via }))
}

async fn links(handle: &Handle) -> io::Result<Vec<Link>> {
    handle
        .link()
        .get()
        .execute()
        .map_ok(|message| link(&message))
        .try_collect()
        .await
        .map_err(to_io)
}

fn link(message: &LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        kind: LinkKind::Other,
        mac: None,
        mtu: 0,
        up: message.header.flags.contains(LinkFlags::Up),
        carrier: true,
    };
    let mut kind = None;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(octets) => link.mac = octets.as_slice().try_into().ok().map(Mac),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Carrier(carrier) => link.carrier = *carrier != 0,
            LinkAttribute::LinkInfo(infos) => {
                kind = infos.iter().find_map(|info| {
                    if let LinkInfo::Kind(kind) = info {
                        Some(kind)
                    } else {
                        None
                    }
                });
            }
            _ => {}
        }
    }
    link.kind = link_kind(message.header.link_layer_type, kind, &link.name);
    if link.kind == LinkKind::Other {
        link.mac = None;
    }
    link
}

fn link_kind(layer: LinkLayerType, kind: Option<&InfoKind>, name: &str) -> LinkKind {
    match (layer, kind) {
        (LinkLayerType::Loopback, _) => LinkKind::Loopback,
        (LinkLayerType::Ether, Some(InfoKind::Bridge)) => LinkKind::Bridge,
        (LinkLayerType::Ether, Some(InfoKind::Bond | InfoKind::Team)) => LinkKind::Bond,
        (LinkLayerType::Ether, Some(InfoKind::Vlan)) => LinkKind::Vlan,
        (LinkLayerType::Ether, Some(InfoKind::Tun)) => LinkKind::Tap,
        (_, Some(InfoKind::Tun | InfoKind::Wireguard)) => LinkKind::Tun,
        (LinkLayerType::Ether, _) if is_wifi(name) => LinkKind::Wifi,
        (LinkLayerType::Ether, _) => LinkKind::Ethernet,
        _ => LinkKind::Other,
    }
}

fn is_wifi(name: &str) -> bool {
    let directory = Path::new("/sys/class/net").join(name);
    ["wireless", "phy80211"]
        .iter()
        .any(|mark| directory.join(mark).exists())
}

fn address(message: &AddressMessage) -> Option<Address> {
    // On point-to-point links the local address stands apart from that of the other end.
    let local = message.attributes.iter().find_map(|a| {
        if let AddressAttribute::Local(ip) = a {
            Some(*ip)
        } else {
            None
        }
    });
    let other = || {
        message.attributes.iter().find_map(|a| {
            if let AddressAttribute::Address(ip) = a {
                Some(*ip)
            } else {
                None
            }
        })
    };
    let unfit =
        AddressHeaderFlags::Tentative | AddressHeaderFlags::Deprecated | AddressHeaderFlags::Dadfailed;
    Some(Address {
        link: message.header.index,
        address: Prefix::new(local.or_else(other)?, message.header.prefix_len)?,
        preferred: !message.header.flags.intersects(unfit),
    })
}

fn collect_routes(message: &RouteMessage, routes: &mut Vec<Route>) {
    let header = &message.header;
    let table = message.attributes.iter().find_map(|a| {
        if let RouteAttribute::Table(id) = a {
            Some(*id)
        } else {
            None
        }
    });
    let main = table.unwrap_or(u32::from(header.table)) == u32::from(RouteHeader::RT_TABLE_MAIN);
    if !main || header.kind != RouteType::Unicast {
        return;
    }
    let any = if header.address_family == AddressFamily::Inet {
        IpAddr::from([0; 4])
    } else {
        IpAddr::from([0; 16])
    };
    let (mut destination, mut metric, mut index, mut via, mut hops) = (any, 0, None, None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => destination = ip(address).unwrap_or(any),
            RouteAttribute::Priority(priority) => metric = *priority,
            RouteAttribute::Oif(oif) => index = Some(*oif),
            RouteAttribute::MultiPath(next_hops) => hops = Some(next_hops),
            other => via = via.or(next_hop(other)),
        }
    }
    let Some(destination) = Prefix::new(destination, header.destination_prefix_length) else {
        return;
    };
    if let Some(link) = index {
        routes.push(Route {
            link,
            destination,
            via,
            metric,
        });
    }
    for hop in hops.into_iter().flatten() {
        let via = hop.attributes.iter().find_map(next_hop);
        routes.push(Route {
            link: hop.interface_index,
            destination,
            via,
            metric,
        });
    }
}

fn next_hop(attribute: &RouteAttribute) -> Option<IpAddr> {
    match attribute {
        RouteAttribute::Gateway(address) => ip(address),
        RouteAttribute::Via(RouteVia::Inet(address)) => Some(IpAddr::V4(*address)),
        RouteAttribute::Via(RouteVia::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}
