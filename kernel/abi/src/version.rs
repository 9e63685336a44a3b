//! `version.h`: what Xen is this.

// Operations: `HYPERVISOR_xen_version(cmd, &argument)`.
/// Returns major << 16 | minor; no argument.
pub const XENVER_version: u32 = 0;
/// Fills 16 bytes: what follows the minor number.
pub const XENVER_extraversion: u32 = 1;
/// Which `XENFEAT_*` there are: [`XenFeatureInfo`].
pub const XENVER_get_features: u32 = 6;
/// Returns Xen's page size in bytes; no argument.
pub const XENVER_pagesize: u32 = 7;

layout! {
    /// `struct xen_feature_info`.
    #[derive(Default)]
    struct XenFeatureInfo[8] {
        /// Which 32 features: 0, as there are fewer.
        0 submap_idx: u32,
        /// Out: a bit a feature, see [`crate::features`].
        4 submap: u32,
    }
}
