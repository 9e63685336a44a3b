//! The control ring: how the frontend has its packets spread over its queues.

use outrigger_xen::GrantRef;
use xen_unikernel_abi::io::netif::{
    XEN_NETIF_CTRL_HASH_ALGORITHM_NONE, XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ,
    XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW, XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER,
    XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED, XEN_NETIF_CTRL_STATUS_SUCCESS, XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS,
    XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE, XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM,
    XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS, XEN_NETIF_CTRL_TYPE_SET_HASH_KEY,
    XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE,
};

use crate::hash::{HashTypes, KEY_BYTES, MAPPING_SIZE, toeplitz};
use crate::{Extra, HashValue};

/// A private copy of a control slot.
pub type ControlWords = [u32; 4];

/// `xen_netif_ctrl_request`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlRequest {
    /// To be echoed.
    pub id: u16,
    /// `XEN_NETIF_CTRL_TYPE_*`, to be echoed.
    pub kind: u16,
    /// As the type says.
    pub data: [u32; 3],
}

impl ControlRequest {
    /// From a private copy of a slot.
    pub fn decode(words: ControlWords) -> Self {
        Self {
            id: words[0] as u16,
            kind: (words[0] >> 16) as u16,
            data: [words[1], words[2], words[3]],
        }
    }

    /// The slot's words, as frontends write them.
    pub fn encode(self) -> ControlWords {
        let [a, b, c] = self.data;
        [u32::from(self.id) | u32::from(self.kind) << 16, a, b, c]
    }

    fn respond(self, status: u32, data: u32) -> ControlResponse {
        ControlResponse {
            id: self.id,
            kind: self.kind,
            status,
            data,
        }
    }
}

/// `xen_netif_ctrl_response`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlResponse {
    /// The request's.
    pub id: u16,
    /// The request's.
    pub kind: u16,
    /// `XEN_NETIF_CTRL_STATUS_*`.
    pub status: u32,
    /// As the type says.
    pub data: u32,
}

impl ControlResponse {
    /// The response's words, every byte defined.
    pub fn encode(self) -> [u32; 3] {
        [
            u32::from(self.id) | u32::from(self.kind) << 16,
            self.status,
            self.data,
        ]
    }
}

/// What to do about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Answer it.
    Respond(ControlResponse),
    /// Copy [`Pending::bytes`] from the start of [`Pending::gref`], once, then call [`HashControl::complete`].
    Read(Pending),
}

/// A request whose data has to be copied out of the guest's page first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The page.
    pub gref: GrantRef,
    /// How many bytes of it, from its start; at least 1 and at most `MAPPING_SIZE * 4`.
    pub bytes: u16,
    request: ControlRequest,
    into: Into,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Into {
    Key,
    /// From this entry on.
    Mapping(u16),
}

/// Words of [`HashControl::to_words`].
pub const HASH_WORDS: usize = 3 + (KEY_BYTES + MAPPING_SIZE) / 4;

/// A vif's hash: algorithm, types, key and mapping.
#[derive(Clone, Debug)]
pub struct HashControl {
    toeplitz: bool,
    types: HashTypes,
    key: [u8; KEY_BYTES],
    mapping: [u8; MAPPING_SIZE],
    mapping_len: usize,
    queues: usize,
}

impl HashControl {
    /// No hash yet, for a vif of `queues` queues (1 to 256).
    pub fn new(queues: usize) -> Self {
        Self {
            toeplitz: false,
            types: HashTypes::default(),
            key: [0; KEY_BYTES],
            mapping: [0; MAPPING_SIZE],
            mapping_len: 0,
            queues: queues.clamp(1, 256),
        }
    }

    /// All that the frontend has set, for the next life of a backend.
    pub fn to_words(&self) -> [u32; HASH_WORDS] {
        let mut words = [0; HASH_WORDS];
        let (key, mapping) = (self.key.as_chunks::<4>().0, self.mapping.as_chunks::<4>().0);
        let bytes = key.iter().chain(mapping).map(|bytes| u32::from_le_bytes(*bytes));
        let numbers = [
            u32::from(self.toeplitz),
            self.types.bits(),
            self.mapping_len as u32,
        ];
        for (word, value) in words.iter_mut().zip(numbers.into_iter().chain(bytes)) {
            *word = value;
        }
        words
    }

    /// From what an earlier life has left; `None` if that cannot have been set.
    pub fn from_words(queues: usize, words: &[u32; HASH_WORDS]) -> Option<Self> {
        let (numbers, bytes) = words.split_first_chunk::<3>()?;
        let (key, mapping) = bytes.split_at_checked(KEY_BYTES / 4)?;
        let [toeplitz, types, mapping_len] = *numbers;
        let mut hash = Self::new(queues);
        hash.toeplitz = toeplitz != 0;
        hash.types = HashTypes::from_bits(types)?;
        hash.mapping_len = mapping_len as usize;
        for (bytes, word) in hash.key.as_chunks_mut::<4>().0.iter_mut().zip(key) {
            *bytes = word.to_le_bytes();
        }
        for (bytes, word) in hash.mapping.as_chunks_mut::<4>().0.iter_mut().zip(mapping) {
            *bytes = word.to_le_bytes();
        }
        let there = hash.mapping.iter().all(|queue| usize::from(*queue) < hash.queues);
        (there && toeplitz <= 1 && hash.mapping_len <= MAPPING_SIZE).then_some(hash)
    }

    /// Carries a request out, or says what it needs for that.
    pub fn handle(&mut self, request: ControlRequest) -> Control {
        let [first, second, third] = request.data;
        let invalid = Control::Respond(request.respond(XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER, 0));
        let mut result = 0;
        match request.kind {
            XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS => result = HashTypes::ALL.bits(),
            XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS => match HashTypes::from_bits(first) {
                Some(types) if self.toeplitz => self.types = types,
                _ => return invalid,
            },
            XEN_NETIF_CTRL_TYPE_SET_HASH_KEY => {
                if second as usize > KEY_BYTES {
                    return Control::Respond(request.respond(XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW, 0));
                }
                if second > 0 {
                    return Control::Read(Pending {
                        gref: GrantRef(first),
                        bytes: second as u16,
                        request,
                        into: Into::Key,
                    });
                }
                self.key = [0; KEY_BYTES];
            }
            XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE => result = MAPPING_SIZE as u32,
            XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE => {
                if first as usize > MAPPING_SIZE {
                    return invalid;
                }
                self.mapping = [0; MAPPING_SIZE];
                self.mapping_len = first as usize;
            }
            XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING => {
                // Entries and offset: neither their sum (XSA-270) nor the product with four may wrap.
                let end = third.checked_add(second);
                if end.is_none_or(|end| end as usize > self.mapping_len) {
                    return invalid;
                }
                if second > 0 {
                    return Control::Read(Pending {
                        gref: GrantRef(first),
                        bytes: second as u16 * 4,
                        request,
                        into: Into::Mapping(third as u16),
                    });
                }
            }
            XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM => match first {
                XEN_NETIF_CTRL_HASH_ALGORITHM_NONE => {
                    self.toeplitz = false;
                    self.types = HashTypes::default();
                }
                XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ => self.toeplitz = true,
                _ => return invalid,
            },
            _ => return Control::Respond(request.respond(XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED, 0)),
        }
        Control::Respond(request.respond(XEN_NETIF_CTRL_STATUS_SUCCESS, result))
    }

    /// Ends a request with the private copy of its data, of `pending.bytes` bytes; `None` if it could not be copied. Either
    /// all of it is taken over or nothing.
    pub fn complete(&mut self, pending: Pending, data: Option<&[u8]>) -> ControlResponse {
        let data = data.filter(|data| data.len() == usize::from(pending.bytes));
        let done = data.is_some_and(|data| match pending.into {
            Into::Key => {
                self.key = [0; KEY_BYTES];
                self.key[..data.len()].copy_from_slice(data);
                true
            }
            Into::Mapping(first) => self.take_mapping(usize::from(first), data),
        });
        pending.request.respond(
            if done {
                XEN_NETIF_CTRL_STATUS_SUCCESS
            } else {
                XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER
            },
            0,
        )
    }

    fn take_mapping(&mut self, first: usize, data: &[u8]) -> bool {
        let mut entries = [0; MAPPING_SIZE];
        let (chunks, _) = data.as_chunks::<4>();
        for (entry, chunk) in entries.iter_mut().zip(chunks) {
            let queue = u32::from_le_bytes(*chunk);
            if queue as usize >= self.queues {
                return false;
            }
            *entry = queue as u8;
        }
        // The size may have been changed since the request was taken, so the bounds are checked again.
        let end = first + chunks.len();
        if end > self.mapping_len {
            return false;
        }
        self.mapping[first..end].copy_from_slice(&entries[..chunks.len()]);
        true
    }

    /// Whether packets are to be hashed as the frontend says.
    pub fn is_on(&self) -> bool {
        self.toeplitz && self.types != HashTypes::default()
    }

    /// The hash of a packet. `addresses`: source and destination, 8 or 32 bytes; `ports`: source and destination, if it is
    /// TCP. `None` if such a packet is not to be hashed.
    pub fn hash(&self, addresses: &[u8], ports: Option<[u8; 4]>) -> Option<HashValue> {
        let (kind, with_ports) = self.types.choose(addresses.len() == 8, ports.is_some())?;
        let mut input = [0; 36];
        let len = addresses.len().min(32);
        input[..len].copy_from_slice(&addresses[..len]);
        let mut total = len;
        if let (true, Some(ports)) = (with_ports, ports) {
            input[len..len + 4].copy_from_slice(&ports);
            total += 4;
        }
        Some(HashValue {
            kind,
            algorithm: XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ as u8,
            value: toeplitz(&self.key, &input[..total]),
        })
    }

    /// The queue for a packet with this hash.
    pub fn queue(&self, hash: u32) -> usize {
        if self.mapping_len == 0 {
            hash as usize % self.queues
        } else {
            usize::from(self.mapping[hash as usize % self.mapping_len])
        }
    }
}

impl HashValue {
    /// As an extra.
    pub fn extra(self) -> Extra {
        Extra::Hash(self)
    }
}
