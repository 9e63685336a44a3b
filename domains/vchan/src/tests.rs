use outrigger_xen::DomId;
use outrigger_xen::fake::{FakePages, FakeXen};
use proptest::prelude::*;

use super::*;

/// The client's end, as libxenvchan has it.
struct Other(FakePages);

impl Other {
    fn come(&self) {
        self.0.store_u8(CLI_LIVE, 1);
    }

    fn write(&self, bytes: &[u8]) -> usize {
        let (cons, prod) = (self.0.load_u32(LEFT.cons), self.0.load_u32(LEFT.prod));
        let room = 2048 - prod.wrapping_sub(cons) as usize;
        let count = bytes.len().min(room);
        for (i, byte) in bytes[..count].iter().enumerate() {
            self.0
                .store_u8(2048 + ((prod as usize).wrapping_add(i) & 2047), *byte);
        }
        self.0.store_u32(LEFT.prod, prod.wrapping_add(count as u32));
        count
    }

    fn read(&self) -> Vec<u8> {
        let (cons, prod) = (self.0.load_u32(RIGHT.cons), self.0.load_u32(RIGHT.prod));
        let ready = prod.wrapping_sub(cons) as usize;
        assert!(ready <= 1024);
        let bytes = (0..ready)
            .map(|i| self.0.load_u8(1024 + ((cons as usize).wrapping_add(i) & 1023)))
            .collect();
        self.0.store_u32(RIGHT.cons, prod);
        bytes
    }
}

fn stream() -> (Server<FakePages>, Other) {
    let page = FakeXen::new().domain(DomId(1)).pages(1);
    (Server::new(page.clone()), Other(page))
}

#[test]
fn the_page_is_as_libxenvchan_expects_it() {
    let (server, other) = stream();
    let mut head = [0; 24];
    other.0.read(0, &mut head);
    assert_eq!(head[..16], [0; 16]);
    assert_eq!(head[16..], [11, 0, 10, 0, 2, 1, 3, 0]);
    assert_eq!(server.client(), Client::Awaited);
    other.come();
    assert_eq!(server.client(), Client::Here);
    other.0.store_u8(CLI_LIVE, 0);
    assert_eq!(server.client(), Client::Gone);
    server.close();
    assert_eq!(other.0.load_u8(SRV_LIVE), 0);
}

#[test]
fn indices_that_cannot_be_break_the_stream() {
    let (server, other) = stream();
    other.0.store_u32(LEFT.prod, 2049);
    assert_eq!(server.read(&mut [0; 8]), Err(Broken));
    other.0.store_u32(RIGHT.cons, 1);
    assert_eq!(server.write(b"x"), Err(Broken));
    server.open();
    assert_eq!((server.read(&mut [0; 8]), server.write(b"x")), (Ok(0), Ok(1)));
}

#[test]
fn what_the_client_writes_over_our_index_is_nothing_to_us() {
    let (server, other) = stream();
    other.write(b"abc");
    other.0.store_u32(LEFT.cons, 77);
    let mut out = [0; 8];
    assert_eq!(server.read(&mut out), Ok(3));
    assert_eq!((&out[..3], other.0.load_u32(LEFT.cons)), (&b"abc"[..], 3));
}

proptest! {
    /// Whatever the sizes, each side gets what the other sent, in order, across the rings' ends.
    #[test]
    fn streams_are_streams(chunks in proptest::collection::vec((0usize..3000, 0usize..3000), 1..40)) {
        let (server, other) = stream();
        let mut byte = 0u8;
        let mut next = move || { byte = byte.wrapping_mul(31).wrapping_add(7); byte };
        let [mut sent, mut got, mut given, mut taken] = [const { Vec::<u8>::new() }; 4];
        for (write, read) in chunks {
            let bytes: Vec<u8> = (0..write).map(|_| next()).collect();
            sent.extend(&bytes[..other.write(&bytes)]);
            let mut out = vec![0; read];
            let count = server.read(&mut out).unwrap();
            got.extend(&out[..count]);
            given.extend(&bytes[..server.write(&bytes).unwrap()]);
            if read % 2 == 0 {
                taken.extend(other.read());
            }
        }
        let mut rest = [0; FROM_CLIENT];
        let count = server.read(&mut rest).unwrap();
        got.extend(&rest[..count]);
        taken.extend(other.read());
        prop_assert_eq!(server.on_the_way(), Ok(0));
        prop_assert!(sent == got && given == taken);
    }
}
