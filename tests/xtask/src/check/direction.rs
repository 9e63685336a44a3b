//! Dependencies point one way: `domains → devices/api → kernel/hal` and `domains → kernel/xen → kernel/{hal,ring,abi}`
//! (docs/architecture.md, "The house"). Only an image's `main.rs` names `kernel/core` and a chip, so every backend and every
//! driver also compiles on the host.

use anyhow::Result;

use super::metadata::{self, Dependency, Package};
use super::source::{Source, count_word};
use super::{Faults, Repository};

/// Which rooms a room's crates may name. The first line that fits a crate's folder counts; a `*` stands for a name.
const MAY_NAME: [(&str, &[&str]); 10] = [
    ("kernel/abi", &[]),
    ("kernel/ring", &["kernel/abi"]),
    // What drivers need of the machine. Neither Xen nor a device is known there.
    ("kernel/hal", &["kernel/ring"]),
    ("kernel/xen", &["kernel/abi", "kernel/hal", "kernel/ring"]),
    (
        "kernel/core",
        &["kernel/abi", "kernel/hal", "kernel/ring", "kernel/xen"],
    ),
    ("devices/api", &["kernel/hal"]),
    // A driver may stand on its bus, which is no chip. It does not know Xen.
    (
        "devices/*",
        &[
            "kernel/hal",
            "kernel/ring",
            "devices/api",
            "devices/bus",
            "devices/pci",
            "devices/virtio",
        ],
    ),
    (
        "domains/*",
        &[
            "kernel/abi",
            "kernel/hal",
            "kernel/ring",
            "kernel/xen",
            "devices/api",
            "domains/*",
        ],
    ),
    // What both ends of a live update say, and what a machine file says of segments: refused where it is written, by the
    // image's own reader.
    ("images", &["domains/update", "domains/segments"]),
    ("tests/*", &["images"]),
];

/// What an image names besides, each behind a feature of its own.
const IMAGE_MAY_NAME: [&str; 2] = ["kernel/core", "devices/*"];

/// What tests may name besides: a model in place of a device, and the crate itself with other features. An image's tests may
/// also try its backend on the drivers that the image names.
const TESTS_MAY_NAME: [&str; 2] = ["devices/*-model", "devices/api"];

/// What models of devices stand on: the memory that they reach, and the bus that they are on.
const MODELS_NAME: [&str; 2] = ["devices/bus-model", "devices/pci-model"];

/// The crates of the workspace name only what they may.
pub fn check(repository: &Repository, faults: &mut Faults) -> Result<String> {
    let mut edges = 0;
    for package in &repository.metadata.packages {
        let room = package.room();
        let Some((_, may_name)) = MAY_NAME.iter().find(|(pattern, _)| fits(pattern, &room)) else {
            faults.add(format!(
                "{room} has no line in MAY_NAME of check/direction.rs; add one"
            ));
            continue;
        };
        for dependency in &package.dependencies {
            let Some(path) = &dependency.path else { continue };
            edges += 1;
            let named = metadata::room(path);
            if let Err(why) = judge(package, dependency, &room, &named, may_name) {
                faults.add(format!("{room}/Cargo.toml names {named}: {why}"));
            }
        }
        if package.is_image() {
            let hidden = image_only(package);
            for source in &repository.sources {
                names_hidden(package, source, &room, &hidden, faults);
            }
        }
    }
    Ok(format!(
        "{} crates, {edges} dependencies within the workspace",
        repository.metadata.packages.len()
    ))
}

fn judge(
    package: &Package,
    dependency: &Dependency,
    room: &str,
    named: &str,
    may_name: &[&str],
) -> Result<(), String> {
    let among = |patterns: &[&str]| patterns.iter().any(|pattern| fits(pattern, named));
    let dev = dependency.kind.as_deref() == Some("dev");
    let is_model = fits("devices/*-model", named);
    if (named == room && dev) || (MODELS_NAME.contains(&named) && fits("devices/*-model", room)) {
        return Ok(());
    }
    // `domains/*` and `devices/*` fit more than is meant.
    let protocol = !named.starts_with("domains/") || !is_image_room(named);
    if among(may_name) && !is_model {
        return match protocol {
            true => Ok(()),
            false => Err("a domain builds on protocols, never on another class's backend".to_owned()),
        };
    }
    let tried_on = package.is_image() && !is_model && fits("devices/*", named);
    if dev && (tried_on || among(&TESTS_MAY_NAME)) {
        return Ok(());
    }
    if package.is_image() && among(&IMAGE_MAY_NAME) && !is_model && !dev {
        return match dependency.optional && !by_default(package, &dependency.name) {
            true => Ok(()),
            false => Err("only the image may: make it optional, behind a feature".to_owned()),
        };
    }
    Err(format!(
        "{room} may name only [{}]; move what is needed behind a trait of one of these",
        may_name.join(", ")
    ))
}

/// Whether the class in this folder has an image of its own, by the manifests' own list.
fn is_image_room(room: &str) -> bool {
    outrigger::class::Class::names().any(|class| room.strip_prefix("domains/") == Some(class))
}

/// Whether the default features bring in the optional dependency `name`.
fn by_default(package: &Package, name: &str) -> bool {
    let mut reached = vec!["default".to_owned()];
    let mut at = 0;
    while at < reached.len() {
        let feature = reached[at].clone();
        at += 1;
        if feature == name || feature == format!("dep:{name}") || feature.starts_with(&format!("{name}/")) {
            return true;
        }
        for next in package.features.get(&feature).into_iter().flatten() {
            if !reached.contains(next) {
                reached.push(next.clone());
            }
        }
    }
    false
}

/// The names, as Rust writes them, of the crates that only this image's `main.rs` may use.
fn image_only(package: &Package) -> Vec<String> {
    let hidden = package.dependencies.iter().filter(|dependency| {
        let named = dependency.path.as_deref().map(metadata::room);
        dependency.kind.is_none()
            && named.is_some_and(|named| {
                named != "devices/api" && IMAGE_MAY_NAME.iter().any(|pattern| fits(pattern, &named))
            })
    });
    hidden
        .map(|dependency| dependency.name.replace('-', "_"))
        .collect()
}

fn names_hidden(package: &Package, source: &Source, room: &str, hidden: &[String], faults: &mut Faults) {
    let is_main = package
        .targets
        .iter()
        .any(|target| target.is_image() && metadata::room(&target.src_path) == source.path);
    if is_main || !source.is_rust() || !source.path.starts_with(&format!("{room}/src/")) {
        return;
    }
    let code = source.code();
    for name in hidden {
        if count_word(&code, name) > 0 {
            faults.add(format!(
                "{} names {name}: only the image's main.rs may; pass it in behind a trait",
                source.path
            ));
        }
    }
}

/// Whether `room` fits `pattern`, in which a `*` stands for any part of one folder's name.
fn fits(pattern: &str, room: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == room,
        Some((before, after)) => {
            room.len() >= before.len() + after.len()
                && room
                    .strip_prefix(before)
                    .and_then(|rest| rest.strip_suffix(after))
                    .is_some_and(|name| !name.contains('/'))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::image::workspace;

    fn package(features: &[(&str, &[&str])]) -> Package {
        let json = serde_json::json!({
            "name": "outrigger-block", "version": "0.1.0", "license": null,
            "manifest_path": workspace().join("domains/block/Cargo.toml"),
            "features": features.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
            "dependencies": [],
            "targets": [{ "kind": ["bin"], "src_path": "main.rs", "required-features": ["image"] }],
        });
        serde_json::from_value(json).unwrap()
    }

    fn verdict(package: &Package, room: &str, named: &str, kind: Option<&str>, optional: bool) -> bool {
        let dependency = Dependency {
            name: "chip".to_owned(),
            kind: kind.map(str::to_owned),
            optional,
            path: Some(PathBuf::new()),
        };
        let (_, may_name) = MAY_NAME.iter().find(|(pattern, _)| fits(pattern, room)).unwrap();
        judge(package, &dependency, room, named, may_name).is_ok()
    }

    #[test]
    fn one_way_only() {
        let mut library = package(&[]);
        library.targets.clear();
        for (room, named, kind, allowed) in [
            ("kernel/ring", "kernel/xen", None, false),
            ("kernel/xen", "kernel/ring", None, true),
            ("kernel/xen", "kernel/xen", Some("dev"), true),
            ("kernel/xen", "devices/api", None, false),
            ("kernel/xen", "kernel/hal", None, true),
            ("kernel/hal", "kernel/xen", None, false),
            ("kernel/core", "devices/api", None, false),
            ("devices/virtio-blk", "kernel/xen", None, false),
            ("devices/api", "kernel/core", None, false),
            ("devices/virtio-blk", "devices/virtio", None, true),
            ("devices/virtio-blk", "devices/nvme", None, false),
            ("devices/virtio-blk", "devices/virtio-model", None, false),
            ("devices/virtio-blk", "devices/virtio-model", Some("dev"), true),
            ("devices/virtio-model", "devices/bus-model", None, true),
            ("devices/nvme-model", "devices/pci-model", None, true),
            ("devices/nvme", "devices/pci", None, true),
            ("devices/nvme", "devices/pci-model", None, false),
            ("devices/virtio-model", "devices/nvme-model", None, false),
            ("devices/virtio-blk", "devices/bus-model", None, false),
            ("devices/virtio-blk", "kernel/core", Some("dev"), false),
            ("domains/block", "domains/blkif", None, true),
            ("domains/net", "domains/block", None, false),
            ("domains/blkif", "kernel/core", None, false),
            ("domains/block", "devices/virtio-blk", None, false),
            ("tests/xtask", "images", None, true),
            ("images", "kernel/core", None, false),
        ] {
            assert_eq!(
                verdict(&library, room, named, kind, false),
                allowed,
                "{room} -> {named} ({kind:?})"
            );
        }
    }

    #[test]
    fn an_image_names_its_chips_behind_features() {
        let image = package(&[("image", &["dep:outrigger-core"]), ("nvme", &["dep:chip"])]);
        assert!(verdict(&image, "domains/block", "kernel/core", None, true));
        assert!(verdict(&image, "domains/block", "devices/nvme", None, true));
        assert!(!verdict(&image, "domains/block", "devices/nvme", None, false));
        assert!(verdict(
            &image,
            "domains/block",
            "devices/nvme",
            Some("dev"),
            false
        ));
        assert!(!verdict(
            &image,
            "domains/block",
            "kernel/core",
            Some("dev"),
            false
        ));
        assert!(!verdict(
            &image,
            "domains/block",
            "devices/nvme-model",
            None,
            true
        ));
        let default = package(&[("default", &["nvme"]), ("nvme", &["dep:chip"])]);
        assert!(!verdict(&default, "domains/block", "devices/nvme", None, true));
    }
}
