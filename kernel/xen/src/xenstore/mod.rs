//! The XenStore client (`public/io/xs_wire.h`): requests, transactions and watches over the shared ring page.
//!
//! **Distrusts** xenstored's bytes as far as memory goes: lengths and indices are checked, a reply is matched to its
//! request or dropped, and a message that cannot be delimited ends the connection ([`Fault`]) rather than the domain.
//! Distrusts the *values* wholly: guests write them. **Owes** nobody a wait: [`XenStore::poll`] moves what there is.
//!
//! Requests are futures of no particular executor. One that is polled each turn of a loop, after `poll` moved something,
//! is enough: see [`poll_once`].

mod call;
mod error;
mod ops;
mod transaction;
mod watch;
pub(crate) mod wire;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use outrigger_ring::SharedPages;
use xen_unikernel_abi::io::xs_wire as xs;

use crate::DomId;

pub use error::XsError;
pub use transaction::Transaction;
pub use watch::WatchEvent;
pub use wire::Fault;

use call::Calls;
use watch::WatchQueue;
use wire::Pipe;

/// The connection to xenstored. Paths that do not begin with `/` are relative to the domain's own directory.
pub struct XenStore<P: SharedPages> {
    pipe: RefCell<Pipe<P>>,
    calls: RefCell<Calls>,
    watches: RefCell<WatchQueue>,
    watcher: Cell<Option<Waker>>,
    fault: Cell<Option<Fault>>,
    notify: Box<dyn Fn()>,
}

impl<P: SharedPages> XenStore<P> {
    /// Over the page that Xen shares between this domain and xenstored; `notify` sends the event that goes with it.
    pub fn new(page: P, notify: impl Fn() + 'static) -> Self {
        Self {
            pipe: RefCell::new(Pipe::new(page)),
            calls: RefCell::default(),
            watches: RefCell::default(),
            watcher: Cell::new(None),
            fault: Cell::new(None),
            notify: Box::new(notify),
        }
    }

    /// Goes on with a connection that an earlier life of this domain had. `place` is 16 bytes that outlive a restart in
    /// place; `life` counts the lives before this one, of which replies may still come. What they watched is watched until
    /// [`reset_watches`](Self::reset_watches).
    pub fn in_life(page: P, notify: impl Fn() + 'static, place: P, life: u32) -> Self
    where
        P: Clone,
    {
        let mut store = Self::new(page.clone(), notify);
        store.pipe = RefCell::new(Pipe::keeping(page, place, life > 0));
        store.calls.get_mut().begin_life(life);
        store
    }

    /// Moves bytes both ways as far as they go now, without waiting. True if any moved: then futures may have come
    /// further. To be called when the event comes.
    pub fn poll(&self) -> bool {
        if self.fault.get().is_some() {
            return false;
        }
        let moved = self.transfer();
        moved.unwrap_or_else(|fault| {
            self.fail(fault);
            true
        })
    }

    fn transfer(&self) -> Result<bool, Fault> {
        let mut pipe = self.pipe.borrow_mut();
        let mut events = false;
        let received = pipe.receive(|header, payload| {
            if header.kind == xs::XS_WATCH_EVENT {
                self.watches.borrow_mut().push(payload);
                events = true;
            } else {
                self.calls.borrow_mut().answer(header, payload);
            }
        })?;
        let sent = pipe.send()?;
        drop(pipe);
        if received || sent {
            (self.notify)();
        }
        if events && let Some(waker) = self.watcher.take() {
            waker.wake();
        }
        Ok(received || sent)
    }

    /// What made the connection unusable, if anything did. Every request fails with [`XsError::Protocol`] from then on.
    pub fn fault(&self) -> Option<Fault> {
        self.fault.get()
    }

    fn fail(&self, fault: Fault) {
        self.fault.set(Some(fault));
        self.calls.borrow_mut().fail_all();
        if let Some(waker) = self.watcher.take() {
            waker.wake();
        }
    }

    /// Queues a message and moves what fits.
    fn send(&self, kind: u32, req_id: u32, tx_id: u32, payload: &[u8]) {
        let mut pipe = self.pipe.borrow_mut();
        pipe.queue(kind, req_id, tx_id, payload);
        let sent = pipe.send();
        drop(pipe);
        match sent {
            Ok(true) => (self.notify)(),
            Ok(false) => {}
            Err(fault) => self.fail(fault),
        }
    }

    /// Sends a request whose reply does not matter.
    fn tell(&self, kind: u32, tx_id: u32, payload: &[u8]) {
        if self.fault.get().is_none() {
            let req_id = self.calls.borrow_mut().next_req_id();
            self.send(kind, req_id, tx_id, payload);
        }
    }

    /// The value of a node: bytes that whoever may write the node has chosen.
    ///
    /// # Errors
    /// Any [`XsError`].
    pub async fn read(&self, path: &str) -> Result<Vec<u8>, XsError> {
        ops::read(self, 0, path).await
    }

    /// The value of a node as text.
    ///
    /// # Errors
    /// Any [`XsError`]; [`XsError::NotText`] if it is not UTF-8.
    pub async fn read_text(&self, path: &str) -> Result<String, XsError> {
        ops::read_text(self, 0, path).await
    }

    /// Sets the value of a node, creating it and its parents if need be.
    ///
    /// # Errors
    /// Any [`XsError`].
    pub async fn write(&self, path: &str, value: &str) -> Result<(), XsError> {
        ops::write(self, 0, path, value.as_bytes()).await
    }

    /// Creates a node if it is not there.
    ///
    /// # Errors
    /// Any [`XsError`].
    pub async fn mkdir(&self, path: &str) -> Result<(), XsError> {
        ops::act(self, xs::XS_MKDIR, 0, path).await
    }

    /// Removes a node and everything below it.
    ///
    /// # Errors
    /// Any [`XsError`].
    pub async fn rm(&self, path: &str) -> Result<(), XsError> {
        ops::act(self, xs::XS_RM, 0, path).await
    }

    /// The names of a node's children, in parts if they do not fit a message.
    ///
    /// # Errors
    /// Any [`XsError`]; [`XsError::TooBig`] beyond 64 KiB of names.
    pub async fn directory(&self, path: &str) -> Result<Vec<String>, XsError> {
        ops::directory(self, 0, path).await
    }

    /// Watches a node and everything below it; the first event comes at once.
    ///
    /// # Errors
    /// Any [`XsError`]; [`XsError::Exists`] if this very watch is set.
    pub async fn watch(&self, path: &str, token: &str) -> Result<(), XsError> {
        ops::watch(self, xs::XS_WATCH, path, token).await
    }

    /// Ends a watch. Events that came before may still be taken.
    ///
    /// # Errors
    /// Any [`XsError`]; [`XsError::NoEntry`] if there is no such watch.
    pub async fn unwatch(&self, path: &str, token: &str) -> Result<(), XsError> {
        ops::watch(self, xs::XS_UNWATCH, path, token).await
    }

    /// Ends every watch and transaction that this domain has, whoever began it (an earlier life of ours).
    ///
    /// # Errors
    /// Any [`XsError`].
    pub async fn reset_watches(&self) -> Result<(), XsError> {
        ops::reset_watches(self).await
    }

    /// A domain's own directory (`/local/domain/<domid>`).
    ///
    /// # Errors
    /// Any [`XsError`].
    pub async fn get_domain_path(&self, domain: DomId) -> Result<String, XsError> {
        ops::get_domain_path(self, domain.0).await
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// Any [`XsError`].
    pub async fn transaction(&self) -> Result<Transaction<'_, P>, XsError> {
        Transaction::begin(self).await
    }

    /// Runs `body` in a transaction and commits it, again from the start after a conflict, `attempts` times at most.
    ///
    /// # Errors
    /// What `body` returns, or [`XsError::Again`] if every attempt met a conflict.
    pub async fn transact<T>(
        &self,
        attempts: usize,
        body: impl AsyncFn(&Transaction<'_, P>) -> Result<T, XsError>,
    ) -> Result<T, XsError> {
        for _ in 0..attempts {
            let transaction = self.transaction().await?;
            let value = match body(&transaction).await {
                Err(XsError::Again) => continue,
                value => value?,
            };
            match transaction.commit().await {
                Err(XsError::Again) => {}
                committed => return committed.map(|()| value),
            }
        }
        Err(XsError::Again)
    }

    /// Whether a watch event waits to be taken.
    pub fn has_watch(&self) -> bool {
        !self.watches.borrow().is_empty()
    }

    /// The next watch event, if one waits.
    pub fn take_watch(&self) -> Option<WatchEvent> {
        self.watches.borrow_mut().take()
    }

    /// Waits for the next watch event.
    ///
    /// # Errors
    /// [`XsError::Protocol`]: the connection is unusable, none will come.
    pub async fn next_watch(&self) -> Result<WatchEvent, XsError> {
        poll_fn(|context| match self.take_watch() {
            Some(event) => Poll::Ready(Ok(event)),
            None if self.fault.get().is_some() => Poll::Ready(Err(XsError::Protocol)),
            None => {
                self.watcher.set(Some(context.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}

/// Polls a future once, waking nobody: for a loop that comes round anyway whenever something may have changed.
pub fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A decimal number as XenStore nodes hold them: digits and nothing else, at most ten of them.
pub fn parse_u32(value: &[u8]) -> Option<u32> {
    if value.len() > 10 {
        return None;
    }
    parse_u64(value).and_then(|number| number.try_into().ok())
}

/// A decimal number of at most twenty digits.
pub fn parse_u64(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 20 {
        return None;
    }
    value.iter().try_fold(0u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
