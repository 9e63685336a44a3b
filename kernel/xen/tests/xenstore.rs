//! The XenStore client against the fake xenstored: what it must do, and what it must survive.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use outrigger_ring::SharedPages;
use outrigger_xen::DomId;
use outrigger_xen::fake::{Caller, FakePages, Perms, Request, Verdict, XenStored};
use outrigger_xen::xenstore::{Fault, WatchEvent, XenStore, XsError, parse_u32, parse_u64, poll_once};
use proptest::prelude::*;

const DD: DomId = DomId(3);
const RSP_PROD: usize = 2060;
const REQ_CONS: usize = 2048;

struct World {
    xenstored: XenStored,
    store: XenStore<FakePages>,
    page: FakePages,
    dom0: Caller,
}

impl World {
    fn new() -> Self {
        let xenstored = XenStored::new();
        xenstored.toolstack().create_domain(DD);
        let dom0 = xenstored.by(DomId(0));
        dom0.mkdir("/local/domain/3/data/own").unwrap();
        dom0.set_perms("/local/domain/3/data/own", Perms::owned_by(DD))
            .unwrap();
        let page = xenstored.connect(DD);
        let store = XenStore::new(page.clone(), || {});
        Self {
            xenstored,
            store,
            page,
            dom0,
        }
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.xenstored.run(&self.store, future)
    }

    fn settle(&self) {
        while self.xenstored.serve() | self.store.poll() {}
    }

    fn read_with(&self, verdict: impl Fn(&Request) -> Verdict + 'static) -> Result<Vec<u8>, XsError> {
        self.xenstored.intercept(move |request| {
            if request.kind == Request::READ {
                verdict(request)
            } else {
                Verdict::Serve
            }
        });
        let result = self.run(self.store.read("domid"));
        self.xenstored.stop_intercepting();
        result
    }
}

#[test]
fn nodes_are_written_read_listed_and_removed() {
    let world = World::new();
    let store = &world.store;
    world.run(async {
        store.write("data/own/a", "1").await.unwrap();
        store.mkdir("data/own/b").await.unwrap();
        store.write("/local/domain/3/data/own/a", "").await.unwrap();
        assert_eq!(store.read("data/own/a").await, Ok(vec![]));
        store.write("data/own/a", "2 3").await.unwrap();
        assert_eq!(store.read_text("data/own/a").await.unwrap(), "2 3");
        assert_eq!(store.directory("data/own").await.unwrap(), ["a", "b"]);
        assert_eq!(store.directory("data/own/b").await.unwrap(), [""; 0]);
        store.rm("data/own/a").await.unwrap();
        assert_eq!(store.read("data/own/a").await, Err(XsError::NoEntry));
        assert_eq!(store.read("/local/domain/9/state").await, Err(XsError::Access));
        assert_eq!(store.write("domid", "4").await, Err(XsError::Access));
        assert_eq!(store.get_domain_path(DomId(7)).await.unwrap(), "/local/domain/7");
    });
}

#[test]
fn what_cannot_be_sent_is_refused_before_sending() {
    let world = World::new();
    let store = &world.store;
    let before = world.page.load_u32(2052);
    world.run(async {
        assert_eq!(store.read("").await, Err(XsError::Invalid));
        assert_eq!(store.read("a\0b").await, Err(XsError::Invalid));
        assert_eq!(store.watch("a", "t\0").await, Err(XsError::Invalid));
        assert_eq!(store.read(&"x".repeat(2049)).await, Err(XsError::TooBig));
        assert_eq!(
            store.read(&format!("/{}", "x".repeat(3072))).await,
            Err(XsError::TooBig)
        );
        assert_eq!(store.write("a", &"x".repeat(4095)).await, Err(XsError::TooBig));
    });
    assert_eq!(world.page.load_u32(2052), before, "nothing went into the ring");
}

#[test]
fn messages_longer_than_the_ring_come_through_in_pieces_of_any_size() {
    for chunk in [1, 2, 3, 15, 16, 17, 1000, usize::MAX] {
        let world = World::new();
        world.xenstored.set_chunk(chunk);
        let value: String = (0..2048u32).map(|i| char::from(b'a' + (i % 26) as u8)).collect();
        world.run(async {
            world.store.write("data/own/long", &value).await.unwrap();
            assert_eq!(world.store.read_text("data/own/long").await.unwrap(), value);
        });
    }
}

#[test]
fn a_directory_too_long_for_a_message_is_listed_in_parts() {
    let world = World::new();
    let names: Vec<String> = (0..300)
        .map(|i| format!("a-child-with-a-long-name-{i:03}"))
        .collect();
    for name in &names {
        world
            .dom0
            .write(&format!("/local/domain/3/data/own/{name}"), "")
            .unwrap();
    }
    assert_eq!(world.run(world.store.directory("data/own")).unwrap(), names);
}

#[test]
fn a_directory_that_changes_between_its_parts_is_listed_again() {
    let world = World::new();
    for i in 0..300 {
        world
            .dom0
            .write(
                &format!("/local/domain/3/data/own/a-child-with-a-long-name-{i:03}"),
                "",
            )
            .unwrap();
    }
    let (dom0, parts) = (world.dom0.clone(), Cell::new(0));
    world.xenstored.intercept(move |request| {
        if request.kind == 22 {
            parts.set(parts.get() + 1);
            if parts.get() == 2 {
                dom0.rm("/local/domain/3/data/own/a-child-with-a-long-name-000")
                    .unwrap();
            }
        }
        Verdict::Serve
    });
    assert_eq!(world.run(world.store.directory("data/own")).unwrap().len(), 299);
    let (dom0, count) = (world.dom0.clone(), Cell::new(0));
    world.xenstored.intercept(move |request| {
        if request.kind == 22 {
            count.set(count.get() + 1);
            dom0.write(&format!("/local/domain/3/data/own/new-{}", count.get()), "")
                .unwrap();
        }
        Verdict::Serve
    });
    assert_eq!(
        world.run(world.store.directory("data/own")),
        Err(XsError::Again),
        "not for ever"
    );
}

#[test]
fn cut_and_alien_replies_fail_only_their_request() {
    let world = World::new();
    let bytes = |kind: u32, payload: &'static [u8]| {
        move |request: &Request| Verdict::Bytes(request.reply(kind, payload.len() as u32, payload))
    };
    assert_eq!(
        world.read_with(bytes(1, b"x\0")),
        Err(XsError::Protocol),
        "another type"
    );
    assert_eq!(
        world.read_with(bytes(16, b"EACCES")),
        Err(XsError::Access),
        "without its NUL"
    );
    assert_eq!(
        world.read_with(bytes(16, b"")),
        Err(XsError::Other(String::new()))
    );
    let long = XsError::Other("E\\xff".into());
    assert_eq!(world.read_with(bytes(16, b"E\xff\0rest")), Err(long));
    for errno in ["ENOSPC", "EDQUOT"] {
        assert_eq!(
            world.read_with(move |_| Verdict::Fail(errno)),
            Err(XsError::Quota)
        );
    }
    assert_eq!(
        world.read_with(|_| Verdict::Fail("EIO")),
        Err(XsError::Other("EIO".into()))
    );
    assert_eq!(world.read_with(|_| Verdict::Serve), Ok(b"3".to_vec()));
    for cut in [&b"a"[..], b"a\0b"] {
        world
            .xenstored
            .intercept(move |request| Verdict::Bytes(request.reply(1, cut.len() as u32, cut)));
        assert_eq!(world.run(world.store.directory("data")), Err(XsError::Truncated));
    }
    world
        .xenstored
        .intercept(|request| Verdict::Bytes(request.reply(1, 3, b"\xff\xff\0")));
    assert_eq!(world.run(world.store.directory("data")), Err(XsError::NotText));
    for start in [&b"12"[..], b"-1\0", b"0\0", b"4294967296\0", b"\0", b""] {
        world
            .xenstored
            .intercept(move |request| Verdict::Bytes(request.reply(6, start.len() as u32, start)));
        assert!(world.run(world.store.transaction()).is_err());
    }
    assert_eq!(world.store.fault(), None);
}

#[test]
fn replies_that_nobody_waits_for_are_dropped() {
    let world = World::new();
    world.xenstored.intercept(|request| {
        let mut alien = request.clone();
        alien.req_id = request.req_id.wrapping_add(77);
        let twice = [
            alien.reply(Request::READ, 5, b"alien"),
            request.reply(Request::READ, 4, b"real"),
            request.reply(Request::READ, 5, b"again"),
        ];
        Verdict::Bytes(twice.concat())
    });
    assert_eq!(world.run(world.store.read("domid")), Ok(b"real".to_vec()));
    assert_eq!(world.run(world.store.read("domid")), Ok(b"real".to_vec()));
    world.xenstored.stop_intercepting();
    {
        let mut dropped = pin!(world.store.read("domid"));
        assert!(poll_once(dropped.as_mut()).is_pending());
    }
    assert_eq!(world.run(world.store.read("domid")), Ok(b"3".to_vec()));
}

#[test]
fn many_requests_at_once_are_told_apart_and_bounded() {
    let world = World::new();
    for i in 0..40 {
        world
            .dom0
            .write(&format!("/local/domain/3/data/own/{i}"), format!("value {i}"))
            .unwrap();
    }
    let paths: Vec<String> = (0..40).map(|i| format!("data/own/{i}")).collect();
    let mut reads: Vec<_> = paths
        .iter()
        .map(|path| Box::pin(world.store.read_text(path)))
        .collect();
    let mut values = vec![None; 40];
    for _ in 0..1000 {
        for (read, value) in reads.iter_mut().zip(&mut values).rev() {
            if value.is_none()
                && let Poll::Ready(result) = poll_once(read.as_mut())
            {
                *value = Some(result.unwrap());
            }
        }
        world.settle();
    }
    for (i, value) in values.iter().enumerate() {
        assert_eq!(value.as_deref(), Some(format!("value {i}").as_str()));
    }
}

#[test]
fn an_oversized_header_ends_the_connection_and_fails_what_waits() {
    let world = World::new();
    assert_eq!(
        world.read_with(|request| Verdict::Bytes(request.reply(2, 4097, b""))),
        Err(XsError::Protocol)
    );
    assert_eq!(world.store.fault(), Some(Fault::Oversized(4097)));
    assert_eq!(
        world.run(world.store.read("domid")),
        Err(XsError::Protocol),
        "clear from then on"
    );
    assert_eq!(world.run(world.store.next_watch()), Err(XsError::Protocol));
    assert!(!world.store.poll());
}

#[test]
fn garbage_indices_end_the_connection() {
    for (at, value) in [
        (RSP_PROD, 1025),
        (RSP_PROD, u32::MAX),
        (REQ_CONS, 500),
        (REQ_CONS, u32::MAX - 2000),
    ] {
        let world = World::new();
        let mut read = pin!(world.store.read("domid"));
        assert!(poll_once(read.as_mut()).is_pending());
        world.page.store_u32(at, value);
        world.store.poll();
        let second = world.run(world.store.read("domid"));
        assert_eq!(second, Err(XsError::Protocol));
        assert!(
            matches!(world.store.fault(), Some(Fault::Index { .. })),
            "{at} {value}"
        );
        assert_eq!(poll_once(read.as_mut()), Poll::Ready(Err(XsError::Protocol)));
    }
}

#[test]
fn the_ring_goes_on_where_the_indices_wrap() {
    let xenstored = XenStored::new();
    xenstored.toolstack().create_domain(DD);
    let page = xenstored.connect(DD);
    for at in [2048, 2052, 2056, 2060] {
        page.store_u32(at, u32::MAX - 30);
    }
    let store = XenStore::new(page, || {});
    for _ in 0..200 {
        assert_eq!(xenstored.run(&store, store.read("domid")), Ok(b"3".to_vec()));
    }
}

#[test]
fn every_move_is_notified() {
    let xenstored = XenStored::new();
    xenstored.toolstack().create_domain(DD);
    let sent = Rc::new(Cell::new(0));
    let count = sent.clone();
    let store = XenStore::new(xenstored.connect(DD), move || count.set(count.get() + 1));
    let mut read = pin!(store.read("domid"));
    assert!(poll_once(read.as_mut()).is_pending());
    assert_eq!(sent.get(), 1, "the request");
    assert!(!store.poll());
    assert_eq!(sent.get(), 1, "nothing moved");
    xenstored.serve();
    assert!(store.poll());
    assert_eq!(sent.get(), 2, "room in the response ring");
    assert_eq!(poll_once(read.as_mut()), Poll::Ready(Ok(b"3".to_vec())));
}

#[test]
fn watches_tell_of_changes_and_end() {
    let world = World::new();
    let store = &world.store;
    world.run(store.watch("data", "tok")).unwrap();
    assert_eq!(world.run(store.watch("data", "tok")), Err(XsError::Exists));
    let changed = |path: &str| WatchEvent::Changed {
        path: path.into(),
        token: "tok".into(),
    };
    assert_eq!(
        world.run(store.next_watch()).unwrap(),
        changed("data"),
        "once at the start"
    );
    world.dom0.write("/local/domain/3/data/own/x", "1").unwrap();
    assert_eq!(world.run(store.next_watch()).unwrap(), changed("data/own/x"));
    assert_eq!(store.take_watch(), None);
    world.run(store.unwatch("data", "tok")).unwrap();
    assert_eq!(world.run(store.unwatch("data", "tok")), Err(XsError::NoEntry));
    world.dom0.write("/local/domain/3/data/own/x", "2").unwrap();
    world.settle();
    assert_eq!(store.take_watch(), None);
    world.run(store.watch("/local/domain/3/data", "abs")).unwrap();
    world.run(store.reset_watches()).unwrap();
    assert_eq!(world.xenstored.watches(DD), 0);
}

#[test]
fn a_storm_is_one_event_of_one_path_or_of_one_watch() {
    let world = World::new();
    let store = &world.store;
    world.run(store.watch("data/own", "t")).unwrap();
    world.run(store.next_watch()).unwrap();
    for i in 0..20_000 {
        world
            .dom0
            .write("/local/domain/3/data/own/x", i.to_string())
            .unwrap();
        if i % 16 == 0 {
            world.settle();
        }
    }
    world.settle();
    assert!(matches!(store.take_watch(), Some(WatchEvent::Changed { .. })));
    assert_eq!(store.take_watch(), None, "20,000 writes are one event");
    for i in 0..500 {
        world
            .dom0
            .write(&format!("/local/domain/3/data/own/{i}"), "")
            .unwrap();
    }
    world.settle();
    let all = WatchEvent::Changed {
        path: String::new(),
        token: "t".into(),
    };
    assert_eq!(store.take_watch(), Some(all));
    assert_eq!(store.take_watch(), None);
    world.dom0.write("/local/domain/3/data/own/x", "").unwrap();
    world.settle();
    assert!(
        matches!(store.take_watch(), Some(WatchEvent::Changed { .. })),
        "and on it goes"
    );
}

#[test]
fn a_watch_event_that_is_cut_short_asks_for_a_rescan() {
    for payload in [&b"data"[..], b"data\0tok", b"", b"\xff\0t\0"] {
        let world = World::new();
        world.xenstored.intercept(move |request| {
            let mut alien = request.clone();
            alien.req_id = 0;
            let event = alien.reply(15, payload.len() as u32, payload);
            Verdict::Bytes([event, request.reply(Request::READ, 1, b"x")].concat())
        });
        world.run(world.store.read("domid")).unwrap();
        assert_eq!(world.store.take_watch(), Some(WatchEvent::Rescan));
        assert_eq!(world.store.take_watch(), None);
    }
}

#[test]
fn a_transaction_takes_effect_whole_or_not_at_all() {
    let world = World::new();
    let store = &world.store;
    world.run(async {
        let transaction = store.transaction().await.unwrap();
        transaction.write("data/own/a", "1").await.unwrap();
        assert_eq!(transaction.read_text("data/own/a").await.unwrap(), "1");
        assert_eq!(store.read("data/own/a").await, Err(XsError::NoEntry), "not yet");
        transaction.commit().await.unwrap();
        assert_eq!(store.read_text("data/own/a").await.unwrap(), "1");
        drop(store.transaction().await.unwrap());
        for _ in 0..30 {
            let abandoned = store.transaction().await.expect("earlier ones were abandoned");
            abandoned.write("data/own/b", "1").await.unwrap();
        }
        assert_eq!(store.read("data/own/b").await, Err(XsError::NoEntry));
    });
}

#[test]
fn a_conflict_is_told_and_retried_a_few_times() {
    let world = World::new();
    let store = &world.store;
    world.dom0.write("/local/domain/3/data/own/n", "0").unwrap();
    let add = async |attempts, conflicts: u32| {
        let seen = Cell::new(0);
        store
            .transact(attempts, async |transaction| {
                let number = parse_u32(&transaction.read("data/own/n").await?).ok_or(XsError::NotText)?;
                if seen.get() < conflicts {
                    seen.set(seen.get() + 1);
                    world
                        .dom0
                        .write("/local/domain/3/data/own/n", (number + 10).to_string())
                        .unwrap();
                }
                transaction.write("data/own/n", &(number + 1).to_string()).await?;
                Ok(number)
            })
            .await
    };
    assert_eq!(world.run(add(5, 2)), Ok(20));
    assert_eq!(world.dom0.read("/local/domain/3/data/own/n").unwrap(), "21");
    assert_eq!(world.run(add(3, u32::MAX)), Err(XsError::Again));
}

#[test]
fn numbers_are_digits_only_and_bounded() {
    assert_eq!(parse_u32(b"4294967295"), Some(u32::MAX));
    for bad in [
        &b""[..],
        b"4294967296",
        b"-1",
        b"+1",
        b" 1",
        b"1 ",
        b"0x1",
        b"1\0",
        b"00000000001",
        b"\xff",
    ] {
        assert_eq!(parse_u32(bad), None, "{bad:?}");
    }
    assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
    assert_eq!(parse_u64(b"18446744073709551616"), None);
    assert_eq!(parse_u64(b"000000000000000000001"), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever xenstored sends, in whatever pieces, the client neither panics nor hangs on to unbounded memory.
    #[test]
    fn any_bytes_from_xenstored_are_survived(
        bytes in proptest::collection::vec(any::<u8>(), 0..3000),
        kind in 0u32..24,
        len in 0u32..5000,
    ) {
        let world = World::new();
        let mut read = pin!(world.store.read("domid"));
        let _ = poll_once(read.as_mut());
        world.xenstored.intercept(move |request| Verdict::Bytes(request.reply(kind, len, &bytes)));
        for _ in 0..20 {
            world.xenstored.serve();
            world.store.poll();
            let _ = poll_once(read.as_mut());
            if world.store.fault().is_some() {
                return Ok(());
            }
            read.set(world.store.read("domid"));
        }
    }
}
