//! The one loop of a driver domain: the data path's turns, the control plane beside them, and the sleep between.

use core::pin::pin;
use core::time::Duration;

use outrigger_ring::SharedPages;
use outrigger_update::Update;
use outrigger_xen::xenstore::{XenStore, poll_once};
use outrigger_xen::{Cpu, End, EventChannels, GrantRef, Instant, Wake};

use crate::late::Late;
use crate::{Backend, DeviceClass, Host};

/// What a turn of the data path leaves to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TurnOutcome {
    /// Take another turn without sleeping.
    pub more_work: bool,
    /// Take another turn at this moment, even if nothing happens.
    pub deadline: Option<Instant>,
    /// Events came for ports that are no ring's: the console's or XenStore's.
    pub other_events: bool,
    /// Some guest was answered.
    pub answered: bool,
    /// The control plane has something to see.
    pub poke: bool,
    /// There was something to take, from a guest or a device.
    pub found: bool,
    /// Something is to come that somebody waits for: a device has requests, or a guest has frames that wait for its pages.
    pub expects: bool,
}

/// A backend that the loop can drive.
pub trait Service: DeviceClass {
    /// One turn of the data path. Bounded, whatever any guest does.
    fn turn(&self, wake: Wake) -> TurnOutcome;
    /// Whether the control plane has left something for the data path to do, so that it must not sleep.
    fn has_work(&self) -> bool;
    /// The next turn looks at each ring as if its guest had notified us.
    fn look_at_rings(&self);
}

/// Serves until Dom0 asks for something else, and returns what it asked for. If that is the domain's end, guests have
/// `shutdown_wait` to close. `update` is where new images come in, and how Dom0 maps its page.
pub fn serve<P: SharedPages, H: Host<P> + EventChannels>(
    service: &impl Service,
    store: &XenStore<P>,
    host: &H,
    cpu: &mut impl Cpu,
    shutdown_wait: Duration,
    update: Option<(Update<P>, GrantRef)>,
) -> End {
    /// Has always passed: waiting for it only collects what is there.
    const NOW: Instant = Instant(0);
    let control = Backend::new(store, host, service);
    control.set_shutdown_wait(shutdown_wait);
    // Before XenStore: guests are waiting.
    control.resume();
    if let Some((update, gref)) = &update {
        control.offer_updates(*gref, update.port());
    }
    let update = update.map(|(update, _)| update);
    cpu.be_watched();
    let mut control_plane = pin!(control.run());
    let mut wake = Wake::default();
    let mut look = true;
    let mut answered = false;
    let mut late = Late::default();
    loop {
        // The event bitmap is cheaper to look at than the interrupt that announces it.
        wake = late.begin(wake, service, host);
        wake.events = true;
        let turn = service.turn(wake);
        late.judge(&turn);
        control.note_late_looks(late.found());
        if turn.poke {
            control.poke();
        }
        if turn.answered && !core::mem::replace(&mut answered, true) {
            control.note_first_answer();
        }
        look |= turn.other_events && store.poll();
        let update_at = update.as_ref().and_then(Update::deadline);
        if (turn.other_events || update_at.is_some())
            && let Some(image) = update.as_ref().and_then(|update| update.turn(host, host.now()))
        {
            return End::Update(image);
        }
        look |= control.is_poked() || control.next_deadline().is_some_and(|at| at <= host.now());
        if look {
            host.still_alive();
            let _ = poll_once(control_plane.as_mut());
            look = store.poll();
        }
        if let Some(shutdown) = control.take_shutdown() {
            return End::Shutdown(shutdown);
        }
        wake = cpu.wait(if turn.more_work || look || service.has_work() {
            Some(NOW)
        } else {
            let look_at = late.deadline(turn.expects, host);
            let deadlines = [
                turn.deadline,
                control.next_deadline(),
                control.sweep(),
                update_at,
                look_at,
            ];
            deadlines.into_iter().flatten().min()
        });
    }
}
