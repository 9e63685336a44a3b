//! `io/protocols.h`: the node `protocol`, that is which layout a frontend's requests have.

/// x86-32: 64-bit fields are aligned to 4 bytes.
pub const XEN_IO_PROTO_ABI_X86_32: &str = "x86_32-abi";
/// x86-64.
pub const XEN_IO_PROTO_ABI_X86_64: &str = "x86_64-abi";
/// Arm, 32 and 64 bits; the layout is x86-64's.
pub const XEN_IO_PROTO_ABI_ARM: &str = "arm-abi";
