//! `io/xs_wire.h`: the protocol of XenStore and its page.

// `xsd_sockmsg.type`.
/// Control commands of the daemon itself (privileged).
pub const XS_CONTROL: u32 = 0;
/// Lists children: path, answered by names each ended by a NUL.
pub const XS_DIRECTORY: u32 = 1;
/// Reads: path, answered by the value.
pub const XS_READ: u32 = 2;
/// Reads permissions.
pub const XS_GET_PERMS: u32 = 3;
/// Watches: path and token. Fires once at once.
pub const XS_WATCH: u32 = 4;
/// Ends a watch: path and token.
pub const XS_UNWATCH: u32 = 5;
/// Begins a transaction, answered by its id in decimal.
pub const XS_TRANSACTION_START: u32 = 6;
/// Ends a transaction: `T` commits, `F` drops.
pub const XS_TRANSACTION_END: u32 = 7;
/// Tells of a new domain (privileged).
pub const XS_INTRODUCE: u32 = 8;
/// Tells that a domain is gone (privileged).
pub const XS_RELEASE: u32 = 9;
/// A domain's path: domid in decimal.
pub const XS_GET_DOMAIN_PATH: u32 = 10;
/// Writes: path, NUL, value without one.
pub const XS_WRITE: u32 = 11;
/// Makes a node if there is none.
pub const XS_MKDIR: u32 = 12;
/// Removes a node and all below.
pub const XS_RM: u32 = 13;
/// Sets permissions.
pub const XS_SET_PERMS: u32 = 14;
/// From the daemon, unasked: path and token of a watch that fired.
pub const XS_WATCH_EVENT: u32 = 15;
/// The answer to what failed: the name of an error.
pub const XS_ERROR: u32 = 16;
/// Whether a domain has been introduced.
pub const XS_IS_DOMAIN_INTRODUCED: u32 = 17;
/// Tells that a domain was resumed (privileged).
pub const XS_RESUME: u32 = 18;
/// Lets a domain act for another (privileged).
pub const XS_SET_TARGET: u32 = 19;
/// Ends every watch and transaction of the connection.
pub const XS_RESET_WATCHES: u32 = 21;
/// Lists children from an offset, for lists that do not fit one message.
pub const XS_DIRECTORY_PART: u32 = 22;
/// One more than the last type.
pub const XS_TYPE_COUNT: u32 = 23;
/// No type.
pub const XS_INVALID: u32 = 0xffff;

/// Bytes of the ring in each direction.
pub const XENSTORE_RING_SIZE: usize = 1024;
/// Most bytes that follow a header.
pub const XENSTORE_PAYLOAD_MAX: usize = 4096;
/// Most bytes of an absolute path, with its NUL.
pub const XENSTORE_ABS_PATH_MAX: usize = 3072;
/// Most bytes of a relative path, with its NUL.
pub const XENSTORE_REL_PATH_MAX: usize = 2048;

/// `server_features`: the guest may ask for a new connection.
pub const XENSTORE_SERVER_FEATURE_RECONNECTION: u32 = 1;
/// `server_features`: the daemon writes `error`.
pub const XENSTORE_SERVER_FEATURE_ERROR: u32 = 2;
/// `connection`: normal.
pub const XENSTORE_CONNECTED: u32 = 0;
/// `connection`: the guest asks for a new one.
pub const XENSTORE_RECONNECT: u32 = 1;
/// `error`: none.
pub const XENSTORE_ERROR_NONE: u32 = 0;
/// `error`: communication failed.
pub const XENSTORE_ERROR_COMM: u32 = 1;
/// `error`: an index of the ring was invalid.
pub const XENSTORE_ERROR_RINGIDX: u32 = 2;
/// `error`: a message was against the protocol.
pub const XENSTORE_ERROR_PROTO: u32 = 3;

layout! {
    /// `struct xsd_sockmsg`: what each message begins with.
    #[derive(Default)]
    struct XsdSockmsg[16] {
        /// `XS_*`.
        0 r#type: u32,
        /// The asker's choice, echoed in the answer; 0 in events.
        4 req_id: u32,
        /// Transaction, or 0.
        8 tx_id: u32,
        /// Bytes that follow.
        12 len: u32,
    }

    /// `struct xenstore_domain_interface`. Indices run freely, modulo 2³².
    struct XenstoreDomainInterface[2076] {
        /// From the guest.
        0 req: [u8; XENSTORE_RING_SIZE],
        /// To the guest: answers and events.
        1024 rsp: [u8; XENSTORE_RING_SIZE],
        /// Bytes that the daemon has taken.
        2048 req_cons: u32,
        /// Bytes that the guest has put there.
        2052 req_prod: u32,
        /// Bytes that the guest has taken.
        2056 rsp_cons: u32,
        /// Bytes that the daemon has put there.
        2060 rsp_prod: u32,
        /// `XENSTORE_SERVER_FEATURE_*`.
        2064 server_features: u32,
        /// `XENSTORE_CONNECTED` or `XENSTORE_RECONNECT`.
        2068 connection: u32,
        /// `XENSTORE_ERROR_*`.
        2072 error: u32,
    }
}
