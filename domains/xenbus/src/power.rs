//! The toolstack's wishes for the domain itself (`control/shutdown`).

use alloc::format;
use alloc::string::ToString;
use core::time::Duration;

use outrigger_ring::SharedPages;
use outrigger_update::NODES;
use outrigger_xen::xenstore::{XenStore, XsError};
use outrigger_xen::{DomId, GrantRef, Instant, Key, Port, Shutdown};

use crate::Host;
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

/// Where it is noted what the toolstack wants, from before its request is taken back until the domain ends: a life that fails
/// in between must not cost it.
const WISH: Key = Key {
    kind: Key::WISH,
    frontend: DomId(0),
    handle: 0,
    part: 0,
};

/// Wishes that outlive a life, and their names in a record. A reboot is not among them: any restart grants it.
const LASTING: [(Shutdown, u64); 3] = [
    (Shutdown::PowerOff, 0xd0ff_0ff0),
    (Shutdown::Halt, 0x4a17_4a17),
    (Shutdown::Crash, 0xc4a5_4c4a),
];

/// What the toolstack wants of the domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// How the domain is to end.
    pub end: Shutdown,
    /// When it ends at the latest, if it has guests to wait for.
    pub until: Instant,
}

/// The name of a wish, then the moment of [`Wish::until`] in ns. What an earlier image has noted is the name alone.
fn note<P: SharedPages>(host: &dyn Host<P>, wish: Wish) {
    if let Some((_, name)) = LASTING.iter().find(|(lasting, _)| *lasting == wish.end)
        && let Some(record) = host.keep(WISH, 16)
    {
        record.store_u64(8, wish.until.0);
        record.store_u64(0, *name);
    }
}

/// What an earlier life was asked for and did not come to.
pub(crate) fn noted<P: SharedPages>(host: &dyn Host<P>) -> Option<Wish> {
    let record = host.kept(WISH).filter(|record| record.len() >= 8)?;
    let name = record.load_u64(0);
    let (end, _) = LASTING.iter().find(|(_, lasting)| *lasting == name)?;
    let until = if record.len() >= 16 { record.load_u64(8) } else { 0 };
    Some(Wish {
        end: *end,
        until: Instant(until),
    })
}

fn end(request: &str) -> Option<Shutdown> {
    match request {
        "poweroff" => Some(Shutdown::PowerOff),
        "reboot" => Some(Shutdown::Reboot),
        "halt" => Some(Shutdown::Halt),
        "crash" => Some(Shutdown::Crash),
        _ => None,
    }
}

/// Reads the request, if there is one, and takes it back as the protocol asks. `wait`: how long guests are waited for.
pub(crate) async fn take<P: SharedPages>(
    store: &XenStore<P>,
    host: &dyn Host<P>,
    wait: Duration,
) -> Option<Wish> {
    let until = host.now().after(wait);
    let wish = |request: &str| {
        Some(Wish {
            end: end(request)?,
            until,
        })
    };
    let request = store
        .transact(4, async |transaction| {
            let request = transaction.read_text(SHUTDOWN).await?;
            if !request.is_empty() {
                transaction.write(SHUTDOWN, "").await?;
                if let Some(wish) = wish(&request) {
                    note(host, wish);
                }
            }
            Ok(request)
        })
        .await;
    match request.as_deref() {
        Ok("") | Err(XsError::NoEntry) => None,
        Ok(request) => wish(request).or_else(|| {
            log::warn!("{SHUTDOWN}: \"{}\" is not supported", request.escape_default());
            None
        }),
        Err(error) => {
            log::warn!("{SHUTDOWN}: {error}");
            None
        }
    }
}
