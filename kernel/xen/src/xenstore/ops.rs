//! The requests: how each is written and how its reply is read.

use alloc::string::String;
use alloc::vec::Vec;

use outrigger_ring::SharedPages;
use xen_unikernel_abi::io::xs_wire as xs;

use super::call::Call;
use super::{XenStore, XsError};

/// Most bytes of names that a directory may hold for us to list it.
const DIRECTORY_MAX: usize = 64 * 1024;
/// How often a directory that changes under the listing is begun again.
const DIRECTORY_RETRIES: usize = 8;

/// A path, as it is sent: checked, with its NUL.
fn path_bytes(path: &str) -> Result<Vec<u8>, XsError> {
    let max = if path.starts_with('/') {
        xs::XENSTORE_ABS_PATH_MAX
    } else {
        xs::XENSTORE_REL_PATH_MAX
    };
    if path.is_empty() || path.contains('\0') {
        return Err(XsError::Invalid);
    }
    if path.len() > max {
        return Err(XsError::TooBig);
    }
    Ok([path.as_bytes(), &[0]].concat())
}

/// Names, each ended by a NUL.
fn names(payload: &[u8]) -> Result<Vec<String>, XsError> {
    let Some((last, body)) = payload.split_last() else {
        return Ok(Vec::new());
    };
    if *last != 0 {
        return Err(XsError::Truncated);
    }
    body.split(|byte| *byte == 0).map(text).collect()
}

/// A value or name as text.
fn text(bytes: &[u8]) -> Result<String, XsError> {
    str::from_utf8(bytes)
        .map(String::from)
        .map_err(|_| XsError::NotText)
}

pub(super) async fn read<P: SharedPages>(
    store: &XenStore<P>,
    tx: u32,
    path: &str,
) -> Result<Vec<u8>, XsError> {
    Call::new(store, xs::XS_READ, tx, path_bytes(path)?).await
}

pub(super) async fn read_text<P: SharedPages>(
    store: &XenStore<P>,
    tx: u32,
    path: &str,
) -> Result<String, XsError> {
    String::from_utf8(read(store, tx, path).await?).map_err(|_| XsError::NotText)
}

pub(super) async fn write<P: SharedPages>(
    store: &XenStore<P>,
    tx: u32,
    path: &str,
    value: &[u8],
) -> Result<(), XsError> {
    let mut payload = path_bytes(path)?;
    payload.extend(value);
    Call::new(store, xs::XS_WRITE, tx, payload).await.map(drop)
}

/// A request that only names a path.
pub(super) async fn act<P: SharedPages>(
    store: &XenStore<P>,
    kind: u32,
    tx: u32,
    path: &str,
) -> Result<(), XsError> {
    Call::new(store, kind, tx, path_bytes(path)?).await.map(drop)
}

pub(super) async fn watch<P: SharedPages>(
    store: &XenStore<P>,
    kind: u32,
    path: &str,
    token: &str,
) -> Result<(), XsError> {
    if token.contains('\0') {
        return Err(XsError::Invalid);
    }
    let mut payload = path_bytes(path)?;
    payload.extend(token.as_bytes());
    payload.push(0);
    Call::new(store, kind, 0, payload).await.map(drop)
}

pub(super) async fn directory<P: SharedPages>(
    store: &XenStore<P>,
    tx: u32,
    path: &str,
) -> Result<Vec<String>, XsError> {
    match Call::new(store, xs::XS_DIRECTORY, tx, path_bytes(path)?).await {
        Err(XsError::TooBig) => {}
        reply => return names(&reply?),
    }
    for _ in 0..DIRECTORY_RETRIES {
        if let Some(list) = directory_in_parts(store, tx, path).await? {
            return names(&list);
        }
    }
    Err(XsError::Again)
}

/// The whole list, part by part; `None` if the directory changed meanwhile.
async fn directory_in_parts<P: SharedPages>(
    store: &XenStore<P>,
    tx: u32,
    path: &str,
) -> Result<Option<Vec<u8>>, XsError> {
    let mut list = Vec::new();
    let mut generation: Option<Vec<u8>> = None;
    loop {
        let mut payload = path_bytes(path)?;
        payload.extend(alloc::format!("{}\0", list.len()).bytes());
        let reply = Call::new(store, xs::XS_DIRECTORY_PART, tx, payload).await?;
        let end = reply
            .iter()
            .position(|byte| *byte == 0)
            .ok_or(XsError::Truncated)?;
        let (now, part) = (&reply[..end], &reply[end + 1..]);
        if *generation.get_or_insert_with(|| now.into()) != now {
            return Ok(None);
        }
        // The last part ends with an empty name.
        if let Some(part) = part
            .strip_suffix(&[0])
            .filter(|part| part.is_empty() || part.ends_with(&[0]))
        {
            list.extend(part);
            return Ok(Some(list));
        }
        if !part.ends_with(&[0]) {
            return Err(XsError::Truncated);
        }
        list.extend(part);
        if list.len() > DIRECTORY_MAX {
            return Err(XsError::TooBig);
        }
    }
}

pub(super) async fn get_domain_path<P: SharedPages>(
    store: &XenStore<P>,
    domid: u16,
) -> Result<String, XsError> {
    let reply = Call::new(
        store,
        xs::XS_GET_DOMAIN_PATH,
        0,
        alloc::format!("{domid}\0").into_bytes(),
    )
    .await?;
    text(reply.strip_suffix(&[0]).ok_or(XsError::Truncated)?)
}

pub(super) async fn reset_watches<P: SharedPages>(store: &XenStore<P>) -> Result<(), XsError> {
    Call::new(store, xs::XS_RESET_WATCHES, 0, Vec::from([0]))
        .await
        .map(drop)
}

pub(super) async fn begin<P: SharedPages>(store: &XenStore<P>) -> Result<u32, XsError> {
    let reply = Call::new(store, xs::XS_TRANSACTION_START, 0, Vec::from([0])).await?;
    let digits = reply.strip_suffix(&[0]).ok_or(XsError::Truncated)?;
    match super::parse_u32(digits) {
        Some(tx) if tx != 0 => Ok(tx),
        _ => Err(XsError::Protocol),
    }
}

pub(super) async fn commit<P: SharedPages>(store: &XenStore<P>, tx: u32) -> Result<(), XsError> {
    Call::new(store, xs::XS_TRANSACTION_END, tx, b"T\0".into())
        .await
        .map(drop)
}
