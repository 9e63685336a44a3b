//! A channel: pages of a frontend's, mapped, and the event channel that goes with them.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use outrigger_ring::{AttachError, BackRing, Overflow};
use outrigger_xen::{
    Access, DomId, EventChannels, GrantError, GrantRef, GrantTable, Hypervisor, MappedPages, Port,
};

use crate::Life;

/// A channel, as its frontend describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelNodes {
    /// The node that names the pages, in the frontend's directory, for messages: `ring-ref`, `queue-1/tx-ring-ref`.
    pub pages_node: String,
    /// The pages.
    pub refs: Vec<GrantRef>,
    /// The node that names the port.
    pub port_node: String,
    /// The frontend's port.
    pub port: Port,
}

/// A channel that is attached to. It must go back through [`release`](Self::release).
#[derive(Debug)]
#[must_use = "a channel must be released"]
pub struct Channel<P> {
    mapped: MappedPages<P>,
    port: Port,
}

impl<P: Clone> Channel<P> {
    /// Maps the pages and binds the port. A frontend that an earlier life has served is notified: the last news of that life may
    /// not have been told.
    ///
    /// # Errors
    /// Which node is bad, and why; nothing is held then.
    pub fn attach<H>(hv: &H, life: &Life, nodes: &ChannelNodes) -> Result<Self, String>
    where
        H: GrantTable<Pages = P> + EventChannels,
    {
        let mapped = map(hv, life.device.frontend, &nodes.pages_node, &nodes.refs)?;
        match bind(hv, life, &nodes.port_node, nodes.port) {
            Ok(port) => Ok(Self { mapped, port }),
            Err(why) => {
                hv.unmap_pages(mapped);
                Err(why)
            }
        }
    }

    /// The pages. Not to be used after [`release`](Self::release).
    pub fn pages(&self) -> P {
        self.mapped.pages.clone()
    }

    /// Our port.
    #[inline]
    pub fn port(&self) -> Port {
        self.port
    }

    /// Gives everything back.
    pub fn release<H: GrantTable<Pages = P> + EventChannels>(self, hv: &H) {
        hv.close(self.port);
        hv.unmap_pages(self.mapped);
    }
}

/// Maps the pages that `node` of the frontend's directory names, to be read and written.
///
/// # Errors
/// The node, and why they cannot be mapped.
pub fn map<H: GrantTable>(
    hv: &H,
    dom: DomId,
    node: &str,
    refs: &[GrantRef],
) -> Result<MappedPages<H::Pages>, String> {
    hv.map_pages(dom, refs, Access::ReadWrite)
        .map_err(|error| format!("{node}: {}", explain(error)))
}

/// A ring, and its pages.
pub type AttachedRing<P> = (BackRing<P>, MappedPages<P>);

/// Maps a ring of requests and responses, and attaches to it.
///
/// # Errors
/// As [`map`], or the ring makes no sense; nothing is held then.
pub fn attach_ring<H: Hypervisor>(
    hv: &H,
    dom: DomId,
    node: &str,
    refs: &[GrantRef],
    slot_bytes: usize,
) -> Result<AttachedRing<H::Pages>, String> {
    let mapped = map(hv, dom, node, refs)?;
    match BackRing::attach(mapped.pages.clone(), slot_bytes) {
        Ok(ring) => Ok((ring, mapped)),
        Err(error) => {
            hv.unmap_pages(mapped);
            Err(match error {
                AttachError::Shape => format!("{node}: no request fits the ring"),
                AttachError::Overflow(Overflow { claimed, consumed }) => {
                    format!("{node}: req_prod {claimed} is impossible after {consumed}")
                }
            })
        }
    }
}

/// Binds the port that `node` of the frontend's directory names, and notifies a frontend that an earlier life has served.
///
/// # Errors
/// The node, and why the port cannot be bound.
pub fn bind<H: EventChannels>(hv: &H, life: &Life, node: &str, port: Port) -> Result<Port, String> {
    let bound = hv
        .bind_interdomain(life.device.frontend, port)
        .map_err(|error| format!("{node}: port {} cannot be bound (error {})", port.0, error.0))?;
    if life.resumed {
        hv.notify(bound);
    }
    Ok(bound)
}

/// Why a grant could not be mapped, for a reader who has to do something about it.
fn explain(error: GrantError) -> String {
    match error {
        GrantError::Exhausted => "no room to map it".into(),
        // GNTST_permission_denied
        GrantError::Refused(-8) => {
            "Xen forbids the mapping; under XSM SILO, its default on some systems, boot Xen with xsm=dummy"
                .into()
        }
        GrantError::Refused(status) => format!("Xen refuses the grant (status {status})"),
    }
}
