// memcpy, memmove, memset, memcmp and bcmp as Rust calls them, in few instructions: rustc's own go word by word. For normal
// memory, with the MMU on, where nothing has to be aligned. They replace those of compiler_builtins, which are weak.
.section .text.memory, "ax"

// memcpy(to, from, length) -> to. outrigger_copy is the same for memory that others may write: by this name the compiler does
// not take it for its own, and each byte is loaded and stored once.
.global outrigger_copy
.global memcpy
outrigger_copy:
memcpy:
    mov     x3, x0
    subs    x2, x2, #64
    b.lo    2f
1:  ld1     {v0.16b, v1.16b, v2.16b, v3.16b}, [x1], #64
    subs    x2, x2, #64
    st1     {v0.16b, v1.16b, v2.16b, v3.16b}, [x3], #64
    b.hs    1b
    // The low bits of what is below zero are those of the rest.
2:  tbz     x2, #5, 3f
    ldp     q0, q1, [x1], #32
    stp     q0, q1, [x3], #32
3:  tbz     x2, #4, 4f
    ldr     q0, [x1], #16
    str     q0, [x3], #16
4:  tbz     x2, #3, 5f
    ldr     x4, [x1], #8
    str     x4, [x3], #8
5:  tbz     x2, #2, 6f
    ldr     w4, [x1], #4
    str     w4, [x3], #4
6:  tbz     x2, #1, 7f
    ldrh    w4, [x1], #2
    strh    w4, [x3], #2
7:  tbz     x2, #0, 8f
    ldrb    w4, [x1]
    strb    w4, [x3]
8:  ret

// memmove(to, from, length) -> to. Upwards, unless `to` begins within what is to be moved.
.global memmove
memmove:
    sub     x3, x0, x1
    cmp     x3, x2
    b.hs    memcpy
    add     x1, x1, x2
    add     x3, x0, x2
    subs    x2, x2, #16
    b.lo    2f
1:  ldr     q0, [x1, #-16]!
    subs    x2, x2, #16
    str     q0, [x3, #-16]!
    b.hs    1b
2:  adds    x2, x2, #16
    b.eq    4f
3:  ldrb    w4, [x1, #-1]!
    subs    x2, x2, #1
    strb    w4, [x3, #-1]!
    b.ne    3b
4:  ret

// memset(to, byte, length) -> to
.global memset
memset:
    mov     x3, x0
    dup     v0.16b, w1
    subs    x2, x2, #32
    b.lo    2f
1:  stp     q0, q0, [x3], #32
    subs    x2, x2, #32
    b.hs    1b
2:  tbz     x2, #4, 3f
    str     q0, [x3], #16
3:  tbz     x2, #3, 4f
    str     d0, [x3], #8
4:  tbz     x2, #2, 5f
    str     s0, [x3], #4
5:  tbz     x2, #1, 6f
    str     h0, [x3], #2
6:  tbz     x2, #0, 7f
    str     b0, [x3]
7:  ret

// memcmp(one, other, length) -> below, at or above zero as their first bytes that differ
.global memcmp
.global bcmp
memcmp:
bcmp:
    subs    x2, x2, #8
    b.lo    2f
1:  ldr     x3, [x0], #8
    ldr     x4, [x1], #8
    cmp     x3, x4
    b.ne    5f
    subs    x2, x2, #8
    b.hs    1b
2:  adds    x2, x2, #8
    b.eq    4f
3:  ldrb    w3, [x0], #1
    ldrb    w4, [x1], #1
    subs    w5, w3, w4
    b.ne    6f
    subs    x2, x2, #1
    b.ne    3b
4:  mov     w0, #0
    ret
5:  rev     x3, x3
    rev     x4, x4
    cmp     x3, x4
    cset    w0, hi
    csinv   w0, w0, wzr, hi
    ret
6:  mov     w0, w5
    ret
