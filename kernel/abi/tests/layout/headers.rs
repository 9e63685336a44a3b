//! The golden list before a C compiler that has Xen's own headers.

use std::env;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::facts::{ARM64, COMMON, X86_32};

/// One way to compile, and the sections of the golden list that hold for it.
pub struct Target {
    pub name: &'static str,
    flags: &'static [&'static str],
    sections: &'static [&'static str],
}

/// Which headers a compiler for x86-64 or AArch64 picks is a matter of macros: both are little-endian LP64.
pub const ARM64_TARGET: Target = Target {
    name: "arm64",
    flags: &["-U__x86_64__", "-U__i386__", "-D__aarch64__"],
    sections: &[COMMON, ARM64],
};
pub const X86_64_TARGET: Target = Target {
    name: "x86_64",
    flags: &["-U__aarch64__", "-U__i386__", "-D__x86_64__"],
    sections: &[COMMON],
};
/// Alignment is another there, so only a compiler for x86 can tell.
pub const X86_32_TARGET: Target = Target {
    name: "x86_32",
    flags: &["-m32"],
    sections: &[X86_32],
};

/// Headers that the facts come from, as `#include <xen/…>`.
const HEADERS: &[&str] = &[
    "xen.h",
    "grant_table.h",
    "event_channel.h",
    "memory.h",
    "hvm/hvm_op.h",
    "hvm/params.h",
    "sched.h",
    "vcpu.h",
    "version.h",
    "features.h",
    "errno.h",
    "io/ring.h",
    "io/protocols.h",
    "io/xenbus.h",
    "io/console.h",
    "io/libxenvchan.h",
    "io/xs_wire.h",
    "io/blkif.h",
    "io/netif.h",
    "io/kbdif.h",
];

/// A C program that does not compile unless each fact in `golden` holds.
///
/// # Panics
/// A line that is no fact.
pub fn program(golden: &str, target: &Target) -> String {
    // The headers want these two; freestanding C has them not.
    let mut c =
        String::from("#include <stddef.h>\n#include <stdint.h>\n#define static_assert _Static_assert\n");
    for header in HEADERS {
        c += &format!("#include <xen/{header}>\n");
    }
    let mut wanted = false;
    for line in golden.lines() {
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            wanted = target.sections.contains(&section);
        } else if wanted && !line.starts_with('#') {
            c += &assertion(line);
        }
    }
    c
}

fn assertion(fact: &str) -> String {
    let words: Vec<&str> = fact.split_whitespace().collect();
    let path = |dotted: &str| -> (String, String) {
        let (structure, field) = dotted.split_once('.').expect("STRUCT.FIELD");
        (structure.to_owned(), field.to_owned())
    };
    let condition = match words[..] {
        ["struct", name, size] => format!("sizeof(struct {name}) == {size}"),
        ["field", dotted, offset, size] => {
            let (structure, field) = path(dotted);
            format!(
                "offsetof(struct {structure}, {field}) == {offset} \
                 && sizeof(((struct {structure} *)0)->{field}) == {size}"
            )
        }
        ["offset", dotted, offset] => {
            let (structure, field) = path(dotted);
            format!("offsetof(struct {structure}, {field}) == {offset}")
        }
        // Unsigned numbers above the largest signed ones keep their bits in this comparison.
        ["const", name, value] => format!("(long long)({name}) == {value}"),
        ["text", name, value] => format!("__builtin_strcmp({name}, {value}) == 0"),
        _ => panic!("not a fact: {fact}"),
    };
    format!("static_assert({condition}, \"{}\");\n", fact.replace('"', ""))
}

/// Compiles `program` against the headers in `include`; what the compiler says if a fact does not hold.
pub fn check(include: &Path, target: &Target, program: &str) -> Result<(), String> {
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let mut child = Command::new(&compiler)
        // __XEN_TOOLS__: the newest interface, with what is shown to tools only.
        .args([
            "-std=gnu11",
            "-ffreestanding",
            "-fsyntax-only",
            "-w",
            "-D__XEN_TOOLS__",
        ])
        .args(target.flags)
        .arg("-I")
        .arg(include)
        .arg("-I")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/layout/include"))
        .args(["-x", "c", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{compiler}: {error}"))?;
    child
        .stdin
        .take()
        .expect("stdin is piped")
        .write_all(program.as_bytes())
        .map_err(|error| format!("{compiler}: {error}"))?;
    let output = child
        .wait_with_output()
        .map_err(|error| format!("{compiler}: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
