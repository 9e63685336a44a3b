//! Looking at one device and doing what is next for it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use outrigger_ring::SharedPages;
use outrigger_xen::Instant;
use outrigger_xen::xenstore::XsError;

use crate::backend::{Backend, RETRY};
use crate::device::Device;
use crate::machine::{HOLD, Shown};
use crate::publish::{Unpublished, publish};
use crate::transcript::{self, Kept};
use crate::{DeviceClass, Phase, State, Step, decide};

/// Steps that a device takes before the next device has its turn.
const STEPS: usize = 4;
/// Most characters of a refusal that go to XenStore, which takes no value above 2 KiB.
const ERROR_MAX: usize = 500;

impl<P: SharedPages, C: DeviceClass> Backend<'_, P, C> {
    /// Takes a device as far as it goes without waiting, as its pace allows and as its turn lasts.
    pub(crate) async fn attend(&self, device: &mut Device) {
        device.dirty = false;
        device.wake = None;
        for _ in 0..STEPS {
            let now = self.host.now();
            if let Err(later) = device.steps.take(now) {
                device.wake = Some(later);
                return;
            }
            let taken = match device.look(self.store, self.is_released(device.id)).await {
                Ok(seen) => self.take_step(device, decide(device.phase, seen, now)).await,
                Err(error) => Err(error),
            };
            match taken {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    self.say(device, log::Level::Error, &error.to_string());
                    device.wake = Some(self.host.now().after(RETRY));
                    return;
                }
            }
        }
        device.dirty = true;
    }

    /// Takes one step. True if there may be another.
    async fn take_step(&self, device: &mut Device, step: Step) -> Result<bool, XsError> {
        match step {
            Step::Wait if device.phase == Phase::Connected && !device.update.is_empty() => {
                return self.rewrite(device).await;
            }
            Step::Wait if device.phase == Phase::Connected && device.unannounced.is_some() => {
                let keys = device.unannounced.take().unwrap_or_default();
                return self.announce(device, &keys).await;
            }
            Step::Wait => return Ok(false),
            Step::GiveUp => {
                let lost = "its rings were lost when this domain restarted; detach it and attach it again";
                device.error.get_or_insert_with(|| lost.into());
                if self.publish(device, State::Closing, &[]).await? {
                    device.phase = Phase::Closing;
                }
            }
            Step::WaitUntil(moment) => {
                device.wake = Some(moment);
                return Ok(false);
            }
            Step::Probe => return self.probe(device).await,
            Step::Connect => return self.connect(device).await,
            Step::Reread => self.reread(device).await,
            Step::Reconfigure(state) => {
                self.reread(device).await;
                if device.phase == Phase::Connected {
                    self.publish(device, state, &[]).await?;
                }
            }
            Step::Disconnect => self.let_go(device),
            Step::NoteClosing => {
                self.say(device, log::Level::Info, "asked to close");
                device.phase = Phase::Closing;
            }
            Step::Close => {
                if self.publish(device, State::Closing, &[]).await? {
                    device.phase = Phase::Closing;
                }
            }
            Step::Closed => return self.closed(device, true).await,
            Step::Beat => {
                if let Phase::InitWait(shown) | Phase::Closed { shown, .. } = &mut device.phase {
                    *shown = shown.beat(self.host.now());
                }
            }
            Step::NoteOffline | Step::Arm => {
                if let Phase::Closed {
                    shown,
                    offline,
                    armed,
                } = &mut device.phase
                {
                    if step == Step::Arm {
                        *armed = true;
                    } else {
                        (*shown, *offline) = (Shown::at(self.host.now()), true);
                    }
                }
            }
            Step::Delete => match self.store.rm(&device.backend).await {
                Ok(()) | Err(XsError::NoEntry) => self.say(device, log::Level::Info, "removed"),
                Err(error) => return Err(error),
            },
            Step::Forget => {
                device.forgotten = true;
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn probe(&self, device: &mut Device) -> Result<bool, XsError> {
        device.transcript.borrow_mut().clear();
        match self.class.probe(&device.nodes(self.store)).await {
            Ok(keys) => {
                if self.publish(device, State::InitWait, &keys).await? {
                    let shown = Shown::at(self.host.now());
                    let beats = if device.was_shown { HOLD } else { 0 };
                    device.phase = Phase::InitWait(Shown { beats, ..shown });
                    self.say(device, log::Level::Info, "waits for its frontend");
                    if core::mem::take(&mut device.told_error) {
                        self.store.rm(&alloc::format!("{}/error", device.backend)).await?;
                    }
                }
                Ok(true)
            }
            Err(refusal) => {
                device.error = Some(refusal.0);
                self.closed(device, false).await
            }
        }
    }

    /// Has the class read again what the frontend may change while connected.
    async fn reread(&self, device: &mut Device) {
        // What changes from here on is told once more.
        device.changed = false;
        if let Err(refusal) = self.class.reconfigure(&device.fresh_nodes(self.store)).await {
            device.error = Some(refusal.0);
            self.let_go(device);
        }
    }

    async fn connect(&self, device: &mut Device) -> Result<bool, XsError> {
        device.was_shown = true;
        device.changed = false;
        let connected = self.class.connect(&device.nodes(self.store)).await;
        // From here on the class may hold something, whatever becomes of the rest.
        device.phase = Phase::Connected;
        device.update.clear();
        match connected {
            Ok(keys) => {
                self.record(device);
                self.announce(device, &keys).await
            }
            Err(refusal) => {
                device.error = Some(refusal.0);
                self.let_go(device);
                Ok(true)
            }
        }
    }

    /// Publishes state 4 of a device that is attached to.
    async fn announce(&self, device: &mut Device, keys: &[(String, String)]) -> Result<bool, XsError> {
        match publish(self.store, device, State::Connected, keys).await {
            Ok(()) => {
                if let Some(kept) = self.host.kept(transcript::key(device.id)).and_then(Kept::find) {
                    kept.announce(keys);
                }
                self.say(device, log::Level::Info, "connected");
            }
            Err(unpublished) => {
                self.let_go(device);
                if let Unpublished::Failed(error) = unpublished {
                    return Err(error);
                }
            }
        }
        Ok(true)
    }

    /// Rewrites nodes of a connected device, and its state so that the frontend looks.
    async fn rewrite(&self, device: &mut Device) -> Result<bool, XsError> {
        let keys = core::mem::take(&mut device.update);
        let published = self.publish(device, State::Connected, &keys).await;
        if published != Ok(true) && device.update.is_empty() {
            device.update = keys;
            device.wake = Some(self.host.now().after(RETRY));
            return published.map(|_| false);
        }
        Ok(true)
    }

    /// Publishes state 6. `armed`: the frontend may begin again at once.
    async fn closed(&self, device: &mut Device, armed: bool) -> Result<bool, XsError> {
        let shortened = |error: &String| ("error".to_string(), error.chars().take(ERROR_MAX).collect());
        let error: Vec<(String, String)> = device.error.iter().map(shortened).collect();
        let mut published = self.publish(device, State::Closed, &error).await;
        if published.is_err() && !error.is_empty() {
            // There may be no room for the reason; the state must not wait for it.
            published = self.publish(device, State::Closed, &[]).await;
        }
        if published? {
            match device.error.take() {
                Some(error) => {
                    device.told_error = true;
                    self.say(device, log::Level::Error, &error);
                }
                None => self.say(device, log::Level::Info, "closed"),
            }
            device.phase = Phase::Closed {
                shown: Shown::at(self.host.now()),
                offline: false,
                armed,
            };
        }
        Ok(true)
    }

    /// Has the class let go.
    fn let_go(&self, device: &mut Device) {
        self.class.disconnect(device.id);
        self.host.forget(transcript::key(device.id));
        device.update.clear();
        device.unannounced = None;
        device.phase = Phase::Draining;
    }

    /// Publishes a state; false if the device has to be looked at again first.
    async fn publish(
        &self,
        device: &Device,
        state: State,
        keys: &[(String, String)],
    ) -> Result<bool, XsError> {
        match publish(self.store, device, state, keys).await {
            Ok(()) => Ok(true),
            Err(Unpublished::Changed) => Ok(false),
            Err(Unpublished::Failed(error)) => Err(error),
        }
    }

    /// A line in the log, unless there were too many about this device.
    fn say(&self, device: &mut Device, level: log::Level, line: &str) {
        let now: Instant = self.host.now();
        match device.may_log(now) {
            Some(0) => log::log!(level, "{} {}: {line}", C::KIND, device.id),
            Some(more) => log::log!(
                level,
                "{} {}: {line} ({more} earlier lines left out)",
                C::KIND,
                device.id
            ),
            None => {}
        }
    }
}
