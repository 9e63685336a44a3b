//! The server's end of a libxenvchan (Xen's `public/io/libxenvchan.h`): a stream of bytes each way, in one page that we grant.
//! Its other end is `vchan-socket-proxy`, or anything else over Xen's `libxenvchan`.
//!
//! **Distrusts** the client: its indices are checked before a byte is touched, and a stream whose indices cannot be is
//! [`Broken`] for good. **Owes** the client a notification after each [`Server::read`] and [`Server::write`] that moved
//! something; they say how much. It notifies more often than the protocol's flags ask for: clearing a flag would
//! need an atomic exchange, and a client does not mind.
//!
//! Key type: [`Server`].
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

use core::cell::Cell;
use core::mem::offset_of;

use outrigger_ring::{Overflow, SharedPages, StreamPlace, StreamReader, StreamWriter};
use xen_unikernel_abi::io::libxenvchan::{RingShared, VCHAN_NOTIFY_READ, VCHAN_NOTIFY_WRITE, VchanInterface};

/// Bytes on their way from the client, at most: 2 KiB, the larger of the two rings that fit into one page.
pub const FROM_CLIENT: usize = 1 << FROM_CLIENT_ORDER;
/// Bytes on their way to the client, at most.
pub const TO_CLIENT: usize = 1 << TO_CLIENT_ORDER;

const FROM_CLIENT_ORDER: u16 = 11;
const TO_CLIENT_ORDER: u16 = 10;

/// The stream whose indices are at `indices`; a ring within the page lies at its own size.
const fn place(indices: usize, size: usize) -> StreamPlace {
    StreamPlace {
        ring: size,
        size: size as u32,
        prod: indices + offset_of!(RingShared, prod),
        cons: indices + offset_of!(RingShared, cons),
    }
}

const LEFT: StreamPlace = place(offset_of!(VchanInterface, left), FROM_CLIENT);
const RIGHT: StreamPlace = place(offset_of!(VchanInterface, right), TO_CLIENT);
const CLI_LIVE: usize = offset_of!(VchanInterface, cli_live);
const SRV_LIVE: usize = offset_of!(VchanInterface, srv_live);

/// The stream's indices cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

impl From<Overflow> for Broken {
    fn from(_: Overflow) -> Self {
        Self
    }
}

/// Where the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// It has not come yet.
    Awaited,
    /// It is there.
    Here,
    /// It has gone; [`Server::open`] makes room for the next one.
    Gone,
}

/// The server's end.
#[derive(Debug)]
pub struct Server<P> {
    page: P,
    from_client: Cell<StreamReader>,
    to_client: Cell<StreamWriter>,
}

impl<P: SharedPages> Server<P> {
    /// Lays out `page`, which the client is then told of. It is one page.
    pub fn new(page: P) -> Self {
        let server = Self {
            page,
            from_client: Cell::new(StreamReader::new(LEFT, 0)),
            to_client: Cell::new(StreamWriter::new(RIGHT, 0)),
        };
        server.open();
        server
    }

    /// Begins anew, for another client.
    pub fn open(&self) {
        self.from_client.set(StreamReader::new(LEFT, 0));
        self.to_client.set(StreamWriter::new(RIGHT, 0));
        for index in [LEFT.cons, LEFT.prod, RIGHT.cons, RIGHT.prod] {
            self.page.store_u32(index, 0);
        }
        self.page
            .store_u16(offset_of!(VchanInterface, left_order), FROM_CLIENT_ORDER);
        self.page
            .store_u16(offset_of!(VchanInterface, right_order), TO_CLIENT_ORDER);
        self.page.store_u8(offset_of!(VchanInterface, srv_notify), 0);
        self.ask();
        self.page.store_u8(SRV_LIVE, 1);
        self.page.store_u8(CLI_LIVE, 2);
    }

    /// Where the client is.
    pub fn client(&self) -> Client {
        match self.page.load_u8(CLI_LIVE) {
            0 => Client::Gone,
            2 => Client::Awaited,
            _ => Client::Here,
        }
    }

    /// Takes what the client has written, as much as there is room for; how much.
    ///
    /// # Errors
    /// The client claims to have written more than fits.
    pub fn read(&self, out: &mut [u8]) -> Result<usize, Broken> {
        self.ask();
        // What was written before the flag was set tells nobody.
        self.page.full_barrier();
        let mut stream = self.from_client.get();
        let count = stream.read(&self.page, out)?;
        self.from_client.set(stream);
        Ok(count)
    }

    /// Gives `bytes` to the client, as many as there is room for; how many.
    ///
    /// # Errors
    /// The client claims to have read what was never written.
    pub fn write(&self, bytes: &[u8]) -> Result<usize, Broken> {
        let mut stream = self.to_client.get();
        let count = stream.write(&self.page, bytes)?;
        self.to_client.set(stream);
        Ok(count)
    }

    /// Bytes that the client has not read yet.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn on_the_way(&self) -> Result<usize, Broken> {
        Ok(self.to_client.get().unread(&self.page)? as usize)
    }

    /// Tells the client that we have gone: what it has not read it can still read.
    pub fn close(&self) {
        self.page.store_u8(SRV_LIVE, 0);
    }

    /// Has the client notify us of everything.
    fn ask(&self) {
        self.page.store_u8(
            offset_of!(VchanInterface, cli_notify),
            VCHAN_NOTIFY_READ | VCHAN_NOTIFY_WRITE,
        );
    }
}

#[cfg(test)]
mod tests;
