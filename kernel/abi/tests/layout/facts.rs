//! What the crate says, as lines of text: `struct NAME SIZE`, `field NAME.FIELD OFFSET SIZE`,
//! `offset NAME.FIELD OFFSET`, `const NAME VALUE`, `text NAME "VALUE"`, each under the `[ABI]` it holds for.

mod hypercalls;
mod io;

use std::collections::BTreeSet;
use std::fmt::Write;

/// The ABIs that the facts are listed for: what is the same on Arm and x86-64, what Arm adds, and x86-32.
pub const COMMON: &str = "common";
pub const ARM64: &str = "arm64";
pub const X86_32: &str = "x86_32";

/// Lines collected so far, and the Rust names they speak of.
#[derive(Default)]
pub struct Facts {
    pub text: String,
    pub names: BTreeSet<String>,
}

impl Facts {
    /// All that the crate says.
    pub fn of_the_crate() -> Self {
        let mut facts = Self::default();
        facts.section(COMMON);
        hypercalls::common(&mut facts);
        io::common(&mut facts);
        facts.section(ARM64);
        hypercalls::arm64(&mut facts);
        facts.section(X86_32);
        io::x86_32(&mut facts);
        facts
    }

    fn section(&mut self, abi: &str) {
        self.line(format_args!("[{abi}]"));
    }

    fn declared(&mut self, rust_name: &str) {
        self.names.insert(rust_name.to_owned());
    }

    fn structure(&mut self, c_name: &str, size: usize) {
        self.line(format_args!("struct {c_name} {size}"));
    }

    fn field(&mut self, structure: &str, field: &str, offset: usize, size: usize) {
        let field = field.trim_start_matches("r#");
        self.line(format_args!("field {structure}.{field} {offset} {size}"));
    }

    fn offset(&mut self, path: &str, offset: usize) {
        self.line(format_args!("offset {path} {offset}"));
    }

    fn constant(&mut self, name: &str, value: i128) {
        self.declared(name);
        self.line(format_args!("const {name} {value}"));
    }

    fn text(&mut self, name: &str, value: &str) {
        self.declared(name);
        self.line(format_args!("text {name} \"{value}\""));
    }

    fn line(&mut self, line: std::fmt::Arguments) {
        writeln!(self.text, "{line}").expect("a String takes any line");
    }
}

/// The size of what `field` returns. By value, because a field of a packed structure has no reference.
fn size_of_field<T, F>(_field: impl FnOnce(T) -> F) -> usize {
    size_of::<F>()
}

/// Notes a structure with all its fields: leaving one out does not compile.
macro_rules! structure {
    ($facts:expr, $type:ident, $c_name:literal, { $($field:ident $(as $c_field:literal)?),* }) => {
        $facts.declared(stringify!($type));
        $facts.structure($c_name, size_of::<$type>());
        structure!(@fields $facts, $type, $c_name, { $($field $(as $c_field)?),* });
    };
    (@fields $facts:expr, $type:ident, $c_name:literal, { $($field:ident $(as $c_field:literal)?),* }) => {
        let _complete = |whole: $type| { let $type { $($field: _),* } = whole; };
        $($facts.field(
            $c_name,
            structure!(@c_field $field $($c_field)?),
            core::mem::offset_of!($type, $field),
            crate::facts::size_of_field(|whole: $type| whole.$field),
        );)*
    };
    (@c_field $field:ident) => { stringify!($field) };
    (@c_field $field:ident $c_field:literal) => { $c_field };
}
use structure;

/// Notes numbers.
macro_rules! constants {
    ($facts:expr, { $($name:ident),* $(,)? }) => {
        $($facts.constant(stringify!($name), $name as i128);)*
    };
}
use constants;

/// Notes strings.
macro_rules! texts {
    ($facts:expr, { $($name:ident),* $(,)? }) => {
        $($facts.text(stringify!($name), $name);)*
    };
}
use texts;
