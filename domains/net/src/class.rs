//! vifs, as XenBus sees them: what is published, what is read, how rings come and go.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use outrigger_devices::NetDevice;
use outrigger_netif::nodes as key;
use outrigger_ring::SharedPages;
use outrigger_xen::xenstore::parse_u32;
use outrigger_xen::{GrantRef, Hypervisor, Port};
use outrigger_xenbus::{DeviceClass, DeviceId, Nodes, Refusal};

use crate::attach::{Frontend, QueueNodes};
use crate::filter::SourceFilter;
use crate::nic::Nic;
use crate::packet::Mac;
use crate::rate::Bucket;
use crate::service::{Net, State};
use crate::switch::MAX_VIFS;
use crate::vif::{Fault, Takes, Vif, Wanted};

/// Most queues of a vif.
const MAX_QUEUES: u32 = 4;
/// Most bytes that a frontend may want left free in each page. More would take more slots than a packet may have.
const HEADROOM_MAX: u32 = 384;
/// Bytes of a frame after its Ethernet header, if nothing else is said.
const MTU: u32 = 1500;
/// The most that a frame of one piece can have.
const MTU_MAX: u32 = 65_521;
/// The least that the internet protocols want.
const MTU_MIN: u32 = 68;

type Published = Vec<(String, String)>;

impl<H: Hypervisor, D: NetDevice, M: SharedPages> DeviceClass for Net<'_, H, D, M> {
    const KIND: &'static str = "vif";
    const WATCHED: &'static [&'static str] = &[key::REQUEST_MULTICAST_CONTROL];

    async fn probe<P: SharedPages>(&self, nodes: &Nodes<'_, P>) -> Result<Published, Refusal> {
        let keys = [key::MAC, key::BRIDGE, key::IP, key::RATE, key::VLAN, key::MTU];
        let [mac, bridge, ip, rate, vlan, mtu] = nodes.backend_all(keys).await?;
        let at = |node: &str, why: String| Refusal(format!("{}/{node}: {why}", nodes.backend_path()));
        let mac = mac
            .as_deref()
            .and_then(Mac::parse)
            .filter(|mac| !mac.is_multicast())
            .ok_or_else(|| at(key::MAC, "no address of a station".into()))?;
        let addresses = SourceFilter::parse_addresses(ip.as_deref().unwrap_or_default())
            .map_err(|why| at(key::IP, why))?;
        if rate
            .as_deref()
            .is_some_and(|rate| Bucket::parse(rate, self.hv.now()).is_none())
        {
            return Err(at(key::RATE, "not \"bytes,microseconds\"".into()));
        }
        let mtu = mtu.map_or(Some(MTU), |mtu| parse_u32(mtu.as_bytes()));
        let mtu = mtu
            .filter(|mtu| (MTU_MIN..=MTU_MAX).contains(mtu))
            .ok_or_else(|| at(key::MTU, format!("not {MTU_MIN} to {MTU_MAX}")))?;
        let state = &mut *self.state.borrow_mut();
        let lan = state
            .switch
            .lan(bridge.as_deref(), vlan.as_deref())
            .map_err(|why| at(key::BRIDGE, why))?;
        let wanted = Wanted {
            mac,
            lan,
            filter: SourceFilter {
                mac: Some(mac),
                addresses,
            },
            rate,
            mtu: mtu as usize,
        };
        let place = state
            .admit(nodes.device(), wanted)
            .map_err(|(node, why)| at(node, why))?;
        if state.may_log(place, self.hv.now()) {
            log::info!("vif {}: {mac}, vlan {}", nodes.device(), lan.vlan);
        }
        let yes = |node: &str| (node.to_string(), "1".to_string());
        let mut published: Published = [
            key::FEATURE_RX_COPY,
            key::FEATURE_SG,
            key::FEATURE_GSO_TCPV4,
            key::FEATURE_GSO_TCPV6,
            key::FEATURE_IPV6_CSUM_OFFLOAD,
            key::FEATURE_SPLIT_EVENT_CHANNELS,
            key::FEATURE_MULTICAST_CONTROL,
            key::FEATURE_DYNAMIC_MULTICAST_CONTROL,
            key::FEATURE_CTRL_RING,
            key::FEATURE_XDP_HEADROOM,
        ]
        .into_iter()
        .map(yes)
        .collect();
        published.extend([
            (key::FEATURE_RX_FLIP.to_string(), "0".to_string()),
            (key::MULTI_QUEUE_MAX_QUEUES.to_string(), MAX_QUEUES.to_string()),
            (
                key::HOTPLUG_STATUS.to_string(),
                key::HOTPLUG_CONNECTED.to_string(),
            ),
        ]);
        Ok(published)
    }

    async fn connect<P: SharedPages>(&self, nodes: &Nodes<'_, P>) -> Result<Published, Refusal> {
        let frontend = frontend(nodes).await?;
        let state = &mut *self.state.borrow_mut();
        let id = nodes.device();
        let place = state
            .attach(self.hv, id, &frontend, nodes.resumed())
            .map_err(|why| Refusal(format!("{}: {why}", nodes.frontend_path())))?;
        if state.may_log(place, self.hv.now()) {
            log::info!("vif {id}: connected, {} queues", frontend.queues.len());
        }
        Ok(Vec::from([(key::CARRIER.to_string(), "1".to_string())]))
    }

    async fn reconfigure<P: SharedPages>(&self, nodes: &Nodes<'_, P>) -> Result<(), Refusal> {
        let multicast = nodes.frontend(key::REQUEST_MULTICAST_CONTROL).await?;
        let headroom = headroom(nodes).await?;
        let state = &mut *self.state.borrow_mut();
        if let Some(number) = state.find(nodes.device())
            && let Some(vif) = &mut state.vifs[number]
            && let Some(port) = state.switch.port_mut(number)
        {
            vif.takes.headroom = headroom;
            port.multicast.apply(is_set(multicast));
        }
        Ok(())
    }

    fn disconnect(&self, device: DeviceId) {
        self.state.borrow_mut().detach(self.hv, device);
    }

    fn is_released(&self, device: DeviceId) -> bool {
        let state = self.state.borrow();
        state
            .find(device)
            .and_then(|vif| state.vifs[vif].as_ref())
            .is_none_or(|vif| !vif.is_connected())
    }

    fn remove(&self, device: DeviceId) {
        let state = &mut *self.state.borrow_mut();
        if let Some(vif) = state.find(device)
            && let Some(gone) = state.vifs[vif].take()
        {
            debug_assert!(!gone.is_connected(), "it was disconnected before");
            state.doms[vif] = None;
            state.own.release(vif);
        }
    }

    fn statistics(&self, device: DeviceId) -> Option<String> {
        let state = self.state.borrow();
        let vif = state.vifs[state.find(device)?].as_ref()?;
        Some(vif.counters.to_string())
    }

    fn totals(&self) -> Published {
        let state = self.state.borrow();
        let words = |nic: &Nic<D>| {
            let link = if nic.has_carrier() { "up" } else { "down" };
            let mut words = format!("link={link} {}", nic.counters);
            if nic.recovery.resets > 0 {
                words.push_str(&format!(" resets={}", nic.recovery.resets));
            }
            nic.device
                .counters(&mut |name, count| words.push_str(&format!(" card-{name}={count}")));
            (nic.name.clone(), words)
        };
        state.nics.iter().map(words).collect()
    }

    fn take_fault(&self) -> Option<(DeviceId, String)> {
        let state = &mut *self.state.borrow_mut();
        state.vifs.iter_mut().flatten().find_map(|vif| {
            let Fault(why) = vif.fault.take()?;
            Some((vif.id, why.to_string()))
        })
    }
}

impl<P: SharedPages + Clone, D: NetDevice, M: SharedPages> State<P, D, M> {
    pub(crate) fn find(&self, id: DeviceId) -> Option<usize> {
        let is_it = |vif: &Option<Box<Vif<P>>>| vif.as_ref().is_some_and(|vif| vif.id == id);
        self.vifs.iter().position(is_it)
    }

    /// Takes a vif in, or looks at it anew before it connects again; its place.
    fn admit(&mut self, id: DeviceId, mut wanted: Wanted) -> Result<usize, (&'static str, String)> {
        let rival = self
            .vifs
            .iter()
            .flatten()
            .find(|vif| vif.id != id && vif.wanted.lan == wanted.lan && vif.wanted.mac == wanted.mac);
        if let Some(rival) = rival {
            return Err((key::MAC, format!("vif {} has this address already", rival.id)));
        }
        if self.own.has(wanted.lan, wanted.mac) {
            return Err((key::MAC, "it is this domain's own; choose another".into()));
        }
        let place = self
            .find(id)
            .or_else(|| self.vifs.iter().position(Option::is_none))
            .ok_or_else(|| {
                (
                    key::MAC,
                    format!("this domain serves no more than {MAX_VIFS} vifs"),
                )
            })?;
        if self.vifs[place].as_ref().is_some_and(|vif| vif.is_connected()) {
            return Err((key::MAC, "it is still connected".into()));
        }
        let Wanted {
            lan,
            mac,
            mtu,
            filter,
            ..
        } = &mut wanted;
        self.guests.admit(place, id.frontend, &self.doms);
        self.own.belongs(place, self.guests.of(place));
        let leased = self.own.lease(*lan, place, (*mac, *mtu), filter);
        leased.map_err(|why| (key::IP, why))?;
        self.vifs[place] = Some(Box::new(Vif::new(id, wanted)));
        self.doms[place] = Some(id.frontend);
        Ok(place)
    }
}

/// Reads what the frontend published.
async fn frontend<P: SharedPages>(nodes: &Nodes<'_, P>) -> Result<Frontend, Refusal> {
    let bad = |node: &str, why: &str| Refusal(format!("{}/{node}: {why}", nodes.frontend_path()));
    let flags = [
        key::REQUEST_RX_COPY,
        key::FEATURE_SG,
        key::FEATURE_GSO_TCPV4,
        key::FEATURE_GSO_TCPV6,
        key::FEATURE_NO_CSUM_OFFLOAD,
        key::FEATURE_IPV6_CSUM_OFFLOAD,
        key::REQUEST_MULTICAST_CONTROL,
    ];
    let flags = nodes.frontend_all(flags).await?;
    let [copy, sg, gso4, gso6, no_csum, csum6, multicast] = flags.map(is_set);
    if !copy {
        return Err(bad(key::REQUEST_RX_COPY, "packets can only be copied"));
    }
    let headroom = headroom(nodes).await?;
    let count = nodes
        .frontend_u32(key::MULTI_QUEUE_NUM_QUEUES)
        .await?
        .unwrap_or(1);
    if !(1..=MAX_QUEUES).contains(&count) {
        return Err(bad(
            key::MULTI_QUEUE_NUM_QUEUES,
            "more than were offered, or none",
        ));
    }
    let mut queues = Vec::with_capacity(count as usize);
    for queue in 0..count {
        let prefix = if count == 1 {
            String::new()
        } else {
            format!("queue-{queue}/")
        };
        queues.push(queue_nodes(nodes, &prefix).await?);
    }
    let control = match nodes.frontend_u32(key::CTRL_RING_REF).await? {
        None => None,
        Some(gref) => {
            let port = nodes.frontend_u32(key::EVENT_CHANNEL_CTRL).await?;
            let port = port.ok_or_else(|| bad(key::EVENT_CHANNEL_CTRL, "missing"))?;
            Some((GrantRef(gref), Port(port)))
        }
    };
    Ok(Frontend {
        takes: Takes {
            sg,
            gso4: sg && gso4,
            gso6: sg && gso6,
            blank4: !no_csum,
            blank6: csum6,
            headroom,
        },
        multicast,
        queues,
        control,
    })
}

/// Bytes to leave free in each page, for the frontend's XDP programs.
async fn headroom<P: SharedPages>(nodes: &Nodes<'_, P>) -> Result<u16, Refusal> {
    match nodes.frontend_u32(key::XDP_HEADROOM).await?.unwrap_or(0) {
        headroom @ 0..=HEADROOM_MAX => Ok(headroom as u16),
        _ => Err(Refusal(format!(
            "{}/{}: more than {HEADROOM_MAX}",
            nodes.frontend_path(),
            key::XDP_HEADROOM
        ))),
    }
}

fn is_set(flag: Option<String>) -> bool {
    flag.is_some_and(|flag| flag != "0")
}

async fn queue_nodes<P: SharedPages>(nodes: &Nodes<'_, P>, prefix: &str) -> Result<QueueNodes, Refusal> {
    let number = async |node: &str| {
        let path = format!("{prefix}{node}");
        let missing = || Refusal(format!("{}/{path}: missing", nodes.frontend_path()));
        nodes.frontend_u32(&path).await?.ok_or_else(missing)
    };
    let tx = number(key::TX_RING_REF).await?;
    let rx = number(key::RX_RING_REF).await?;
    let split = nodes
        .frontend_u32(&format!("{prefix}{}", key::EVENT_CHANNEL_TX))
        .await?;
    let (tx_port, rx_port) = match split {
        Some(tx_port) => (tx_port, number(key::EVENT_CHANNEL_RX).await?),
        None => {
            let port = number(key::EVENT_CHANNEL).await?;
            (port, port)
        }
    };
    Ok(QueueNodes {
        tx: GrantRef(tx),
        rx: GrantRef(rx),
        tx_port: Port(tx_port),
        rx_port: Port(rx_port),
    })
}
