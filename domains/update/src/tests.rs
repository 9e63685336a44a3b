use std::vec;
use std::vec::Vec;

use outrigger_ring::SharedPages;
use outrigger_xen::fake::{Domain, FakePages, FakeXen};
use outrigger_xen::{Clock, DomId, EventChannels, Port};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;

const DOM0: DomId = DomId(0);

/// A driver domain of class `block`, and Dom0 as its client.
struct World {
    xen: FakeXen,
    ours: Domain,
    page: FakePages,
    update: Update<FakePages>,
    theirs: Port,
}

impl World {
    fn new() -> Self {
        let xen = FakeXen::new();
        let (ours, dom0) = (xen.domain(DomId(1)), xen.domain(DOM0));
        let page = ours.pages(1);
        let port = ours.alloc_unbound(DOM0).unwrap();
        let update = Update::new(page.clone(), port, "block", 3);
        let theirs = dom0.bind_interdomain(DomId(1), port).unwrap();
        page.store_u8(20, 1);
        Self {
            xen,
            ours,
            page,
            update,
            theirs,
        }
    }

    /// Sends bytes as libxenvchan does, with turns in between; what came out.
    fn send(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut taken = None;
        for chunk in bytes.chunks(700) {
            let prod = self.page.load_u32(4);
            for (i, byte) in chunk.iter().enumerate() {
                self.page.store_u8(2048 + ((prod as usize + i) & 2047), *byte);
            }
            self.page.store_u32(4, prod + chunk.len() as u32);
            taken = taken.or(self.turn());
            assert_eq!(
                self.page.load_u32(0),
                prod + chunk.len() as u32,
                "each turn takes what there is"
            );
        }
        taken
    }

    fn turn(&self) -> Option<Vec<u8>> {
        self.update.turn(&self.ours, self.ours.now())
    }

    /// The answer, read as a client does.
    fn answer(&self) -> String {
        let (cons, prod) = (self.page.load_u32(8), self.page.load_u32(12));
        let bytes = (cons..prod)
            .map(|i| self.page.load_u8(1024 + (i as usize & 1023)))
            .collect();
        self.page.store_u32(8, prod);
        String::from_utf8(bytes).unwrap()
    }
}

fn image(class: &str, survivors: u32, len: usize) -> Vec<u8> {
    let mut image = vec![0x5a; len.max(HEADER_OFFSET + 32)];
    image[56..60].copy_from_slice(b"ARM\x64");
    image[64..72].copy_from_slice(b"OUTRIGGR");
    image[72..76].copy_from_slice(&survivors.to_le_bytes());
    image[76..96].fill(0);
    image[80..80 + class.len()].copy_from_slice(class.as_bytes());
    image
}

fn announced(image: &[u8]) -> Vec<u8> {
    let message = Message {
        length: image.len() as u64,
        sha256: Sha256::digest(image).into(),
    };
    [&message.bytes()[..], image].concat()
}

#[test]
fn a_good_image_is_taken_once_the_client_knows() {
    let world = World::new();
    let image = image("block", 3, 200_000);
    assert_eq!(
        world.send(&announced(&image)),
        None,
        "the client has not heard yet"
    );
    assert!(world.update.deadline().is_some());
    assert_eq!(world.turn(), None);
    assert_eq!(world.answer(), "accepted\n");
    assert!(world.xen.domain(DOM0).is_pending(world.theirs));
    assert_eq!(world.turn(), Some(image));
}

#[test]
fn a_client_that_does_not_read_its_answer_is_waited_for_a_second() {
    let world = World::new();
    let image = image("block", 3, 5000);
    world.send(&announced(&image));
    world.xen.advance(core::time::Duration::from_millis(999));
    assert_eq!(world.turn(), None);
    world.xen.advance(core::time::Duration::from_millis(1));
    assert_eq!(world.turn(), Some(image));
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_taken() {
    let good = image("block", 3, 3000);
    let mut damaged = announced(&good);
    *damaged.last_mut().unwrap() ^= 1;
    let mut large = Message {
        length: u64::from(IMAGE_MAX) + 1,
        sha256: [0; 32],
    }
    .bytes()
    .to_vec();
    large.extend([0; 100]);
    let mut no_image = good.clone();
    no_image[56] = 0;
    let mut not_ours = good.clone();
    not_ours[64] = b'x';
    let mut no_text = good.clone();
    no_text[80] = 0xff;
    for (sent, answer) in [
        (
            damaged,
            "refused: its SHA-256 is not the one that was announced\n",
        ),
        (large, "refused: 1048577 bytes are more than 1048576\n"),
        (b"GET / HTTP/1.1\r\n".repeat(5), "refused: it is no update\n"),
        (announced(&no_image), "refused: it is no arm64 Image\n"),
        (announced(&not_ours), "refused: it is no driver domain's image\n"),
        (announced(&no_text), "refused: its class is no text\n"),
        (announced(&good[..70]), "refused: it ends within its header\n"),
        (announced(b""), "refused: it is no arm64 Image\n"),
        (
            announced(&image("net", 3, 3000)),
            "refused: its class is net, this is block\n",
        ),
        (
            announced(&image("block", 4, 3000)),
            "refused: it keeps survivors of version 4, here they are of version 3: create the domain anew\n",
        ),
    ] {
        let world = World::new();
        assert_eq!(world.send(&sent), None);
        assert_eq!(world.answer(), answer);
        assert_eq!(world.send(&announced(&good)), None, "not on the same stream");
        assert_eq!((world.answer().as_str(), world.update.deadline()), ("", None));
    }
}

#[test]
fn the_next_client_begins_anew() {
    let world = World::new();
    let image = image("block", 3, 3000);
    world.send(&announced(&image)[..1000]);
    world.page.store_u8(20, 0);
    assert_eq!(world.turn(), None);
    assert_eq!(world.page.load_u8(20), 2, "room for the next");
    world.page.store_u8(20, 1);
    world.send(&announced(&image));
    assert_eq!(world.answer(), "accepted\n");
    assert_eq!(world.turn(), Some(image));
}

#[test]
fn a_broken_stream_ends_for_that_client_only() {
    let world = World::new();
    world.page.store_u32(4, 5000);
    assert_eq!(world.turn(), None);
    assert_eq!(world.page.load_u8(21), 0, "we have gone, for this client");
    world.page.store_u8(20, 0);
    world.turn();
    assert_eq!((world.page.load_u8(20), world.page.load_u8(21)), (2, 1));
}

proptest! {
    /// Nothing that is sent is taken, unless it is an announced image; nothing panics.
    #[test]
    fn noise_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..4000), announce in any::<bool>()) {
        let world = World::new();
        let sent = if announce { announced(&bytes) } else { bytes };
        prop_assert_eq!(world.send(&sent), None);
        prop_assert!(!world.answer().contains(ACCEPTED));
        prop_assert_eq!(world.turn(), None);
    }
}
