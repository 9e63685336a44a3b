//! `sched.h`: giving up the processor, for a moment or for good.

use crate::xen::Domid;

// Operations: `HYPERVISOR_sched_op(cmd, &argument)`.
/// Lets others run; no argument.
pub const SCHEDOP_yield: u32 = 0;
/// Enables events and sleeps until one comes; no argument. On Arm use `wfi`.
pub const SCHEDOP_block: u32 = 1;
/// Ends the domain: [`SchedShutdown`].
pub const SCHEDOP_shutdown: u32 = 2;
/// Sleeps until one of several ports is pending: [`SchedPoll`].
pub const SCHEDOP_poll: u32 = 3;
/// Ends another domain (privileged): [`SchedRemoteShutdown`].
pub const SCHEDOP_remote_shutdown: u32 = 4;
/// Says why the domain is about to end: [`SchedShutdown`].
pub const SCHEDOP_shutdown_code: u32 = 5;
/// Ends the domain unless it is called again in time: [`SchedWatchdog`].
pub const SCHEDOP_watchdog: u32 = 6;

// `sched_shutdown.reason`.
/// Ended as it should.
pub const SHUTDOWN_poweroff: u32 = 0;
/// Start again from a fresh domain.
pub const SHUTDOWN_reboot: u32 = 1;
/// Save.
pub const SHUTDOWN_suspend: u32 = 2;
/// Failed.
pub const SHUTDOWN_crash: u32 = 3;
/// The watchdog came.
pub const SHUTDOWN_watchdog: u32 = 4;
/// Start again in the same domain (x86 only).
pub const SHUTDOWN_soft_reset: u32 = 5;

layout! {
    /// `struct sched_shutdown`.
    #[derive(Default)]
    struct SchedShutdown[4] {
        /// `SHUTDOWN_*`.
        0 reason: u32,
    }

    /// `struct sched_poll`.
    #[derive(Default)]
    struct SchedPoll[24] {
        /// Handle of an array of ports.
        0 ports: u64,
        /// How many.
        8 nr_ports: u32,
        /// System time to give up at, in nanoseconds; 0: never.
        16 timeout: u64,
    }

    /// `struct sched_remote_shutdown`.
    #[derive(Default)]
    struct SchedRemoteShutdown[8] {
        /// Whom.
        0 domain_id: Domid,
        /// `SHUTDOWN_*`.
        4 reason: u32,
    }

    /// `struct sched_watchdog`.
    #[derive(Default)]
    struct SchedWatchdog[8] {
        /// 0 makes a new one, whose id the call returns.
        0 id: u32,
        /// From now, in seconds; 0 ends the watchdog `id`.
        4 timeout: u32,
    }
}
