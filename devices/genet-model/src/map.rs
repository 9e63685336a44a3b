//! Where things are. On purpose not the driver's own list.

pub const REVISION: usize = 0x0;
pub const PORT: usize = 0x4;
pub const FLUSH: usize = 0x8;
pub const RGMII: usize = 0x8c;
pub const INTERRUPTS: usize = 0x200;
pub const RBUF: usize = 0x300;
pub const RBUF_READY: usize = 0x308;
pub const RBUF_CHECK: usize = 0x314;
pub const TBUF: usize = 0x600;
pub const TBUF_READY: usize = 0x610;
pub const MAC: usize = 0x800;
pub const COMMAND: usize = 0x808;
pub const ADDRESS: [usize; 2] = [0x80c, 0x810];
pub const MAX_FRAME: usize = 0x814;
pub const COUNTERS: usize = 0xc00;
pub const COUNTERS_RESET: usize = 0xd80;
pub const MDIO: usize = 0xe14;
pub const OVERFLOWS: usize = 0xe1c;
pub const FILTER: usize = 0xe50;
pub const FILTER_ADDRESSES: usize = 0xe54;
pub const MAC_END: usize = 0x1000;
pub const END: usize = 0x1_0000;
