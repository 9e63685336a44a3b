//! The driver domain fails at each of its steps in turn, and starts over in place. Its guests keep their open devices: what is
//! typed while nobody listens may be lost, but no key stays pressed, none goes to the wrong guest, and nothing is left.

use outrigger_backend::Split;
use outrigger_backend::fake::{Host, Player, Script};
use outrigger_xenbus::fake;

use crate::guest::Guest;
use crate::world::{Hardware, host, vkb};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Attach,
    Publish,
    Connected,
    /// A key goes down and stays there.
    Press(u16),
    /// A key is tapped, again and again, until the guest with the focus has heard of it.
    Until(u16),
    /// Dom0 moves the focus to the other guest, and that is so.
    Focus,
    Focused,
    /// Fingers, motions.
    Touch,
    /// The guest without the focus knows of no key that is pressed.
    Quiet,
    /// Nobody knows of anything that is pressed.
    AllQuiet,
    State(u8),
    Await(&'static str),
}

const SCRIPT: [Act; 17] = [
    Act::Attach,
    Act::Publish,
    Act::Connected,
    Act::Until(30),
    Act::Press(42),
    Act::Touch,
    Act::Until(31),
    Act::Focus,
    Act::Focused,
    Act::Quiet,
    Act::Touch,
    Act::Until(32),
    Act::AllQuiet,
    Act::State(5),
    Act::Await("5"),
    Act::State(6),
    Act::Await("6"),
];

struct User {
    hardware: Hardware,
    guests: Vec<Guest>,
    /// Who has the focus.
    focus: usize,
    heard: Vec<(u16, bool)>,
    waits: u32,
}

impl User {
    fn states(host: &Host) -> [String; 2] {
        [1, 2].map(|number| host.state(vkb(number)))
    }
}

impl Player for User {
    type Act = Act;

    fn hear(&mut self, _host: &Host) {
        for (number, guest) in self.guests.iter_mut().enumerate() {
            let keys = guest.keys();
            if number == self.focus {
                self.heard.extend(keys);
            } else {
                assert!(
                    keys.iter().all(|(_, pressed)| !pressed),
                    "only releases: {keys:?}"
                );
            }
        }
    }

    fn act(&mut self, host: &Host, act: Act) -> bool {
        match act {
            Act::Attach => [1, 2].iter().for_each(|number| {
                host.ts.attach(vkb(*number), &crate::world::ABSOLUTE, &[]);
            }),
            Act::Publish if Self::states(host) != ["2", "2"] => return false,
            Act::Publish => {
                let wants = ["request-abs-pointer", "request-multi-touch"];
                self.guests = [1, 2]
                    .map(|number| Guest::publish(host, vkb(number), &wants))
                    .into();
                for guest in &mut self.guests {
                    guest.lenient = true;
                    guest.frontend.set_state(host, 3);
                }
            }
            Act::Connected if Self::states(host) != ["4", "4"] => return false,
            // Which of them has come first is the domain's choice.
            Act::Connected => match host.own_node("data/focus").as_deref() {
                Some("11/0") => self.focus = 0,
                Some("12/0") => self.focus = 1,
                _ => return false,
            },
            Act::Press(code) => self.hardware.key(code, 1),
            Act::Until(code) => {
                if self.heard.ends_with(&[(code, true), (code, false)]) {
                    return true;
                }
                self.waits += 1;
                if self.waits % 4 == 1 {
                    self.hardware.tap(code);
                }
                return false;
            }
            Act::Focus => {
                self.focus = 1 - self.focus;
                host.set_own_node("data/focus", &vkb(1 + self.focus as u16).frontend.0.to_string());
            }
            Act::Focused => {
                let wanted = format!("{}/0", vkb(1 + self.focus as u16).frontend.0);
                return host.own_node("data/focus") == Some(wanted);
            }
            Act::Touch => {
                self.hardware
                    .screen
                    .act(&[(3, 0x2f, 1), (3, 0x39, 1), (3, 0x35, 5)]);
                self.hardware.mouse.act(&[(2, 0, 1)]);
                self.hardware.screen.act(&[(3, 0x39, -1)]);
            }
            Act::Quiet => return self.guests[1 - self.focus].pressed.is_empty(),
            Act::AllQuiet => {
                return self
                    .guests
                    .iter()
                    .all(|guest| guest.pressed.is_empty() && guest.fingers.is_empty());
            }
            Act::State(state) => self
                .guests
                .iter()
                .for_each(|guest| guest.frontend.set_state(host, state)),
            Act::Await(state) => return Self::states(host).iter().all(|other| other == state),
        }
        true
    }
}

fn live(host: &Host, script: &mut Script<'_, User>) {
    let quiet = fake::quiet_domain(&host.dd);
    let class = script.player.hardware.class(host);
    let service = Split::new(&quiet, class);
    fake::live(&host.dd, &service, host, script);
}

/// Plays it all, failing after so many steps of each life but the last. The steps that the last one took.
fn play(lives: &[u64]) -> u64 {
    let host = host();
    let user = User {
        hardware: Hardware::new(&host),
        guests: Vec::new(),
        focus: 0,
        heard: Vec::new(),
        waits: 0,
    };
    let mut script = Script::new(user, &SCRIPT);
    let over = lives
        .iter()
        .any(|steps| fake::live_for(&host.dd, *steps, || live(&host, &mut script)));
    let before = host.dd.steps_taken();
    if !over {
        live(&host, &mut script);
    }
    let steps = host.dd.steps_taken() - before;
    for guest in &script.player.guests {
        guest
            .frontend
            .dom
            .revoke(guest.shared.refs[0])
            .expect("nobody has it mapped");
    }
    script.player.hardware.assert_clean();
    fake::assert_nothing_left(&host.dd);
    steps
}

#[test]
fn at_every_step() {
    fake::every_step(1, 97, play);
}
