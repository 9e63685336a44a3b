//! A xenstored for host tests: the tree with its permissions and quotas, watches, transactions with conflicts, and the
//! wire protocol on the other side of the ring page, so that tests run the real client.

mod connection;
mod toolstack;
mod transaction;
mod tree;

use std::borrow::ToOwned;
use std::boxed::Box;
use std::cell::RefCell;
use std::format;
use std::rc::Rc;
use std::string::String;
use std::vec::Vec;

use super::pages::Page;
use super::{FakePages, FakeXen};
use crate::xenstore::wire::{Header, PAYLOAD_MAX, op};
use crate::xenstore::{XenStore, poll_once};
use crate::{Access, DomId};

pub use toolstack::{Device, Toolstack};
pub use tree::{Errno, Perm, Perms};

use connection::{Connection, Message};
use transaction::{Edit, Tx};
use tree::{Change, Tree, within};

/// Most watches of an unprivileged domain.
const WATCHES_MAX: usize = 128;
/// Most transactions of a domain at once.
const TRANSACTIONS_MAX: usize = 10;

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
    pub const DIRECTORY: u32 = op::DIRECTORY;
    /// `XS_READ`.
    pub const READ: u32 = op::READ;
    /// `XS_WRITE`.
    pub const WRITE: u32 = op::WRITE;
    /// `XS_RM`.
    pub const RM: u32 = op::RM;
    /// `XS_TRANSACTION_END`.
    pub const TRANSACTION_END: u32 = op::TRANSACTION_END;

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

struct Watch {
    domain: DomId,
    /// What is watched.
    path: String,
    /// The prefix that events do not repeat, for a relative watch.
    strip: usize,
    token: String,
}

struct State {
    tree: Tree,
    watches: Vec<Watch>,
    connections: Vec<Connection>,
    chunk: usize,
}

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
            Err(errno) => reply(op::ERROR, format!("{errno}\0").as_bytes()),
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

fn absolute(domain: DomId, path: &str) -> String {
    let path = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/local/domain/{}/{path}", domain.0)
    };
    if path == "/" {
        path
    } else {
        path.trim_end_matches('/').to_owned()
    }
}

/// What wire requests look like inside: the strings of a payload.
fn strings(payload: &[u8]) -> Result<Vec<String>, Errno> {
    let body = payload.strip_suffix(&[0]).ok_or("EINVAL")?;
    body.split(|byte| *byte == 0)
        .map(|part| String::from_utf8(part.to_vec()).map_err(|_| "EINVAL"))
        .collect()
}

impl State {
    fn serve(&mut self, domain: DomId, message: &Message) -> Result<Vec<u8>, Errno> {
        let Header { kind, tx_id, .. } = message.header;
        let ok = || b"OK\0".to_vec();
        match kind {
            op::READ | op::DIRECTORY | op::DIRECTORY_PART => self.look(domain, message),
            op::WRITE => {
                let cut = message
                    .payload
                    .iter()
                    .position(|byte| *byte == 0)
                    .ok_or("EINVAL")?;
                let path = str::from_utf8(&message.payload[..cut]).map_err(|_| "EINVAL")?;
                let value = message.payload[cut + 1..].to_vec();
                self.edit(domain, tx_id, Edit::Write(absolute(domain, path), value))
                    .map(|()| ok())
            }
            op::MKDIR | op::RM => {
                let path = absolute(domain, strings(&message.payload)?.first().ok_or("EINVAL")?);
                let edit = if kind == op::RM {
                    Edit::Rm(path)
                } else {
                    Edit::Mkdir(path)
                };
                self.edit(domain, tx_id, edit).map(|()| ok())
            }
            op::WATCH | op::UNWATCH => {
                let [path, token] = &strings(&message.payload)?[..] else {
                    return Err("EINVAL");
                };
                if kind == op::WATCH {
                    self.watch(domain, path, token)?;
                } else {
                    let (path, count) = (absolute(domain, path), self.watches.len());
                    self.watches.retain(|watch| {
                        (watch.domain, watch.path.as_str(), watch.token.as_str()) != (domain, &path, token)
                    });
                    if self.watches.len() == count {
                        return Err("ENOENT");
                    }
                }
                Ok(ok())
            }
            op::RESET_WATCHES => {
                self.watches.retain(|watch| watch.domain != domain);
                self.connection(domain)?.transactions.clear();
                Ok(ok())
            }
            op::TRANSACTION_START => {
                let tx = Tx::new(&self.tree);
                let connection = self.connection(domain)?;
                if connection.transactions.len() >= TRANSACTIONS_MAX {
                    return Err("ENOSPC");
                }
                connection.last_tx += 1;
                connection.transactions.insert(connection.last_tx, tx);
                Ok(format!("{}\0", connection.last_tx).into_bytes())
            }
            op::TRANSACTION_END => {
                let tx = self
                    .connection(domain)?
                    .transactions
                    .remove(&tx_id)
                    .ok_or("ENOENT")?;
                if message.payload == b"T\0" {
                    let changes = tx.commit(&mut self.tree, domain)?;
                    self.tell(&changes);
                }
                Ok(ok())
            }
            op::GET_DOMAIN_PATH => {
                let number = strings(&message.payload)?.remove(0);
                Ok(format!("/local/domain/{number}\0").into_bytes())
            }
            _ => Err("ENOSYS"),
        }
    }

    fn connection(&mut self, domain: DomId) -> Result<&mut Connection, Errno> {
        self.connections
            .iter_mut()
            .find(|connection| connection.domain == domain)
            .ok_or("EINVAL")
    }

    fn tree_of(&mut self, domain: DomId, tx_id: u32, path: &str) -> Result<&Tree, Errno> {
        if tx_id == 0 {
            return Ok(&self.tree);
        }
        let tx = self
            .connection(domain)?
            .transactions
            .get_mut(&tx_id)
            .ok_or("ENOENT")?;
        tx.depend(path);
        Ok(&tx.tree)
    }

    fn look(&mut self, domain: DomId, message: &Message) -> Result<Vec<u8>, Errno> {
        let Header { kind, tx_id, .. } = message.header;
        let parts = strings(&message.payload)?;
        let path = absolute(domain, parts.first().ok_or("EINVAL")?);
        let tree = self.tree_of(domain, tx_id, &path)?;
        let node = tree.readable(domain, &path)?;
        if kind == op::READ {
            return Ok(node.value.clone());
        }
        let list: Vec<u8> = tree
            .children(&path)
            .iter()
            .flat_map(|name| [name.as_bytes(), &[0]].concat())
            .collect();
        if kind == op::DIRECTORY {
            return if list.len() > PAYLOAD_MAX {
                Err("E2BIG")
            } else {
                Ok(list)
            };
        }
        let offset: usize = parts
            .get(1)
            .and_then(|offset| offset.parse().ok())
            .ok_or("EINVAL")?;
        let mut reply = format!("{}\0", node.generation).into_bytes();
        let rest = list.get(offset..).unwrap_or_default();
        for name in rest.split_inclusive(|byte| *byte == 0) {
            if reply.len() + name.len() >= PAYLOAD_MAX {
                return Ok(reply);
            }
            reply.extend(name);
        }
        reply.push(0);
        Ok(reply)
    }

    fn edit(&mut self, domain: DomId, tx_id: u32, edit: Edit) -> Result<(), Errno> {
        if tx_id != 0 {
            let tx = self
                .connection(domain)?
                .transactions
                .get_mut(&tx_id)
                .ok_or("ENOENT")?;
            return tx.edit(domain, edit);
        }
        let changes = edit.apply(&mut self.tree, domain)?;
        self.tell(&changes);
        Ok(())
    }

    fn watch(&mut self, domain: DomId, path: &str, token: &str) -> Result<(), Errno> {
        let strip = if path.starts_with('/') {
            0
        } else {
            absolute(domain, "").len() + 1
        };
        let path = absolute(domain, path);
        let mine = || self.watches.iter().filter(|watch| watch.domain == domain);
        if mine().any(|watch| watch.path == path && watch.token == token) {
            return Err("EEXIST");
        }
        if domain != DomId(0) && mine().count() >= WATCHES_MAX {
            return Err("E2BIG");
        }
        let watch = Watch {
            domain,
            path,
            strip,
            token: token.to_owned(),
        };
        let event = watch.event(&watch.path);
        self.watches.push(watch);
        self.connection(domain)?.queue(&event);
        Ok(())
    }

    /// Tells those who watch and may know.
    fn tell(&mut self, changes: &[Change]) {
        let Self {
            watches, connections, ..
        } = self;
        for change in changes {
            for watch in watches.iter() {
                let concerns = if change.exact {
                    watch.path == change.path
                } else {
                    within(&change.path, &watch.path)
                };
                if concerns && change.perms.iter().any(|perms| perms.allow(watch.domain).read) {
                    let to = connections
                        .iter_mut()
                        .filter(|connection| connection.domain == watch.domain);
                    to.for_each(|connection| connection.queue(&watch.event(&change.path)));
                }
            }
        }
    }
}

impl Watch {
    fn event(&self, path: &str) -> Vec<u8> {
        let payload = format!("{}\0{}\0", &path[self.strip..], self.token);
        let header = Header {
            kind: op::WATCH_EVENT,
            req_id: 0,
            tx_id: 0,
            len: u32::try_from(payload.len()).expect("paths are short"),
        };
        [&header.encode()[..], payload.as_bytes()].concat()
    }
}

/// A domain that reads and writes the tree without the wire: a frontend, or the toolstack as domain 0.
#[derive(Clone)]
pub struct Caller {
    xenstored: XenStored,
    domain: DomId,
}

impl Caller {
    fn path(&self, path: &str) -> String {
        absolute(self.domain, path)
    }

    fn edit(&self, edit: Edit) -> Result<(), Errno> {
        self.xenstored.state.borrow_mut().edit(self.domain, 0, edit)
    }

    /// The value of a node as text.
    ///
    /// # Errors
    /// It is missing or not for this domain.
    pub fn read(&self, path: &str) -> Result<String, Errno> {
        let state = self.xenstored.state.borrow();
        let node = state.tree.readable(self.domain, &self.path(path))?;
        Ok(String::from_utf8_lossy(&node.value).into_owned())
    }

    /// Sets the value of a node.
    ///
    /// # Errors
    /// Not for this domain, or over its quota.
    pub fn write(&self, path: &str, value: impl AsRef<[u8]>) -> Result<(), Errno> {
        self.edit(Edit::Write(self.path(path), value.as_ref().to_vec()))
    }

    /// Creates a node.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn mkdir(&self, path: &str) -> Result<(), Errno> {
        self.edit(Edit::Mkdir(self.path(path)))
    }

    /// Removes a node and what is below.
    ///
    /// # Errors
    /// It is missing or not for this domain.
    pub fn rm(&self, path: &str) -> Result<(), Errno> {
        self.edit(Edit::Rm(self.path(path)))
    }

    /// The names below a node.
    ///
    /// # Errors
    /// It is missing or not for this domain.
    pub fn list(&self, path: &str) -> Result<Vec<String>, Errno> {
        let (state, path) = (self.xenstored.state.borrow(), self.path(path));
        state.tree.readable(self.domain, &path)?;
        Ok(state.tree.children(&path))
    }

    /// Whether there is such a node, whoever may read it.
    pub fn exists(&self, path: &str) -> bool {
        self.xenstored
            .state
            .borrow()
            .tree
            .node(&self.path(path))
            .is_some()
    }

    /// Sets a node's permissions.
    ///
    /// # Errors
    /// Not the owner.
    pub fn set_perms(&self, path: &str, perms: Perms) -> Result<(), Errno> {
        self.edit(Edit::SetPerms(self.path(path), perms))
    }

    /// Several changes as one transaction: either all or none.
    ///
    /// # Errors
    /// The first that fails.
    pub fn transact(&self, writes: &[(String, String)], removals: &[String]) -> Result<(), Errno> {
        let state = &mut *self.xenstored.state.borrow_mut();
        let mut tx = Tx::new(&state.tree);
        for path in removals {
            tx.edit(self.domain, Edit::Rm(self.path(path)))?;
        }
        for (path, value) in writes {
            tx.edit(
                self.domain,
                Edit::Write(self.path(path), value.clone().into_bytes()),
            )?;
        }
        let changes = tx.commit(&mut state.tree, self.domain)?;
        state.tell(&changes);
        Ok(())
    }
}

impl FakeXen {
    /// The machine's xenstored.
    pub fn xenstored(&self) -> XenStored {
        self.0.borrow().xenstored.clone()
    }
}
