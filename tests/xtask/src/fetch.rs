//! What is downloaded: sets of Debian packages, each unpacked once into a folder of the user's cache.

mod apt;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{cache, process};
use apt::Package;

/// The processor a package is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// The machine this runs on.
    Host,
    /// The machine that QEMU emulates.
    Arm64,
}

/// The Debian release a package comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// The host's own: its programs run on the host's libraries.
    Host,
    /// Debian 13: QEMU 10, Xen 4.20 and Linux 6.12.
    Trixie,
    /// Its backports: Linux 7.
    TrixieBackports,
}

/// Which of the packages that a set's own packages depend on are fetched too, by the beginning of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependencies {
    /// All but these, which nothing here runs.
    Without(&'static [&'static str]),
    /// None but these.
    Only(&'static [&'static str]),
}

impl Dependencies {
    fn include(self, package: &str) -> bool {
        let listed = |prefixes: &[&str]| prefixes.iter().any(|prefix| package.starts_with(prefix));
        match self {
            Self::Without(prefixes) => !listed(prefixes),
            Self::Only(prefixes) => listed(prefixes),
        }
    }
}

/// Debian packages that are fetched and unpacked together.
#[derive(Debug)]
pub struct PackageSet {
    /// Its name in the cache and on the screen.
    pub name: &'static str,
    /// The processor its programs are for.
    pub architecture: Architecture,
    /// The release it comes from.
    pub release: Release,
    /// The packages wanted.
    pub packages: &'static [&'static str],
    /// Which of the packages they depend on.
    pub dependencies: Dependencies,
    /// Paths (tar patterns) that are not unpacked.
    pub exclude: &'static [&'static str],
}

/// What runs on the host: QEMU (Debian 12's own is too old for what the boards need) and e2fsprogs.
pub const QEMU: PackageSet = PackageSet {
    name: "qemu",
    architecture: Architecture::Host,
    release: Release::Trixie,
    packages: &["qemu-system-arm", "e2fsprogs"],
    dependencies: Dependencies::Without(&[]),
    exclude: &[],
};

/// Xen, its toolstack, and the programs that Dom0 and the guests run.
pub const XEN: PackageSet = PackageSet {
    name: "xen",
    architecture: Architecture::Arm64,
    release: Release::Trixie,
    packages: &[
        "xen-hypervisor-4.20-arm64",
        "xen-utils-4.20",
        "xenstore-utils",
        "busybox-static",
        "e2fsprogs",
        "fio",
        "iperf3",
        "iproute2",
    ],
    dependencies: Dependencies::Without(&[
        "python3",
        "libpython3",
        "perl",
        "systemd",
        "udev",
        "dpkg",
        "debconf",
        "tzdata",
        "adduser",
        "passwd",
        "tar",
        "login.defs",
        "init-system-helpers",
        "procps",
        "ucf",
        "grub",
        "mount",
    ]),
    exclude: &[],
};

/// Debian's kernel, for Dom0 and for the guests. Drivers that no virtual machine has are left out.
pub const LINUX: PackageSet = PackageSet {
    name: "linux",
    architecture: Architecture::Arm64,
    release: Release::Trixie,
    packages: &["linux-image-arm64"],
    dependencies: Dependencies::Only(&["linux-image-"]),
    exclude: &[
        "./usr/lib/modules/*/kernel/drivers/[cghimsu]*",
        "./usr/lib/modules/*/kernel/drivers/net/w*",
        "./usr/lib/modules/*/kernel/drivers/net/ethernet/[!i]*",
        "./usr/lib/modules/*/kernel/drivers/net/ethernet/intel/[!e]*",
        "./usr/lib/modules/*/kernel/sound/soc",
    ],
};

/// The newest kernel that Debian has for that release, for guests: their frontends change from version to version. Since
/// Linux 7 the kernel, its modules and its device trees are packages of their own.
pub const LINUX_NEWER: PackageSet = PackageSet {
    name: "linux-newer",
    release: Release::TrixieBackports,
    dependencies: Dependencies::Only(&["linux-image-", "linux-binary-", "linux-modules-", "linux-base-"]),
    ..LINUX
};

/// The firmware of the scenarios that boot as a real board does.
pub const U_BOOT: PackageSet = PackageSet {
    name: "u-boot",
    architecture: Architecture::Arm64,
    release: Release::Trixie,
    packages: &["u-boot-qemu"],
    dependencies: Dependencies::Only(&[]),
    exclude: &[],
};

/// What a measurement reads Xen's figures with: an interpreter for the toolstack's own `xc` binding.
pub const PYTHON: PackageSet = PackageSet {
    name: "python",
    architecture: Architecture::Arm64,
    release: Release::Trixie,
    packages: &["python3.13-minimal"],
    dependencies: Dependencies::Only(&["libpython3.13-minimal", "libexpat1", "zlib1g"]),
    exclude: &[],
};

/// What calls the toolstack's own libraries from Python.
pub const PYTHON_CTYPES: PackageSet = PackageSet {
    name: "python-ctypes",
    architecture: Architecture::Arm64,
    release: Release::Trixie,
    packages: &["libpython3.13-stdlib"],
    dependencies: Dependencies::Only(&["libffi8"]),
    exclude: &[],
};

/// What counts the pieces of code that a hijacked processor could be led through. Its C library is [`QEMU`]'s.
pub const ROPGADGET: PackageSet = PackageSet {
    name: "ropgadget",
    architecture: Architecture::Host,
    release: Release::Trixie,
    packages: &["python3-ropgadget", "python3.13-minimal", "libpython3.13-stdlib"],
    dependencies: Dependencies::Only(&[
        "python3-capstone",
        "libcapstone",
        "libpython3.13-minimal",
        "libexpat1",
        "zlib1g",
        "libffi8",
    ]),
    exclude: &[],
};

/// What checks the device trees we write. Its C library is [`QEMU`]'s.
pub const DTC: PackageSet = PackageSet {
    name: "dtc",
    architecture: Architecture::Host,
    release: Release::Trixie,
    packages: &["device-tree-compiler"],
    dependencies: Dependencies::Only(&["libfdt1", "libyaml-0-2"]),
    exclude: &[],
};

/// What reads the cards we write. Its C library is [`QEMU`]'s.
pub const CARD_TOOLS: PackageSet = PackageSet {
    name: "card-tools",
    architecture: Architecture::Host,
    release: Release::Trixie,
    packages: &["mtools", "dosfstools", "fdisk"],
    dependencies: Dependencies::Only(&[
        "libfdisk1",
        "libblkid1",
        "libsmartcols1",
        "libuuid1",
        "libmount1",
        "libreadline8",
        "libtinfo6",
        "libncursesw6",
        "libselinux1",
        "libpcre2",
    ]),
    exclude: &[],
};

/// Xen's public headers, which our own words for them are checked against.
pub const XEN_HEADERS: PackageSet = PackageSet {
    name: "xen-headers",
    architecture: Architecture::Arm64,
    release: Release::Trixie,
    packages: &["libxen-dev"],
    dependencies: Dependencies::Only(&[]),
    exclude: &[],
};

/// A Rust compiler for the guest, for hosts whose rustup has no bare-metal target.
pub const RUST: PackageSet = PackageSet {
    name: "rust",
    architecture: Architecture::Host,
    release: Release::Host,
    packages: &["rustc-web", "rust-web-src", "rust-web-clippy"],
    // The rest, its C library first, is the host's.
    dependencies: Dependencies::Only(&[
        "rust",
        "libstd-rust",
        "libllvm",
        "libz3",
        "libedit",
        "libbsd",
        "libmd",
        "libxml2",
        "libicu",
        "libffi",
        "libtinfo",
    ]),
    exclude: &[
        "./usr/src/*/src",
        "./usr/src/*/compiler",
        "./usr/src/*/tests",
        "./usr/libexec",
    ],
};

/// Rust's library and C's for programs that run in Dom0.
pub const RUST_DOM0: PackageSet = PackageSet {
    name: "rust-dom0",
    architecture: Architecture::Arm64,
    release: Release::Host,
    packages: &["libstd-rust-web-dev", "libc6-dev"],
    dependencies: Dependencies::Only(&["libc6", "libgcc-s1"]),
    exclude: &["./usr/include", "./usr/lib/*/gconv"],
};

impl PackageSet {
    /// The folder that holds this set's files, downloaded first if they are not in the cache.
    pub fn root(&self) -> Result<PathBuf> {
        let root =
            cache::dir()?
                .join("roots")
                .join(format!("{}-{}", self.name, cache::key(&format!("{self:?}"))));
        cache::once(&root, |unfinished| self.download(unfinished))?;
        Ok(root)
    }

    fn download(&self, root: &Path) -> Result<()> {
        let apt = apt::Apt::new(self.architecture, self.release)?;
        eprintln!(
            "fetch: {}: reading the package lists of {}",
            self.name,
            apt.suite()
        );
        apt.update()?;
        let packages = apt.closure(self.packages)?;
        let packages: Vec<_> = packages
            .into_iter()
            .filter(|Package { name, .. }| {
                self.packages.contains(&&**name) || self.dependencies.include(name)
            })
            .collect();
        let mib = packages.iter().map(|p| p.bytes).sum::<u64>() >> 20;
        eprintln!("fetch: {}: {} packages, {mib} MiB", self.name, packages.len());
        let archives = root.join("archives");
        fs::create_dir_all(&archives)?;
        apt.download(&packages, &archives)?;
        let mut unpacked = 0;
        for archive in fs::read_dir(&archives)? {
            let archive = archive?.path();
            if archive.extension().is_some_and(|extension| extension == "deb") {
                unpack(&archive, root, self.exclude)?;
                unpacked += 1;
            }
        }
        if unpacked != packages.len() {
            bail!(
                "{}: {} packages wanted, {unpacked} came",
                self.name,
                packages.len()
            );
        }
        eprintln!("fetch: {}: unpacked", self.name);
        cache::remove(&archives)
    }
}

/// Downloads the sources that Debian's source package `package` is made from, without Debian's own changes, into the folder
/// `to`; the archive.
pub fn source(package: &str, to: &Path) -> Result<PathBuf> {
    let apt = apt::Apt::for_sources(Release::Trixie)?;
    eprintln!("fetch: the sources of {package}");
    apt.update()?;
    apt.upstream(package, to)
}

fn unpack(archive: &Path, root: &Path, exclude: &[&str]) -> Result<()> {
    let mut contents = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(archive)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .context("cannot run dpkg-deb")?;
    let stdout = contents.stdout.take().context("dpkg-deb has a standard output")?;
    let mut tar = Command::new("tar");
    tar.args([
        "-x",
        "--no-same-owner",
        "--no-same-permissions",
        "--wildcards",
        "--no-wildcards-match-slash",
        "-C",
    ])
    .arg(root);
    tar.args(
        ["./usr/share/doc", "./usr/share/man", "./usr/share/locale"]
            .iter()
            .chain(exclude)
            .map(|path| format!("--exclude={path}")),
    );
    process::run(tar.stdin(stdout)).with_context(|| format!("unpacking {}", archive.display()))?;
    if !contents.wait()?.success() {
        bail!("dpkg-deb cannot read {}", archive.display());
    }
    Ok(())
}

/// Says in one line what this host lacks, if anything.
pub fn check_host() -> Result<()> {
    let missing: Vec<&str> = ["apt-get", "apt-config", "dpkg", "dpkg-deb", "tar", "setpriv"]
        .into_iter()
        .filter(|p| !process::exists(p))
        .collect();
    if !missing.is_empty() {
        bail!(
            "missing on this host: {} (a Debian 12 or 13 machine has them)",
            missing.join(", ")
        );
    }
    Ok(())
}

/// Brings everything into the cache.
pub fn everything() -> Result<()> {
    for set in [
        &QEMU,
        &XEN,
        &LINUX,
        &LINUX_NEWER,
        &U_BOOT,
        &PYTHON,
        &PYTHON_CTYPES,
        &ROPGADGET,
        &DTC,
        &CARD_TOOLS,
        &XEN_HEADERS,
        &RUST_DOM0,
    ] {
        println!("{:12} {}", set.name, set.root()?.display());
    }
    println!("guest-u-boot {}", crate::guest_u_boot::image()?.display());
    println!("compiler     {}", crate::toolchain::Toolchain::find()?.describe());
    Ok(())
}
