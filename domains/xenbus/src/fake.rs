//! For host tests of a class: a driver domain on FakeXen, driven as [`serve`](crate::serve) drives the image's, and failing
//! where a test wants it to.

mod costs;
mod crash;
mod quiet;

use core::cell::{Cell, RefCell};
use core::convert::Infallible;
use core::pin::Pin;
use core::time::Duration;
use std::boxed::Box;

use outrigger_xen::fake::{Domain, FakePages};
use outrigger_xen::xenstore::{XenStore, poll_once};
use outrigger_xen::{Clock, Cpu, EventChannels, Instant, Wake};

use crate::late::Late;
use crate::{Backend, Service};

pub use costs::{Meter, Registers, Table};
pub use crash::{Others, assert_nothing_left, every_step, live, live_for, spoil, words_kept};
pub use quiet::{opt_out, quiet, quiet_domain};

/// One life of a driver domain: what its loop works with.
pub struct Life<'a, S> {
    /// The class.
    pub service: &'a S,
    dd: Domain,
    store: &'a XenStore<FakePages>,
    backend: &'a Backend<'a, FakePages, S>,
    run: RefCell<Pin<Box<dyn Future<Output = Infallible> + 'a>>>,
    turns: Cell<u64>,
    deadline: Cell<Option<Instant>>,
    /// Only if a test wants it: what is lost shows otherwise.
    late: RefCell<Option<Late>>,
    expects: Cell<bool>,
}

impl<S: Service> Life<'static, S> {
    /// The only life of a domain that never fails; what it works with is never freed.
    pub fn only(dd: &Domain, service: &'static S) -> Self {
        let store = Box::leak(Box::new(dd.xen().xenstored().client(dd.id())));
        let host: &Domain = Box::leak(Box::new(dd.clone()));
        let backend = Box::leak(Box::new(Backend::new(store, host, service)));
        Self::new(dd, service, store, backend)
    }
}

impl<'a, S: Service> Life<'a, S> {
    /// The life of `dd` with this control plane.
    pub fn new(
        dd: &Domain,
        service: &'a S,
        store: &'a XenStore<FakePages>,
        backend: &'a Backend<'a, FakePages, S>,
    ) -> Self {
        Self {
            service,
            dd: dd.clone(),
            store,
            backend,
            run: RefCell::new(Box::pin(async { match backend.run().await {} })),
            turns: Cell::new(0),
            deadline: Cell::new(None),
            late: RefCell::new(None),
            expects: Cell::new(false),
        }
    }

    /// From now on the loop looks at what nobody has announced, as the image's does.
    pub fn look_late(&self) {
        *self.late.borrow_mut() = Some(Late::default());
    }

    /// How often that has found something.
    pub fn late_looks(&self) -> u64 {
        self.late.borrow().map_or(0, |late| late.found())
    }

    /// Turns of the loop so far.
    pub fn turns(&self) -> u64 {
        self.turns.get()
    }

    /// One turn of the loop. True if it would not have slept after it.
    pub fn turn(&self, wake: Wake) -> bool {
        self.turns.set(self.turns.get() + 1);
        self.dd.watch(true);
        let mut late = self.late.borrow_mut();
        let wake = late
            .as_mut()
            .map_or(wake, |late| late.begin(wake, self.service, &self.dd));
        let turn = self.service.turn(wake);
        if let Some(late) = &mut *late {
            late.judge(&turn);
        }
        drop(late);
        self.expects.set(turn.expects);
        if turn.poke {
            self.backend.poke();
        }
        self.deadline.set(turn.deadline);
        let mut moved = false;
        for look in 0..10_000 {
            let served = self.dd.xen().xenstored().serve();
            let polled = self.store.poll();
            let due = self.is_past(self.backend.next_deadline());
            let first = self.turns.get() == 1 && look == 0;
            if !(served || polled || due || self.backend.is_poked() || first) {
                break;
            }
            moved |= served || polled;
            self.dd.watch(true);
            self.dd.step();
            let _ = poll_once(self.run.borrow_mut().as_mut());
        }
        self.dd.watch(false);
        turn.more_work || moved || self.service.has_work()
    }

    /// What woke the domain; nothing if it would sleep on.
    pub fn woken(&self) -> Option<Wake> {
        let wake = self.dd.clone().wait(Some(self.dd.now()));
        let mut late = self.late.borrow_mut();
        let deadlines = [
            self.deadline.get(),
            self.backend.next_deadline(),
            self.backend.sweep(),
            late.as_mut()
                .and_then(|late| late.deadline(self.expects.get(), &self.dd)),
        ];
        let timer = deadlines.into_iter().any(|deadline| self.is_past(deadline));
        let wake = Wake { timer, ..wake };
        (wake.events || !wake.devices.is_empty() || wake.timer).then_some(wake)
    }

    /// Runs the loop until it sleeps. A wake-up that gets lost shows as work that is not done.
    ///
    /// # Panics
    /// It never does.
    pub fn settle(&self) {
        let mut wake = Some(self.woken().unwrap_or_default());
        for _ in 0..100_000 {
            let Some(this) = wake else { return };
            wake = self.turn_and_look(this);
        }
        panic!("the loop never sleeps");
    }

    /// Time passes, in small steps.
    pub fn advance(&self, ms: u64) {
        for _ in 0..ms.div_ceil(10) {
            self.dd.xen().advance(Duration::from_millis(10));
            self.settle();
        }
    }

    /// A millisecond passes. No turn is taken unless something wakes the domain.
    pub fn pass_ms(&self) {
        self.dd.xen().advance(Duration::from_millis(1));
        if self.woken().is_some() {
            self.settle();
        }
    }

    /// What devices and guests have announced and nobody has taken is lost on its way.
    pub fn lose_announcements(&self) {
        let mut cpu = self.dd.clone();
        cpu.wait(Some(Instant(0)));
        self.dd.take_pending(&mut |_| {});
    }

    /// One turn, and what is the reason for the next; nothing if it sleeps.
    fn turn_and_look(&self, wake: Wake) -> Option<Wake> {
        let busy = self.turn(wake);
        // What a connection made active is looked at after the control plane.
        self.woken().or(busy.then(Wake::default))
    }

    fn is_past(&self, moment: Option<Instant>) -> bool {
        moment.is_some_and(|moment| moment <= self.dd.now())
    }
}
