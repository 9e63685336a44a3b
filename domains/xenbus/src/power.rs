//! The toolstack's wishes for the domain itself (`control/shutdown`).

use alloc::format;
use alloc::string::ToString;

use outrigger_ring::SharedPages;
use outrigger_update::NODES;
use outrigger_xen::xenstore::{XenStore, XsError};
use outrigger_xen::{GrantRef, Port, Shutdown};

use crate::join::join_all;

/// The watch's path, and its token.
pub(crate) const SHUTDOWN: &str = "control/shutdown";

/// Tells the toolstack which requests we answer. It offers the nodes; where it does not, there is nothing to tell.
pub(crate) async fn advertise<P: SharedPages>(store: &XenStore<P>) {
    let features = ["control/feature-poweroff", "control/feature-reboot"];
    for (path, result) in features
        .iter()
        .zip(join_all(features.map(|path| store.write(path, "1"))).await)
    {
        if let Err(error) = result {
            log::warn!("{path}: {error}");
        }
    }
}

/// Tells Dom0 where new images are taken: the nodes of a libxenvchan.
pub(crate) async fn announce_updates<P: SharedPages>(store: &XenStore<P>, updates: Option<(GrantRef, Port)>) {
    let Some((GrantRef(gref), Port(port))) = updates else {
        return;
    };
    let nodes = [("ring-ref", gref), ("event-channel", port)]
        .map(|(name, number)| (format!("{NODES}/{name}"), number.to_string()));
    for written in join_all(nodes.iter().map(|(path, number)| store.write(path, number))).await {
        if let Err(error) = written {
            log::warn!("{NODES}: {error}");
        }
    }
}

/// Reads the request, if there is one, and takes it back as the protocol asks.
pub(crate) async fn take<P: SharedPages>(store: &XenStore<P>) -> Option<Shutdown> {
    let request = store
        .transact(4, async |transaction| {
            let request = transaction.read_text(SHUTDOWN).await?;
            if !request.is_empty() {
                transaction.write(SHUTDOWN, "").await?;
            }
            Ok(request)
        })
        .await;
    match request.as_deref() {
        Ok("poweroff") => Some(Shutdown::PowerOff),
        Ok("reboot") => Some(Shutdown::Reboot),
        Ok("halt") => Some(Shutdown::Halt),
        Ok("crash") => Some(Shutdown::Crash),
        Ok("") | Err(XsError::NoEntry) => None,
        Ok(other) => {
            log::warn!("{SHUTDOWN}: \"{}\" is not supported", other.escape_default());
            None
        }
        Err(error) => {
            log::warn!("{SHUTDOWN}: {error}");
            None
        }
    }
}
