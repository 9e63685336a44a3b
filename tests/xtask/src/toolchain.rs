//! The compiler that builds driver domains: rustup's own if it knows the guest target, otherwise Debian's, with `core`
//! and `alloc` built once for the guest and kept in the cache beside it.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{cache, fetch, process};

/// The target of every arm64 image.
pub const TARGET: &str = "aarch64-unknown-none";

/// A compiler that can build for [`TARGET`].
#[derive(Debug)]
pub struct Toolchain {
    /// Debian's unpacked packages; none when rustup's compiler knows the target.
    debian: Option<PathBuf>,
    /// The linker, where the compiler does not bring one.
    linker: Option<PathBuf>,
    /// The folder that holds the compiler's libraries and their sources; it must not show in an image.
    sysroot: PathBuf,
}

impl Toolchain {
    /// Finds a compiler, downloading and preparing one if need be. With `OUTRIGGER_DEBIAN_RUST` in the environment it is
    /// Debian's even if rustup knows the target: to test that way, or to build the very image that others built.
    pub fn find() -> Result<Self> {
        let sysroot =
            PathBuf::from(process::output(Command::new("rustc").args(["--print", "sysroot"]))?.trim());
        let installed = sysroot.join("lib/rustlib").join(TARGET).join("lib");
        if installed.is_dir() && env::var_os("OUTRIGGER_DEBIAN_RUST").is_none() {
            return Ok(Self {
                debian: None,
                linker: None,
                sysroot,
            });
        }
        let linker = lld()?;
        let root = debian()?;
        let toolchain = Self {
            sysroot: root.join("usr"),
            debian: Some(root),
            linker: Some(linker),
        };
        cache::once(&toolchain.sysroot.join("lib/rustlib").join(TARGET), |place| {
            toolchain.build_libraries(place)
        })?;
        Ok(toolchain)
    }

    /// What it is, in a few words.
    pub fn describe(&self) -> String {
        match &self.debian {
            None => format!("rustup's, with {TARGET}"),
            Some(root) => format!("Debian's, in {}", root.display()),
        }
    }

    /// The environment in which cargo builds for the guest.
    pub fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        let mut environment = Vec::new();
        if let Some(root) = &self.debian {
            environment.push(("RUSTC", root.join("bin/rustc")));
        }
        if let Some(linker) = &self.linker {
            environment.push(("CARGO_TARGET_AARCH64_UNKNOWN_NONE_LINKER", linker.clone()));
        }
        environment
    }

    /// A cargo of this toolchain. Settings of a surrounding cargo that would reach the image are taken away.
    pub fn cargo(&self) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        for variable in [
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "RUSTC",
            "RUSTC_WRAPPER",
        ] {
            cargo.env_remove(variable);
        }
        cargo.envs(self.environment());
        cargo
    }

    /// Flags that keep this machine's paths out of what is built: the same source gives the same image anywhere.
    pub fn remap_flags(&self, workspace: &Path) -> Result<Vec<String>> {
        let cargo_home = match env::var_os("CARGO_HOME") {
            Some(home) => PathBuf::from(home),
            None => PathBuf::from(env::var_os("HOME").context("neither CARGO_HOME nor HOME is set")?)
                .join(".cargo"),
        };
        Ok([
            (workspace, "/outrigger"),
            (cargo_home.as_path(), "/cargo"),
            (self.sysroot.as_path(), "/rust"),
        ]
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()))
        .to_vec())
    }

    /// Builds `core`, `alloc` and `compiler_builtins` for the guest and lays them into `place` as rustup would.
    ///
    /// An empty crate is built with cargo's `-Zbuild-std`; the libraries it leaves behind are all that is wanted. Their
    /// own dependencies come with the sources, so this needs no network.
    fn build_libraries(&self, place: &Path) -> Result<()> {
        eprintln!("toolchain: building core and alloc for {TARGET}");
        let library = self
            .sysroot
            .join("lib/rustlib/src/rust/library")
            .canonicalize()
            .context("no library sources")?;
        let seed = place.join("seed");
        fs::create_dir_all(seed.join("src"))?;
        fs::write(seed.join("src/lib.rs"), "#![no_std]\n")?;
        let manifest = "[package]\nname = \"seed\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n\
                        [profile.release]\npanic = \"abort\"\ndebug = \"line-tables-only\"\n";
        fs::write(seed.join("Cargo.toml"), manifest)?;
        // Bitcode is for the image's own link-time optimisation.
        let flags = format!(
            "-Cembed-bitcode=yes --remap-path-prefix={}=/rust/library",
            library.display()
        );
        let mut cargo = self.cargo();
        cargo
            .current_dir(&seed)
            .args([
                "build",
                "--quiet",
                "--release",
                "--offline",
                "--target",
                TARGET,
                "-Zbuild-std=core,alloc",
            ])
            .args([
                "--config",
                "source.crates-io.replace-with=\"library\"",
                "--config",
            ])
            .arg(format!(
                "source.library.directory=\"{}\"",
                library.join("vendor").display()
            ))
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", flags)
            .env("CARGO_TARGET_DIR", seed.join("target"));
        process::run(&mut cargo)?;

        let lib = place.join("lib");
        fs::create_dir_all(&lib)?;
        for built in fs::read_dir(seed.join("target").join(TARGET).join("release/deps"))? {
            let built = built?;
            let name = built.file_name().to_string_lossy().into_owned();
            let ours = ["libcore-", "liballoc-", "libcompiler_builtins-"]
                .iter()
                .any(|prefix| name.starts_with(prefix));
            if ours && (name.ends_with(".rlib") || name.ends_with(".rmeta")) {
                fs::copy(built.path(), lib.join(name))?;
            }
        }
        cache::remove(&seed)
    }
}

/// Debian's compiler, unpacked; returns its folder.
pub fn debian() -> Result<PathBuf> {
    let root = fetch::RUST.root()?;
    cache::once(&root.join("bin"), write_wrappers)?;
    Ok(root)
}

/// The linker inside rustup's toolchain.
pub fn lld() -> Result<PathBuf> {
    let sysroot = process::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let linker = Path::new(sysroot.trim())
        .join("lib/rustlib")
        .join(host_triple()?)
        .join("bin/rust-lld");
    if !linker.exists() {
        bail!(
            "missing on this host: rust-lld (`rustup component add llvm-tools`, or `rustup target add {TARGET}`)"
        );
    }
    Ok(linker)
}

/// Debian's compiler finds its libraries only where Debian installs them; these scripts show it where they are.
fn write_wrappers(bin: &Path) -> Result<()> {
    fs::create_dir_all(bin)?;
    let libraries = format!("$root/usr/lib/{}-linux-gnu", env::consts::ARCH);
    let wrapper = |exec: &str| {
        format!("#!/bin/sh\nroot=$(dirname \"$0\")/..\nLD_LIBRARY_PATH={libraries} exec {exec} \"$@\"\n")
    };
    for program in ["rustc", "rustdoc", "clippy-driver"] {
        fs::write(
            bin.join(program),
            wrapper(&format!("\"$root/usr/bin/{program}\"")),
        )?;
    }
    // What `cargo clippy` does, with a compiler whose libraries cargo itself must not see.
    let clippy =
        "#!/bin/sh\nRUSTC_WORKSPACE_WRAPPER=$(dirname \"$0\")/clippy-driver exec cargo check \"$@\"\n";
    fs::write(bin.join("clippy"), clippy)?;
    for program in fs::read_dir(bin)? {
        fs::set_permissions(program?.path(), fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// The host's target, as rustc calls it.
pub fn host_triple() -> Result<String> {
    let version = process::output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

/// Prints the environment for a shell.
pub fn print_environment() -> Result<()> {
    let toolchain = Toolchain::find()?;
    for (name, value) in toolchain.environment() {
        println!("export {name}='{}'", value.display());
    }
    if let Some(root) = &toolchain.debian {
        println!("export GUEST_CLIPPY='{}'", root.join("bin/clippy").display());
    }
    Ok(())
}
