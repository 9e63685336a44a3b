//! The nodes of one device.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use outrigger_ring::SharedPages;
use outrigger_xen::xenstore::{XenStore, XsError, parse_u32, parse_u64};

use crate::join::join_all;
use crate::transcript::{Top, Transcript};
use crate::{DeviceId, Refusal};

/// Longest value that a hook is given, in bytes. Nothing in a device's protocol is longer.
const VALUE_MAX: usize = 1024;

/// Reads the nodes of one device. Both directories were checked to be this device's own.
pub struct Nodes<'a, P: SharedPages> {
    source: Source<'a, P>,
    pub(crate) device: DeviceId,
    pub(crate) backend: &'a str,
    pub(crate) frontend: &'a str,
}

/// Where values come from.
enum Source<'a, P: SharedPages> {
    /// XenStore; what is read is noted, if it is for the record.
    Live(&'a XenStore<P>, Option<&'a RefCell<Transcript>>),
    /// An earlier life's record, and nothing else.
    Recorded(&'a Transcript),
}

impl<'a, P: SharedPages> Nodes<'a, P> {
    pub(crate) fn live(
        store: &'a XenStore<P>,
        device: DeviceId,
        [backend, frontend]: [&'a str; 2],
        transcript: Option<&'a RefCell<Transcript>>,
    ) -> Self {
        Self {
            source: Source::Live(store, transcript),
            device,
            backend,
            frontend,
        }
    }

    pub(crate) fn recorded(
        device: DeviceId,
        [backend, frontend]: [&'a str; 2],
        transcript: &'a Transcript,
    ) -> Self {
        Self {
            source: Source::Recorded(transcript),
            device,
            backend,
            frontend,
        }
    }
}

impl<P: SharedPages> Nodes<'_, P> {
    /// Which device this is.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// Whether the device is attached to again, from what an earlier life of this domain has recorded: its frontend knows
    /// nothing of that, and expects everything to go on.
    pub fn resumed(&self) -> bool {
        matches!(self.source, Source::Recorded(_))
    }

    /// The backend directory, which we own; relative to our domain's.
    pub fn backend_path(&self) -> &str {
        self.backend
    }

    /// The frontend directory, which the guest owns.
    pub fn frontend_path(&self) -> &str {
        self.frontend
    }

    /// A value of the backend directory, which the toolstack or we have written; `None` if there is none.
    ///
    /// # Errors
    /// It cannot be read, is not text, or is longer than 1 KiB.
    pub async fn backend(&self, key: &str) -> Result<Option<String>, Refusal> {
        self.value(Top::Backend, key).await
    }

    /// A value of the frontend directory, which the guest has written. `key` may lead further down
    /// (`queue-0/ring-ref`).
    ///
    /// # Errors
    /// As [`backend`](Self::backend).
    pub async fn frontend(&self, key: &str) -> Result<Option<String>, Refusal> {
        self.value(Top::Frontend, key).await
    }

    /// A decimal number of the backend directory.
    ///
    /// # Errors
    /// As [`backend`](Self::backend), or it is no such number.
    pub async fn backend_u32(&self, key: &str) -> Result<Option<u32>, Refusal> {
        number(self.backend, key, self.backend(key).await?, parse_u32)
    }

    /// A decimal number of the backend directory.
    ///
    /// # Errors
    /// As [`backend_u32`](Self::backend_u32).
    pub async fn backend_u64(&self, key: &str) -> Result<Option<u64>, Refusal> {
        number(self.backend, key, self.backend(key).await?, parse_u64)
    }

    /// A decimal number of the frontend directory.
    ///
    /// # Errors
    /// As [`backend_u32`](Self::backend_u32).
    pub async fn frontend_u32(&self, key: &str) -> Result<Option<u32>, Refusal> {
        number(self.frontend, key, self.frontend(key).await?, parse_u32)
    }

    /// A decimal number of the frontend directory.
    ///
    /// # Errors
    /// As [`backend_u32`](Self::backend_u32).
    pub async fn frontend_u64(&self, key: &str) -> Result<Option<u64>, Refusal> {
        number(self.frontend, key, self.frontend(key).await?, parse_u64)
    }

    /// Several values of the backend directory, in one round trip.
    ///
    /// # Errors
    /// As [`backend`](Self::backend), of the first that fails.
    pub async fn backend_all<const N: usize>(&self, keys: [&str; N]) -> Result<[Option<String>; N], Refusal> {
        self.values(Top::Backend, keys).await
    }

    /// Several values of the frontend directory, in one round trip. They need not be of one moment.
    ///
    /// # Errors
    /// As [`backend`](Self::backend), of the first that fails.
    pub async fn frontend_all<const N: usize>(
        &self,
        keys: [&str; N],
    ) -> Result<[Option<String>; N], Refusal> {
        self.values(Top::Frontend, keys).await
    }

    async fn values<const N: usize>(
        &self,
        top: Top,
        keys: [&str; N],
    ) -> Result<[Option<String>; N], Refusal> {
        let values = join_all(keys.map(|key| self.value(top, key))).await;
        let values: Vec<_> = values.into_iter().collect::<Result<_, _>>()?;
        Ok(values
            .try_into()
            .unwrap_or_else(|_| unreachable!("one value for each key")))
    }

    async fn value(&self, top: Top, key: &str) -> Result<Option<String>, Refusal> {
        let path = match top {
            Top::Backend => self.backend,
            Top::Frontend => self.frontend,
        };
        let (store, transcript) = match self.source {
            Source::Live(store, transcript) => (store, transcript),
            Source::Recorded(transcript) => {
                let found = transcript.find(top, key);
                let value = found.ok_or_else(|| Refusal(format!("{path}/{key}: not recorded")))?;
                return Ok(value.map(String::from));
            }
        };
        let value = match store.read_text(&format!("{path}/{key}")).await {
            Ok(value) if value.len() > VALUE_MAX => {
                return Err(Refusal(format!("{path}/{key}: {} bytes", value.len())));
            }
            Ok(value) => Some(value),
            Err(XsError::NoEntry) => None,
            Err(error) => return Err(Refusal(format!("{path}/{key}: {error}"))),
        };
        if let Some(transcript) = transcript {
            transcript.borrow_mut().note(top, key, value.as_deref());
        }
        Ok(value)
    }
}

fn number<T>(
    top: &str,
    key: &str,
    value: Option<String>,
    parse: impl Fn(&[u8]) -> Option<T>,
) -> Result<Option<T>, Refusal> {
    value
        .map(|value| {
            parse(value.as_bytes()).ok_or_else(|| {
                let shown: String = value.chars().take(32).flat_map(char::escape_default).collect();
                Refusal(format!("{top}/{key}: \"{shown}\" is not a number in range"))
            })
        })
        .transpose()
}
