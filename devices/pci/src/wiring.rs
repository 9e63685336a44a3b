//! How a function reaches a domain: the device tree node that the image builder writes for it.

use outrigger_hal::RegisterIo;

use crate::{BusWindow, Ecam, Function, Message};

/// `compatible` of such a node. Its registers are the function's page of ECAM and the window for its BARs.
pub const COMPATIBLE: &str = "outrigger,pci-function";

/// The window's address and size on the bus, two cells each.
const WINDOW: &str = "outrigger,pci-window";
/// The address (two cells) and the data of the message that is the node's interrupt. Without it, that is the INTx line.
const MESSAGE: &str = "outrigger,pci-message";

/// What a node says besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wiring {
    /// Where its BARs may lie.
    pub window: BusWindow,
    /// What it sends in place of an interrupt.
    pub message: Option<Message>,
}

impl Wiring {
    /// Reads a node, whose properties `property` finds.
    ///
    /// # Errors
    /// A property is missing or malformed: a line that says so.
    pub fn read<'a>(property: impl Fn(&str) -> Option<&'a [u8]>) -> Result<Self, &'static str> {
        let window = property(WINDOW).and_then(cells::<4>);
        let [start_high, start_low, size_high, size_low] =
            window.ok_or("its outrigger,pci-window is missing or malformed; build its device tree again")?;
        let message = match property(MESSAGE) {
            None => None,
            Some(bytes) => {
                let [high, low, data] = cells(bytes)
                    .ok_or("its outrigger,pci-message is malformed; build its device tree again")?;
                Some(Message {
                    address: join(high, low),
                    data,
                })
            }
        };
        Ok(Self {
            window: BusWindow {
                start: join(start_high, start_low),
                size: join(size_high, size_low),
            },
            message,
        })
    }
}

fn join(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

fn cells<const N: usize>(bytes: &[u8]) -> Option<[u32; N]> {
    if bytes.len() != 4 * N {
        return None;
    }
    let mut cells = [0; N];
    for (cell, bytes) in cells.iter_mut().zip(bytes.chunks_exact(4)) {
        *cell = u32::from_be_bytes(bytes.try_into().ok()?);
    }
    Some(cells)
}

/// Silences a function, however an earlier life of the domain or another domain has left it: no DMA and no interrupt after
/// this returns. What is behind it may still be at work with what it has fetched; its driver ends that.
pub fn stop<R: RegisterIo>(ecam: &R, window: &R) {
    let nowhere = BusWindow { start: 0, size: 0 };
    // What is wrong with it, its driver will find, too.
    let _ = Function::find(Ecam(ecam), window, nowhere);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_read_and_nonsense_is_refused() {
        let bytes = |cells: &[u32]| {
            cells
                .iter()
                .flat_map(|cell| cell.to_be_bytes())
                .collect::<alloc::vec::Vec<_>>()
        };
        let window = bytes(&[1, 2, 0, 0x1_0000]);
        let message = bytes(&[0, 0x802_0040, 80]);
        let read = |window: Option<&'static [u8]>, message: Option<&'static [u8]>| {
            Wiring::read(move |name| match name {
                WINDOW => window,
                MESSAGE => message,
                _ => None,
            })
        };
        let (window, message): (&'static [u8], &'static [u8]) = (window.leak(), message.leak());
        let good = read(Some(window), Some(message)).unwrap();
        assert_eq!(
            good.window,
            BusWindow {
                start: 0x1_0000_0002,
                size: 0x1_0000
            }
        );
        assert_eq!(
            good.message,
            Some(Message {
                address: 0x802_0040,
                data: 80
            })
        );
        assert_eq!(read(Some(window), None).unwrap().message, None);
        assert!(read(None, Some(message)).is_err());
        assert!(read(Some(&window[..12]), None).is_err());
        assert!(read(Some(window), Some(&message[..4])).is_err());
    }
}
