//! U-Boot as the boot loader of a guest (`xenguest_arm64`): a frontend that is not Linux's. No distribution has its binary, so
//! it is built once, from Debian's source package, with the cross compiler that the host's Debian has.

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::fetch::{self, Architecture, Dependencies, PackageSet, Release};
use crate::{cache, process};

/// The cross compiler and what U-Boot's makefiles call. The compiler for the host itself is the host's.
const TOOLS: PackageSet = PackageSet {
    name: "cross",
    architecture: Architecture::Host,
    release: Release::Host,
    packages: &["gcc-aarch64-linux-gnu", "bison", "flex", "make", "bzip2"],
    dependencies: Dependencies::Only(&[
        "gcc-",
        "cpp-",
        "binutils",
        "libbinutils",
        "libctf",
        "libgcc-",
        "libgmp",
        "libisl",
        "libjansson",
        "libmpc",
        "libmpfr",
        "libzstd",
        "m4",
    ]),
    exclude: &[],
};

/// The source package.
const SOURCE: &str = "u-boot";

/// What differs from `xenguest_arm64_defconfig`: it boots the kernel of the first disk by itself, and its tools for the host,
/// of which none is used, do without libraries.
const CONFIG: &str = r#"
CONFIG_BOOTDELAY=-2
CONFIG_SUPPORT_RAW_INITRD=y
CONFIG_USE_BOOTCOMMAND=y
CONFIG_BOOTCOMMAND="ext4load pvblock 0 0x44000000 /boot/Image; ext4load pvblock 0 0x47000000 /boot/initrd; booti 0x44000000 0x47000000:${filesize} ${fdtcontroladdr}"
# CONFIG_TOOLS_LIBCRYPTO is not set
# CONFIG_TOOLS_MKEFICAPSULE is not set
"#;

/// Everything that its name in the cache stands for.
fn key() -> String {
    cache::key(&format!("{TOOLS:?} {SOURCE} {CONFIG}"))
}

/// The image, an arm64 `Image` for `xl`; built first if it is not in the cache. It boots `/boot/Image` with the ramdisk
/// `/boot/initrd` of the guest's first disk, an ext4 file system without partitions.
pub fn image() -> Result<PathBuf> {
    let place = cache::dir()?
        .join("roots")
        .join(format!("guest-u-boot-{}", key()));
    cache::once(&place, |unfinished| {
        let tools = TOOLS.root()?;
        fs::create_dir_all(unfinished)?;
        let archive = fetch::source(SOURCE, unfinished)?;
        eprintln!("u-boot: building it for guests");
        build(&tools, &archive, unfinished)?;
        for entry in fs::read_dir(unfinished)? {
            let path = entry?.path();
            if path.file_name().is_none_or(|name| name != "u-boot.bin") {
                cache::remove(&path)?;
            }
        }
        Ok(())
    })?;
    Ok(place.join("u-boot.bin"))
}

fn build(tools: &Path, archive: &Path, dir: &Path) -> Result<()> {
    let (source, out) = (dir.join("source"), dir.join("out"));
    fs::create_dir_all(&source)?;
    let mut tar = with(tools, "tar");
    tar.args(["-x", "--no-same-owner", "--strip-components=1", "-f"]);
    process::output(tar.arg(archive).arg("-C").arg(&source))?;
    make(tools, &source, &out, "xenguest_arm64_defconfig")?;
    let config = out.join(".config");
    let text = fs::read_to_string(&config).with_context(|| config.display().to_string())?;
    fs::write(&config, text + CONFIG)?;
    make(tools, &source, &out, "olddefconfig")?;
    make(tools, &source, &out, "u-boot.bin")?;
    fs::rename(out.join("u-boot.bin"), dir.join("u-boot.bin"))
        .context("U-Boot's makefiles made no u-boot.bin")
}

fn make(tools: &Path, source: &Path, out: &Path, goal: &str) -> Result<()> {
    let mut make = with(tools, "make");
    make.args(["-s", "-C"]).arg(source);
    make.arg(format!("O={}", out.display()));
    make.args(["ARCH=arm", "CROSS_COMPILE=aarch64-linux-gnu-", "HOSTCC=cc", goal]);
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    process::output(make.arg(format!("-j{jobs}"))).map(drop)
}

/// A program of the host, which finds the fetched ones first.
fn with(tools: &Path, program: &str) -> Command {
    let programs = tools.join("usr/bin");
    let mut paths = vec![programs.clone(), tools.join("bin")];
    paths.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    // Found here: a command's own PATH does not count for its first word everywhere.
    let found = paths
        .iter()
        .map(|path| path.join(program))
        .find(|path| path.is_file());
    let mut command = Command::new(found.unwrap_or_else(|| program.into()));
    if let Ok(path) = std::env::join_paths(&paths) {
        command.env("PATH", path);
    }
    command
        .env("LD_LIBRARY_PATH", tools.join(format!("usr/lib/{ARCH}-linux-gnu")))
        .env("M4", programs.join("m4"))
        .env("BISON_PKGDATADIR", tools.join("usr/share/bison"))
        // The same bytes each time.
        .env("SOURCE_DATE_EPOCH", "1700000000");
    command
}
