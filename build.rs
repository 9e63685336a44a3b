//! The one build script that every image shares (`build = "../../build.rs"` in its package): which linker script.

use std::env::var;
use std::path::Path;

fn main() {
    let package = var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let root = Path::new(&package)
        .ancestors()
        .nth(2)
        .expect("an image's package is two levels below the workspace");
    println!("cargo:rerun-if-changed={}", root.join("build.rs").display());
    if var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return; // A host build: tests, clippy.
    }
    let arch = var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it");
    let script = root.join("boot").join(&arch).join("image.ld");
    assert!(
        script.is_file(),
        "no image can be built for {arch}: {} is missing",
        script.display()
    );
    println!("cargo:rerun-if-changed={}", script.display());
    println!("cargo:rustc-link-arg-bins=-T{}", script.display());
}
