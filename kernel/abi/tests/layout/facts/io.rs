//! What `kernel/abi` says of the protocols between frontends and backends.

use core::mem::offset_of;

use xen_unikernel_abi as abi;

use crate::facts::{Facts, constants, structure, texts};

/// All that is the same on Arm and x86-64.
pub fn common(facts: &mut Facts) {
    ring(facts);
    protocols(facts);
    xenbus(facts);
    console(facts);
    libxenvchan(facts);
    xs_wire(facts);
    blkif(facts);
    netif(facts);
    kbdif(facts);
}

/// The block protocol's other layout.
pub fn x86_32(facts: &mut Facts) {
    use abi::io::blkif::{BlkifRequestSegment, x86_32::*};
    ring(facts);
    structure!(facts, BlkifRequestSegment, "blkif_request_segment", { gref, first_sect, last_sect });
    structure!(facts, BlkifRequest, "blkif_request", {
        operation, nr_segments, handle, id, sector_number, seg
    });
    structure!(facts, BlkifRequestDiscard, "blkif_request_discard", {
        operation, flag, handle, id, sector_number, nr_sectors
    });
    structure!(facts, BlkifRequestIndirect, "blkif_request_indirect", {
        operation, indirect_op, nr_segments, id, sector_number, handle, indirect_grefs, pad
    });
    structure!(facts, BlkifResponse, "blkif_response", { id, operation, status });
}

/// The head of a ring page; C has it only with a protocol's slots behind.
fn ring(facts: &mut Facts) {
    use abi::io::ring::Sring;
    facts.declared("Sring");
    structure!(@fields facts, Sring, "blkif_sring", {
        req_prod, req_event, rsp_prod, rsp_event, pvt, __pad
    });
    facts.offset("blkif_sring.ring", size_of::<Sring>());
}

fn protocols(facts: &mut Facts) {
    use abi::io::protocols::*;
    texts!(facts, {
        XEN_IO_PROTO_ABI_X86_32, XEN_IO_PROTO_ABI_X86_64, XEN_IO_PROTO_ABI_ARM,
    });
}

fn xenbus(facts: &mut Facts) {
    use abi::io::xenbus::*;
    constants!(facts, {
        XenbusStateUnknown, XenbusStateInitialising, XenbusStateInitWait, XenbusStateInitialised,
        XenbusStateConnected, XenbusStateClosing, XenbusStateClosed, XenbusStateReconfiguring,
        XenbusStateReconfigured,
    });
}

fn console(facts: &mut Facts) {
    use abi::io::console::*;
    structure!(facts, XenconsInterface, "xencons_interface", {
        r#in, out, in_cons, in_prod, out_cons, out_prod
    });
}

fn libxenvchan(facts: &mut Facts) {
    use abi::io::libxenvchan::*;
    structure!(facts, RingShared, "ring_shared", { cons, prod });
    structure!(facts, VchanInterface, "vchan_interface", {
        left, right, left_order, right_order, cli_live, srv_live, cli_notify, srv_notify
    });
    constants!(facts, { VCHAN_NOTIFY_WRITE, VCHAN_NOTIFY_READ });
}

fn xs_wire(facts: &mut Facts) {
    use abi::io::xs_wire::*;
    structure!(facts, XsdSockmsg, "xsd_sockmsg", { r#type, req_id, tx_id, len });
    structure!(facts, XenstoreDomainInterface, "xenstore_domain_interface", {
        req, rsp, req_cons, req_prod, rsp_cons, rsp_prod, server_features, connection, error
    });
    constants!(facts, {
        XS_CONTROL, XS_DIRECTORY, XS_READ, XS_GET_PERMS, XS_WATCH, XS_UNWATCH, XS_TRANSACTION_START,
        XS_TRANSACTION_END, XS_INTRODUCE, XS_RELEASE, XS_GET_DOMAIN_PATH, XS_WRITE, XS_MKDIR, XS_RM,
        XS_SET_PERMS, XS_WATCH_EVENT, XS_ERROR, XS_IS_DOMAIN_INTRODUCED, XS_RESUME, XS_SET_TARGET,
        XS_RESET_WATCHES, XS_DIRECTORY_PART, XS_TYPE_COUNT, XS_INVALID, XENSTORE_RING_SIZE,
        XENSTORE_PAYLOAD_MAX, XENSTORE_ABS_PATH_MAX, XENSTORE_REL_PATH_MAX,
        XENSTORE_SERVER_FEATURE_RECONNECTION, XENSTORE_SERVER_FEATURE_ERROR, XENSTORE_CONNECTED,
        XENSTORE_RECONNECT, XENSTORE_ERROR_NONE, XENSTORE_ERROR_COMM, XENSTORE_ERROR_RINGIDX,
        XENSTORE_ERROR_PROTO,
    });
}

fn blkif(facts: &mut Facts) {
    use abi::io::blkif::*;
    structure!(facts, BlkifRequestSegment, "blkif_request_segment", { gref, first_sect, last_sect });
    structure!(facts, BlkifRequest, "blkif_request", {
        operation, nr_segments, handle, id, sector_number, seg
    });
    structure!(facts, BlkifRequestDiscard, "blkif_request_discard", {
        operation, flag, handle, id, sector_number, nr_sectors
    });
    structure!(facts, BlkifRequestIndirect, "blkif_request_indirect", {
        operation, indirect_op, nr_segments, id, sector_number, handle, indirect_grefs
    });
    structure!(facts, BlkifResponse, "blkif_response", { id, operation, status });
    constants!(facts, {
        BLKIF_OP_READ, BLKIF_OP_WRITE, BLKIF_OP_WRITE_BARRIER, BLKIF_OP_FLUSH_DISKCACHE,
        BLKIF_OP_RESERVED_1, BLKIF_OP_DISCARD, BLKIF_OP_INDIRECT, BLKIF_MAX_SEGMENTS_PER_REQUEST,
        BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST, BLKIF_DISCARD_SECURE, BLKIF_RSP_OKAY, BLKIF_RSP_ERROR,
        BLKIF_RSP_EOPNOTSUPP, VDISK_CDROM, VDISK_REMOVABLE, VDISK_READONLY,
    });
}

fn netif(facts: &mut Facts) {
    use abi::io::netif::*;
    structure!(facts, NetifTxRequest, "netif_tx_request", { gref, offset, flags, id, size });
    structure!(facts, NetifExtraInfo, "netif_extra_info", { r#type, flags, u });
    structure!(facts, NetifTxResponse, "netif_tx_response", { id, status });
    structure!(facts, NetifRxRequest, "netif_rx_request", { id, pad, gref });
    structure!(facts, NetifRxResponse, "netif_rx_response", { id, offset, flags, status });
    structure!(facts, XenNetifCtrlRequest, "xen_netif_ctrl_request", { id, r#type, data });
    structure!(facts, XenNetifCtrlResponse, "xen_netif_ctrl_response", { id, r#type, status, data });
    structure!(facts, XenNetifGref, "xen_netif_gref", { r#ref, flags, status });
    constants!(facts, {
        XEN_NETIF_NR_SLOTS_MIN, XEN_NETIF_MAX_TX_SIZE, NETTXF_csum_blank, NETTXF_data_validated,
        NETTXF_more_data, NETTXF_extra_info, NETRXF_data_validated, NETRXF_csum_blank, NETRXF_more_data,
        NETRXF_extra_info, NETRXF_gso_prefix, XEN_NETIF_EXTRA_TYPE_NONE, XEN_NETIF_EXTRA_TYPE_GSO,
        XEN_NETIF_EXTRA_TYPE_MCAST_ADD, XEN_NETIF_EXTRA_TYPE_MCAST_DEL, XEN_NETIF_EXTRA_TYPE_HASH,
        XEN_NETIF_EXTRA_TYPE_MAX, XEN_NETIF_EXTRA_FLAG_MORE, XEN_NETIF_GSO_TYPE_NONE,
        XEN_NETIF_GSO_TYPE_TCPV4, XEN_NETIF_GSO_TYPE_TCPV6, NETIF_RSP_DROPPED, NETIF_RSP_ERROR,
        NETIF_RSP_OKAY, NETIF_RSP_NULL, XEN_NETIF_CTRL_TYPE_INVALID, XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS,
        XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS, XEN_NETIF_CTRL_TYPE_SET_HASH_KEY,
        XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE,
        XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM,
        XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING,
        XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING, XEN_NETIF_CTRL_STATUS_SUCCESS,
        XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED, XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER,
        XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW, XEN_NETIF_CTRL_HASH_TYPE_IPV4,
        XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP, XEN_NETIF_CTRL_HASH_TYPE_IPV6,
        XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP, XEN_NETIF_CTRL_HASH_ALGORITHM_NONE,
        XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ, XEN_NETIF_CTRLF_GREF_readonly,
    });
    let u = offset_of!(NetifExtraInfo, u);
    for (name, offset) in [
        ("u.gso.size", extra::GSO_SIZE),
        ("u.gso.type", extra::GSO_TYPE),
        ("u.gso.features", extra::GSO_FEATURES),
        ("u.mcast.addr", extra::MCAST_ADDR),
        ("u.hash.type", extra::HASH_TYPE),
        ("u.hash.algorithm", extra::HASH_ALGORITHM),
        ("u.hash.value", extra::HASH_VALUE),
    ] {
        facts.offset(&format!("netif_extra_info.{name}"), u + offset);
    }
}

fn kbdif(facts: &mut Facts) {
    use abi::io::kbdif::*;
    structure!(facts, XenkbdPage, "xenkbd_page", { in_cons, in_prod, out_cons, out_prod });
    structure!(facts, XenkbdMotion, "xenkbd_motion", { r#type, rel_x, rel_y, rel_z });
    structure!(facts, XenkbdKey, "xenkbd_key", { r#type, pressed, keycode });
    structure!(facts, XenkbdPosition, "xenkbd_position", { r#type, abs_x, abs_y, rel_z });
    structure!(facts, XenkbdMtouch, "xenkbd_mtouch", { r#type, event_type, contact_id, reserved, u });
    let u = offset_of!(XenkbdMtouch, u);
    facts.offset("xenkbd_mtouch.u.pos.abs_x", u);
    facts.offset("xenkbd_mtouch.u.pos.abs_y", u + 4);
    constants!(facts, {
        XENKBD_TYPE_MOTION, XENKBD_TYPE_KEY, XENKBD_TYPE_POS, XENKBD_TYPE_MTOUCH, XENKBD_MT_EV_DOWN,
        XENKBD_MT_EV_UP, XENKBD_MT_EV_MOTION, XENKBD_MT_EV_SYN, XENKBD_IN_EVENT_SIZE, XENKBD_IN_RING_SIZE,
        XENKBD_IN_RING_OFFS, XENKBD_IN_RING_LEN, XENKBD_OUT_EVENT_SIZE, XENKBD_OUT_RING_SIZE,
        XENKBD_OUT_RING_OFFS, XENKBD_OUT_RING_LEN,
    });
    texts!(facts, {
        XENKBD_FIELD_FEAT_ABS_POINTER, XENKBD_FIELD_FEAT_RAW_POINTER, XENKBD_FIELD_FEAT_MTOUCH,
        XENKBD_FIELD_FEAT_DSBL_KEYBRD, XENKBD_FIELD_FEAT_DSBL_POINTER, XENKBD_FIELD_REQ_ABS_POINTER,
        XENKBD_FIELD_REQ_RAW_POINTER, XENKBD_FIELD_REQ_MTOUCH, XENKBD_FIELD_RING_GREF,
        XENKBD_FIELD_EVT_CHANNEL, XENKBD_FIELD_WIDTH, XENKBD_FIELD_HEIGHT, XENKBD_FIELD_MT_WIDTH,
        XENKBD_FIELD_MT_HEIGHT, XENKBD_FIELD_MT_NUM_CONTACTS,
    });
}
