//! The driver's side of a queue against a device made of plain stores.

use std::cell::RefCell;

use outrigger_devices::{DeviceFault, DmaMemory, DmaPool};
use outrigger_ring::SharedPages;
use outrigger_virtio::{NoMemory, SplitQueue, Used};
use outrigger_virtio_model::{Bus, TestPage, TestPool};

const USED: usize = 1028;

/// A pool that remembers what it gave.
struct Recording(TestPool, RefCell<Vec<DmaMemory<TestPage>>>);

impl DmaPool for Recording {
    type Memory = TestPage;
    fn page(&self) -> Option<DmaMemory<TestPage>> {
        let page = self.0.page()?;
        self.1.borrow_mut().push(page.clone());
        Some(page)
    }
}

struct Rig {
    queue: SplitQueue<TestPage, u32>,
    rings: TestPage,
    size: u16,
    used_idx: u16,
}

impl Rig {
    fn new(size: u16, stride: u16, event_idx: bool) -> Self {
        let pool = Recording(Bus::default().pool(2), RefCell::default());
        let queue = SplitQueue::new(&pool, size, stride, event_idx).expect("two pages");
        let at = queue.addresses();
        let pages = pool.1.into_inner();
        assert_eq!(at.desc, pages[0].page.at(0));
        assert_eq!(
            (at.driver, at.device),
            (pages[1].page.at(0), pages[1].page.at(USED))
        );
        Self {
            queue,
            rings: pages[1].memory.clone(),
            size,
            used_idx: 0,
        }
    }

    fn avail(&self) -> (u16, Vec<u16>) {
        let ring = (0..usize::from(self.size))
            .map(|i| self.rings.load_u16(4 + 2 * i))
            .collect();
        (self.rings.load_u16(2), ring)
    }

    fn use_up(&mut self, id: u32, len: u32) {
        let at = USED + 4 + 8 * usize::from(self.used_idx % self.size);
        self.rings.store_u32(at, id);
        self.rings.store_u32(at + 4, len);
        self.used_idx = self.used_idx.wrapping_add(1);
        self.rings.store_u16(USED + 2, self.used_idx);
    }
}

#[test]
fn chains_go_out_and_come_back() {
    let mut rig = Rig::new(8, 2, true);
    assert_eq!(rig.queue.heads().collect::<Vec<_>>(), [0, 2, 4, 6]);
    assert_eq!(rig.queue.capacity(), 4);
    for (token, head) in [(10, 0), (11, 2), (12, 4), (13, 6)] {
        assert_eq!(rig.queue.next_head(), Some(head));
        rig.queue.expose(token);
    }
    assert_eq!(rig.queue.next_head(), None);
    assert_eq!(rig.avail().0, 0, "nothing is published yet");
    assert!(rig.queue.publish());
    assert!(!rig.queue.publish(), "nothing new");
    let (index, ring) = rig.avail();
    assert_eq!((index, &ring[..4]), (4, &[0, 2, 4, 6][..]));

    rig.use_up(4, 100);
    rig.use_up(0, 200);
    assert_eq!(rig.queue.pending(), Ok(2));
    let (head, token) = (4, 12);
    assert_eq!(
        rig.queue.take(),
        Ok(Used {
            head,
            token,
            len: 100
        })
    );
    let (head, token) = (0, 10);
    assert_eq!(
        rig.queue.take(),
        Ok(Used {
            head,
            token,
            len: 200
        })
    );
    assert_eq!(rig.queue.pending(), Ok(0));
    assert_eq!(
        rig.queue.next_head(),
        Some(0),
        "the last one back is the first to go"
    );
}

#[test]
#[should_panic(expected = "free head")]
fn no_chain_without_a_head() {
    let mut rig = Rig::new(2, 2, true);
    rig.queue.expose(1);
    rig.queue.expose(2);
}

#[test]
fn ids_are_believed_only_in_flight() {
    for id in [1, 3, 7, 8, 255, 256, 65536, 65538, u32::MAX] {
        let mut rig = Rig::new(8, 2, true);
        rig.queue.expose(1);
        rig.queue.expose(2);
        assert!(rig.queue.publish());
        rig.use_up(id, 0);
        assert_eq!(rig.queue.pending(), Ok(1));
        assert!(matches!(rig.queue.take(), Err(DeviceFault(_))), "id {id}");
    }
    let mut rig = Rig::new(8, 2, true);
    rig.queue.expose(1);
    rig.queue.expose(2);
    assert!(rig.queue.publish());
    rig.use_up(2, 0);
    rig.use_up(2, 0);
    assert_eq!(rig.queue.pending(), Ok(2));
    assert!(rig.queue.take().is_ok());
    assert!(rig.queue.take().is_err(), "once only");
}

#[test]
fn indices_are_believed_only_up_to_what_was_published() {
    for start in [0u16, 65530] {
        for ahead in 0..=u16::MAX {
            if ahead > 20 && ahead < 65500 && ahead % 97 != 0 {
                continue;
            }
            let mut rig = Rig::new(4, 1, true);
            for _ in 0..start {
                rig.queue.expose(0);
                let _anyway = rig.queue.publish();
                rig.use_up(0, 0);
                assert_eq!(rig.queue.pending(), Ok(1));
                rig.queue.take().expect("an honest device");
            }
            rig.queue.expose(0);
            rig.queue.expose(1);
            assert!(rig.queue.publish() || start > 0);
            // Exposed, and not to be seen yet.
            rig.queue.expose(2);
            rig.rings.store_u16(USED + 2, start.wrapping_add(ahead));
            let expected = if ahead <= 2 { Ok(ahead) } else { Err(()) };
            assert_eq!(
                rig.queue.pending().map_err(|_| ()),
                expected,
                "{ahead} past {start}"
            );
            if start > 0 && ahead > 8 {
                break;
            }
        }
    }
}

#[test]
fn the_doorbell_follows_avail_event() {
    let mut rig = Rig::new(4, 1, true);
    let avail_event = USED + 4 + 8 * 4;
    for i in 0..70_000u32 {
        let asks = i % 3 != 1;
        // The device wants to hear of this very chain, or of one long ago.
        let event = if asks {
            i as u16
        } else {
            (i as u16).wrapping_sub(1)
        };
        rig.rings.store_u16(avail_event, event);
        rig.queue.expose(i);
        assert_eq!(rig.queue.publish(), asks, "chain {i}");
        rig.use_up(0, 0);
        assert_eq!(rig.queue.pending(), Ok(1));
        rig.queue.take().expect("an honest device");
    }
}

#[test]
fn without_event_idx_the_flags_say_it() {
    let mut rig = Rig::new(4, 1, false);
    assert_eq!(rig.rings.load_u16(0), 1, "interrupts are off from the start");
    rig.queue.expose(1);
    rig.rings.store_u16(USED, 1);
    assert!(!rig.queue.publish());
    rig.queue.expose(2);
    rig.rings.store_u16(USED, 0);
    assert!(rig.queue.publish());
    assert!(!rig.queue.arm());
    assert_eq!(rig.rings.load_u16(0), 0);
    rig.queue.disarm();
    assert_eq!(rig.rings.load_u16(0), 1);
    rig.use_up(0, 0);
    assert!(rig.queue.arm(), "one is there already");
}

#[test]
fn arming_names_the_next_entry() {
    let mut rig = Rig::new(4, 1, true);
    let used_event = 4 + 2 * 4;
    assert_eq!(rig.rings.load_u16(used_event), u16::MAX);
    rig.queue.expose(1);
    rig.queue.expose(2);
    assert!(rig.queue.publish());
    assert!(!rig.queue.arm());
    assert_eq!(rig.rings.load_u16(used_event), 0);
    rig.use_up(1, 0);
    rig.queue.take().expect("an honest device");
    rig.queue.disarm();
    assert_eq!(
        (rig.rings.load_u16(used_event), rig.rings.load_u16(0)),
        (0, 0),
        "left behind"
    );
    assert!(!rig.queue.arm());
    assert_eq!(rig.rings.load_u16(used_event), 1);
}

#[test]
fn a_retired_queue_does_nothing() {
    let mut rig = Rig::new(4, 1, true);
    rig.queue.expose(1);
    assert!(rig.queue.publish());
    rig.queue.expose(2);
    rig.queue.retire();
    assert_eq!(rig.queue.next_head(), None);
    assert!(!rig.queue.publish());
    assert_eq!(rig.avail().0, 1, "what was not shown never is");
    rig.use_up(0, 0);
    assert!(rig.queue.take().is_err());
}

#[test]
fn memory_that_is_not_there() {
    for pages in 0..2 {
        let pool = Bus::default().pool(pages);
        assert_eq!(SplitQueue::<_, ()>::new(&pool, 4, 1, true).err(), Some(NoMemory));
    }
}
