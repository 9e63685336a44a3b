//! `io/console.h`: the PV console's page.

layout! {
    /// `struct xencons_interface`. Indices run freely; the guest produces `out` and consumes `in`.
    struct XenconsInterface[3088] {
        /// Bytes to the guest.
        0 r#in: [u8; 1024],
        /// Bytes from the guest.
        1024 out: [u8; 2048],
        /// Bytes that the guest has taken.
        3072 in_cons: u32,
        /// Bytes that the console has put there.
        3076 in_prod: u32,
        /// Bytes that the console has taken.
        3080 out_cons: u32,
        /// Bytes that the guest has put there.
        3084 out_prod: u32,
    }
}
