//! How a XenStore request can fail.

use alloc::string::String;
use core::fmt;

/// Longest error name that is kept.
const NAME_MAX: usize = 32;

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XsError {
    /// No such node (`ENOENT`).
    NoEntry,
    /// Not allowed to (`EACCES`, `EPERM`). Also what a node below a removed domain's directory gives.
    Access,
    /// The transaction met a change from outside (`EAGAIN`): begin it again.
    Again,
    /// Our share of nodes, watches or transactions is used up (`ENOSPC`, `EDQUOT`).
    Quota,
    /// The request or its answer does not fit a message (`E2BIG`, or found before sending).
    TooBig,
    /// It is there already (`EEXIST`).
    Exists,
    /// A path with a NUL in it, or an empty one: never sent.
    Invalid,
    /// The reply ends before it is complete.
    Truncated,
    /// The value is not text.
    NotText,
    /// The reply is not one to this request, or the connection is unusable (see
    /// [`XenStore::fault`](super::XenStore::fault)).
    Protocol,
    /// Another error, by the name that xenstored gives it, shortened.
    Other(String),
}

impl XsError {
    /// From the payload of an error message: the name of an errno, with or without its NUL.
    pub(super) fn from_reply(payload: &[u8]) -> Self {
        let name = payload.split(|byte| *byte == 0).next().unwrap_or_default();
        match name {
            b"ENOENT" => Self::NoEntry,
            b"EACCES" | b"EPERM" => Self::Access,
            b"EAGAIN" => Self::Again,
            b"ENOSPC" | b"EDQUOT" => Self::Quota,
            b"E2BIG" => Self::TooBig,
            b"EEXIST" => Self::Exists,
            other => Self::Other(
                other[..other.len().min(NAME_MAX)]
                    .escape_ascii()
                    .map(char::from)
                    .collect(),
            ),
        }
    }
}

impl fmt::Display for XsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoEntry => "no such node",
            Self::Access => "no access",
            Self::Again => "the transaction met a conflict",
            Self::Quota => {
                "this domain's quota in xenstored is used up; for more nodes, in Dom0: xenstore-control quota set nodes 4000"
            }
            Self::TooBig => "too big for a message",
            Self::Exists => "exists already",
            Self::Invalid => "not a path",
            Self::Truncated => "the reply is cut short",
            Self::NotText => "the value is not text",
            Self::Protocol => "XenStore broke its protocol",
            Self::Other(name) => name,
        })
    }
}

impl core::error::Error for XsError {}
