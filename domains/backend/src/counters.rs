//! Sums of what was done, as they stand in XenStore and in the log.

/// Declares a structure of sums: `u64` fields, adding, and `key=value` words for a node `statistics`. A field's words are its
/// name with `-` for `_`.
///
/// ```
/// outrigger_backend::counters! {
///     /// What a device has done.
///     pub struct Counters {
///         /// Events given to the guest.
///         pub events: u64,
///         /// Events that it had no room for.
///         pub no_room: u64,
///     }
/// }
/// let counters = Counters { events: 2, no_room: 1 };
/// assert_eq!(counters.to_string(), "events=2 no-room=1");
/// ```
#[macro_export]
macro_rules! counters {
    ($(#[$meta:meta])* $visibility:vis struct $name:ident {
        $($(#[$field_meta:meta])* $field_visibility:vis $field:ident: u64,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        $visibility struct $name {
            $($(#[$field_meta])* $field_visibility $field: u64,)*
        }

        impl core::ops::AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                $(self.$field += other.$field;)*
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                let words = [$((stringify!($field), self.$field),)*];
                for (at, (name, value)) in words.into_iter().enumerate() {
                    if at > 0 {
                        f.write_str(" ")?;
                    }
                    for (at, part) in name.split('_').enumerate() {
                        f.write_str(if at > 0 { "-" } else { "" })?;
                        f.write_str(part)?;
                    }
                    write!(f, "={value}")?;
                }
                Ok(())
            }
        }
    };
}
