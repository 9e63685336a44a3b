//! FakeXen answers as Xen does.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use outrigger_ring::SharedPages;
use outrigger_xen::fake::{Crash, Domain, FakeXen, GrantInUse, Limits, PortState};
use outrigger_xen::{
    Access, Clock, CopyOp, CopySide, Cpu, DomId, EventChannels, EventError, GrantError, GrantRef, GrantTable,
    Instant, Key, MapRequest, Port, Survivors,
};
use xen_unikernel_abi::grant_table::{
    GNTST_bad_copy_arg, GNTST_bad_domain, GNTST_bad_gntref, GNTST_general_error,
};

const DD: DomId = DomId(3);
const FE: DomId = DomId(7);

fn two() -> (FakeXen, Domain, Domain) {
    let xen = FakeXen::new();
    let (dd, fe) = (xen.domain(DD), xen.domain(FE));
    (xen, dd, fe)
}

#[test]
fn a_mapped_ring_is_the_guests_memory() {
    let (xen, dd, fe) = two();
    let ring = fe.pages(2);
    let refs = fe.grant_all(&ring, DD, Access::ReadWrite);
    let mapped = dd.map_pages(FE, &refs, Access::ReadWrite).unwrap();
    ring.store_u32(4096, 0x1234_5678);
    assert_eq!(mapped.pages.load_u16(4096), 0x5678);
    mapped.pages.store_u64(8, u64::MAX);
    assert_eq!(ring.load_u8(15), 0xff);
    assert_eq!(fe.revoke(refs[0]), Err(GrantInUse));
    assert_eq!(fe.failed_revokes(), 1);
    dd.unmap_pages(mapped);
    assert_eq!(fe.revoke(refs[0]), Ok(()));
    xen.assert_nothing_held(DD);
    assert_eq!(
        (dd.counts().hypercalls, dd.counts().maps, dd.counts().unmaps),
        (2, 2, 2)
    );
}

#[test]
fn bad_references_fail_alone_and_by_xens_codes() {
    let (_, dd, fe) = two();
    let pages = fe.pages(3);
    let good = fe.grant(&pages, 0, DD, Access::ReadWrite);
    let read_only = fe.grant(&pages, 1, DD, Access::ReadOnly);
    let others = fe.grant(&pages, 2, DomId(9), Access::ReadWrite);
    let request = |gref| MapRequest {
        gref,
        access: Access::ReadWrite,
    };
    let batch = [good, read_only, others, GrantRef(500), GrantRef(u32::MAX)].map(request);
    let mut out = Vec::with_capacity(batch.len());
    dd.map_for_dma(FE, &batch, &mut out);
    let codes: Vec<_> = out
        .iter()
        .skip(1)
        .map(|result| result.as_ref().unwrap_err())
        .collect();
    let refused = GrantError::Refused;
    let general = refused(GNTST_general_error);
    assert_eq!(codes, [&general, &general, &general, &refused(GNTST_bad_gntref)]);
    assert_eq!(dd.counts().hypercalls, 1);
    assert_eq!(dd.mapped_pages(), 1);
    assert_eq!(
        dd.map_pages(FE, &[good, read_only], Access::ReadWrite).err(),
        Some(general),
        "all or none"
    );
    assert_eq!(dd.mapped_pages(), 1);
    assert_eq!(
        dd.map_pages(DomId(99), &[good], Access::ReadOnly).err(),
        Some(refused(GNTST_bad_domain))
    );
    let mut maps: Vec<_> = out.into_iter().flatten().collect();
    dd.unmap_for_dma(&mut maps);
    assert_eq!(dd.mapped_pages(), 0);
}

#[test]
fn a_full_window_is_nobodys_fault() {
    let (_, dd, fe) = two();
    dd.set_limits(Limits {
        mapped_pages: 1,
        ..Limits::default()
    });
    let pages = fe.pages(2);
    let refs = fe.grant_all(&pages, DD, Access::ReadOnly);
    assert_eq!(
        dd.map_pages(FE, &refs, Access::ReadOnly).err(),
        Some(GrantError::Exhausted)
    );
    let one = dd.map_pages(FE, &refs[..1], Access::ReadOnly).unwrap();
    dd.unmap_pages(one);
}

#[test]
fn a_copy_stays_within_its_pages_and_its_rights() {
    let (_, dd, fe) = two();
    let (theirs, ours) = (fe.pages(1), dd.pages(1));
    let gref = fe.grant(&theirs, 0, DD, Access::ReadOnly);
    theirs.write(100, b"sector");
    theirs.record_fetches();
    let granted = CopySide::Granted(FE, gref);
    let own = CopySide::Own(ours.gfn(0));
    let op = |from, to, len| CopyOp { from, to, len };
    let ops = [
        op((granted, 100), (own, 4090), 6),
        op((granted, 4000), (own, 0), 200),
        op((own, 0), (granted, 0), 1),
    ];
    let mut results = [Ok(()); 3];
    dd.copy(&ops, &mut results);
    let refused = |code| Err(GrantError::Refused(code));
    assert_eq!(
        results,
        [Ok(()), refused(GNTST_bad_copy_arg), refused(GNTST_general_error)]
    );
    let mut got = [0; 6];
    ours.read(4090, &mut got);
    assert_eq!(&got, b"sector");
    theirs.assert_fetched_at_most_once(0..4096);
    assert_eq!(theirs.fetches(99..107), [0, 1, 1, 1, 1, 1, 1, 0]);
}

#[test]
fn events_bind_notify_and_close_as_xens_do() {
    let (xen, dd, fe) = two();
    let theirs = fe.alloc_unbound(DD).unwrap();
    assert_eq!(dd.bind_interdomain(FE, Port(77)), Err(EventError(-22)));
    assert_eq!(dd.bind_interdomain(DomId(50), theirs), Err(EventError(-3)));
    let ours = dd.bind_interdomain(FE, theirs).unwrap();
    let take = |domain: &Domain| {
        let mut taken = Vec::new();
        domain.take_pending(&mut |port| taken.push(port));
        taken
    };
    assert_eq!(take(&dd), [ours], "pending at once");
    assert_eq!(
        dd.bind_interdomain(FE, theirs),
        Err(EventError(-22)),
        "bound already"
    );
    fe.notify(theirs);
    fe.notify(theirs);
    assert_eq!(take(&dd), [ours], "twice is once");
    assert_eq!(take(&dd), []);
    dd.notify(ours);
    assert!(fe.is_pending(theirs));
    dd.close(ours);
    assert_eq!(fe.port(theirs), PortState::Unbound(DD));
    fe.notify(theirs);
    let again = dd.bind_interdomain(FE, theirs).unwrap();
    xen.destroy(FE);
    assert_eq!(dd.port(again), PortState::Unbound(FE));
    dd.notify(again);
    dd.close(again);
    xen.assert_nothing_held(DD);
}

#[test]
fn a_destroyed_guests_page_lives_until_it_is_unmapped() {
    let (xen, dd, fe) = two();
    let page = fe.pages(1);
    let gref = fe.grant(&page, 0, DD, Access::ReadWrite);
    let mapped = dd.map_pages(FE, &[gref], Access::ReadWrite).unwrap();
    xen.destroy(FE);
    mapped.pages.store_u32(0, 1);
    assert_eq!(
        dd.map_pages(FE, &[gref], Access::ReadWrite).err(),
        Some(GrantError::Refused(GNTST_bad_domain))
    );
    dd.unmap_pages(mapped);
    xen.assert_nothing_held(DD);
}

#[test]
#[should_panic(expected = "after the pages were unmapped")]
fn a_use_after_unmap_fails_the_test() {
    let (_, dd, fe) = two();
    let page = fe.pages(1);
    let gref = fe.grant(&page, 0, DD, Access::ReadWrite);
    let mapped = dd.map_pages(FE, &[gref], Access::ReadWrite).unwrap();
    let kept = mapped.pages.clone();
    dd.unmap_pages(mapped);
    kept.load_u8(0);
}

#[test]
#[should_panic(expected = "still has 1 mappings")]
fn a_leaked_mapping_fails_the_test() {
    let (xen, dd, fe) = two();
    let page = fe.pages(1);
    let gref = fe.grant(&page, 0, DD, Access::ReadOnly);
    let _leaked = dd.map_pages(FE, &[gref], Access::ReadOnly).unwrap();
    xen.assert_nothing_held(DD);
}

#[test]
fn the_bus_reaches_the_pool_and_what_is_mapped_for_it() {
    let (_, dd, fe) = two();
    let (memory, page) = dd.pool_page().unwrap();
    memory.write(8, &[1, 2, 3]);
    let mut got = [0; 3];
    dd.dma_read(page.at(8), &mut got);
    assert_eq!(got, [1, 2, 3]);
    let theirs = fe.pages(1);
    let gref = fe.grant(&theirs, 0, DD, Access::ReadWrite);
    let mut out = Vec::with_capacity(1);
    dd.map_for_dma(
        FE,
        &[MapRequest {
            gref,
            access: Access::ReadWrite,
        }],
        &mut out,
    );
    let map = out.pop().unwrap().unwrap();
    assert_eq!(map.page().at(0).bits(), theirs.machine(0));
    dd.dma_write(map.page().at(4095), &[9]);
    assert_eq!(theirs.load_u8(4095), 9);
    dd.unmap_for_dma(&mut vec![map]);
    dd.set_limits(Limits {
        pool_pages: 1,
        ..Limits::default()
    });
    assert!(dd.pool_page().is_none());
}

fn map_read_only_for_dma() -> (Domain, outrigger_xen::DmaMap) {
    let (_, dd, fe) = two();
    let theirs = fe.pages(1);
    let gref = fe.grant(&theirs, 0, DD, Access::ReadOnly);
    let mut out = Vec::with_capacity(1);
    dd.map_for_dma(
        FE,
        &[MapRequest {
            gref,
            access: Access::ReadOnly,
        }],
        &mut out,
    );
    (dd, out.pop().unwrap().unwrap())
}

#[test]
#[should_panic(expected = "mapped for reading only")]
fn the_bus_does_not_write_what_is_mapped_for_reading() {
    let (dd, map) = map_read_only_for_dma();
    dd.dma_read(map.page().at(0), &mut [0; 8]);
    dd.dma_write(map.page().at(0), &[1]);
}

#[test]
#[should_panic(expected = "neither pool memory nor mapped")]
fn the_bus_does_not_leave_the_page() {
    let (dd, map) = map_read_only_for_dma();
    dd.dma_read(map.page().at(4090), &mut [0; 8]);
}

#[test]
fn a_hostile_guest_writes_between_two_loads() {
    let (_, dd, fe) = two();
    let page = fe.pages(1);
    let gref = fe.grant(&page, 0, DD, Access::ReadWrite);
    let mapped = dd.map_pages(FE, &[gref], Access::ReadWrite).unwrap();
    let seen = Rc::new(Cell::new(0));
    let hits = seen.clone();
    page.before_foreign_load(move |guest, at| {
        hits.set(hits.get() + 1);
        guest.store_u32(at, guest.load_u32(at) + 1);
    });
    page.record_fetches();
    assert_eq!((mapped.pages.load_u32(64), mapped.pages.load_u32(64)), (1, 2));
    assert_eq!(seen.get(), 2);
    assert_eq!(page.fetches(63..69), [0, 2, 2, 2, 2, 0]);
    page.leave_loads_alone();
    assert_eq!(mapped.pages.load_u32(64), 2);
    dd.unmap_pages(mapped);
}

#[test]
fn time_moves_when_it_is_told_to_or_when_everybody_sleeps() {
    let (xen, mut dd, fe) = two();
    xen.advance(Duration::from_micros(5));
    assert_eq!(dd.now(), Instant(5_000));
    let wake = dd.wait(Some(Instant(9_000)));
    assert!(wake.timer && !wake.events);
    assert_eq!(fe.now(), Instant(9_000));
    dd.raise_irq(2);
    let wake = dd.wait(Some(Instant(20_000)));
    assert_eq!((wake.devices, wake.timer), (outrigger_xen::IrqSet::of(2), false));
    let ours = dd.bind_interdomain(FE, fe.alloc_unbound(DD).unwrap()).unwrap();
    assert!(dd.wait(None).events);
    dd.close(ours);
    assert!(!dd.wait(None).events);
}

const RING: Key = Key {
    kind: Key::CLASS,
    frontend: FE,
    handle: 51712,
    part: 0,
};

fn one(gref: GrantRef) -> [MapRequest; 1] {
    [MapRequest {
        gref,
        access: Access::ReadWrite,
    }]
}

/// The mapping that the next life wants is handed out again, without a hypercall; the rest is swept.
#[test]
fn mappings_of_an_earlier_life_are_claimed_or_swept() {
    let (xen, dd, fe) = two();
    let pages = fe.pages(4);
    let refs = fe.grant_all(&pages, DD, Access::ReadWrite);
    let ring = dd.map_pages(FE, &refs[..2], Access::ReadWrite).unwrap();
    let mut out = Vec::with_capacity(2);
    dd.map_for_dma(FE, &one(refs[2]), &mut out);
    dd.map_for_dma(FE, &one(refs[3]), &mut out);
    let before: Vec<_> = out.drain(..).map(|map| map.unwrap().page()).collect();
    dd.restart();
    assert_eq!((dd.life(), dd.unclaimed(FE), dd.unclaimed_pages()), (1, 4, 4));

    let counts = dd.counts();
    let again = dd.map_pages(FE, &refs[..2], Access::ReadWrite).unwrap();
    dd.map_for_dma(FE, &one(refs[3]), &mut out);
    let map = out.pop().unwrap().unwrap();
    assert_eq!(map.page(), before[1], "the device sees it where it did");
    assert_eq!((dd.counts() - counts).hypercalls, 0);
    assert_eq!(dd.unclaimed(FE), 1);
    again.pages.store_u8(0, 7);
    assert_eq!(pages.load_u8(0), 7);
    // Another access is another mapping.
    assert!(!dd.sweep(None, 100));
    assert_eq!(fe.grant_uses(refs[2]), 0);
    dd.unmap_pages(again);
    dd.unmap_for_dma(&mut Vec::from([map]));
    xen.assert_nothing_held(DD);
    let stale = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ring.pages.load_u8(0)));
    assert!(stale.is_err(), "a view of the earlier life is dead");
}

#[test]
fn records_survive_and_the_earlier_lifes_views_do_not() {
    let (_, dd, _) = two();
    assert!(dd.kept(RING).is_none());
    let record = dd.keep(RING, 24).unwrap();
    assert_eq!((record.len(), record.load_u64(16)), (24, 0));
    record.store_u64(16, 5);
    assert_eq!(dd.kept(RING).unwrap().load_u64(16), 5);
    dd.restart();
    assert_eq!(dd.keys(), [RING]);
    let found = dd.kept(RING).unwrap();
    assert_eq!((found.len(), found.load_u64(16)), (24, 5));
    let stale = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| record.load_u64(0)));
    assert!(stale.is_err());
    assert_eq!(dd.keep(RING, 8).unwrap().load_u64(0), 0, "a new one is zero");
    dd.forget(RING);
    assert!(dd.kept(RING).is_none());
    dd.set_limits(Limits {
        record_bytes: 64,
        ..Limits::default()
    });
    assert!(dd.keep(RING, 72).is_none());
    dd.keep(RING, 64).unwrap();
    dd.restart_unsound();
    assert_eq!(dd.keys(), []);
}

/// The remote port is free to be bound again, and pending at once.
#[test]
fn ports_are_closed_by_a_restart() {
    let (_, dd, fe) = two();
    let remote = fe.alloc_unbound(DD).unwrap();
    let local = dd.bind_interdomain(FE, remote).unwrap();
    dd.take_pending(&mut |_| {});
    dd.restart();
    assert_eq!(fe.port(remote), PortState::Unbound(DD));
    fe.notify(remote);
    assert_eq!(dd.bind_interdomain(FE, remote), Ok(local));
    assert!(dd.is_pending(local));
}

/// The pool gives out the same pages in the same order, zeroed.
#[test]
fn the_pool_begins_again() {
    let (_, dd, _) = two();
    let first: Vec<_> = (0..3).map(|_| dd.pool_page().unwrap()).collect();
    first[1].0.store_u8(9, 1);
    dd.restart();
    let again: Vec<_> = (0..4).map(|_| dd.pool_page().unwrap()).collect();
    assert!(first.iter().zip(&again).all(|(old, new)| old.1 == new.1));
    assert_eq!(again[1].0.load_u8(9), 0);
}

/// Every step can be the one that is not taken.
#[test]
fn a_domain_fails_before_the_step_that_was_named() {
    let run = |dd: &Domain, fe: &Domain, gref| {
        let mapped = dd.map_pages(FE, &[gref], Access::ReadWrite).unwrap();
        mapped.pages.store_u32(0, 1);
        mapped.pages.store_u32(4, 2);
        let _ = fe;
        dd.unmap_pages(mapped);
    };
    for step in 1..=5 {
        let (_, dd, fe) = two();
        let page = fe.pages(1);
        let gref = fe.grant(&page, 0, DD, Access::ReadWrite);
        dd.crash_at(step);
        let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&dd, &fe, gref)));
        match end {
            Err(payload) => assert!(payload.is::<Crash>()),
            Ok(()) => assert_eq!(step, 5, "four steps in all"),
        }
        let seen = (fe.grant_uses(gref), page.load_u32(0), page.load_u32(4));
        let expected = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 2), (0, 1, 2)];
        assert_eq!(seen, expected[step as usize - 1], "step {step}");
        dd.restart();
        assert_eq!(dd.unclaimed(FE), seen.0 as usize);
    }
}
