//! A private apt: its own lists, status and configuration under the cache. It reads the host's choice of mirror and
//! proxy, and changes nothing of the host's; it needs no privileges.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::{Architecture, Release, check_host};
use crate::{cache, process};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// One package as the archive offers it.
#[derive(Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its full version, epoch included.
    pub version: String,
    /// The size of its archive.
    pub bytes: u64,
}

/// An apt of our own for one architecture and one release.
pub struct Apt {
    dir: PathBuf,
    suite: String,
    /// Held while this exists: another run that updates the same lists meanwhile would have half of them missing, and apt take
    /// older packages from the rest.
    _lock: File,
}

impl Apt {
    /// Lays out the private folders and writes their configuration.
    ///
    /// Fails on a host without apt, on a host whose apt knows no Debian mirror, and on one without Debian's keyring.
    pub fn new(architecture: Architecture, release: Release) -> Result<Self> {
        Self::lay_out(architecture, release, "deb")
    }

    /// The same for a release's source packages.
    pub fn for_sources(release: Release) -> Result<Self> {
        Self::lay_out(Architecture::Host, release, "deb-src")
    }

    /// `kind`: of which packages lists are read, in the words of `sources.list`.
    fn lay_out(architecture: Architecture, release: Release, kind: &str) -> Result<Self> {
        check_host()?;
        if !Path::new(KEYRING).exists() {
            bail!("missing on this host: {KEYRING} (package debian-archive-keyring)");
        }
        let architecture = match architecture {
            Architecture::Host => process::output(Command::new("dpkg").arg("--print-architecture"))?
                .trim()
                .to_owned(),
            Architecture::Arm64 => "arm64".to_owned(),
        };
        let host =
            host_codename(&fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?)?;
        let targets = process::output(Command::new("apt-get").args([
            "indextargets",
            "--format",
            "$(SITE) $(RELEASE)",
            "Created-By: Packages",
        ]))?;
        let mirror = Mirror::find(&targets, &host)?;
        let codename = match release {
            Release::Host => host,
            Release::Trixie | Release::TrixieBackports => "trixie".to_owned(),
        };
        let backports = release == Release::TrixieBackports;
        let suite = if backports {
            format!("{codename}-backports")
        } else {
            codename.clone()
        };

        let name = if kind == "deb" {
            format!("{architecture}-{suite}")
        } else {
            format!("{architecture}-{suite}-sources")
        };
        let dir = cache::dir()?.join("apt").join(name);
        fs::create_dir_all(&dir)?;
        let lock = File::create(dir.join("lock"))?;
        lock.lock()?;
        for folder in ["etc/empty", "state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(folder))?;
        }
        fs::write(dir.join("state/status"), "")?;
        fs::write(
            dir.join("etc/sources.list"),
            mirror.sources(kind, &architecture, &codename, backports),
        )?;
        let host_settings = process::output(Command::new("apt-config").arg("dump"))?;
        fs::write(
            dir.join("etc/apt.conf"),
            configuration(&dir, &architecture, &suite, &host_settings),
        )?;
        Ok(Self {
            dir,
            suite,
            _lock: lock,
        })
    }

    /// The release's code name, and whether it is its backports.
    pub fn suite(&self) -> &str {
        &self.suite
    }

    /// Fetches the package lists.
    pub fn update(&self) -> Result<()> {
        process::output(self.apt_get().args(["-qq", "update", "--error-on=any"])).map(drop)
    }

    /// `packages` and everything they depend on.
    pub fn closure(&self, packages: &[&str]) -> Result<Vec<Package>> {
        let plan = process::output(
            self.apt_get()
                .args(["-qq", "install", "--print-uris"])
                .args(packages),
        )?;
        plan.lines()
            .filter(|line| line.starts_with('\''))
            .map(parse_uri)
            .collect()
    }

    /// Downloads exactly `packages` into the folder `to`; apt checks every archive's hash.
    pub fn download(&self, packages: &[Package], to: &Path) -> Result<()> {
        let mut command = self.apt_get();
        command.current_dir(to).arg("download");
        if !std::io::IsTerminal::is_terminal(&std::io::stderr()) {
            command.arg("-qq");
        }
        command.args(packages.iter().map(|p| format!("{}={}", p.name, p.version)));
        // Standard output is ours to speak on; apt's progress goes beside our own.
        process::run(command.stdin(Stdio::null()).stdout(std::io::stderr()))
    }

    /// Downloads the upstream part of a source package into the folder `to`; apt checks its hash.
    pub fn upstream(&self, package: &str, to: &Path) -> Result<PathBuf> {
        let mut list = self.apt_get();
        list.args(["-qq", "source", "--download-only", "--print-uris", package]);
        let plan = process::output(list.current_dir(to))?;
        let mut lines = plan.lines().filter_map(parse_source);
        let (uri, name, hash) = lines
            .find(|(_, name, _)| name.contains(".orig.tar.") && !name.ends_with(".asc"))
            .with_context(|| format!("apt-get names no upstream archive of {package}: {plan}"))?;
        let archive = to.join(name);
        let mut helper = self.command("/usr/lib/apt/apt-helper");
        helper.args(["-qq", "download-file", uri]).arg(&archive).arg(hash);
        process::output(&mut helper)?;
        Ok(archive)
    }

    fn apt_get(&self) -> Command {
        self.command("apt-get")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("APT_CONFIG", self.dir.join("etc/apt.conf"))
            .env("LC_ALL", "C");
        command
    }
}

/// Where the host gets Debian from.
#[derive(Debug, PartialEq, Eq)]
struct Mirror {
    archive: String,
    security: Option<String>,
}

impl Mirror {
    /// Picks the host's mirror out of `targets`, lines of "SITE RELEASE" as `apt-get indextargets` prints them.
    fn find(targets: &str, codename: &str) -> Result<Self> {
        let site = |release: &str| {
            targets
                .lines()
                .filter_map(|line| line.split_once(' '))
                .find(|(_, r)| *r == release)
                .map(|(s, _)| s.to_owned())
        };
        let archive = site(codename)
            .or_else(|| site("stable"))
            .with_context(|| format!("the host's apt sources name no Debian mirror for {codename}"))?;
        // A host may do without the security archive; mirrors keep it beside the main one.
        let beside = || {
            archive
                .trim_end_matches('/')
                .strip_suffix("/debian")
                .map(|base| format!("{base}/debian-security"))
        };
        let security = site(&format!("{codename}-security"))
            .or_else(|| site("stable-security"))
            .or_else(beside);
        Ok(Self { archive, security })
    }

    fn sources(&self, kind: &str, architecture: &str, codename: &str, backports: bool) -> String {
        let options = format!("{kind} [arch={architecture} signed-by={KEYRING}]");
        let mut sources = format!(
            "{options} {0} {codename} main\n{options} {0} {codename}-updates main\n",
            self.archive
        );
        if backports {
            sources += &format!("{options} {} {codename}-backports main\n", self.archive);
        }
        if let Some(security) = &self.security {
            sources += &format!("{options} {security} {codename}-security main\n");
        }
        sources
    }
}

/// `suite` is whose packages are preferred to newer ones of others.
fn configuration(dir: &Path, architecture: &str, suite: &str, host_settings: &str) -> String {
    // Backports are taken only if they are asked for. For a release itself nothing may be asked for: it would come before its
    // own security updates.
    let preferred = if suite.ends_with("-backports") {
        format!("APT::Default-Release \"{suite}\";\n")
    } else {
        String::new()
    };
    let dir = dir.display();
    // How the host reaches its mirror (proxies, retries, pinned addresses) holds for us too; nothing else does.
    let reach = [
        "Acquire::http",
        "Acquire::https",
        "Acquire::Retries",
        "Acquire::ForceIPv",
    ];
    let reach: String = host_settings
        .lines()
        .filter(|line| reach.iter().any(|key| line.starts_with(key)))
        .flat_map(|line| [line, "\n"])
        .collect();
    format!(
        r#"{reach}Dir::Etc::parts "{dir}/etc/empty";
Dir::Etc::main "{dir}/etc/empty/none";
Dir::Etc::sourcelist "{dir}/etc/sources.list";
Dir::Etc::sourceparts "{dir}/etc/empty";
Dir::Etc::preferences "{dir}/etc/empty/none";
Dir::Etc::preferencesparts "{dir}/etc/empty";
Dir::Etc::netrc "/etc/apt/auth.conf";
Dir::Etc::netrcparts "/etc/apt/auth.conf.d";
Dir::State "{dir}/state";
Dir::State::status "{dir}/state/status";
Dir::Cache "{dir}/cache";
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
{preferred}APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::GzipIndexes "true";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
"#
    )
}

/// The code name in an `os-release` file, if it is Debian's.
fn host_codename(os_release: &str) -> Result<String> {
    let value = |key: &str| {
        os_release
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map(|value| value.trim_matches('"'))
    };
    match (value("ID"), value("VERSION_CODENAME")) {
        (Some("debian"), Some(codename)) => Ok(codename.to_owned()),
        (id, _) => bail!(
            "this host is {}; a Debian 12 or 13 machine is needed",
            id.unwrap_or("unknown")
        ),
    }
}

/// Reads one line of `--print-uris`: `'URI' NAME_VERSION_ARCH.deb SIZE HASH`.
fn parse_uri(line: &str) -> Result<Package> {
    let parse = || {
        let mut words = line.split_whitespace().skip(1);
        let mut file = words.next()?.split('_');
        let name = file.next()?.to_owned();
        let version = file.next()?.replace("%3a", ":");
        Some(Package {
            name,
            version,
            bytes: words.next()?.parse().ok()?,
        })
    };
    parse().with_context(|| format!("apt-get printed a line this cannot read: {line}"))
}

/// Reads one line of `source --print-uris`: `'URI' NAME SIZE HASH`. Other lines are for people.
fn parse_source(line: &str) -> Option<(&str, &str, &str)> {
    let mut words = line.split_whitespace();
    let uri = words.next()?.strip_prefix('\'')?.strip_suffix('\'')?;
    let (name, _, hash) = (words.next()?, words.next()?, words.next()?);
    (!name.contains('/')).then_some((uri, name, hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirror_is_the_hosts_own() {
        let targets = "http://one.example/debian trixie-updates\nhttp://one.example/debian trixie\n\
                       http://two.example/sec trixie-security\nhttps://three.example stable-not\n";
        let mirror = Mirror::find(targets, "trixie").unwrap();
        assert_eq!(mirror.archive, "http://one.example/debian");
        assert_eq!(mirror.security.as_deref(), Some("http://two.example/sec"));
        assert!(Mirror::find(targets, "bookworm").is_err());
        let alone = Mirror::find("http://one.example/debian/ bookworm\n", "bookworm").unwrap();
        assert_eq!(
            alone.security.as_deref(),
            Some("http://one.example/debian-security")
        );
    }

    #[test]
    fn backports_are_asked_for_by_name() {
        let mirror = Mirror::find("http://one.example/debian trixie\n", "trixie").unwrap();
        let lines = |backports| {
            mirror
                .sources("deb", "arm64", "trixie", backports)
                .lines()
                .count()
        };
        assert_eq!([lines(false), lines(true)], [3, 4]);
        assert!(
            mirror
                .sources("deb", "arm64", "trixie", true)
                .contains("/debian trixie-backports main\n")
        );
        let ours = configuration(Path::new("/c"), "arm64", "trixie-backports", "");
        assert!(ours.contains("APT::Default-Release \"trixie-backports\";\n"));
        let ours = configuration(Path::new("/c"), "arm64", "trixie", "");
        assert!(!ours.contains("Default-Release"), "security updates come first");
    }

    #[test]
    fn only_debian_is_taken_for_debian() {
        assert_eq!(
            host_codename("ID=debian\nVERSION_CODENAME=\"bookworm\"\n").unwrap(),
            "bookworm"
        );
        assert!(host_codename("ID=other\nVERSION_CODENAME=bookworm\n").is_err());
    }

    #[test]
    fn uris_are_read() {
        let line = "'http://m.example/pool/p/perl_5%3a1.2-3_arm64.deb' perl_5%3a1.2-3_arm64.deb 42 SHA256:00";
        let wanted = Package {
            name: "perl".into(),
            version: "5:1.2-3".into(),
            bytes: 42,
        };
        assert_eq!(parse_uri(line).unwrap(), wanted);
        assert!(parse_uri("'http://m.example/'").is_err());
    }

    #[test]
    fn source_uris_are_read() {
        let line = "'http://m.example/u/u_1.orig.tar.bz2' u_1.orig.tar.bz2 42 SHA256:00";
        let wanted = (
            "http://m.example/u/u_1.orig.tar.bz2",
            "u_1.orig.tar.bz2",
            "SHA256:00",
        );
        assert_eq!(parse_source(line), Some(wanted));
        assert_eq!(
            parse_source("NOTICE: 'u-boot' packaging is maintained in git"),
            None
        );
        assert_eq!(parse_source("'http://m.example/x' ../x 42 SHA256:00"), None);
    }

    #[test]
    fn only_the_way_to_the_mirror_is_taken_from_the_host() {
        let host = "APT::Update::Post-Invoke:: \"rm -f /x\";\nAcquire::http::Proxy \"http://p.example\";\n";
        let ours = configuration(Path::new("/c"), "arm64", "trixie", host);
        assert!(ours.starts_with("Acquire::http::Proxy \"http://p.example\";\n"));
        assert!(!ours.contains("Post-Invoke"));
    }
}
