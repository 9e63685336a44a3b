//! The classes of driver domains: one manifest `images/<class>.toml` each, embedded.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::options::Rule;

/// The classes known by name.
const CLASSES: [(&str, &str); 3] = [
    ("block", include_str!("../block.toml")),
    ("net", include_str!("../net.toml")),
    ("input", include_str!("../input.toml")),
];

/// A class of driver domain: its image and what the image drives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Name of the class, of its manifest and of its ELF file.
    pub name: &'static str,
    /// Its manifest.
    pub manifest: Manifest,
}

/// An image manifest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifest {
    /// Cargo package that holds the image's binary.
    pub package: String,
    /// Name of the binary.
    pub bin: String,
    /// Cargo features of the image: one for each driver it holds, and the image wiring itself.
    pub features: Vec<String>,
    /// Rust targets the image is built for.
    pub targets: Vec<String>,
    /// Budget of the flat image as it is loaded, without .bss, in KiB.
    pub max_image_kib: u32,
    /// Memory of the domain in MiB unless its machine file says otherwise.
    pub memory_mib: u32,
    /// `max_event_channels` of the domain: the highest event channel port.
    pub max_event_channels: u32,
    /// `max_grant_frames` of the domain: pages of 512 grant entries, for what it grants.
    pub max_grant_frames: u32,
    /// `max_maptrack_frames` of the domain: pages of 256 handles, for what it maps of its guests.
    pub max_maptrack_frames: u32,
    /// Keys of `[domain.NAME.options]`, and what each takes: it becomes a word `key=value` of the command line.
    #[serde(default)]
    pub options: BTreeMap<String, Rule>,
    /// Whether a domain of this class is of use without a device.
    #[serde(default)]
    pub without_devices: bool,
    /// The devices the image has drivers for.
    pub drivers: Vec<Driver>,
}

/// One driver of an image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Driver {
    /// The device tree's `compatible` that it drives.
    pub compatible: String,
    /// Its devices are called `<alias>0`, `<alias>1`, … in the order of the machine file.
    pub alias: String,
}

impl Class {
    /// The class of this name, if it is known.
    pub fn named(name: &str) -> Option<Self> {
        let (name, text) = CLASSES.iter().find(|(known, _)| *known == name)?;
        let manifest = toml::from_str(text).expect("the embedded image manifests are valid");
        Some(Self { name, manifest })
    }

    /// The names of all classes.
    pub fn names() -> impl Iterator<Item = &'static str> {
        CLASSES.iter().map(|(name, _)| *name)
    }

    /// What `count` devices of a class are called whose drivers all have one alias.
    pub fn device_names(&self, count: usize) -> Vec<String> {
        let alias = self.manifest.drivers.first().map_or("", |driver| &driver.alias);
        (0..count).map(|number| format!("{alias}{number}")).collect()
    }

    /// The driver for a node with these `compatible` strings, the most specific first.
    pub fn driver(&self, compatible: &[String]) -> Option<&Driver> {
        compatible
            .iter()
            .find_map(|c| self.manifest.drivers.iter().find(|d| d.compatible == *c))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_manifest_parses() {
        for name in Class::names() {
            let class = Class::named(name).unwrap();
            assert!(!class.manifest.drivers.is_empty(), "{name}");
            assert!(
                class.manifest.max_image_kib <= class.manifest.memory_mib * 1024,
                "{name}"
            );
        }
        assert_eq!(Class::named("blk"), None);
    }

    #[test]
    fn the_most_specific_compatible_wins() {
        let class = Class::named("block").unwrap();
        let compatible = ["vendor,unknown".to_owned(), "virtio,mmio".to_owned()];
        assert_eq!(
            class.driver(&compatible).map(|d| d.alias.as_str()),
            Some("virtio")
        );
        assert_eq!(class.driver(&compatible[..1]), None);
    }
}
