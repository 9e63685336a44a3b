//! The beginning of a later life: devices that an earlier one has served are attached to again, from what it has recorded,
//! before XenStore says a word. What cannot be attached to again is given up.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

use outrigger_ring::SharedPages;
use outrigger_xen::xenstore::poll_once;
use outrigger_xen::{Clock, Instant, Key, RESTART_STATE, Survivors};

use crate::backend::{BACKEND, Backend};
use crate::device::{Device, frontend_path};
use crate::join::join_all;
use crate::transcript::{self, Kept, Transcript};
use crate::{DeviceClass, DeviceId, Nodes, Phase, power};

/// What the control plane needs of the machine: the time, and what survives.
pub trait Host<P>: Clock + Survivors<Record = P> {}
impl<P, T: Clock + Survivors<Record = P>> Host<P> for T {}

/// How long mappings of the earlier life wait for somebody to claim them.
const CLAIM: Duration = Duration::from_secs(1);
/// Pages that are unmapped in one turn.
const SWEEP: usize = 64;
/// Lives that may fail while they attach to a device again, before it is given up.
const ATTEMPTS: u64 = 2;
/// Most characters of a reason that go to XenStore.
const REASON_MAX: usize = 500;

impl<P: SharedPages, C: DeviceClass> Backend<'_, P, C> {
    /// Attaches again to the devices that an earlier life has served; how many. To be called before
    /// [`run`](Self::run) is polled; in a first life there are none.
    pub fn resume(&self) -> usize {
        if self.host.life() == 0 {
            return 0;
        }
        if let Some(wish) = power::noted(self.host) {
            self.wish(wish);
        }
        let keys = self.host.keys();
        let mut resumed = Vec::new();
        for key in keys.iter().filter(|key| key.kind == Key::TRANSCRIPT) {
            let id = DeviceId {
                frontend: key.frontend,
                handle: key.handle,
            };
            match self.resume_device(id) {
                Ok(device) => resumed.push(device),
                Err(why) => {
                    log::error!("{} {id}: cannot be served again: {why}", C::KIND);
                    self.class.disconnect(id);
                    self.host.forget(*key);
                }
            }
        }
        for key in keys.iter().filter(|key| key.kind >= Key::CLASS) {
            let its = |device: &Device| (device.id.frontend, device.id.handle) == (key.frontend, key.handle);
            if !resumed.iter().any(its) {
                self.host.forget(*key);
            }
        }
        let count = resumed.len();
        self.resumed.replace(resumed);
        self.sweep_at.set(Some(self.host.now().after(CLAIM)));
        count
    }

    fn resume_device(&self, id: DeviceId) -> Result<Device, String> {
        let found = self.host.kept(transcript::key(id)).and_then(Kept::open);
        let (kept, transcript) = found.ok_or("what was recorded of it makes no sense")?;
        if kept.attempt() >= ATTEMPTS {
            return Err(format!("{ATTEMPTS} lives have failed over it"));
        }
        let mut device = Device::new(id, format!("{BACKEND}/{}/{id}", C::KIND), self.host.now());
        let frontend = frontend_path(&transcript.frontend, id.frontend).map_err(|refusal| refusal.0)?;
        let nodes: Nodes<'_, P> = Nodes::recorded(id, [&device.backend, &frontend], &transcript);
        self.at_once(self.class.probe(&nodes))?;
        let keys = self.at_once(self.class.connect(&nodes))?;
        device.phase = Phase::Connected;
        device.changed = !C::WATCHED.is_empty();
        if !kept.has_announced(&keys) {
            // It was connected, but state 4 may not have been published; or there is something else to say now.
            device.unannounced = Some(keys);
        }
        device.frontend = Some(frontend);
        device.transcript.replace(transcript);
        Ok(device)
    }

    /// A hook that has all it reads.
    fn at_once<T>(&self, hook: impl Future<Output = Result<T, crate::Refusal>>) -> Result<T, String> {
        match poll_once(pin!(hook)) {
            Poll::Ready(done) => done.map_err(|refusal| refusal.0),
            Poll::Pending => Err("it wants to know what was not recorded".into()),
        }
    }

    /// Takes up the resumed devices in the control plane.
    pub(crate) async fn take_resumed(&self) -> Vec<Device> {
        if self.host.life() == 0 {
            return Vec::new();
        }
        let mut devices = self.resumed.take();
        for device in &devices {
            if let Some(kept) = self.host.kept(transcript::key(device.id)).and_then(Kept::find) {
                kept.succeed();
            }
        }
        self.report_restart(devices.len()).await;
        // What the earlier life watched, and transactions that it had open.
        if let Err(error) = self.store.reset_watches().await {
            log::warn!("xenbus: watches of the earlier life stay: {error}");
        }
        for device in &mut devices {
            self.watch_frontend(device).await;
        }
        devices
    }

    /// Says, in the log and in XenStore, how the last life ended and how long nobody was served.
    async fn report_restart(&self, devices: usize) {
        let Some(ended) = self.host.ended() else { return };
        let life = self.host.life();
        let pause = self.host.now().since(ended.at).as_micros();
        log::info!("restart {life}: {devices} devices are served again after {pause} us");
        let reason: String = ended.reason.chars().take(REASON_MAX).collect();
        let trace: Vec<String> = ended
            .trace
            .iter()
            .map(|address| format!("{address:#x}"))
            .collect();
        let nodes = [
            (RESTART_STATE, "running".into()),
            ("data/restart/count", format!("{life}")),
            ("data/restart/reason", reason),
            ("data/restart/trace", trace.join(" ")),
            ("data/restart/pause-us", format!("{pause}")),
        ];
        let writes = join_all(nodes.iter().map(|(path, text)| self.store.write(path, text))).await;
        if let Some(error) = writes.into_iter().find_map(Result::err) {
            log::warn!("data/restart: {error}");
        }
    }

    /// Says, in the log, how long after the last life's end the first guest was answered.
    pub fn note_first_answer(&self) {
        if let Some(ended) = self.host.ended() {
            let pause = self.host.now().since(ended.at).as_micros();
            log::info!(
                "restart {}: the first answer came after {pause} us",
                self.host.life()
            );
        }
    }

    /// Unmaps some of what an earlier life had mapped and nobody has claimed, once it is time; when there is more to do.
    pub fn sweep(&self) -> Option<Instant> {
        let at = self.sweep_at.get()?;
        if at <= self.host.now() && !self.host.sweep(None, SWEEP) {
            self.sweep_at.set(None);
        }
        self.sweep_at.get()
    }

    /// Whether nothing of the guest's is held for a device any more, by this life or an earlier one.
    pub(crate) fn is_released(&self, device: DeviceId) -> bool {
        if !self.class.is_released(device) {
            return false;
        }
        if self.host.unclaimed(device.frontend) > 0 {
            self.host.sweep(Some(device.frontend), SWEEP);
        }
        let released = self.host.unclaimed(device.frontend) == 0;
        if !released {
            self.poke();
        }
        released
    }

    /// Records what a device has connected with, for the next life.
    pub(crate) fn record(&self, device: &Device) -> Option<Kept<P>> {
        let mut transcript: Transcript = device.transcript.borrow().clone();
        transcript.frontend.clone_from(device.frontend.as_ref()?);
        let kept = Kept::make(&transcript, |len| self.host.keep(transcript::key(device.id), len));
        if kept.is_none() {
            log::warn!(
                "{} {}: no room to record it: a restart will give it up",
                C::KIND,
                device.id
            );
        }
        kept
    }
}
