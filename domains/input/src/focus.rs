//! Who gets the events.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use outrigger_backend::NumberSet;
use outrigger_devices::InputReport;
use outrigger_kbdif::has_key;
use outrigger_ring::SharedPages;
use outrigger_xenbus::DeviceId;

use crate::chord::{Choice, Chord, KeySet};
use crate::guest::{Guest, Wants};

/// A guest's device.
pub(crate) struct Seat<P> {
    pub id: DeviceId,
    /// What the toolstack offers it.
    pub offers: Wants,
    pub guest: Option<Box<Guest<P>>>,
}

/// Guests, and which of them has the focus.
pub(crate) struct Focus<P> {
    /// By device number.
    pub seats: Vec<Option<Seat<P>>>,
    /// Who has it.
    now: Option<usize>,
    /// Who is to have it as soon as it is there: Dom0's word.
    wish: Option<DeviceId>,
    /// Dom0 is to be told who has it.
    tell: bool,
    /// Keys that are pressed.
    pressed: KeySet,
    chord: Chord,
    /// Guests for which something may wait.
    pub busy: NumberSet,
}

impl<P: SharedPages> Focus<P> {
    pub fn new(chord: Chord) -> Self {
        Self {
            seats: (0..NumberSet::<1>::CAPACITY).map(|_| None).collect(),
            now: None,
            wish: None,
            tell: false,
            pressed: KeySet::default(),
            chord,
            busy: NumberSet::default(),
        }
    }

    fn guest(&mut self, number: usize) -> Option<&mut Guest<P>> {
        self.seats[number].as_mut()?.guest.as_deref_mut()
    }

    /// The guest of this number, and the keys that are pressed for it.
    pub fn guest_and_keys(&mut self, number: usize) -> Option<(&mut Guest<P>, KeySet)> {
        let keys = if self.now == Some(number) {
            self.pressed
        } else {
            KeySet::default()
        };
        self.guest(number).map(|guest| (guest, keys))
    }

    /// The connected guests' numbers, in the order of their ids.
    fn order(&self) -> Vec<usize> {
        let ids = self.seats.iter().enumerate().filter_map(|(number, seat)| {
            let seat = seat.as_ref().filter(|seat| seat.guest.is_some())?;
            Some((seat.id, number))
        });
        let mut order: Vec<_> = ids.collect();
        order.sort();
        order.into_iter().map(|(_, number)| number).collect()
    }

    /// Moves the focus. What the guest that had it was told is pressed is released.
    fn go_to(&mut self, to: Option<usize>) {
        if to == self.now {
            return;
        }
        if let Some(old) = core::mem::replace(&mut self.now, to)
            && let Some(guest) = self.guest(old)
        {
            guest.release(&KeySet::default());
            guest.keep_focus(false);
            self.busy.insert(old);
        }
        self.tell = true;
        if let Some(seat) = to.and_then(|new| self.seats[new].as_ref()) {
            seat.guest.iter().for_each(|guest| guest.keep_focus(true));
            log::info!("focus: {}", seat.id);
        }
    }

    /// Moves the focus as somebody has chosen; false if there is no such guest.
    fn choose(&mut self, choice: Choice) -> bool {
        let order = self.order();
        let chosen = order.get(match choice {
            Choice::Nth(at) => at,
            Choice::Next => {
                let at = order.iter().position(|number| Some(*number) == self.now);
                at.map_or(0, |at| (at + 1) % order.len())
            }
        });
        if let Some(number) = chosen {
            self.wish = None;
            self.go_to(Some(*number));
        }
        chosen.is_some()
    }

    /// A guest was attached to; `resumed`: an earlier life has served it.
    pub fn come(&mut self, number: usize, resumed: bool) {
        let Some(Seat {
            id,
            guest: Some(guest),
            ..
        }) = &mut self.seats[number]
        else {
            return;
        };
        // What an earlier life has told it is pressed may not be any more.
        guest.release(&KeySet::default());
        self.busy.insert(number);
        if self.now.is_none() || guest.had_focus() || self.wish == Some(*id) {
            self.wish = self.wish.filter(|wish| wish != id);
            self.go_to(Some(number));
        }
        // Dom0 may have written what it wants since the last life ended: that is read first.
        self.tell &= !resumed;
    }

    /// A guest is detached: its turn is the next one's.
    pub fn leave(&mut self, number: usize) {
        if let Some(seat) = &mut self.seats[number] {
            seat.guest = None;
        }
        self.busy.remove(number);
        if self.now == Some(number) {
            self.now = None;
            self.tell = true;
            self.choose(Choice::Nth(0));
        }
    }

    /// Dom0 wants somebody to have it: `DOMID`, `DOMID/DEVID` or `next`.
    pub fn wish(&mut self, text: &str) -> Result<(), String> {
        let text = text.trim();
        match text {
            "next" => {
                self.choose(Choice::Next);
                return Ok(());
            }
            // Nobody has said anything.
            "" => {
                self.tell |= self.now.is_some();
                return Ok(());
            }
            // Our own word.
            "none" => return Ok(()),
            _ => {}
        }
        let id = DeviceId::parse(text).ok_or_else(|| {
            format!(
                "\"{}\" is neither DOMID, DOMID/DEVID nor next",
                text.escape_default()
            )
        })?;
        let seat = |seat: &Option<Seat<P>>| {
            seat.as_ref()
                .is_some_and(|seat| seat.id == id && seat.guest.is_some())
        };
        let there = self.seats.iter().position(seat);
        self.wish = there.is_none().then_some(id);
        if there.is_some() {
            self.go_to(there);
            // Dom0 reads it as we write it.
            self.tell = text != format!("{id}");
        }
        Ok(())
    }

    /// Who has it, if Dom0 is to be told.
    pub fn take_news(&mut self) -> Option<String> {
        let tell = core::mem::take(&mut self.tell);
        let seat = self.now.and_then(|number| self.seats[number].as_ref());
        tell.then(|| seat.map_or("none".into(), |seat| format!("{}", seat.id)))
    }

    /// Whether Dom0 is to be told something.
    pub fn has_news(&self) -> bool {
        self.tell
    }

    /// Tells a report to whoever has the focus.
    pub fn report(&mut self, report: &InputReport) {
        if let Some(guest) = self.now.and_then(|number| self.guest(number)) {
            if report.is_pointed() {
                guest.point(report);
            }
            guest.touch(report);
        }
        for (code, value) in report.keys().iter().copied().filter(|(code, _)| has_key(*code)) {
            match value {
                0 => self.pressed.remove(code.into()),
                _ => self.pressed.insert(code.into()),
            }
            let choice = self.chord.choice(&self.pressed, code).filter(|_| value == 1);
            if !choice.is_some_and(|choice| self.choose(choice))
                && let Some(guest) = self.now.and_then(|number| self.guest(number))
            {
                guest.key(code, value);
            }
        }
        self.now.iter().for_each(|now| self.busy.insert(*now));
    }

    /// A device was reset: nobody will hear of the release of a key that was pressed on it.
    pub fn release_all(&mut self) {
        self.pressed = KeySet::default();
        if let Some(number) = self.now {
            self.guest(number)
                .into_iter()
                .for_each(|guest| guest.release(&KeySet::default()));
            self.busy.insert(number);
        }
    }
}
