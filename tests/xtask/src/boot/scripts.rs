//! Rules for the scripts of `tests/boot`.

use std::collections::BTreeMap;
use std::fs;

use crate::image;

/// Dom0's `init` reads all of them into one shell, where a second function of a name would replace the first one.
#[test]
fn no_two_scripts_of_dom0_define_a_function_of_one_name() {
    let folder = image::workspace().join("tests/boot/dom0");
    let mut defined = BTreeMap::<String, Vec<String>>::new();
    for entry in fs::read_dir(&folder).expect("tests/boot/dom0") {
        let path = entry.expect("a folder's entry").path();
        if path.extension().is_some_and(|extension| extension == "sh") {
            let script = path.file_name().expect("a file's name").display().to_string();
            let text = fs::read_to_string(&path).expect("a script is text");
            let names = text.lines().filter_map(|line| line.strip_suffix("() {"));
            names.for_each(|name| defined.entry(name.to_owned()).or_default().push(script.clone()));
        }
    }
    assert!(
        defined.contains_key("wait_for"),
        "no function was found in {}",
        folder.display()
    );
    defined.retain(|_, scripts| scripts.len() > 1);
    assert!(defined.is_empty(), "defined twice: {defined:?}");
}
