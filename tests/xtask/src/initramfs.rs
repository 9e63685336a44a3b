//! The root file systems of Dom0 and of the guests: `newc` archives made from unpacked Debian packages.
//!
//! They are not compressed: unpacking costs an emulated processor more than loading does. The kernel accepts several
//! archives in a row, so that what differs between scenarios is a small second archive behind a base.

mod bpf;
mod elf;
mod modules;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cpio::newc;

use crate::fetch;
use bpf::Action;

const IPERF3: &str = "usr/bin/iperf3";
/// Busybox has an `ip`, too, which does without XDP.
const IP: &str = "usr/bin/ip";
/// The C library asks for it by name when a thread ends.
const LIBGCC: &str = "usr/lib/aarch64-linux-gnu/libgcc_s.so.1";

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;

/// An archive under construction.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    directories: BTreeSet<PathBuf>,
    inodes: u32,
}

impl Archive {
    /// Adds a folder, and those above it, unless they are there.
    pub fn directory(&mut self, path: &str) -> Result<()> {
        let path = Path::new(path.trim_matches('/'));
        let mut ancestors: Vec<&Path> = path.ancestors().filter(|a| !a.as_os_str().is_empty()).collect();
        ancestors.reverse();
        for ancestor in ancestors {
            if self.directories.insert(ancestor.to_owned()) {
                self.entry(&ancestor.to_string_lossy(), DIRECTORY | 0o755, &[])?;
            }
        }
        Ok(())
    }

    /// Adds a plain file.
    pub fn file(&mut self, path: &str, contents: &[u8]) -> Result<()> {
        self.with_parent(path, FILE | 0o644, contents)
    }

    /// Adds a file that can be run.
    pub fn program(&mut self, path: &str, contents: &[u8]) -> Result<()> {
        self.with_parent(path, FILE | 0o755, contents)
    }

    /// An archive of programs: their paths and contents.
    pub fn of_programs(programs: &[(String, Vec<u8>)]) -> Result<Self> {
        let mut archive = Self::default();
        for (path, contents) in programs {
            archive.program(path, contents)?;
        }
        Ok(archive)
    }

    /// Adds a symbolic link at `path` that points to `to`.
    pub fn symlink(&mut self, path: &str, to: &str) -> Result<()> {
        self.with_parent(path, SYMLINK | 0o777, to.as_bytes())
    }

    /// Adds the files of the folder `from` below `to`, as programs.
    pub fn programs_from(&mut self, from: &Path, to: &str) -> Result<()> {
        for (name, contents) in read_files(from)? {
            self.program(&format!("{to}/{name}"), &contents)?;
        }
        Ok(())
    }

    /// Adds the files of the folder `from` below `to`.
    pub fn files_from(&mut self, from: &Path, to: &str) -> Result<()> {
        for (name, contents) in read_files(from)? {
            self.file(&format!("{to}/{name}"), &contents)?;
        }
        Ok(())
    }

    /// The finished archive; another one may follow it.
    pub fn finish(self) -> Result<Vec<u8>> {
        let mut bytes = newc::trailer(self.bytes)?;
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        Ok(bytes)
    }

    fn with_parent(&mut self, path: &str, mode: u32, contents: &[u8]) -> Result<()> {
        let path = path.trim_start_matches('/');
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent)?;
        }
        self.entry(path, mode, contents)
    }

    fn entry(&mut self, path: &str, mode: u32, contents: &[u8]) -> Result<()> {
        use std::io::Write;
        self.inodes += 1;
        let size = u32::try_from(contents.len()).context("a file of an initramfs is below 4 GiB")?;
        let mut writer = newc::Builder::new(path)
            .ino(self.inodes)
            .mode(mode)
            .write(&mut self.bytes, size);
        writer.write_all(contents)?;
        writer.finish()?;
        Ok(())
    }
}

/// The folders in the folder `dir`.
pub fn folders(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path()));
    let paths: Vec<PathBuf> = paths.collect::<Result<_>>()?;
    Ok(paths.into_iter().filter(|path| path.is_dir()).collect())
}

/// The names and contents of the files of the folder `dir`, sorted.
fn read_files(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        if let Some(name) = path.file_name().filter(|_| path.is_file()) {
            files.insert(name.to_string_lossy().into_owned(), fs::read(&path)?);
        }
    }
    Ok(files)
}

/// The unpacked packages that root file systems are made of.
pub struct Sources {
    /// Xen's hypervisor, toolstack and the guests' programs.
    pub xen: PathBuf,
    /// The kernel and its modules.
    pub linux: PathBuf,
}

/// One of Debian's kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linux {
    /// The release's, which Dom0 has, too.
    Stable,
    /// The newest, of its backports.
    Newer,
}

impl Sources {
    /// Fetches them if need be.
    pub fn fetch() -> Result<Self> {
        Ok(Self {
            xen: fetch::XEN.root()?,
            linux: fetch::LINUX.root()?,
        })
    }

    /// Xen as QEMU's `-kernel` takes it.
    pub fn hypervisor(&self) -> PathBuf {
        self.xen.join("boot/xen-4.20-arm64")
    }

    /// Dom0's kernel, and the guests' unless they have another.
    pub fn kernel(&self) -> Result<PathBuf> {
        self.kernel_of(Linux::Stable)
    }

    /// One of Debian's kernels: in `boot`, or since Linux 7 beside its modules.
    pub fn kernel_of(&self, linux: Linux) -> Result<PathBuf> {
        let root = self.root_of(linux)?;
        let mut places = vec![root.join("boot")];
        places.extend(folders(&root.join("usr/lib/modules"))?);
        let is_kernel = |path: &PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy());
            path.is_file() && name.is_some_and(|name| name == "vmlinuz" || name.starts_with("vmlinuz-"))
        };
        let mut found = places.iter().filter_map(|place| fs::read_dir(place).ok());
        found
            .find_map(|mut entries| entries.find_map(|entry| Some(entry.ok()?.path()).filter(is_kernel)))
            .with_context(|| format!("no kernel in {}", root.display()))
    }

    /// The unpacked packages of a kernel; the newer one's are fetched if need be.
    pub fn root_of(&self, linux: Linux) -> Result<PathBuf> {
        match linux {
            Linux::Stable => Ok(self.linux.clone()),
            Linux::Newer => fetch::LINUX_NEWER.root(),
        }
    }

    /// Dom0 without what a scenario adds: Xen's toolstack, and `scripts` at its root (`init` among them). With `network`
    /// also a bridge, Linux's own network backend, and iperf3.
    pub fn dom0(&self, scripts: &Path, network: bool) -> Result<Vec<u8>> {
        let mut archive = Archive::default();
        self.base(&mut archive)?;
        self.programs(
            &mut archive,
            &[
                "usr/lib/xen-4.20/bin/xl",
                "usr/lib/xen-4.20/bin/xenstored",
                "usr/lib/xen-4.20/bin/xenconsoled",
                "usr/lib/xen-4.20/bin/xenconsole",
                "usr/lib/xen-4.20/bin/xen-init-dom0",
                "usr/lib/xen-4.20/bin/init-dom0less",
                "usr/lib/xen-4.20/bin/libxl-save-helper",
                "usr/lib/xen-4.20/bin/vchan-socket-proxy",
                "usr/bin/xenstore-read",
                "usr/bin/xenstore-write",
                "usr/bin/xenstore-ls",
                "usr/bin/xenstore-list",
                "usr/bin/xenstore-rm",
                "usr/bin/xenstore-chmod",
                "usr/bin/xenstore-watch",
                LIBGCC,
            ],
        )?;
        archive.symlink("usr/lib/xen-4.20/bin/xenstore-read", "/usr/bin/xenstore-read")?;
        // xenconsoled exits without its log folder, and `xl create` then waits for a console in vain.
        for directory in [
            "var/log/xen/console",
            "var/lib/xen",
            "var/run/xen",
            "run/xenstored",
            "etc/xen/scripts",
        ] {
            archive.directory(directory)?;
        }
        archive.file("etc/xen/xl.conf", b"autoballoon=0\n")?;
        let mut wanted = vec![
            "xen-evtchn",
            "xen-gntdev",
            "xen-gntalloc",
            "xen-privcmd",
            "xenfs",
            "virtio_mmio",
            "virtio_blk",
            "xen-blkback",
        ];
        if network {
            wanted.extend(["virtio_net", "e1000e", "bridge", "xen-netback", "8021q"]);
            self.programs(&mut archive, &[IPERF3])?;
            archive.symlink("etc/xen/scripts/vif-direct", "/vif-direct")?;
        }
        modules::put(&mut archive, modules::find(&self.linux, &wanted)?)?;
        archive.programs_from(scripts, "")?;
        archive.symlink("etc/xen/scripts/block-direct", "/block-direct")?;
        archive.finish()
    }

    /// The smallest root file system of a Linux that serves as a driver domain: `xl devd`, the backend, and the device's
    /// driver.
    pub fn linux_domain(&self, scripts: &Path, network: bool) -> Result<Vec<u8>> {
        let mut archive = Archive::default();
        self.base(&mut archive)?;
        self.programs(
            &mut archive,
            &[
                "usr/lib/xen-4.20/bin/xl",
                "usr/bin/xenstore-read",
                "usr/bin/xenstore-write",
            ],
        )?;
        for directory in ["var/log/xen", "var/lib/xen", "var/run/xen", "etc/xen/scripts"] {
            archive.directory(directory)?;
        }
        archive.file("etc/xen/xl.conf", b"autoballoon=0\n")?;
        modules::put(&mut archive, self.linux_domain_modules(network)?)?;
        archive.program("init", &fs::read(scripts.join("../bench/linux-domain/init"))?)?;
        for script in ["net.sh", "block-direct", "vif-direct"] {
            archive.program(script, &fs::read(scripts.join("dom0").join(script))?)?;
            archive.symlink(&format!("etc/xen/scripts/{script}"), &format!("/{script}"))?;
        }
        archive.finish()
    }

    /// The modules of the kernel that it has loaded: their names and contents.
    pub fn linux_domain_modules(&self, network: bool) -> Result<Vec<(String, Vec<u8>)>> {
        let device: &[&str] = if network {
            &["virtio_net", "bridge", "xen-netback"]
        } else {
            &["virtio_blk", "xen-blkback"]
        };
        let wanted = ["xen-evtchn", "xen-gntdev", "xen-privcmd", "xenfs", "virtio_mmio"];
        modules::find(&self.linux, &[&wanted, device].concat())
    }

    /// A stock guest: Debian's kernel modules, busybox, e2fsprogs, ioping, fio if `fio`, iperf3 and what XDP needs if `network`,
    /// what lets programs read keyboards if `input`, and `scripts` at its root.
    pub fn guest(
        &self,
        linux: Linux,
        scripts: &Path,
        fio: bool,
        network: bool,
        input: bool,
    ) -> Result<Vec<u8>> {
        let mut archive = Archive::default();
        self.base(&mut archive)?;
        let mut programs = vec!["usr/sbin/e2fsck", "usr/sbin/mke2fs", "usr/bin/ioping"];
        programs.extend(fio.then_some("usr/bin/fio"));
        if network {
            programs.extend([IPERF3, LIBGCC, IP]);
            archive.file("xdp/drop.o", &bpf::xdp(Action::Drop)?)?;
            archive.file("xdp/pass.o", &bpf::xdp(Action::Pass)?)?;
        }
        self.programs(&mut archive, &programs)?;
        let mut wanted = vec!["xen-blkfront", "xen-netfront", "ext4", "crc32c_generic", "8021q"];
        wanted.extend(input.then_some("evdev"));
        modules::put(&mut archive, modules::find(&self.root_of(linux)?, &wanted)?)?;
        archive.programs_from(scripts, "")?;
        archive.programs_from(&scripts.join("jobs"), "jobs")?;
        archive.finish()
    }

    /// The programs `paths` of Xen's packages with the libraries they load: their paths and contents.
    pub fn with_libraries(&self, paths: &[&str]) -> Result<Vec<(String, Vec<u8>)>> {
        let mut files = Vec::new();
        for path in elf::with_libraries(&self.xen, paths)? {
            let contents = fs::read(self.xen.join(&path)).with_context(|| path.display().to_string())?;
            files.push((path.to_string_lossy().into_owned(), contents));
        }
        Ok(files)
    }

    fn base(&self, archive: &mut Archive) -> Result<()> {
        for directory in ["dev", "proc", "sys", "run", "tmp", "mnt", "etc"] {
            archive.directory(directory)?;
        }
        for (link, to) in [
            ("bin", "usr/bin"),
            ("sbin", "usr/sbin"),
            ("lib", "usr/lib"),
            ("var/run", "/run"),
        ] {
            archive.symlink(link, to)?;
        }
        archive.program("usr/bin/busybox", &fs::read(self.xen.join("usr/bin/busybox"))?)?;
        archive.symlink("usr/bin/sh", "busybox")
    }

    /// Adds programs with the libraries they load.
    fn programs(&self, archive: &mut Archive, programs: &[&str]) -> Result<()> {
        for (path, contents) in self.with_libraries(programs)? {
            archive.program(&path, &contents)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_hold_what_was_put_in() {
        let mut archive = Archive::default();
        archive.program("/usr/bin/true", b"#!/bin/sh\n").unwrap();
        archive.symlink("usr/bin/false", "true").unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % 512, 0);

        let mut rest: &[u8] = &bytes;
        let mut seen = Vec::new();
        loop {
            let mut reader = newc::Reader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            let mut contents = Vec::new();
            std::io::Read::read_to_end(&mut reader, &mut contents).unwrap();
            seen.push((reader.entry().name().to_owned(), reader.entry().mode(), contents));
            rest = reader.finish().unwrap();
        }
        let names: Vec<&str> = seen.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["usr", "usr/bin", "usr/bin/true", "usr/bin/false"]);
        assert_eq!(seen[2].1, FILE | 0o755);
        assert_eq!(seen[2].2, b"#!/bin/sh\n");
        assert_eq!(
            (seen[3].1, seen[3].2.as_slice()),
            (SYMLINK | 0o777, b"true".as_slice())
        );
    }
}
