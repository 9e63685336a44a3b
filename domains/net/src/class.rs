//! vifs, as XenBus sees them: what is published, what is read, how rings come and go.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use outrigger_devices::NetDevice;
use outrigger_netif::{CTRL_SLOT_BYTES, HashControl, RX_SLOT_BYTES, TX_SLOT_BYTES, nodes as key};
use outrigger_ring::{AttachError, BackRing, SharedPages};
use outrigger_xen::xenstore::parse_u32;
use outrigger_xen::{Access, DomId, GrantRef, Hypervisor, MappedPages, Port};
use outrigger_xenbus::{DeviceClass, DeviceId, Nodes, Refusal};

use crate::counters::Counters;
use crate::filter::SourceFilter;
use crate::multicast::MulticastFilter;
use crate::packet::Mac;
use crate::queue::{Parts, Queue};
use crate::rate::Bucket;
use crate::service::{CONTROL, NO_QUEUE, Net, State};
use crate::switch::MAX_VIFS;
use crate::vif::{ControlRing, Fault, Takes, Vif, Wanted};

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

/// One queue, as its frontend describes it.
struct QueueNodes {
    tx: GrantRef,
    rx: GrantRef,
    tx_port: Port,
    rx_port: Port,
}

/// All that a frontend published.
struct Frontend {
    takes: Takes,
    multicast: bool,
    queues: Vec<QueueNodes>,
    control: Option<(GrantRef, Port)>,
}

impl<H: Hypervisor, D: NetDevice, M: SharedPages> DeviceClass for Net<'_, H, D, M> {
    const KIND: &'static str = "vif";

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
        state
            .admit(nodes.device(), wanted)
            .map_err(|why| at(key::MAC, why))?;
        log::info!("vif {}: {mac}, vlan {}", nodes.device(), lan.vlan);
        let yes = |node: &str| (node.to_string(), "1".to_string());
        let mut published: Published = [
            key::FEATURE_RX_COPY,
            key::FEATURE_SG,
            key::FEATURE_GSO_TCPV4,
            key::FEATURE_GSO_TCPV6,
            key::FEATURE_IPV6_CSUM_OFFLOAD,
            key::FEATURE_SPLIT_EVENT_CHANNELS,
            key::FEATURE_MULTICAST_CONTROL,
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
        state
            .attach(self.hv, id, &frontend)
            .map_err(|why| Refusal(format!("{}: {why}", nodes.frontend_path())))?;
        log::info!("vif {id}: connected, {} queues", frontend.queues.len());
        Ok(Vec::from([(key::CARRIER.to_string(), "1".to_string())]))
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
        }
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
    fn find(&self, id: DeviceId) -> Option<usize> {
        let is_it = |vif: &Option<Box<Vif<P>>>| vif.as_ref().is_some_and(|vif| vif.id == id);
        self.vifs.iter().position(is_it)
    }

    /// Takes a vif in, or looks at it anew before it connects again.
    fn admit(&mut self, id: DeviceId, wanted: Wanted) -> Result<(), String> {
        let rival = self
            .vifs
            .iter()
            .flatten()
            .find(|vif| vif.id != id && vif.wanted.lan == wanted.lan && vif.wanted.mac == wanted.mac);
        if let Some(rival) = rival {
            return Err(format!("vif {} has this address already", rival.id));
        }
        let place = self
            .find(id)
            .or_else(|| self.vifs.iter().position(Option::is_none))
            .ok_or_else(|| format!("this domain serves no more than {MAX_VIFS} vifs"))?;
        if self.vifs[place].as_ref().is_some_and(|vif| vif.is_connected()) {
            return Err("it is still connected".into());
        }
        self.vifs[place] = Some(Box::new(Vif::new(id, wanted)));
        self.doms[place] = Some(id.frontend);
        Ok(())
    }

    /// Attaches to a frontend's rings: to all or to none.
    fn attach<H: Hypervisor<Pages = P>>(
        &mut self,
        hv: &H,
        id: DeviceId,
        frontend: &Frontend,
    ) -> Result<(), String> {
        let number = self.find(id).ok_or("it was never probed")?;
        let first = self
            .free_places(frontend.queues.len())
            .ok_or("there are too many queues already")?;
        let mut queues = Vec::with_capacity(frontend.queues.len());
        let mut control = None;
        let mut attached = frontend.queues.iter().try_for_each(|nodes| {
            queues.push(attach_queue(hv, id.frontend, nodes)?);
            Ok::<_, String>(())
        });
        if attached.is_ok()
            && let Some((gref, port)) = frontend.control
        {
            attached = attach_control(hv, id.frontend, gref, port).map(|ring| control = Some(Box::new(ring)));
        }
        let known = |port: Port| (port.0 as usize) < self.ports.len();
        if attached.is_ok()
            && !queues
                .iter()
                .flat_map(|queue| [queue.tx_port, queue.rx_port])
                .chain(control.as_ref().map(|control| control.port))
                .all(known)
        {
            attached = Err("no event channel is left".into());
        }
        let Some(vif) = self.vifs[number].as_mut() else {
            return Err("it was never probed".into());
        };
        vif.queues = queues;
        vif.control = control;
        if let Err(why) = attached {
            vif.disconnect(hv);
            return Err(why);
        }
        vif.first_queue = first;
        vif.takes = frontend.takes;
        vif.hash = HashControl::new(frontend.queues.len());
        vif.counters = Counters::default();
        (vif.fault, vif.broken) = (None, false);
        let now = hv.now();
        vif.rate = vif
            .wanted
            .rate
            .as_deref()
            .and_then(|rate| Bucket::parse(rate, now));
        for (index, queue) in vif.queues.iter().enumerate() {
            self.places[first + index] = Some((number as u8, index as u8));
            self.ports[queue.tx_port.0 as usize] = (first + index) as u16;
            self.ports[queue.rx_port.0 as usize] = (first + index) as u16;
            self.active.insert(first + index);
        }
        if let Some(control) = &vif.control {
            self.ports[control.port.0 as usize] = CONTROL | number as u16;
            self.controls.insert(number);
        }
        let Wanted { mac, lan, filter, .. } = vif.wanted.clone();
        self.switch.plug(number, lan, mac, filter, now);
        if frontend.multicast
            && let Some(port) = self.switch.port_mut(number)
        {
            port.multicast = MulticastFilter::selective();
        }
        Ok(())
    }

    /// Room for so many queues one after another.
    fn free_places(&self, count: usize) -> Option<usize> {
        (0..=self.places.len().checked_sub(count)?)
            .find(|first| self.places[*first..first + count].iter().all(Option::is_none))
    }

    /// Lets go of a frontend's rings. Between turns nothing is owed, so that is all.
    fn detach<H: Hypervisor<Pages = P>>(&mut self, hv: &H, id: DeviceId) {
        let Some(number) = self.find(id) else { return };
        let Some(vif) = self.vifs[number].as_mut() else {
            return;
        };
        if !vif.is_connected() {
            return;
        }
        log::info!("vif {id}: {}", vif.counters);
        let ports = vif
            .queues
            .iter()
            .flat_map(|queue| [queue.tx_port, queue.rx_port])
            .chain(vif.control.as_ref().map(|control| control.port));
        for port in ports {
            self.ports[port.0 as usize] = NO_QUEUE;
        }
        for place in vif.first_queue..vif.first_queue + vif.queues.len() {
            self.places[place] = None;
            for set in [
                &mut self.active,
                &mut self.unchecked,
                &mut self.limited,
                &mut self.starved,
                &mut self.touched,
            ] {
                set.remove(place);
            }
        }
        self.controls.remove(number);
        vif.disconnect(hv);
        self.switch.unplug(number);
    }
}

/// Maps a ring's page and attaches to it.
fn attach_ring<H: Hypervisor>(
    hv: &H,
    dom: DomId,
    gref: GrantRef,
    slot_bytes: usize,
) -> Result<(BackRing<H::Pages>, MappedPages<H::Pages>), String> {
    let mapped = hv
        .map_pages(dom, &[gref], Access::ReadWrite)
        .map_err(|error| format!("a ring cannot be mapped ({error:?})"))?;
    match BackRing::attach(mapped.pages.clone(), slot_bytes) {
        Ok(ring) => Ok((ring, mapped)),
        Err(AttachError::Shape | AttachError::Overflow(_)) => {
            hv.unmap_pages(mapped);
            Err("a ring claims more requests than it has slots".into())
        }
    }
}

fn bind<H: Hypervisor>(hv: &H, dom: DomId, port: Port) -> Result<Port, String> {
    hv.bind_interdomain(dom, port)
        .map_err(|error| format!("port {} cannot be bound (error {})", port.0, error.0))
}

fn attach_queue<H: Hypervisor>(hv: &H, dom: DomId, nodes: &QueueNodes) -> Result<Queue<H::Pages>, String> {
    let tx = attach_ring(hv, dom, nodes.tx, TX_SLOT_BYTES)?;
    let rx = match attach_ring(hv, dom, nodes.rx, RX_SLOT_BYTES) {
        Ok(rx) => rx,
        Err(why) => {
            hv.unmap_pages(tx.1);
            return Err(why);
        }
    };
    let ports = bind(hv, dom, nodes.tx_port).and_then(|tx_port| {
        if nodes.rx_port == nodes.tx_port {
            return Ok((tx_port, tx_port));
        }
        let rx_port = bind(hv, dom, nodes.rx_port).inspect_err(|_| hv.close(tx_port))?;
        Ok((tx_port, rx_port))
    });
    match ports {
        Ok((tx_port, rx_port)) => Ok(Queue::new(Parts {
            dom,
            tx,
            rx,
            tx_port,
            rx_port,
        })),
        Err(why) => {
            hv.unmap_pages(tx.1);
            hv.unmap_pages(rx.1);
            Err(why)
        }
    }
}

fn attach_control<H: Hypervisor>(
    hv: &H,
    dom: DomId,
    gref: GrantRef,
    port: Port,
) -> Result<ControlRing<H::Pages>, String> {
    let (ring, mapped) = attach_ring(hv, dom, gref, CTRL_SLOT_BYTES)?;
    match bind(hv, dom, port) {
        Ok(port) => Ok(ControlRing { ring, mapped, port }),
        Err(why) => {
            hv.unmap_pages(mapped);
            Err(why)
        }
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
    let [copy, sg, gso4, gso6, no_csum, csum6, multicast] =
        flags.map(|flag| flag.is_some_and(|flag| flag != "0"));
    if !copy {
        return Err(bad(key::REQUEST_RX_COPY, "packets can only be copied"));
    }
    let headroom = nodes.frontend_u32(key::XDP_HEADROOM).await?.unwrap_or(0);
    if headroom > HEADROOM_MAX {
        return Err(bad(key::XDP_HEADROOM, "too much"));
    }
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
            headroom: headroom as u16,
        },
        multicast,
        queues,
        control,
    })
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
