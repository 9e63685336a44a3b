//! XenBus device states and the backend's duties.
#![no_std]
#![forbid(unsafe_code)]
