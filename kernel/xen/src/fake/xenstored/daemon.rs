//! What the daemon does with a request.

use std::borrow::ToOwned;
use std::format;
use std::string::String;
use std::vec::Vec;

use xen_unikernel_abi::io::xs_wire as xs;

use super::connection::{Connection, Message};
use super::transaction::{Edit, Tx};
use super::tree::{Change, Errno, Tree, within};
use crate::DomId;
use crate::xenstore::wire::{Header, PAYLOAD_MAX};

/// Most watches of an unprivileged domain.
const WATCHES_MAX: usize = 128;
/// Most transactions of a domain at once.
const TRANSACTIONS_MAX: usize = 10;

pub(super) struct Watch {
    pub domain: DomId,
    /// What is watched.
    path: String,
    /// The prefix that events do not repeat, for a relative watch.
    strip: usize,
    token: String,
}

pub(super) struct State {
    pub tree: Tree,
    pub watches: Vec<Watch>,
    pub connections: Vec<Connection>,
    pub chunk: usize,
}

pub(super) fn absolute(domain: DomId, path: &str) -> String {
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
    pub fn serve(&mut self, domain: DomId, message: &Message) -> Result<Vec<u8>, Errno> {
        let Header { kind, tx_id, .. } = message.header;
        let ok = || b"OK\0".to_vec();
        match kind {
            xs::XS_READ | xs::XS_DIRECTORY | xs::XS_DIRECTORY_PART => self.look(domain, message),
            xs::XS_WRITE => {
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
            xs::XS_MKDIR | xs::XS_RM => {
                let path = absolute(domain, strings(&message.payload)?.first().ok_or("EINVAL")?);
                let edit = if kind == xs::XS_RM {
                    Edit::Rm(path)
                } else {
                    Edit::Mkdir(path)
                };
                self.edit(domain, tx_id, edit).map(|()| ok())
            }
            xs::XS_WATCH | xs::XS_UNWATCH => {
                let [path, token] = &strings(&message.payload)?[..] else {
                    return Err("EINVAL");
                };
                if kind == xs::XS_WATCH {
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
            xs::XS_RESET_WATCHES => {
                self.watches.retain(|watch| watch.domain != domain);
                self.connection(domain)?.transactions.clear();
                Ok(ok())
            }
            xs::XS_TRANSACTION_START => {
                let tx = Tx::new(&self.tree);
                let connection = self.connection(domain)?;
                if connection.transactions.len() >= TRANSACTIONS_MAX {
                    return Err("ENOSPC");
                }
                connection.last_tx += 1;
                connection.transactions.insert(connection.last_tx, tx);
                Ok(format!("{}\0", connection.last_tx).into_bytes())
            }
            xs::XS_TRANSACTION_END => {
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
            xs::XS_GET_DOMAIN_PATH => {
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
        if kind == xs::XS_READ {
            return Ok(node.value.clone());
        }
        let list: Vec<u8> = tree
            .children(&path)
            .iter()
            .flat_map(|name| [name.as_bytes(), &[0]].concat())
            .collect();
        if kind == xs::XS_DIRECTORY {
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

    pub fn edit(&mut self, domain: DomId, tx_id: u32, edit: Edit) -> Result<(), Errno> {
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
    pub fn tell(&mut self, changes: &[Change]) {
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
            kind: xs::XS_WATCH_EVENT,
            req_id: 0,
            tx_id: 0,
            len: u32::try_from(payload.len()).expect("paths are short"),
        };
        [&header.encode()[..], payload.as_bytes()].concat()
    }
}
