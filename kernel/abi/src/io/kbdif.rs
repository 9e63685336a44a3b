//! `io/kbdif.h`: a keyboard, a pointer and a touch screen of a guest's, as a page of events.

layout! {
    /// `struct xenkbd_page`: free-running indices of both rings. *In* is to the frontend, *out* is from it.
    #[derive(Default)]
    struct XenkbdPage[16] {
        /// Events that the frontend has read.
        0 in_cons: u32,
        /// Events that the backend has written.
        4 in_prod: u32,
        /// Events that the backend has read.
        8 out_cons: u32,
        /// Events that the frontend has written.
        12 out_prod: u32,
    }

    /// `struct xenkbd_motion`.
    #[derive(Default)]
    struct XenkbdMotion[16] {
        /// `XENKBD_TYPE_MOTION`.
        0 r#type: u8,
        /// To the right.
        4 rel_x: i32,
        /// Downwards.
        8 rel_y: i32,
        /// The wheel.
        12 rel_z: i32,
    }

    /// `struct xenkbd_key`.
    #[derive(Default)]
    struct XenkbdKey[8] {
        /// `XENKBD_TYPE_KEY`.
        0 r#type: u8,
        /// 1 if pressed, 0 if released.
        1 pressed: u8,
        /// `KEY_*` or `BTN_*` of Linux's `input-event-codes.h`.
        4 keycode: u32,
    }

    /// `struct xenkbd_position`.
    #[derive(Default)]
    struct XenkbdPosition[16] {
        /// `XENKBD_TYPE_POS`.
        0 r#type: u8,
        /// From the left, in pixels.
        4 abs_x: i32,
        /// From the top, in pixels.
        8 abs_y: i32,
        /// The wheel, relative.
        12 rel_z: i32,
    }

    /// `struct xenkbd_mtouch`; its union as the position that it mostly holds.
    #[derive(Default)]
    struct XenkbdMtouch[16] {
        /// `XENKBD_TYPE_MTOUCH`.
        0 r#type: u8,
        /// `XENKBD_MT_EV_*`.
        1 event_type: u8,
        /// Which finger.
        2 contact_id: u8,
        /// 0.
        3 reserved: [u8; 5],
        /// `u.pos.abs_x` and `u.pos.abs_y`, in pixels.
        8 u: [i32; 2],
    }
}

/// The pointer was moved.
pub const XENKBD_TYPE_MOTION: u8 = 1;
/// A key was pressed or released, or a button.
pub const XENKBD_TYPE_KEY: u8 = 3;
/// The pointer is at a place.
pub const XENKBD_TYPE_POS: u8 = 4;
/// A touch screen is touched.
pub const XENKBD_TYPE_MTOUCH: u8 = 5;

/// A finger touches.
pub const XENKBD_MT_EV_DOWN: u8 = 0;
/// A finger is gone.
pub const XENKBD_MT_EV_UP: u8 = 1;
/// A finger has moved.
pub const XENKBD_MT_EV_MOTION: u8 = 2;
/// What belongs together ends here.
pub const XENKBD_MT_EV_SYN: u8 = 3;

/// Bytes of an event to the frontend.
pub const XENKBD_IN_EVENT_SIZE: usize = 40;
/// Bytes of the ring to the frontend.
pub const XENKBD_IN_RING_SIZE: usize = 2048;
/// Where that ring begins.
pub const XENKBD_IN_RING_OFFS: usize = 1024;
/// Events that it holds.
pub const XENKBD_IN_RING_LEN: usize = 51;
/// Bytes of an event from the frontend, of which none is defined.
pub const XENKBD_OUT_EVENT_SIZE: usize = 40;
/// Bytes of the ring from the frontend.
pub const XENKBD_OUT_RING_SIZE: usize = 1024;
/// Where that ring begins.
pub const XENKBD_OUT_RING_OFFS: usize = 3072;
/// Events that it holds.
pub const XENKBD_OUT_RING_LEN: usize = 25;

/// Backend: absolute positions of the pointer can be had.
pub const XENKBD_FIELD_FEAT_ABS_POINTER: &str = "feature-abs-pointer";
/// Backend: positions in the device's own range can be had.
pub const XENKBD_FIELD_FEAT_RAW_POINTER: &str = "feature-raw-pointer";
/// Backend: multi-touch events can be had.
pub const XENKBD_FIELD_FEAT_MTOUCH: &str = "feature-multi-touch";
/// Backend: there is no keyboard.
pub const XENKBD_FIELD_FEAT_DSBL_KEYBRD: &str = "feature-disable-keyboard";
/// Backend: there is no pointer.
pub const XENKBD_FIELD_FEAT_DSBL_POINTER: &str = "feature-disable-pointer";
/// Frontend: it wants absolute positions instead of motions.
pub const XENKBD_FIELD_REQ_ABS_POINTER: &str = "request-abs-pointer";
/// Frontend: it wants positions in the device's own range, 0 to 0x7fff.
pub const XENKBD_FIELD_REQ_RAW_POINTER: &str = "request-raw-pointer";
/// Frontend: it wants multi-touch events.
pub const XENKBD_FIELD_REQ_MTOUCH: &str = "request-multi-touch";
/// Frontend: its page.
pub const XENKBD_FIELD_RING_GREF: &str = "page-gref";
/// Frontend: its port.
pub const XENKBD_FIELD_EVT_CHANNEL: &str = "event-channel";
/// Backend: greatest absolute X.
pub const XENKBD_FIELD_WIDTH: &str = "width";
/// Backend: greatest absolute Y.
pub const XENKBD_FIELD_HEIGHT: &str = "height";
/// Backend: greatest X of a finger.
pub const XENKBD_FIELD_MT_WIDTH: &str = "multi-touch-width";
/// Backend: greatest Y of a finger.
pub const XENKBD_FIELD_MT_HEIGHT: &str = "multi-touch-height";
/// Backend: fingers at a time.
pub const XENKBD_FIELD_MT_NUM_CONTACTS: &str = "multi-touch-num-contacts";
