//! Time that a host takes from a machine's processors: their threads are stopped, one at a time, by a fixed pattern.
//!
//! A thread of the host that does not run is all that a guest sees of a host with other work. What is stopped is a single thread, which
//! signals cannot do (`SIGSTOP` stops a process) and `ptrace` can. The host may have other work besides, so what the processors
//! got is measured, too, and verdicts are relative to that.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// How long a processor stands still.
pub const STOP: Duration = Duration::from_millis(50);
/// How long all of them run before the next one is stopped.
const RUN: Duration = Duration::from_millis(50);

/// Stops processors until it is dropped.
#[derive(Debug)]
struct Thief {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Thief {
    /// Begins to steal from the processors of the machine that this process is.
    ///
    /// # Errors
    /// It has no threads that are processors.
    fn start(qemu: u32) -> Result<Self> {
        let processors = processors(qemu)?;
        let ends = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ends);
        let thread = thread::spawn(move || {
            for processor in processors.iter().cycle() {
                if seen.load(Ordering::Relaxed) {
                    return;
                }
                if let Err(error) = stop(*processor) {
                    eprintln!("boot: a processor cannot be stopped: {error}");
                    return;
                }
                thread::sleep(RUN);
            }
        });
        Ok(Self {
            ends,
            thread: Some(thread),
        })
    }
}

impl Drop for Thief {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has said what went wrong.
            let _ = thread.join();
        }
    }
}

/// One processor stands still for [`STOP`]. Whoever traces a thread is the thread that stops it, so both are the same here.
fn stop(processor: Pid) -> nix::Result<()> {
    match ptrace::seize(processor, ptrace::Options::empty()) {
        // The machine is off.
        Err(Errno::ESRCH) => return Ok(()),
        seized => seized?,
    }
    ptrace::interrupt(processor)?;
    let status = waitpid(processor, Some(WaitPidFlag::__WALL))?;
    thread::sleep(STOP);
    // A signal that came first has stopped it instead, and is passed on.
    let signal = match status {
        WaitStatus::Stopped(_, signal) => Some(signal),
        _ => None,
    };
    match ptrace::detach(processor, signal) {
        Err(Errno::ESRCH) => Ok(()),
        detached => detached,
    }
}

/// A time in which it is watched what the processors get of the host's time, and in which some may be taken from them.
#[derive(Debug, Default)]
pub struct Window {
    thief: Option<Thief>,
    watch: Option<Watch>,
}

impl Window {
    /// Begins one on the machine that this process is; ends the one before.
    ///
    /// # Errors
    /// It has no threads that are processors.
    pub fn begin(&mut self, qemu: u32, steal: bool) -> Result<()> {
        self.watch = Some(Watch::start(qemu)?);
        self.thief = steal.then(|| Thief::start(qemu)).transpose()?;
        Ok(())
    }

    /// Ends it, and tells what they got.
    ///
    /// # Errors
    /// None was begun.
    pub fn end(&mut self) -> Result<Time> {
        self.thief = None;
        self.watch.take().context("no window was begun")?.end()
    }
}

/// What became of the time of a machine's processors.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    /// The longest that one wanted to run and did not.
    pub longest: Duration,
    /// The part of the time in which they wanted to run that they got, from 0 to 1.
    pub share: f64,
}

/// Watches the processors until it is asked what it saw.
#[derive(Debug)]
struct Watch {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<Time>,
}

/// How often it looks.
const LOOK: Duration = Duration::from_millis(5);

impl Watch {
    /// Of the machine that this process is.
    ///
    /// # Errors
    /// It has no threads that are processors.
    fn start(qemu: u32) -> Result<Self> {
        let processors = processors(qemu)?;
        let ends = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ends);
        let thread = thread::spawn(move || {
            let mut threads: Vec<Seen> = processors.iter().map(|id| Seen::new(qemu, *id)).collect();
            while !seen.load(Ordering::Relaxed) {
                thread::sleep(LOOK);
                threads.iter_mut().for_each(Seen::look);
            }
            let ran: Duration = threads.iter().map(|thread| thread.ran).sum();
            let wanted: Duration = threads.iter().map(|thread| thread.ran + thread.kept).sum();
            Time {
                longest: threads
                    .iter()
                    .map(|thread| thread.longest)
                    .max()
                    .unwrap_or_default(),
                share: ran.as_secs_f64() / wanted.as_secs_f64().max(1e-9),
            }
        });
        Ok(Self { ends, thread })
    }

    /// What it saw.
    ///
    /// # Errors
    /// It panicked.
    fn end(self) -> Result<Time> {
        self.ends.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .ok()
            .context("who watches the processors has panicked")
    }
}

/// One processor's thread.
struct Seen {
    stat: String,
    schedstat: String,
    on_cpu: Option<u64>,
    looked: Instant,
    /// Since when it has wanted to run in vain.
    since: Instant,
    ran: Duration,
    kept: Duration,
    longest: Duration,
}

impl Seen {
    fn new(qemu: u32, id: Pid) -> Self {
        let task = format!("/proc/{qemu}/task/{id}");
        let now = Instant::now();
        Self {
            stat: format!("{task}/stat"),
            schedstat: format!("{task}/schedstat"),
            on_cpu: None,
            looked: now,
            since: now,
            ran: Duration::ZERO,
            kept: Duration::ZERO,
            longest: Duration::ZERO,
        }
    }

    /// Its time on a processor of the host's since the last look; the rest was kept from it unless it sleeps by itself.
    fn look(&mut self) {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let Some(on_cpu) = read(&self.schedstat)
            .split(' ')
            .next()
            .and_then(|ns| ns.parse().ok())
        else {
            return;
        };
        // Behind the name, which may hold anything but a bracket: R runs or wants to, t is stopped by us.
        let stat = read(&self.stat);
        let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
        let now = Instant::now();
        let before = self.on_cpu.replace(on_cpu).unwrap_or(on_cpu);
        let (ran, passed) = (Duration::from_nanos(on_cpu - before), now - self.looked);
        self.ran += ran;
        if matches!(state, Some('R' | 't')) {
            self.kept += passed.saturating_sub(ran);
        }
        if state == Some('S') {
            self.since = now;
        }
        // If it ran in between, no more than the rest of the time since the last look was one pause.
        self.longest = self.longest.max((now - self.since).saturating_sub(ran));
        if ran > Duration::ZERO {
            self.since = now;
        }
        self.looked = now;
    }
}

/// The threads that are processors.
fn processors(qemu: u32) -> Result<Vec<Pid>> {
    let mut found = Vec::new();
    for task in fs::read_dir(format!("/proc/{qemu}/task"))? {
        let task = task?;
        if fs::read_to_string(task.path().join("comm"))?.starts_with("CPU ") {
            let id = task.file_name().to_string_lossy().parse();
            found.push(Pid::from_raw(id.context("a thread has a number")?));
        }
    }
    if found.is_empty() {
        bail!("QEMU has no threads called CPU; is it a machine of several processors?");
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::{Command, Stdio};

    use super::*;

    /// A program that always wants to run, called as QEMU calls its processors' threads.
    #[test]
    fn a_processor_is_stopped_and_seen_to_stand_still() {
        let name = std::env::temp_dir().join(format!("CPU {}", std::process::id()));
        symlink("/usr/bin/yes", &name).expect("a name for it");
        let yes = Command::new(&name).stdout(Stdio::null()).spawn();
        fs::remove_file(&name).expect("it is there");
        let mut yes = yes.expect("coreutils are there");
        let time = (|| {
            // It has another name until it runs.
            thread::sleep(Duration::from_millis(100));
            let mut window = Window::default();
            window.begin(yes.id(), true)?;
            thread::sleep(Duration::from_secs(1));
            window.end()
        })();
        let still_runs = yes.try_wait().is_ok_and(|ended| ended.is_none());
        yes.kill().expect("it is ours");
        yes.wait().expect("it is ours");
        let time = time.expect("it is watched");
        assert!(
            still_runs && time.longest >= STOP * 4 / 5 && time.share < 0.8,
            "{time:?}"
        );
        assert!(Window::default().end().is_err());
        assert!(
            Window::default().begin(std::process::id(), false).is_err(),
            "no processors"
        );
    }
}
