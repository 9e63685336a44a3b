//! Admin commands (Base 2.0, §5).

use crate::model::Fetched;
use crate::queue::{Cq, Sq};
use crate::{Fault, NamespaceOffer, NvmeModel};

const INVALID_OPCODE: u16 = 0x001;
const INVALID_FIELD: u16 = 0x002;
const INVALID_NAMESPACE: u16 = 0x00b;
const INVALID_CQ: u16 = 0x100;
const INVALID_QID: u16 = 0x101;
const INVALID_SIZE: u16 = 0x102;

impl NvmeModel {
    /// Carries one out: first word, status.
    pub(crate) fn admin(&self, command: &Fetched) -> (u32, u16) {
        let opcode = command.opcode();
        let failing = self.state.borrow().faults.iter().find_map(|fault| match fault {
            Fault::AdminStatus(failing, status) if *failing == opcode => Some(*status),
            _ => None,
        });
        if let Some(status) = failing {
            return (0, status);
        }
        match opcode {
            0x01 => (0, self.create_sq(command)),
            0x05 => (0, self.create_cq(command)),
            0x06 => (0, self.identify(command)),
            0x09 => self.set_features(command),
            _ => (0, INVALID_OPCODE),
        }
    }

    fn queue(&self, command: &Fetched) -> Result<(u16, u32, u64), u16> {
        let (id, size) = (command.words[10] as u16, (command.words[10] >> 16) + 1);
        let granted = self.state.borrow().granted.unwrap_or(0);
        if granted == 0 {
            self.blame("a queue is created before its number was agreed on");
        }
        if id == 0 || id > granted {
            return Err(INVALID_QID);
        }
        if size < 2 || size > self.offer.entries {
            return Err(INVALID_SIZE);
        }
        let address = command.pair(6);
        if command.words[11] & 1 == 0 || !address.is_multiple_of(4096) {
            self.blame("a queue that is not contiguous, or no page");
            return Err(INVALID_FIELD);
        }
        Ok((id, size, address))
    }

    fn create_cq(&self, command: &Fetched) -> u16 {
        let (id, size, address) = match self.queue(command) {
            Ok(queue) => queue,
            Err(status) => return status,
        };
        if size * 16 > 4096 {
            self.blame("a completion queue longer than its page");
        }
        let vector = (command.words[11] & 2 != 0).then_some((command.words[11] >> 16) as u16);
        let earlier = self
            .state
            .borrow_mut()
            .cqs
            .insert(id, Cq::new(address, size, vector));
        if earlier.is_some() { INVALID_QID } else { 0 }
    }

    fn create_sq(&self, command: &Fetched) -> u16 {
        let (id, size, address) = match self.queue(command) {
            Ok(queue) => queue,
            Err(status) => return status,
        };
        if size * 64 > 4096 {
            self.blame("a submission queue longer than its page");
        }
        let cq = (command.words[11] >> 16) as u16;
        let mut state = self.state.borrow_mut();
        if !state.cqs.contains_key(&cq) {
            return INVALID_CQ;
        }
        let earlier = state.sqs.insert(id, Sq::new(address, size, cq));
        if earlier.is_some() { INVALID_QID } else { 0 }
    }

    fn set_features(&self, command: &Fetched) -> (u32, u16) {
        if command.words[10] & 0xff != 7 {
            return (0, INVALID_FIELD);
        }
        let count = self.offer.queues - 1;
        self.state.borrow_mut().granted = Some(self.offer.queues);
        (u32::from(count) << 16 | u32::from(count), 0)
    }

    fn identify(&self, command: &Fetched) -> u16 {
        let mut page = vec![0; 4096];
        let nsid = command.words[1];
        match command.words[10] & 0xff {
            0 => match self
                .offer
                .namespaces
                .iter()
                .find(|namespace| namespace.nsid == nsid)
            {
                Some(namespace) => {
                    let unique = self.state.borrow().unique.unwrap_or(namespace.unique);
                    describe(
                        &mut page,
                        &NamespaceOffer {
                            unique,
                            ..namespace.clone()
                        },
                    );
                }
                // An inactive one is all zeros.
                None if (1..=self.nn()).contains(&nsid) => {}
                None => return INVALID_NAMESPACE,
            },
            1 => self.describe(&mut page),
            2 => self.list(&mut page, nsid),
            _ => return INVALID_FIELD,
        }
        if !command.pair(6).is_multiple_of(4096) {
            self.blame("Identify into no page");
        }
        self.write_memory(command.pair(6), &page);
        0
    }

    fn nn(&self) -> u32 {
        let last = self.offer.namespaces.iter().map(|namespace| namespace.nsid).max();
        self.offer.nn.or(last).unwrap_or(0)
    }

    fn describe(&self, page: &mut [u8]) {
        let offer = &self.offer;
        page[4..24].fill(b' ');
        page[4] = offer.serial;
        page[24..64].fill(b'm');
        page[77] = offer.mdts;
        page[111] = offer.kind;
        (page[512], page[513]) = offer.entry_sizes;
        page[516..520].copy_from_slice(&self.nn().to_le_bytes());
        page[520] = u8::from(offer.deallocate) << 2 | u8::from(offer.write_zeroes) << 3;
        page[525] = 6 | u8::from(offer.cache);
    }

    fn list(&self, page: &mut [u8], after: u32) {
        if self.has_fault(Fault::EndlessList) {
            for (nsid, place) in (1u32..).zip(page.chunks_mut(4)) {
                place.copy_from_slice(&nsid.to_le_bytes());
            }
            return;
        }
        let ids = self.offer.namespaces.iter().map(|namespace| namespace.nsid);
        for (nsid, place) in ids.filter(|nsid| *nsid > after).zip(page.chunks_mut(4)) {
            place.copy_from_slice(&nsid.to_le_bytes());
        }
    }
}

fn describe(page: &mut [u8], namespace: &NamespaceOffer) {
    let (format, last) = namespace.format;
    for at in [0, 8, 16] {
        page[at..at + 8].copy_from_slice(&namespace.blocks.to_le_bytes());
    }
    if let Some((write, discard)) = namespace.hints {
        page[24] = 1 << 4;
        page[64..66].copy_from_slice(&(write - 1).to_le_bytes());
        page[68..70].copy_from_slice(&(discard - 1).to_le_bytes());
    }
    page[25] = last;
    page[26] = format & 0xf | (format & 0x30) << 1;
    page[29] = namespace.protection;
    page[99] = u8::from(namespace.read_only);
    page[104..112].copy_from_slice(&namespace.unique.to_le_bytes());
    // All other formats are nonsense.
    for other in page[128..384].chunks_mut(4) {
        other.copy_from_slice(&[8, 0, 3, 0]);
    }
    let at = 128 + 4 * usize::from(format);
    page[at..at + 2].copy_from_slice(&namespace.metadata.to_le_bytes());
    page[at + 2] = namespace.shift;
}
