// Entry of an arm64 Image (Linux Documentation/arch/arm64/booting.rst, as Xen's domain builder implements it):
// EL1h, MMU and caches off, DAIF masked, x0 = device tree, loaded at text_offset (0) from the start of RAM.

.section .head, "ax"
.global _start
_start:
    b       start
    .word   0
    .quad   0                       // text_offset
    .quad   __image_size
    .quad   0b1010                  // little endian, 4 KiB pages, anywhere in memory
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .word   0

start:
    mov     x19, x0
    adr     x20, _start
    movz    x1, #:abs_g1:__image_start
    movk    x1, #:abs_g0_nc:__image_start
    cmp     x20, x1
    b.ne    wrong_place

    // Early map: 1 GiB blocks, normal write-back, for the image and for the device tree, both identity. Rust builds the
    // real one (arch/aarch64/mmu.rs).
    adrp    x1, early_l1
    lsr     x2, x20, #30
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
    adrp    x0, __fault_stack_top
    mov     sp, x0
    msr     spsel, #0
    adrp    x0, __stack_top
    mov     sp, x0

    adrp    x0, __bss_start
    add     x0, x0, #:lo12:__bss_start
    adrp    x1, __bss_end
    add     x1, x1, #:lo12:__bss_end
1:  cmp     x0, x1
    b.hs    2f
    str     xzr, [x0], #8
    b       1b
2:
    mov     x0, x19
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

.section .data.early_l1, "aw"
.balign 4096
early_l1:
    .skip   4096

// Exception vectors. Nothing here is expected: interrupts are masked for ever (they only end a WFI), so whatever comes
// is a fault, whose registers go to outrigger_exception, which does not return.
.macro vector number
.balign 0x80
    sub     sp, sp, #288
    stp     x0, x1, [sp]
    mov     x0, #\number
    b       dump
.endm

.section .vectors, "ax"
.balign 0x800
vectors:
.irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    vector  \number
.endr

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
