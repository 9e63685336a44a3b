//! `outrigger`, the image-builder command.
#![forbid(unsafe_code)]
fn main() {}
