//! SPDX licence expressions: enough of them to judge what crates say (SPDX specification, annex D).

use anyhow::{Result, bail};

/// Whether `expression` can be satisfied with licences for which `allowed` is true.
///
/// The old `MIT/Apache-2.0` is an OR. `X WITH Y` is a licence of its own, by that whole name.
///
/// # Errors
/// It is no expression.
pub fn satisfied(expression: &str, allowed: &dyn Fn(&str) -> bool) -> Result<bool> {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let verdict = either(&mut words, allowed)?;
    match words.next() {
        None => Ok(verdict),
        Some(word) => bail!("`{word}` is not expected in the licence `{expression}`"),
    }
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(words: &mut Words<'_>, allowed: &dyn Fn(&str) -> bool) -> Result<bool> {
    let mut verdict = both(words, allowed)?;
    while words.next_if_eq(&"OR").is_some() {
        verdict |= both(words, allowed)?;
    }
    Ok(verdict)
}

/// AND binds more tightly than OR.
fn both(words: &mut Words<'_>, allowed: &dyn Fn(&str) -> bool) -> Result<bool> {
    let mut verdict = one(words, allowed)?;
    while words.next_if_eq(&"AND").is_some() {
        verdict &= one(words, allowed)?;
    }
    Ok(verdict)
}

fn one(words: &mut Words<'_>, allowed: &dyn Fn(&str) -> bool) -> Result<bool> {
    match words.next() {
        Some("(") => {
            let verdict = either(words, allowed)?;
            match words.next() {
                Some(")") => Ok(verdict),
                _ => bail!("a bracket of a licence is not closed"),
            }
        }
        None | Some(")" | "OR" | "AND" | "WITH") => bail!("a licence is missing in an expression"),
        Some(licence) => match words.next_if_eq(&"WITH") {
            None => Ok(allowed(licence)),
            Some(_) => match words.next() {
                Some(exception) => Ok(allowed(&format!("{licence} WITH {exception}"))),
                None => bail!("WITH without an exception"),
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_judged() {
        let allowed = |licence: &str| ["MIT", "Unicode-3.0"].contains(&licence);
        for (expression, verdict) in [
            ("MIT", true),
            ("GPL-2.0-only", false),
            ("GPL-2.0-only OR MIT", true),
            ("GPL-2.0/MIT", true),
            ("MIT AND GPL-2.0", false),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("MIT AND (GPL-2.0 OR LGPL-2.1)", false),
            ("GPL-2.0 AND GPL-3.0 OR MIT", true),
            ("MIT OR GPL-2.0 AND GPL-3.0", true),
            ("MIT WITH Classpath-exception-2.0", false),
            ("MIT WITH Classpath-exception-2.0 OR MIT", true),
        ] {
            assert_eq!(satisfied(expression, &allowed).unwrap(), verdict, "{expression}");
        }
        for nonsense in ["", "MIT OR", "(MIT", "MIT)", "MIT MIT", "OR MIT", "MIT WITH"] {
            assert!(satisfied(nonsense, &allowed).is_err(), "{nonsense}");
        }
    }
}
