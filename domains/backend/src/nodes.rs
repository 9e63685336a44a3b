//! Reading what a frontend has published: the nodes that protocols have in common, each with one text for what is wrong.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use outrigger_ring::SharedPages;
use outrigger_xen::xenstore::parse_u32;
use outrigger_xen::{GrantRef, Port};
use outrigger_xenbus::{Nodes, Refusal};

use crate::{ChannelNodes, Published};

/// What is wrong with a node of the frontend's directory.
pub fn bad<P: SharedPages>(nodes: &Nodes<'_, P>, node: &str, why: &str) -> Refusal {
    Refusal(format!("{}/{node}: {why}", nodes.frontend_path()))
}

/// Whether a flag is set: there, and not 0.
pub fn is_set(flag: &Option<String>) -> bool {
    flag.as_deref().is_some_and(|flag| flag != "0")
}

/// A number between two others; `absent` if there is no such node.
///
/// # Errors
/// It is another, or none.
pub fn within<P: SharedPages>(
    nodes: &Nodes<'_, P>,
    node: &str,
    value: Option<String>,
    absent: u32,
    range: core::ops::RangeInclusive<u32>,
) -> Result<u32, Refusal> {
    let number = value.map_or(Some(absent), |value| parse_u32(value.as_bytes()));
    number
        .filter(|number| range.contains(number))
        .ok_or_else(|| bad(nodes, node, &format!("not {} to {}", range.start(), range.end())))
}

/// A number of the backend directory, from 1 to `most`; `absent` if there is no such node.
///
/// # Errors
/// It is another, or none.
pub async fn backend_within<P: SharedPages>(
    nodes: &Nodes<'_, P>,
    node: &str,
    absent: u32,
    most: u32,
) -> Result<u32, Refusal> {
    match nodes.backend_u32(node).await?.unwrap_or(absent) {
        value if (1..=most).contains(&value) => Ok(value),
        _ => Err(Refusal(format!(
            "{}/{node}: not 1 to {most}",
            nodes.backend_path()
        ))),
    }
}

/// Numbers to publish.
pub fn published<const N: usize>(words: [(&str, u32); N]) -> Published {
    let texts = words
        .into_iter()
        .map(|(node, value)| (node.to_string(), value.to_string()));
    texts.collect()
}

/// Where the nodes of queue `queue` are: one queue lives where it did before there could be several.
pub fn queue_prefix(queue: u32, queues: u32) -> String {
    if queues == 1 {
        String::new()
    } else {
        format!("queue-{queue}/")
    }
}

/// A number that must be there.
///
/// # Errors
/// It is missing, or none.
pub async fn number<P: SharedPages>(nodes: &Nodes<'_, P>, node: &str) -> Result<u32, Refusal> {
    let number = nodes.frontend_u32(node).await?;
    number.ok_or_else(|| bad(nodes, node, "missing"))
}

/// The port that a node names.
///
/// # Errors
/// As [`number`].
pub async fn port<P: SharedPages>(nodes: &Nodes<'_, P>, node: &str) -> Result<Port, Refusal> {
    number(nodes, node).await.map(Port)
}

/// The 2^`order` pages that `node` names, or `node` with a number behind it: a single one may be given either way.
///
/// # Errors
/// As [`number`].
pub async fn ring_pages<P: SharedPages>(
    nodes: &Nodes<'_, P>,
    node: &str,
    order: u32,
) -> Result<Vec<GrantRef>, Refusal> {
    let mut refs = Vec::with_capacity(1 << order);
    if order == 0 {
        if let Some(gref) = nodes.frontend_u32(node).await? {
            refs.push(GrantRef(gref));
            return Ok(refs);
        }
        if let Some(gref) = nodes.frontend_u32(&format!("{node}0")).await? {
            refs.push(GrantRef(gref));
            return Ok(refs);
        }
        return Err(bad(nodes, node, "missing"));
    }
    for page in 0..1_u32 << order {
        refs.push(GrantRef(number(nodes, &format!("{node}{page}")).await?));
    }
    Ok(refs)
}

/// A channel of 2^`order` pages.
///
/// # Errors
/// As [`number`].
pub async fn channel<P: SharedPages>(
    nodes: &Nodes<'_, P>,
    pages_node: String,
    order: u32,
    port_node: String,
) -> Result<ChannelNodes, Refusal> {
    let port = port(nodes, &port_node).await?;
    let refs = ring_pages(nodes, &pages_node, order).await?;
    Ok(ChannelNodes {
        pages_node,
        refs,
        port_node,
        port,
    })
}
