//! Publishing a state, with whatever goes with it, in one transaction.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use outrigger_ring::SharedPages;
use outrigger_xen::xenstore::{Transaction, XenStore, XsError};

use crate::State;
use crate::device::Device;
use crate::join::join_all;

/// How often a transaction is begun again. Only states 4 can meet a guest's conflicts, and then only its own device
/// suffers.
const ATTEMPTS: usize = 4;

/// Why nothing was published.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unpublished {
    /// What was seen before is so no longer: look again.
    Changed,
    /// XenStore failed.
    Failed(XsError),
}

/// Publishes `state` together with `keys`, unless the directory has gone, the toolstack has asked to close meanwhile, or
/// (for state 4) the frontend no longer waits for it.
pub(crate) async fn publish<P: SharedPages>(
    store: &XenStore<P>,
    device: &Device,
    state: State,
    keys: &[(String, String)],
) -> Result<(), Unpublished> {
    let published = store
        .transact(ATTEMPTS, async |transaction| {
            if !still_true(transaction, device, state).await? {
                return Ok(false);
            }
            let state = [("state", state.text())];
            let keys = keys
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .chain(state);
            let writes = keys.map(async |(key, value)| {
                let path = format!("{}/{key}", device.backend);
                transaction.write(&path, value).await
            });
            for written in join_all(writes).await {
                written?;
            }
            Ok(true)
        })
        .await;
    match published {
        Ok(true) => Ok(()),
        // A conflict means that something it depends on does change.
        Ok(false) | Err(XsError::Again) => Err(Unpublished::Changed),
        Err(error) => Err(Unpublished::Failed(error)),
    }
}

/// Whether the state may be published still. What is read here makes the commit fail if it changes before; the guest's
/// node is among it for state 4 alone.
async fn still_true<P: SharedPages>(
    transaction: &Transaction<'_, P>,
    device: &Device,
    state: State,
) -> Result<bool, XsError> {
    let mut paths = Vec::from([
        format!("{}/state", device.backend),
        format!("{}/online", device.backend),
    ]);
    if state == State::Connected {
        paths.extend(
            device
                .frontend
                .as_ref()
                .map(|frontend| format!("{frontend}/state")),
        );
    }
    let mut values = Vec::with_capacity(paths.len());
    for value in join_all(paths.iter().map(|path| transaction.read(path))).await {
        values.push(match value {
            Ok(value) => Some(value),
            Err(XsError::NoEntry | XsError::Access) => None,
            Err(error) => return Err(error),
        });
    }
    let seen = |at: usize| {
        values
            .get(at)
            .and_then(Option::as_ref)
            .map(|value| State::parse(value))
    };
    // Our own directory must not come into being by our writing into it.
    let there = seen(0).is_some();
    let wanted = seen(0) != Some(State::Closing) && values[1].as_deref() == Some(b"1");
    let awaited = matches!(seen(2), Some(State::Initialised | State::Connected));
    Ok(match state {
        State::InitWait | State::Reconfigured => there && wanted,
        State::Connected => there && wanted && awaited,
        _ => there,
    })
}
