//! After a failure (SD Host Controller §3.10): the lines are reset, the card is stopped and asked how it is, and then the request
//! is begun again or ends.

use outrigger_devices::{Clock, DeviceFault, DmaPool, DmaView, RegisterIo, Status};
use outrigger_ring::SharedPages;

use crate::engine::{Engine, Progress, Step};
use crate::host::Stuck;
use crate::queue::Request;
use crate::register::status;

/// So often a request is begun.
const TRIES: u8 = 3;

/// So often a card may not answer when it is asked how it is.
const SILENCES: u8 = 3;

impl<R, P, C> Engine<R, P, C>
where
    R: RegisterIo,
    P: DmaPool + DmaView,
    P::Memory: SharedPages + Clone,
    C: Clock,
{
    /// Something went wrong with the command under way: `errors` of the controller's, or what the card said, or nothing
    /// came.
    #[cold]
    pub(crate) fn failed(&mut self, request: &Request<'_>, errors: u32) -> Result<Progress, DeviceFault> {
        self.host
            .reset_lines()
            .map_err(|Stuck| DeviceFault("the controller's lines do not come back"))?;
        // It touches no memory any more.
        self.take_back(false);
        self.still_there()?;
        let Some(active) = &mut self.active else {
            return Ok(Progress::Pending);
        };
        match active.step {
            Step::Ask => {
                active.silences += 1;
                if active.silences >= SILENCES {
                    return Err(DeviceFault("the card does not answer any more"));
                }
                // Not begun anew: the time that it has goes on.
                return Ok(self.ask_again());
            }
            // It may have had nothing to stop.
            Step::Stop => self.enter(Step::Ask, request),
            _ => {
                log::warn!(
                    "sdhci: {:?} at sector {} failed, status {errors:#x}, try {}",
                    active.step,
                    request.sector,
                    active.tries
                );
                active.adma_failed |= errors & status::ADMA != 0;
                self.enter(Step::Stop, request);
            }
        }
        Ok(Progress::More)
    }

    /// The card has answered how it is, after a failure.
    pub(crate) fn asked(&mut self, request: &Request<'_>) -> Result<Progress, DeviceFault> {
        let Some(active) = self.active else {
            return Ok(Progress::Pending);
        };
        if !self.host.card_status().is_ready() {
            if active.looked > active.until {
                return Err(DeviceFault("the card stays busy"));
            }
            return Ok(self.ask_again());
        }
        if active.lasting || active.tries >= TRIES {
            return Ok(self.end(Status::IoError));
        }
        // Whatever ADMA has against this request, the data port has not.
        self.start(request, active.tries, active.adma_failed);
        Ok(Progress::More)
    }

    /// A card that was pulled does not come back as the same.
    pub(crate) fn still_there(&self) -> Result<(), DeviceFault> {
        if self.host.has_card() {
            Ok(())
        } else {
            Err(DeviceFault("the card was removed"))
        }
    }
}
