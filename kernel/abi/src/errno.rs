//! `errno.h`: what a hypercall returns, negated, when it fails; and the names XenStore uses.

/// Not allowed.
pub const XEN_EPERM: i64 = 1;
/// There is none.
pub const XEN_ENOENT: i64 = 2;
/// No such domain.
pub const XEN_ESRCH: i64 = 3;
/// Input or output failed.
pub const XEN_EIO: i64 = 5;
/// No such device or address.
pub const XEN_ENXIO: i64 = 6;
/// More than fits.
pub const XEN_E2BIG: i64 = 7;
/// Try again.
pub const XEN_EAGAIN: i64 = 11;
/// Out of memory.
pub const XEN_ENOMEM: i64 = 12;
/// Permission denied.
pub const XEN_EACCES: i64 = 13;
/// A handle points nowhere.
pub const XEN_EFAULT: i64 = 14;
/// In use.
pub const XEN_EBUSY: i64 = 16;
/// There is one already.
pub const XEN_EEXIST: i64 = 17;
/// Not on this device.
pub const XEN_EXDEV: i64 = 18;
/// No such device.
pub const XEN_ENODEV: i64 = 19;
/// Not a directory.
pub const XEN_ENOTDIR: i64 = 20;
/// A directory.
pub const XEN_EISDIR: i64 = 21;
/// An argument is wrong.
pub const XEN_EINVAL: i64 = 22;
/// No space, or a quota is used up.
pub const XEN_ENOSPC: i64 = 28;
/// Read-only.
pub const XEN_EROFS: i64 = 30;
/// Out of range.
pub const XEN_ERANGE: i64 = 34;
/// No such call.
pub const XEN_ENOSYS: i64 = 38;
/// Not empty.
pub const XEN_ENOTEMPTY: i64 = 39;
/// No data.
pub const XEN_ENODATA: i64 = 61;
/// Does not fit its type.
pub const XEN_EOVERFLOW: i64 = 75;
/// Not supported.
pub const XEN_EOPNOTSUPP: i64 = 95;
/// Connected already.
pub const XEN_EISCONN: i64 = 106;
/// Not connected.
pub const XEN_ENOTCONN: i64 = 107;
/// Took too long.
pub const XEN_ETIMEDOUT: i64 = 110;
