//! Requests that wait their turn: a card does one thing at a time.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use outrigger_devices::{BlockLimits, BlockOp, BlockRequest, Completion, DmaSegment, QueueFull, Status, Tag};

use crate::adma::PIECE_MAX;

/// One request, with the memory that its caller named.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub op: BlockOp,
    pub sector: u64,
    pub sectors: u64,
    pub tag: Tag,
    pub segments: &'a [DmaSegment],
}

#[derive(Debug)]
struct Place {
    op: BlockOp,
    sector: u64,
    sectors: u64,
    tag: Tag,
    /// With room for as many as a request may have.
    segments: Vec<DmaSegment>,
}

/// Oldest first.
#[derive(Debug)]
pub(crate) struct Queue {
    places: Box<[Place]>,
    /// The card discards only multiples of so many sectors.
    granularity: u64,
    first: usize,
    len: usize,
    /// Requests that needed no card.
    answered: Box<[Completion]>,
    answers: usize,
}

impl Queue {
    /// Room for `capacity` requests (at least one) of `max_segments` pieces, allocated now.
    pub fn new(capacity: usize, max_segments: usize, granularity: u32) -> Self {
        let capacity = capacity.max(1);
        let place = |_| Place {
            op: BlockOp::Flush,
            sector: 0,
            sectors: 0,
            tag: Tag(0),
            segments: Vec::with_capacity(max_segments),
        };
        let ended = Completion {
            tag: Tag(0),
            status: Status::IoError,
        };
        Self {
            places: (0..capacity).map(place).collect(),
            granularity: granularity.max(1).into(),
            first: 0,
            len: 0,
            answered: vec![ended; capacity].into_boxed_slice(),
            answers: 0,
        }
    }

    /// Takes a request, or ends it at once if the card cannot do it.
    pub fn submit(&mut self, request: &BlockRequest<'_>, limits: &BlockLimits) -> Result<(), QueueFull> {
        let (sector, sectors) = match check(request, limits, self.granularity) {
            Ok(range) => range,
            Err(status) => return self.answer(request.tag, status),
        };
        if self.len == self.places.len() {
            return Err(QueueFull);
        }
        let at = (self.first + self.len) % self.places.len();
        let place = &mut self.places[at];
        (place.op, place.tag) = (request.op, request.tag);
        (place.sector, place.sectors) = (sector, sectors);
        place.segments.clear();
        place.segments.extend_from_slice(request.segments);
        self.len += 1;
        Ok(())
    }

    /// Ends a request without the card.
    fn answer(&mut self, tag: Tag, status: Status) -> Result<(), QueueFull> {
        let place = self.answered.get_mut(self.answers).ok_or(QueueFull)?;
        *place = Completion { tag, status };
        self.answers += 1;
        Ok(())
    }

    pub fn has_answers(&self) -> bool {
        self.answers > 0
    }

    /// Those that needed no card.
    pub fn take_answers(&mut self, each: &mut dyn FnMut(Completion)) {
        for answer in &self.answered[..self.answers] {
            each(*answer);
        }
        self.answers = 0;
    }

    /// The request whose turn it is.
    pub fn first(&self) -> Option<Request<'_>> {
        let place = self.places.get(self.first).filter(|_| self.len > 0)?;
        Some(Request {
            op: place.op,
            sector: place.sector,
            sectors: place.sectors,
            tag: place.tag,
            segments: &place.segments,
        })
    }

    /// It has ended.
    pub fn pop(&mut self) {
        self.first = (self.first + 1) % self.places.len();
        self.len = self.len.saturating_sub(1);
    }

    /// Forgets everything and takes no more requests.
    pub fn retire(&mut self) {
        (self.len, self.answers, self.first) = (0, 0, 0);
        self.places = Box::default();
        self.answered = Box::default();
    }
}

/// Which sectors a request comes to (the first, and how many), or how it ends without the card.
fn check(request: &BlockRequest<'_>, limits: &BlockLimits, granularity: u64) -> Result<(u64, u64), Status> {
    let segments = request.segments;
    let sectors = match request.op {
        BlockOp::Read | BlockOp::Write => {
            let bytes: u64 = segments.iter().map(|segment| u64::from(segment.len)).sum();
            if segments.len() > limits.max_segments
                || !segments.iter().all(whole_words)
                || !bytes.is_multiple_of(512)
            {
                return Err(Status::IoError);
            }
            bytes / 512
        }
        // No volatile cache is in use, so a write that has completed is durable.
        BlockOp::Flush => return Err(Status::Ok),
        BlockOp::Discard if limits.max_discard_sectors == 0 => return Err(Status::Unsupported),
        BlockOp::Discard if request.sectors > limits.max_discard_sectors.into() => {
            return Err(Status::IoError);
        }
        BlockOp::Discard => request.sectors,
        BlockOp::WriteZeroes { .. } => return Err(Status::Unsupported),
    };
    let end = request
        .sector
        .checked_add(sectors)
        .filter(|end| *end <= limits.sectors);
    let protected = limits.read_only && request.op != BlockOp::Read;
    let Some(end) = end.filter(|_| sectors > 0 && !protected) else {
        return Err(Status::IoError);
    };
    if request.op != BlockOp::Discard {
        return Ok((request.sector, sectors));
    }
    // What does not fill a group stays as it is, which a discard allows.
    let first = request.sector.next_multiple_of(granularity);
    let whole = (end - end % granularity).saturating_sub(first);
    if whole == 0 {
        Err(Status::Ok)
    } else {
        Ok((first, whole))
    }
}

/// Descriptors name words, and so does the data port.
fn whole_words(segment: &DmaSegment) -> bool {
    segment.addr.bits().is_multiple_of(8) && segment.len.is_multiple_of(4) && segment.len <= PIECE_MAX
}
