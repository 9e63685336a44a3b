//! What the toolstack and the frontend have written into a vbd's nodes.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use outrigger_blkif::{Abi, nodes as key};
use outrigger_ring::SharedPages;
use outrigger_xen::xenstore::parse_u32;
use outrigger_xen::{GrantRef, Port};
use outrigger_xenbus::{Nodes, Refusal};

use crate::attach::{FrontendNodes, RingNodes};
use crate::budget::Offer;
use crate::slice::Target;

/// What the toolstack wrote.
pub(crate) struct Wanted {
    pub target: Target,
    pub read_only: bool,
    pub shared: bool,
    pub removable: bool,
    pub cdrom: bool,
    pub discard: bool,
}

/// Makes sense of the toolstack's nodes; which is bad, and why.
pub(crate) fn wanted(
    [params, mode, removable, device_type, discard]: [Option<String>; 5],
) -> Result<Wanted, (&'static str, String)> {
    let params = params.ok_or((key::PARAMS, String::from("missing")))?;
    let target = Target::parse(&params).map_err(|_| {
        let shown: String = params.chars().take(64).flat_map(char::escape_default).collect();
        (
            key::PARAMS,
            format!("\"{shown}\" is no target; write virtio0, virtio0:2, PARTLABEL=name or PARTUUID=id"),
        )
    })?;
    let (read_only, shared) = match mode.as_deref() {
        Some("r") => (true, false),
        Some("w") => (false, false),
        Some("w!") => (false, true),
        _ => return Err((key::MODE, "neither r nor w".into())),
    };
    let is = |value: &Option<String>, wanted| value.as_deref() == Some(wanted);
    Ok(Wanted {
        target,
        read_only,
        shared,
        removable: is(&removable, "1"),
        cdrom: is(&device_type, "cdrom"),
        discard: !is(&discard, "0"),
    })
}

/// Reads what the frontend published.
pub(crate) async fn frontend<P: SharedPages>(
    nodes: &Nodes<'_, P>,
    offer: Offer,
) -> Result<FrontendNodes, Refusal> {
    let keys = [
        key::PROTOCOL,
        key::FEATURE_PERSISTENT,
        key::MULTI_QUEUE_NUM_QUEUES,
        key::RING_PAGE_ORDER,
    ];
    let [protocol, persistent, queues, order] = nodes.frontend_all(keys).await?;
    let bad = |node: &str, why: String| Refusal(format!("{}/{node}: {why}", nodes.frontend_path()));
    let abi = Abi::from_protocol(protocol.as_deref())
        .ok_or_else(|| bad(key::PROTOCOL, "none of x86_64-abi, x86_32-abi, arm-abi".into()))?;
    let within = |node: &str, value: Option<String>, absent: u32, least: u32, most: u32| {
        let number = value.map_or(Some(absent), |value| parse_u32(value.as_bytes()));
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| bad(node, format!("not {least} to {most}")))
    };
    let queues = within(key::MULTI_QUEUE_NUM_QUEUES, queues, 1, 1, offer.queues)?;
    let order = within(key::RING_PAGE_ORDER, order, 0, 0, offer.order)?;
    let mut rings = Vec::with_capacity(queues as usize);
    for queue in 0..queues {
        // One ring lives where it did before there could be several.
        let prefix = if queues == 1 {
            String::new()
        } else {
            format!("queue-{queue}/")
        };
        rings.push(ring(nodes, prefix, order).await?);
    }
    Ok(FrontendNodes {
        abi,
        persistent: persistent.as_deref() == Some("1"),
        rings,
    })
}

async fn ring<P: SharedPages>(
    nodes: &Nodes<'_, P>,
    prefix: String,
    order: u32,
) -> Result<RingNodes, Refusal> {
    let missing = |node: &str| Refusal(format!("{}/{node}: missing", nodes.frontend_path()));
    let path = format!("{prefix}{}", key::EVENT_CHANNEL);
    let port = nodes.frontend_u32(&path).await?.ok_or_else(|| missing(&path))?;
    let single = format!("{prefix}{}", key::RING_REF);
    let mut refs = Vec::with_capacity(1 << order);
    if order == 0
        && let Some(gref) = nodes.frontend_u32(&single).await?
    {
        refs.push(GrantRef(gref));
    } else {
        for page in 0..1_u32 << order {
            let path = format!("{single}{page}");
            let gref = nodes.frontend_u32(&path).await?;
            refs.push(GrantRef(
                gref.ok_or_else(|| missing(if order == 0 { &single } else { &path }))?,
            ));
        }
    }
    Ok(RingNodes {
        prefix,
        refs,
        port: Port(port),
    })
}
