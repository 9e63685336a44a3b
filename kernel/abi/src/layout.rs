//! How a structure is declared: with its size and the offset of each field, both checked when it is compiled.

/// Declares C structures: `struct Name[size] { offset field: Type, … }`, sizes and offsets in bytes.
macro_rules! layout {
    ($($(#[$meta:meta])* struct $name:ident[$size:literal] {
        $($(#[$field_meta:meta])* $offset:literal $field:ident: $type:ty,)*
    })*) => {$(
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        const _: () = {
            assert!(size_of::<$name>() == $size);
            $(assert!(core::mem::offset_of!($name, $field) == $offset);)*
        };
    )*};
}
