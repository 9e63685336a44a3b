//! A xenstored for host tests: the tree with its permissions and quotas, watches, transactions with conflicts, and the
//! wire protocol on the other side of the ring page, so that tests run the real client.

mod caller;
mod connection;
mod daemon;
mod toolstack;
mod transaction;
mod tree;

use std::boxed::Box;
use std::cell::RefCell;
use std::format;
use std::rc::Rc;
use std::string::String;
use std::vec::Vec;

use xen_unikernel_abi::io::xs_wire as xs;

use super::pages::Page;
use super::{FakePages, FakeXen};
use crate::xenstore::wire::Header;
use crate::xenstore::{XenStore, poll_once};
use crate::{Access, DomId};

pub use caller::Caller;
pub use toolstack::{Device, Toolstack};
pub use tree::{Errno, Perm, Perms};

use connection::{Connection, Message};
use daemon::{State, absolute};
use tree::Tree;

/// A request, for a test to interfere with.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asks.
    pub domain: DomId,
    /// `XS_*`.
    pub kind: u32,
    /// Its number.
    pub req_id: u32,
    /// Its transaction, or 0.
    pub tx_id: u32,
    /// The path it names first, absolute.
    pub path: String,
}

impl Request {
    /// `XS_DIRECTORY`.
    pub const DIRECTORY: u32 = xs::XS_DIRECTORY;
    /// `XS_READ`.
    pub const READ: u32 = xs::XS_READ;
    /// `XS_WRITE`.
    pub const WRITE: u32 = xs::XS_WRITE;
    /// `XS_RM`.
    pub const RM: u32 = xs::XS_RM;
    /// `XS_TRANSACTION_END`.
    pub const TRANSACTION_END: u32 = xs::XS_TRANSACTION_END;

    /// A message in answer to this request: `len` is what its header claims, whatever the payload's length.
    pub fn reply(&self, kind: u32, len: u32, payload: &[u8]) -> Vec<u8> {
        let header = Header {
            kind,
            req_id: self.req_id,
            tx_id: self.tx_id,
            len,
        };
        [&header.encode()[..], payload].concat()
    }
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is served.
    Serve,
    /// It fails with this errno.
    Fail(Errno),
    /// These bytes are sent instead of a reply.
    Bytes(Vec<u8>),
    /// Nothing is sent.
    Silence,
}

type Interceptor = Box<dyn FnMut(&Request) -> Verdict>;

/// The daemon. Clones are the same one.
#[derive(Clone)]
pub struct XenStored {
    state: Rc<RefCell<State>>,
    interceptor: Rc<RefCell<Option<Interceptor>>>,
}

impl Default for XenStored {
    fn default() -> Self {
        Self::new()
    }
}

impl XenStored {
    /// With an empty tree.
    pub fn new() -> Self {
        Self {
            state: Rc::new(RefCell::new(State {
                tree: Tree::new(),
                watches: Vec::new(),
                connections: Vec::new(),
                chunk: usize::MAX,
            })),
            interceptor: Rc::new(RefCell::new(None)),
        }
    }

    /// A connection for a domain: its ring page, as that domain sees it. An earlier connection of that domain ends.
    pub fn connect(&self, domain: DomId) -> FakePages {
        self.disconnect(domain);
        let page = Page::new(domain, 0x3_9001, 0);
        let page = FakePages::new(Vec::from([page]), true, Access::ReadWrite);
        self.state
            .borrow_mut()
            .connections
            .push(Connection::new(domain, page.clone()));
        page
    }

    /// The ring page of a domain's connection, if it has one.
    pub fn page_of(&self, domain: DomId) -> Option<FakePages> {
        let state = self.state.borrow();
        let mut connections = state.connections.iter();
        let connection = connections.find(|connection| connection.domain == domain)?;
        Some(connection.page.clone())
    }

    /// A connection for a domain, with the client on top.
    pub fn client(&self, domain: DomId) -> XenStore<FakePages> {
        XenStore::new(self.connect(domain), || {})
    }

    /// The domain is gone: its connection and its watches too.
    pub fn disconnect(&self, domain: DomId) {
        let mut state = self.state.borrow_mut();
        state.connections.retain(|connection| connection.domain != domain);
        state.watches.retain(|watch| watch.domain != domain);
    }

    /// Moves at most this many bytes each way in a turn of [`serve`](Self::serve).
    pub fn set_chunk(&self, bytes: usize) {
        self.state.borrow_mut().chunk = bytes;
    }

    /// Dom0 has set the quota of nodes (`xenstore-control quota set nodes N`).
    pub fn set_node_quota(&self, nodes: usize) {
        self.state.borrow_mut().tree.nodes_max = nodes;
    }

    /// Asks `judge` about every request before it is served. It may change the tree meanwhile.
    pub fn intercept(&self, judge: impl FnMut(&Request) -> Verdict + 'static) {
        *self.interceptor.borrow_mut() = Some(Box::new(judge));
    }

    /// Serves everything again.
    pub fn stop_intercepting(&self) {
        *self.interceptor.borrow_mut() = None;
    }

    /// The tree in the name of a domain, without the wire.
    pub fn by(&self, domain: DomId) -> Caller {
        Caller {
            xenstored: self.clone(),
            domain,
        }
    }

    /// Watches that a domain has.
    pub fn watches(&self, domain: DomId) -> usize {
        self.state
            .borrow()
            .watches
            .iter()
            .filter(|watch| watch.domain == domain)
            .count()
    }

    /// The directories of the devices that name a domain as their backend.
    pub fn devices_of(&self, domain: DomId) -> Vec<String> {
        let state = self.state.borrow();
        let mut level = Vec::from([absolute(domain, "backend")]);
        for _ in ["kind", "frontend", "devid"] {
            let below = |top: &String| {
                state
                    .tree
                    .children(top)
                    .into_iter()
                    .map(move |name| format!("{top}/{name}"))
                    .collect::<Vec<_>>()
            };
            level = level.iter().flat_map(below).collect();
        }
        level
    }

    /// Transactions that a domain has begun and not ended.
    pub fn open_transactions(&self, domain: DomId) -> usize {
        self.with_connection(domain, |connection, _| connection.transactions.len())
            .unwrap_or(0)
    }

    /// Bytes that wait to go to a domain.
    pub fn queued(&self, domain: DomId) -> usize {
        let state = self.state.borrow();
        state
            .connections
            .iter()
            .filter(|connection| connection.domain == domain)
            .map(Connection::queued)
            .sum()
    }

    /// One turn: takes requests in, answers them, gives replies out. True if anything moved.
    pub fn serve(&self) -> bool {
        let domains: Vec<DomId> = self
            .state
            .borrow()
            .connections
            .iter()
            .map(|connection| connection.domain)
            .collect();
        let mut moved = false;
        for domain in domains {
            moved |= self.serve_one(domain);
        }
        moved
    }

    fn serve_one(&self, domain: DomId) -> bool {
        let Some((received, messages)) =
            self.with_connection(domain, |connection, chunk| connection.receive(chunk))
        else {
            return false;
        };
        for message in messages {
            let reply = self.judge(domain, &message);
            self.with_connection(domain, |connection, _| connection.queue(&reply));
        }
        let sent = self.with_connection(domain, |connection, chunk| connection.send(chunk));
        received || sent == Some(true)
    }

    fn with_connection<T>(&self, domain: DomId, act: impl FnOnce(&mut Connection, usize) -> T) -> Option<T> {
        let state = &mut *self.state.borrow_mut();
        let connection = state
            .connections
            .iter_mut()
            .find(|connection| connection.domain == domain)?;
        Some(act(connection, state.chunk))
    }

    fn judge(&self, domain: DomId, message: &Message) -> Vec<u8> {
        let header = message.header;
        let first = message
            .payload
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or_default();
        let request = Request {
            domain,
            kind: header.kind,
            req_id: header.req_id,
            tx_id: header.tx_id,
            path: absolute(domain, &String::from_utf8_lossy(first)),
        };
        let interceptor = self.interceptor.borrow_mut().take();
        let verdict = interceptor.map_or(Verdict::Serve, |mut judge| {
            let verdict = judge(&request);
            let mut current = self.interceptor.borrow_mut();
            if current.is_none() {
                *current = Some(judge);
            }
            verdict
        });
        let result = match verdict {
            Verdict::Serve => self.state.borrow_mut().serve(domain, message),
            Verdict::Fail(errno) => Err(errno),
            Verdict::Bytes(bytes) => return bytes,
            Verdict::Silence => return Vec::new(),
        };
        let reply = |kind, payload: &[u8]| {
            let len = u32::try_from(payload.len()).expect("replies are short");
            request.reply(kind, len, payload)
        };
        match result {
            Ok(payload) => reply(header.kind, &payload),
            Err(errno) => reply(xs::XS_ERROR, format!("{errno}\0").as_bytes()),
        }
    }

    /// Runs a request of `client`'s to its end.
    ///
    /// # Panics
    /// It waits for something that does not come.
    pub fn run<T>(&self, client: &XenStore<FakePages>, future: impl Future<Output = T>) -> T {
        let mut future = core::pin::pin!(future);
        loop {
            if let core::task::Poll::Ready(value) = poll_once(future.as_mut()) {
                return value;
            }
            let served = self.serve();
            let polled = client.poll();
            assert!(served || polled, "the request waits for ever");
        }
    }
}

impl FakeXen {
    /// The machine's xenstored.
    pub fn xenstored(&self) -> XenStored {
        self.0.borrow().xenstored.clone()
    }
}
