//! What a broken controller or card does.

/// One misdeed, at the next command that it was injected for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// These error bits of the interrupt status instead of a response.
    Command(u32),
    /// These error bits after so many blocks of data.
    Data(u32, u32),
    /// The card is pulled after so many blocks of data (or before a response, for a command without).
    Pull(u32),
    /// Nothing ever happens.
    Silence,
    /// A response, and then nothing.
    NoEnd,
    /// All is well, but no interrupt ever says so: only the status.
    NoInterrupt,
    /// These bits in the card's status, as it answers.
    Status(u32),
    /// These bits in the interrupt status, besides what happens.
    Garbage(u32),
    /// From now on all registers read as ones.
    Ones,
    /// From now on no reset ends.
    NoReset,
    /// From now on the card answers nothing.
    Deaf,
    /// From now on the card is busy, whatever it is asked.
    Busy,
}
