//! Where frames of an interface of ours go: into another one's ears, or into a bridge.

use std::io;

use netlink_packet_route::{
    link::LinkMessage,
    tc::{
        TcAction, TcActionAttribute, TcActionGeneric, TcActionMirror, TcActionMirrorOption, TcActionOption,
        TcActionType, TcFilterU32Option, TcHandle, TcMirror, TcMirrorActionType, TcU32Key, TcU32Selector,
        TcU32SelectorFlags,
    },
};
use rtnetlink::LinkUnspec;

use super::{Network, NetworkError, failed, index, to_io};

/// ETH_P_ALL, in the network's byte order as the kernel wants it here.
const EVERY_PROTOCOL: u16 = 0x0003_u16.to_be();

impl Network {
    /// From now on the kernel takes whatever `from` receives as if `to` had received it. Needs the modules sch_ingress, cls_u32 and
    /// act_mirred, and goes with `from`. Said again, it replaces what was said before.
    ///
    /// # Errors
    /// [`NetworkError::NoInterface`], or what the kernel objects to.
    pub async fn redirect_received(&self, from: &str, to: &str) -> Result<(), NetworkError> {
        let (source, target) = (index(from)?, index(to)?);
        let attempt = format!("let {to} hear what {from} receives");
        self.redirect(source, target).await.map_err(failed(&attempt))
    }

    /// Makes an interface a port of a bridge.
    ///
    /// # Errors
    /// [`NetworkError::NoInterface`], or what the kernel objects to.
    pub async fn join_bridge(&self, port: &str, bridge: &str) -> Result<(), NetworkError> {
        let (port_index, bridge_index) = (index(port)?, index(bridge)?);
        let message: LinkMessage = LinkUnspec::new_with_index(port_index)
            .controller(bridge_index)
            .build();
        let result = self.handle.link().change(message).execute().await;
        result
            .map_err(to_io)
            .map_err(failed(&format!("make {port} a port of {bridge}")))
    }

    async fn redirect(&self, from: u32, to: u32) -> io::Result<()> {
        let from = from.cast_signed();
        let mut before = self.handle.qdisc().del(from);
        before.message_mut().header.parent = TcHandle::INGRESS;
        // What was there goes with its filters; at first there is nothing.
        let _ = before.execute().await;
        let added = self.handle.qdisc().add(from).ingress().execute().await;
        added.map_err(to_io)?;
        let filter = self.handle.traffic_filter(from).add();
        // Where the queueing discipline `ingress` has its filters.
        let filter = filter.parent(0xffff_0000).priority(1).protocol(EVERY_PROTOCOL);
        let filter = filter.u32(&everything_to(to)).map_err(to_io)?;
        filter.execute().await.map_err(to_io)
    }
}

/// A filter that matches every frame, and puts it where `interface` receives.
fn everything_to(interface: u32) -> [TcFilterU32Option; 2] {
    let mut selector = TcU32Selector::default();
    selector.flags = TcU32SelectorFlags::Terminal;
    selector.nkeys = 1;
    selector.keys = vec![TcU32Key::default()];
    let mut mirror = TcMirror::default();
    mirror.generic = TcActionGeneric::default();
    mirror.generic.action = TcActionType::Stolen;
    mirror.eaction = TcMirrorActionType::IngressRedir;
    mirror.ifindex = interface;
    let mut action = TcAction::default();
    action.attributes = vec![
        TcActionAttribute::Kind(TcActionMirror::KIND.to_owned()),
        TcActionAttribute::Options(vec![TcActionOption::Mirror(TcActionMirrorOption::Parms(mirror))]),
    ];
    [
        TcFilterU32Option::Selector(selector),
        TcFilterU32Option::Action(vec![action]),
    ]
}
