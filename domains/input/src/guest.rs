//! A guest: the keys that it was told are pressed, the events that wait for it, and its ring.

use alloc::collections::VecDeque;
use core::time::Duration;

use outrigger_devices::InputReport;
use outrigger_kbdif::{Event, KEYS};
use outrigger_ring::{EventWriter, Overflow, SharedPages};
use outrigger_xen::{EventChannels, Instant, Port};

use crate::chord::KeySet;

/// Events that wait for a guest, at most.
const WAITING: usize = 256;
/// Events that a guest gets in a [`WINDOW`]: whoever reads Linux's evdev loses what comes in larger bursts.
const BURST: u32 = 28;
const WINDOW: Duration = Duration::from_millis(10);

/// What outlives a restart: a bit per key, a bit per finger, and whether the guest has the focus.
const FINGERS: usize = KEYS / 8;
const FOCUS: usize = FINGERS + 8;
pub(crate) const RECORD_BYTES: usize = FOCUS + 8;

outrigger_backend::counters! {
    /// What was done for a guest since it connected.
    pub struct Counters {
        /// Events that it got.
        pub events: u64,
        /// Notifications sent.
        pub notifications: u64,
        /// Events lost because it does not read.
        pub dropped: u64,
    }
}

/// What a frontend wants, and how large its screens are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wants {
    pub(crate) absolute: bool,
    pub(crate) touch: bool,
    /// Greatest X and Y of the pointer.
    pub(crate) size: [u32; 2],
    /// Of fingers.
    pub(crate) touch_size: [u32; 2],
    pub(crate) contacts: u32,
}

/// A connected guest.
pub(crate) struct Guest<P> {
    writer: EventWriter<P>,
    port: Port,
    record: P,
    wants: Wants,
    waiting: VecDeque<Event>,
    /// Keys that it was told are pressed.
    told: KeySet,
    /// Fingers that it was told touch, a bit each.
    fingers: u64,
    /// The same as the record has it: with those of which the end is not published yet.
    kept: (KeySet, u64),
    /// Where its pointer is, in pixels.
    place: [u32; 2],
    /// Events were lost, perhaps releases.
    lost: bool,
    /// When the window began, and the events since.
    window: (Instant, u32),
    pub counters: Counters,
}

impl<P: SharedPages> Guest<P> {
    /// A guest that was attached to. Its record says what an earlier life has told it, which is to be [released](Self::release).
    pub fn new(writer: EventWriter<P>, port: Port, record: P, wants: Wants) -> Self {
        let told = KeySet::from_words(core::array::from_fn(|word| record.load_u64(8 * word)));
        let fingers = record.load_u64(FINGERS);
        Self {
            told,
            fingers,
            kept: (told, fingers),
            writer,
            port,
            record,
            wants,
            waiting: VecDeque::with_capacity(WAITING),
            place: wants.size.map(|size| size / 2),
            lost: false,
            window: (Instant(0), 0),
            counters: Counters::default(),
        }
    }

    /// Whether it had the focus when the last life ended.
    pub fn had_focus(&self) -> bool {
        self.record.load_u64(FOCUS) == 1
    }

    pub fn keep_focus(&self, focus: bool) {
        self.record.store_u64(FOCUS, focus.into());
    }

    /// Whether events wait for it.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Queues an event; false if it is lost. Movements that wait become one.
    fn queue(&mut self, event: Event) -> bool {
        if self.waiting.back_mut().is_some_and(|last| last.merge(event)) {
            return true;
        }
        let has_room = self.waiting.len() < WAITING;
        if has_room {
            self.waiting.push_back(event);
        } else {
            self.counters.dropped += 1;
            self.lost = true;
        }
        has_room
    }

    /// A key was pressed (1), repeated (2) or released (0). The guest is told of the end of what it was told of, and of
    /// nothing else.
    pub fn key(&mut self, code: u16, value: i32) {
        if (value == 1) == self.told.contains(code.into()) {
            return;
        }
        let (at, pressed) = (usize::from(code), value != 0);
        if self.queue(Event::Key { code, pressed }) {
            match value {
                0 => self.told.remove(at),
                _ => self.told.insert(at),
            }
            self.keep();
        }
    }

    /// Has the record say all that the guest may know to be pressed. A life that ends before an event is published releases what
    /// was never pressed, which Linux takes no notice of; it never leaves anything pressed.
    fn keep(&mut self) {
        let (keys, fingers) = &mut self.kept;
        if self.waiting.is_empty() {
            (*keys, *fingers) = (KeySet::default(), 0);
        }
        keys.extend(self.told);
        *fingers |= self.fingers;
        for (at, word) in keys.words().iter().chain([&*fingers]).enumerate() {
            if self.record.load_u64(8 * at) != *word {
                self.record.store_u64(8 * at, *word);
            }
        }
    }

    /// The pointer was moved; the guest is told in the way that it wants to hear of it, whatever the device says.
    pub fn point(&mut self, report: &InputReport) {
        let (size, old, z) = (self.wants.size, self.place, report.wheel.saturating_neg());
        let axis = |axis: usize| match report.has_moved {
            true => report.place[axis].of(size[axis]),
            false => old[axis]
                .saturating_add_signed(report.motion[axis])
                .min(size[axis]),
        };
        self.place = [axis(0), axis(1)];
        let [x, y] = self.place;
        // Sizes are far below 2³¹.
        let moved = [x as i32 - old[0] as i32, y as i32 - old[1] as i32];
        let [dx, dy] = if report.has_moved { moved } else { report.motion };
        self.queue(match self.wants.absolute {
            true => Event::Position { x, y, z },
            false => Event::Motion { x: dx, y: dy, z },
        });
    }

    /// Fingers touch, have moved, or are gone.
    pub fn touch(&mut self, report: &InputReport) {
        let most = if self.wants.touch {
            self.wants.contacts as usize
        } else {
            0
        };
        let [width, height] = self.wants.touch_size;
        let mut any = false;
        for (contact, finger) in report
            .fingers
            .iter()
            .enumerate()
            .take(most)
            .filter(|(_, finger)| finger.changed)
        {
            let [x, y] = finger.place;
            any |= self.finger(contact as u8, finger.touches.then(|| (x.of(width), y.of(height))));
        }
        if any {
            self.queue(Event::TouchSync);
        }
    }

    fn finger(&mut self, contact: u8, place: Option<(u32, u32)>) -> bool {
        let (bit, down) = (1 << contact, self.fingers & 1 << contact == 0);
        let queued = match place {
            Some((x, y)) => self.queue(Event::Touch { contact, down, x, y }),
            None => !down && self.queue(Event::Lift { contact }),
        };
        if queued {
            self.fingers = self.fingers & !bit | if place.is_some() { bit } else { 0 };
            self.keep();
        }
        queued
    }

    /// Releases all that it was told is pressed, but for these keys, and lifts all fingers.
    pub fn release(&mut self, but: &KeySet) {
        for code in self.told.iter().filter(|code| !but.contains(*code)) {
            self.key(code as u16, 0);
        }
        let fingers = self.fingers;
        (0..64)
            .filter(|contact| fingers & 1 << contact != 0)
            .for_each(|contact| {
                self.finger(contact, None);
            });
        if fingers != 0 {
            self.queue(Event::TouchSync);
        }
    }

    /// Gives the guest what waits for it, as much as it takes now. `pressed` are the keys that are, if it has the focus. When to
    /// go on, if that is not when the guest has read something.
    ///
    /// # Errors
    /// The index that the guest writes makes no sense.
    #[inline]
    pub fn flush(
        &mut self,
        hv: &impl EventChannels,
        now: Instant,
        pressed: &KeySet,
    ) -> Result<Option<Instant>, Overflow> {
        let room = self.writer.room()?;
        if now >= self.window.0.after(WINDOW) {
            self.window = (now, 0);
        }
        let allowed = BURST - self.window.1;
        let mut left = room.min(allowed);
        while left > 0 {
            let Some(event) = self.waiting.pop_front() else {
                if !core::mem::take(&mut self.lost) {
                    break;
                }
                self.release(pressed);
                continue;
            };
            self.writer.put(&event.encode());
            (left, self.window.1) = (left - 1, self.window.1 + 1);
            self.counters.events += 1;
        }
        if self.writer.push() {
            self.counters.notifications += 1;
            hv.notify(self.port);
            self.keep();
        }
        let waits = !self.waiting.is_empty() || self.lost;
        Ok((waits && room > allowed).then(|| self.window.0.after(WINDOW)))
    }
}
