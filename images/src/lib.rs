//! The image builder.
#![forbid(unsafe_code)]
