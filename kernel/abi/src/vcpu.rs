//! `vcpu.h`: operations on one vCPU, and what it shares with Xen.

// Operations: `HYPERVISOR_vcpu_op(cmd, vcpu, &argument)`. Arm has these two alone.
/// Says where a vCPU's time accounts shall be: [`VcpuRegisterRunstateMemoryArea`].
pub const VCPUOP_register_runstate_memory_area: u32 = 5;
/// Says where a vCPU's `vcpu_info` shall be, once and for good: [`VcpuRegisterVcpuInfo`].
pub const VCPUOP_register_vcpu_info: u32 = 10;

// `vcpu_runstate_info.state`, and index of its `time`.
/// Has a processor.
pub const RUNSTATE_running: usize = 0;
/// Waits for one.
pub const RUNSTATE_runnable: usize = 1;
/// Sleeps.
pub const RUNSTATE_blocked: usize = 2;
/// Neither runs nor can.
pub const RUNSTATE_offline: usize = 3;

layout! {
    /// `struct vcpu_register_vcpu_info`.
    #[derive(Default)]
    struct VcpuRegisterVcpuInfo[16] {
        /// Guest frame of the page.
        0 mfn: u64,
        /// Where in it, in bytes; the structure must not cross the page.
        8 offset: u32,
        /// Must be 0.
        12 rsvd: u32,
    }

    /// `struct vcpu_runstate_info`: written by Xen.
    #[derive(Default)]
    struct VcpuRunstateInfo[48] {
        /// `RUNSTATE_*`.
        0 state: i32,
        /// When it began, in nanoseconds of system time.
        8 state_entry_time: u64,
        /// Time in each state until then, in nanoseconds.
        16 time: [u64; 4],
    }

    /// `struct vcpu_register_runstate_memory_area`.
    #[derive(Default)]
    struct VcpuRegisterRunstateMemoryArea[8] {
        /// Virtual address of a [`VcpuRunstateInfo`].
        0 addr: u64,
    }
}
