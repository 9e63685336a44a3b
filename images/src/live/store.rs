//! XenStore as it is at one moment: all of `/local/domain`, by one call of `xenstore-ls`.

use std::collections::BTreeMap;

use super::Toolstack;
use crate::error::Error;

/// Paths and values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Store(BTreeMap<String, String>);

impl Store {
    /// What is there now.
    ///
    /// # Errors
    /// `xenstore-ls` is not there, or may not.
    pub fn read(dom0: Toolstack) -> Result<Self, Error> {
        // -f: whole paths; -w: whole values.
        let printed = dom0.run("xenstore-ls", &["-f", "-w", "/local/domain"])?;
        Ok(Self::parse(&printed))
    }

    /// Understands lines `PATH = "VALUE"`; others are passed over.
    pub fn parse(printed: &str) -> Self {
        let lines = printed.lines().filter_map(|line| {
            let (path, value) = line.split_once(" = ")?;
            let value = value.trim_end().strip_prefix('"')?.strip_suffix('"')?;
            path.starts_with('/').then(|| (path.to_owned(), value.to_owned()))
        });
        Self(lines.collect())
    }

    /// The value at a path.
    pub fn value(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// The names of the nodes right below a path, and no name twice.
    pub fn names<'s>(&'s self, path: &str) -> Vec<&'s str> {
        let prefix = format!("{path}/");
        let mut names: Vec<&str> = Vec::new();
        let below = self.0.range(prefix.clone()..);
        for (path, _) in below.take_while(|(path, _)| path.starts_with(&prefix)) {
            let name = path[prefix.len()..].split('/').next().unwrap_or_default();
            if names.last() != Some(&name) && !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// The numbers among these names, ascending.
    pub fn numbers(&self, path: &str) -> Vec<u32> {
        let names = self.names(path).into_iter();
        let mut numbers: Vec<u32> = names.filter_map(|name| name.parse().ok()).collect();
        numbers.sort_unstable();
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_nodes_and_what_is_none_is_passed_over() {
        let store = Store::parse(
            "/a/2/x = \"1\"\n/a/10 = \"\"\n/a/2 = \"a = b\"\n/a/2-b = \"\"\nnoise\n/a/odd = 3\n/a/x/y = \"deep\"\n",
        );
        assert_eq!(store.value("/a/2"), Some("a = b"));
        assert_eq!(store.value("/a/odd"), None);
        assert_eq!(store.numbers("/a"), [2, 10]);
        assert_eq!(store.names("/a"), ["10", "2", "2-b", "x"]);
        assert_eq!(store.names("/b"), [""; 0]);
    }
}
