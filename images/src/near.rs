//! What somebody meant who mistyped a name.

/// The one of `names` that is `word` but for a few typing errors: one in three of its characters, at least one.
pub fn nearest<'n>(word: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let errors = (word.chars().count() / 3).max(1);
    names
        .into_iter()
        .map(|name| (strsim::osa_distance(word, name), name))
        .filter(|(distance, _)| *distance <= errors)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// As a question to put behind an error.
pub fn did_you_mean<'n>(word: &str, names: impl IntoIterator<Item = &'n str>) -> Option<String> {
    nearest(word, names).map(|name| format!("did you mean {name}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_typing_errors_are_forgiven_and_no_more() {
        let names = ["segments", "mtu", "mac"];
        assert_eq!(nearest("segment", names), Some("segments"));
        assert_eq!(nearest("mtuu", names), Some("mtu"));
        assert_eq!(nearest("mca", names), Some("mac"));
        assert_eq!(nearest("speed", names), None);
        assert_eq!(nearest("", names), None);
    }
}
