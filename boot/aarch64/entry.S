// Entry of an arm64 Image (Linux Documentation/arch/arm64/booting.rst, as Xen's domain builder implements it):
// EL1h, MMU and caches off, DAIF masked, x0 = device tree, loaded at text_offset from the start of RAM.

.section .head, "ax"
.global _start
_start:
    b       first_life
    .word   0
    .quad   __text_offset
    .quad   __image_size
    .quad   0b1010                  // little endian, 4 KiB pages, anywhere in memory
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .word   0

// Here image.ld puts .head.header, 32 bytes: what this image is (kernel/core/src/header.rs). And behind it, at 96, is where a
// life begins whose program was put in another's place: its device tree is in x0, MMU and caches are off.
.section .head.entry, "ax"
.global outrigger_head_entry
outrigger_head_entry:
    b       outrigger_restart

first_life:
    mov     x20, #0
    b       start

// outrigger_restart(device tree) -> !: a life ends, and the next begins as the first did: nothing that the old one mapped,
// cached or stacked is relied upon.
.global outrigger_restart
outrigger_restart:
    msr     daifset, #15
    msr     cntv_ctl_el0, xzr
    mov     x20, #1
    dsb     sy
    ldr     x1, =0x30d01808         // RES1 | I | SA: as at entry
    msr     sctlr_el1, x1
    isb

start:
    mov     x19, x0
    adr     x1, _start
    movz    x2, #:abs_g1:__image_start
    movk    x2, #:abs_g0_nc:__image_start
    cmp     x1, x2
    b.ne    wrong_place

    // Early map: 1 GiB blocks, normal write-back, for the image and for the device tree, both identity. Rust builds the
    // real one (arch/aarch64/mmu.rs). Written past the caches, which are told to forget what they had of it.
    adrp    x1, early_l1
    mov     x2, x1
    add     x3, x1, #4096
1:  stp     xzr, xzr, [x2], #16
    cmp     x2, x3
    b.lo    1b
    dsb     sy
    mov     x2, x1
2:  dc      ivac, x2
    add     x2, x2, #16
    cmp     x2, x3
    b.lo    2b
    dsb     sy
    adr     x2, _start
    lsr     x2, x2, #30
    bl      early_block
    lsr     x2, x19, #30
    bl      early_block

    // MAIR: 0 = Device-nGnRE, 1 = Normal write-back
    movz    x0, #0xff04
    msr     mair_el1, x0
    // TCR: T0SZ 25 (39 bits), walks write-back inner shareable, 4 KiB, no TTBR1, 40-bit physical
    ldr     x0, =(25 | (1 << 8) | (1 << 10) | (3 << 12) | (1 << 23) | (2 << 32))
    msr     tcr_el1, x0
    msr     ttbr0_el1, x1
    mov     x0, #(3 << 20)          // floating point and SIMD registers: the compiler uses them
    msr     cpacr_el1, x0
    adr     x0, vectors
    msr     vbar_el1, x0
    tlbi    vmalle1
    dsb     nsh
    isb
    ldr     x0, =0x30d0180d         // RES1 | I | SA | C | M
    msr     sctlr_el1, x0
    isb

    // The fault stack is SP_EL1's, the program runs on SP_EL0: an overflow still gets its dump.
    msr     spsel, #1
    adrp    x0, __fault_stack_top
    mov     sp, x0
    msr     spsel, #0
    adrp    x0, __stack_top
    mov     sp, x0

    adrp    x0, __data_start
    add     x0, x0, #:lo12:__data_start
    adrp    x1, __data_end
    add     x1, x1, #:lo12:__data_end
    adrp    x2, __data_load
    add     x2, x2, #:lo12:__data_load
3:  cmp     x0, x1
    b.hs    4f
    ldp     x3, x4, [x2], #16
    stp     x3, x4, [x0], #16
    b       3b
4:
    adrp    x0, __bss_start
    add     x0, x0, #:lo12:__bss_start
    adrp    x1, __bss_end
    add     x1, x1, #:lo12:__bss_end
    // Most of it are page tables: whole pages.
5:  stp     xzr, xzr, [x0]
    stp     xzr, xzr, [x0, #16]
    stp     xzr, xzr, [x0, #32]
    stp     xzr, xzr, [x0, #48]
    add     x0, x0, #64
    cmp     x0, x1
    b.lo    5b
    mov     x0, x19
    mov     x1, x20
    mov     x29, #0
    mov     x30, #0
    bl      outrigger_start
wrong_place:
    wfe
    b       wrong_place

// x1 = table, x2 = its index: store the block, and drop what a cache may hold of that line from before.
early_block:
    lsl     x3, x2, #30
    movz    x4, #0x705              // access flag, inner shareable, attribute 1, block
    orr     x3, x3, x4
    add     x4, x1, x2, lsl #3
    str     x3, [x4]
    dsb     sy
    dc      ivac, x4
    dsb     sy
    ret

// outrigger_replace(device tree, image, its length, mover) -> !: a life ends, and the next one's program is another. The image
// and a copy of outrigger_mover lie behind what is written over; both were written back to memory.
.global outrigger_replace
outrigger_replace:
    msr     daifset, #15
    msr     cntv_ctl_el0, xzr
    adrp    x5, _start
    add     x5, x5, #:lo12:_start
    dsb     sy
    ldr     x4, =0x30d01808         // as above
    msr     sctlr_el1, x4
    isb
    ic      iallu
    dsb     sy
    isb
    br      x3

// What caches hold of the place goes to memory first, so that nothing of it comes later, over the new image.
.global outrigger_mover
.global outrigger_mover_end
outrigger_mover:
    add     x6, x5, x2
    mov     x7, x5
1:  dc      civac, x7
    add     x7, x7, #16
    cmp     x7, x6
    b.lo    1b
    dsb     sy
    mov     x7, x5
2:  ldp     x8, x9, [x1], #16
    stp     x8, x9, [x7], #16
    cmp     x7, x6
    b.lo    2b
    dsb     sy
    ic      iallu
    dsb     sy
    isb
    add     x5, x5, #96
    br      x5
.balign 8
outrigger_mover_end:

// Exception vectors. Only the watchdog's interrupt is expected (all others are masked in the GIC while the program runs);
// whatever else comes is a fault, whose registers go to outrigger_exception, which does not return.
.macro vector number
.balign 0x80
    sub     sp, sp, #288
    stp     x0, x1, [sp]
    mov     x0, #\number
    b       dump
.endm

.macro interrupt number
.balign 0x80
    sub     sp, sp, #288
    stp     x0, x1, [sp]
    mov     x0, #\number
    b       tick
.endm

.section .vectors, "ax"
.balign 0x800
vectors:
    vector  0
    interrupt 1
    vector  2
    vector  3
    vector  4
    interrupt 5
.irp number, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    vector  \number
.endr

// The watchdog's timer: another tick without a sign of life from the loop. x0 = vector; x0, x1 are saved.
// outrigger_watchdog (arch/aarch64/watchdog.rs): +0 ticks so far, +8 ticks that are too many, +16 timer
// counts a tick, +24 GICC base, or 0 for the system registers of a GICv3, +32 in images for tests: where to
// go on, once, instead of where the program was. +40 the count at the first tick, +48 the time that others
// had had by then, +56 Xen's account of that time (struct vcpu_runstate_info) or 0, +64 counts a nanosecond,
// 32.32 fixed point, +72 counts of our own since the first tick that are too many.
tick:
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    adrp    x1, outrigger_watchdog
    add     x1, x1, #:lo12:outrigger_watchdog
    ldr     x2, [x1, #16]
    mrs     x3, cntvct_el0
    add     x3, x3, x2
    msr     cntv_cval_el0, x3
    mov     x3, #1                  // and no longer masked, as Xen leaves a timer that has fired
    msr     cntv_ctl_el0, x3
    isb
    ldr     x2, [x1, #24]
    cbz     x2, 1f
    ldr     w3, [x2, #0x0c]         // GICC_IAR
    and     w4, w3, #0x3ff
    cmp     w4, #1020
    b.hs    2f
    str     w3, [x2, #0x10]         // GICC_EOIR
    b       2f
1:  mrs     x3, S3_0_C12_C12_0      // ICC_IAR1_EL1
    dsb     sy
    mov     w4, #1020
    cmp     w3, w4
    b.hs    2f
    msr     S3_0_C12_C12_1, x3      // ICC_EOIR1_EL1
    isb
2:  ldr     x3, [x1, #32]
    cbnz    x3, 3f
    ldr     x5, [x1, #56]
    cbz     x5, 4f
    ldr     x2, [x5, #24]           // time[RUNSTATE_runnable] and time[RUNSTATE_offline], in nanoseconds: Xen writes them
    ldr     x5, [x5, #40]           // when it gives the processor away and back, so not now
    add     x5, x5, x2
4:  mrs     x2, cntvct_el0
    ldr     x3, [x1]
    cbnz    x3, 5f
    stp     x2, x5, [x1, #40]
5:  add     x3, x3, #1
    str     x3, [x1]
    ldr     x4, [x1, #8]
    cmp     x3, x4
    b.lo    6f
    ldp     x3, x4, [x1, #40]       // enough ticks: how much of the time since the first was our own?
    sub     x2, x2, x3
    sub     x5, x5, x4
    ldr     x4, [x1, #64]
    mul     x3, x5, x4
    umulh   x4, x5, x4
    extr    x3, x4, x3, #32
    sub     x2, x2, x3
    ldr     x4, [x1, #72]
    cmp     x2, x4
    b.lt    6f
    ldp     x4, x5, [sp, #32]
    ldp     x2, x3, [sp, #16]
    b       dump
6:  ldp     x4, x5, [sp, #32]
    ldp     x2, x3, [sp, #16]
    ldp     x0, x1, [sp]
    add     sp, sp, #288
    eret
3:  str     xzr, [x1, #32]
    msr     elr_el1, x3
    add     sp, sp, #288
    eret

dump:
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    mrs     x1, sp_el0
    stp     x30, x1, [sp, #240]
    mrs     x1, elr_el1
    mrs     x2, spsr_el1
    stp     x1, x2, [sp, #256]
    mrs     x1, esr_el1
    mrs     x2, far_el1
    stp     x1, x2, [sp, #272]
    mov     x1, sp
    bl      outrigger_exception
    b       .
