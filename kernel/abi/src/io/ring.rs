//! `io/ring.h`: the head of a page of requests and responses.
//!
//! Slots follow the head at once, each as large as the larger of request and response; their number is what
//! fits, rounded down to a power of two.

layout! {
    /// `struct <name>_sring` without its slots. Indices run freely, modulo 2³².
    struct Sring[64] {
        /// Requests that the frontend has produced.
        0 req_prod: u32,
        /// The frontend notifies when it produces the request before this index.
        4 req_event: u32,
        /// Responses that the backend has produced.
        8 rsp_prod: u32,
        /// The backend notifies when it produces the response before this index.
        12 rsp_event: u32,
        /// Private to some protocols; all leave it 0.
        16 pvt: [u8; 4],
        /// Unused.
        20 __pad: [u8; 44],
    }
}
