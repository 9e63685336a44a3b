//! The tracked files, and Rust source without its comments and literals.

use std::fs;
use std::ops::Range;

use anyhow::{Context, Result};

use super::metadata::git;
use crate::image::workspace;
use crate::process;

/// A tracked text file.
#[derive(Debug)]
pub struct Source {
    /// Its path from the workspace's root.
    pub path: String,
    /// What it holds.
    pub text: String,
}

/// Reads every tracked file that is UTF-8.
pub fn tracked() -> Result<Vec<Source>> {
    let names = process::output(git().args(["ls-files", "-z"])).context("cannot list the tracked files")?;
    let mut sources = Vec::new();
    for name in names.split_terminator('\0') {
        match fs::read(workspace().join(name)) {
            Ok(bytes) => sources.extend(String::from_utf8(bytes).ok().map(|text| Source {
                path: name.to_owned(),
                text,
            })),
            // Deleted and not yet committed, or a link to a folder.
            Err(_) => continue,
        }
    }
    Ok(sources)
}

impl Source {
    /// Whether it is Rust.
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether all of it is test code: a package's `tests` folder, a `tests.rs` module or what lies below one.
    pub fn is_test(&self) -> bool {
        // The harness lives in `tests/`; that does not make it a test.
        let below = self.path.strip_prefix("tests/").unwrap_or(&self.path);
        below.ends_with("/tests.rs") || below.split('/').any(|part| part == "tests" || part == "benches")
    }

    /// The text with every comment, string and character blanked out, line by line as it was.
    pub fn code(&self) -> String {
        code(&self.text)
    }
}

/// The lines of `code`'s inline `#[cfg(test)] mod … { … }`, counted from 0.
pub fn inline_tests(code: &str) -> Vec<Range<usize>> {
    let lines: Vec<&str> = code.lines().collect();
    let mut tests = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let start = at;
        at += 1;
        if lines[start].trim() != "#[cfg(test)]" {
            continue;
        }
        let mut open = start + 1;
        while lines
            .get(open)
            .is_some_and(|line| line.trim_start().starts_with("#["))
        {
            open += 1;
        }
        let is_module = lines.get(open).is_some_and(|line| {
            let line = line.trim();
            line.starts_with("mod ") && line.ends_with('{')
        });
        if !is_module {
            continue;
        }
        let mut depth = 0_i32;
        at = open;
        while at < lines.len() {
            for c in lines[at].chars() {
                depth += i32::from(c == '{') - i32::from(c == '}');
            }
            at += 1;
            if depth == 0 {
                break;
            }
        }
        tests.push(start..at);
    }
    tests
}

/// How often `word` stands in `code` as a word of its own.
pub fn count_word(code: &str, word: &str) -> usize {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .filter(|(at, _)| {
            !code[..*at].ends_with(part_of_word) && !code[at + word.len()..].starts_with(part_of_word)
        })
        .count()
}

fn code(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => end_of_line(&chars, at),
            '/' if chars.get(at + 1) == Some(&'*') => end_of_comment(&chars, at),
            '"' => end_of_string(&chars, at),
            'r' if !follows_identifier(&chars, at) => end_of_raw_string(&chars, at).unwrap_or(at),
            '\'' => end_of_character(&chars, at).unwrap_or(at),
            _ => at,
        };
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

fn end_of_line(chars: &[char], at: usize) -> usize {
    let rest = chars[at..].iter().position(|c| *c == '\n');
    rest.map_or(chars.len(), |length| at + length)
}

/// Block comments nest.
fn end_of_comment(chars: &[char], at: usize) -> usize {
    let (mut depth, mut i) = (0, at);
    while i + 1 < chars.len() {
        match (chars[i], chars[i + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                i += 1;
                continue;
            }
        }
        i += 2;
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

fn end_of_string(chars: &[char], at: usize) -> usize {
    let mut i = at + 1;
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

/// Whether the character at `at` belongs to an identifier that began before it; `b` and `c` before a raw string do not.
fn follows_identifier(chars: &[char], at: usize) -> bool {
    let part_of_word = |c: &char| c.is_alphanumeric() || *c == '_';
    match at.checked_sub(1).map(|before| chars[before]) {
        Some('b' | 'c') => at >= 2 && part_of_word(&chars[at - 2]),
        Some(before) => part_of_word(&before),
        None => false,
    }
}

/// `r"…"`, `r#"…"#` and so on; none if it is no raw string.
fn end_of_raw_string(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    let open = at + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let mut i = open + 1;
    while i < chars.len() {
        if chars[i] == '"' && chars[i + 1..].iter().take_while(|c| **c == '#').count() >= hashes {
            return Some(i + 1 + hashes);
        }
        i += 1;
    }
    Some(chars.len())
}

/// A character literal; none if it is a lifetime.
fn end_of_character(chars: &[char], at: usize) -> Option<usize> {
    if chars.get(at + 1) == Some(&'\\') {
        let close = chars.iter().skip(at + 3).position(|c| *c == '\'')?;
        return Some(at + 3 + close + 1);
    }
    (chars.get(at + 2) == Some(&'\'')).then_some(at + 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_no_code() {
        for (text, left) in [
            ("a // unsafe\nb", "a          \nb"),
            ("a /* x /* unsafe */ \n */ b", "a                   \n    b"),
            (r#"f("unsafe \" {") + 1"#, "f(             ) + 1"),
            ("x(r#\"unsafe \"x\"#);", "x(              );"),
            ("y(br\"{\", b'{', '\\'')", "y(b    , b   ,     )"),
            (
                "f<'a>(x: &'a str, r#type: char)",
                "f<'a>(x: &'a str, r#type: char)",
            ),
            ("x == 'r' || y == '\"' // end", "x ==     || y ==           "),
        ] {
            assert_eq!(code(text), left);
        }
    }

    #[test]
    fn words_stand_alone() {
        assert_eq!(
            count_word("unsafe unsafe_code (unsafe) not_unsafe unsafe{", "unsafe"),
            3
        );
    }

    #[test]
    fn inline_test_modules_are_found_whole() {
        let code = "fn a() {}\n#[cfg(test)]\nmod x;\n#[cfg(test)]\n#[allow(y)]\nmod tests {\n  fn b() {}\n}\nfn c() {}\n";
        assert_eq!(inline_tests(code), vec![Range { start: 3, end: 8 }]);
    }

    #[test]
    fn the_harness_is_no_test() {
        let is_test = |path: &str| {
            Source {
                path: path.to_owned(),
                text: String::new(),
            }
            .is_test()
        };
        assert!(!is_test("tests/xtask/src/main.rs"));
        assert!(is_test("tests/xtask/tests/cli.rs"));
        assert!(is_test("kernel/ring/tests/loom.rs"));
        assert!(is_test("domains/blkif/src/tests.rs"));
        assert!(!is_test("kernel/ring/src/back.rs"));
    }
}
