//! `io/libxenvchan.h`: a two-way stream of bytes between two domains, over pages that the server grants.

layout! {
    /// `struct ring_shared`: free-running indices of one direction.
    #[derive(Default)]
    struct RingShared[8] {
        /// Bytes that the reader has taken.
        0 cons: u32,
        /// Bytes that the writer has put there.
        4 prod: u32,
    }

    /// `struct vchan_interface`, without the list of grants behind it.
    struct VchanInterface[24] {
        /// Client to server.
        0 left: RingShared,
        /// Server to client.
        8 right: RingShared,
        /// Log2 of the bytes from client to server: 10 and 11 are in this page, at 1024 and at 2048.
        16 left_order: u16,
        /// Log2 of the bytes from server to client; not the same as `left_order` if both are in this page.
        18 right_order: u16,
        /// 0: the client has gone, 1: it is there, 2: it has not come yet.
        20 cli_live: u8,
        /// 0: the server has gone, 1: it is there.
        21 srv_live: u8,
        /// What the client is to notify the server of: `VCHAN_NOTIFY_*`.
        22 cli_notify: u8,
        /// What the server is to notify the client of: `VCHAN_NOTIFY_*`.
        23 srv_notify: u8,
    }
}

/// Notify when data has been written.
pub const VCHAN_NOTIFY_WRITE: u8 = 1;
/// Notify when data has been read.
pub const VCHAN_NOTIFY_READ: u8 = 2;
