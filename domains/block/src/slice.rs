//! Parts of a device, and what a guest's `target=` means.

use alloc::string::{String, ToString};
use core::fmt;

/// A part of a device, in 512-byte sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// First sector on the device.
    pub first: u64,
    /// Number of sectors.
    pub sectors: u64,
}

impl Slice {
    /// Where `sectors` sectors from `sector` on, both relative to the slice, begin on the device; `None` if they do not lie
    /// within it.
    #[inline]
    pub fn locate(&self, sector: u64, sectors: u64) -> Option<u64> {
        let end = sector.checked_add(sectors)?;
        // Below the slice's end, which is below the device's.
        (end <= self.sectors).then(|| self.first + sector)
    }

    /// Whether the two have a sector in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.first < other.first.saturating_add(other.sectors)
            && other.first < self.first.saturating_add(self.sectors)
    }

    /// The same, but within a device of `sectors` sectors.
    #[must_use]
    pub fn clamp(&self, sectors: u64) -> Self {
        let first = self.first.min(sectors);
        Self {
            first,
            sectors: self.sectors.min(sectors - first),
        }
    }
}

/// Which part of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it; grows and shrinks with it.
    Whole,
    /// The partition of that number, from 1.
    Number(u32),
    /// The GPT partition of that name.
    Label(String),
    /// The partition of that GUID, or `ssssssss-pp` (disk signature and number) of an MBR.
    Uuid(String),
}

/// The disk specification's `target=`, XenStore node `params`: `virtio0`, `virtio0:2`, `PARTLABEL=x`, `PARTUUID=x`,
/// `virtio0:PARTLABEL=x`, `virtio0:PARTUUID=x`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The device, or any.
    pub disk: Option<String>,
    /// The part of it.
    pub part: Part,
}

/// A target that means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetError;

/// Longest target, in bytes.
const LONGEST: usize = 255;

impl Target {
    /// Parses a target.
    ///
    /// # Errors
    /// It has none of the forms above.
    pub fn parse(target: &str) -> Result<Self, TargetError> {
        if target.is_empty() || target.len() > LONGEST {
            return Err(TargetError);
        }
        if let Some(part) = labelled(target) {
            return part.map(|part| Self { disk: None, part });
        }
        let (disk, part) = match target.split_once(':') {
            None => (target, Part::Whole),
            Some((disk, part)) => (disk, labelled(part).unwrap_or_else(|| number(part))?),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if disk.is_empty() || !disk.chars().all(is_name) {
            return Err(TargetError);
        }
        Ok(Self {
            disk: Some(disk.to_string()),
            part,
        })
    }
}

/// `PARTLABEL=` and `PARTUUID=`; `None` if it is neither.
fn labelled(part: &str) -> Option<Result<Part, TargetError>> {
    let (value, make): (_, fn(String) -> Part) = if let Some(label) = part.strip_prefix("PARTLABEL=") {
        (label, Part::Label)
    } else {
        (part.strip_prefix("PARTUUID=")?, Part::Uuid)
    };
    Some(if value.is_empty() {
        Err(TargetError)
    } else {
        Ok(make(value.to_string()))
    })
}

fn number(part: &str) -> Result<Part, TargetError> {
    if part.is_empty() || part.len() > 4 || !part.bytes().all(|b| b.is_ascii_digit()) {
        return Err(TargetError);
    }
    match part.parse() {
        Ok(number) if number > 0 => Ok(Part::Number(number)),
        _ => Err(TargetError),
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(disk) = &self.disk {
            f.write_str(disk)?;
            if self.part != Part::Whole {
                f.write_str(":")?;
            }
        }
        match &self.part {
            Part::Whole => Ok(()),
            Part::Number(number) => write!(f, "{number}"),
            Part::Label(label) => write!(f, "PARTLABEL={label}"),
            Part::Uuid(uuid) => write!(f, "PARTUUID={uuid}"),
        }
    }
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sectors {}+{}", self.first, self.sectors)
    }
}
