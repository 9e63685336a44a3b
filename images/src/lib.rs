//! The image builder: from one machine file to what `xl create` needs.
//!
//! [`build::build`] reads a machine file (which driver domains there are and which devices each one owns), the
//! board's base device tree and the driver domains' ELF images, and writes for each domain `NAME.img` (a flat arm64
//! `Image`), `NAME.cfg` (for `xl create`) and `NAME.dtb` (the partial device tree for `device_tree=`), and once
//! `host.dtb` (the base device tree with `xen,passthrough` on the nodes given away), and if the machine file says how
//! it boots, a boot script for U-Boot ([`boot`]). [`devices::devices`] lists what could be given away and what stands
//! in the way, [`inspect::inspect`] tells what a file is, [`new::machine_file`] writes a file to start from. [`live`] is for
//! Dom0: what is done to driver domains that run.
//!
//! **Distrusts** every input file: a machine file, a device tree or an ELF may be truncated, contradictory or hostile.
//! Each ends in one [`error::Error`], a single line that names the file and, for a machine file, the line.
//!
//! **Owes** all or nothing: everything is checked before the first byte is written, and what is written appears
//! complete. Two domains never share a page or an interrupt, and nothing that a domain was given stays with Dom0.
//! The same inputs give the same bytes.
//!
//! **Key types**, in the order of the work: [`machine::MachineFile`], [`board::Board`], [`class::Class`],
//! [`tree::BaseTree`], [`image::Image`], [`plan::Plan`].
//!
//! **Follows** the Devicetree Specification v0.4, Linux's `arm64/booting.rst` (the `Image` header), Xen's
//! `docs/misc/arm/passthrough.txt` and `docs/misc/arm/device-tree/booting.txt`, `xl.cfg(5)` of Xen 4.20, and U-Boot's
//! `include/image.h`.
#![forbid(unsafe_code)]

pub mod board;
pub mod boot;
pub mod build;
pub mod card;
pub mod class;
pub mod devices;
pub mod error;
pub mod image;
pub mod input;
pub mod inspect;
pub mod live;
pub mod machine;
pub mod near;
pub mod new;
pub mod options;
pub mod passthrough;
pub mod plan;
pub mod size;
pub mod syntax;
pub mod tree;
pub mod wait;
pub mod xlcfg;
