//! How to mend what is refused, where that does not follow from what is wrong.

use std::borrow::Cow;

use super::Fault;
use crate::near::did_you_mean;

impl Fault {
    /// How to mend it, where that does not follow from what is wrong.
    pub fn mend(&self) -> Option<Cow<'static, str>> {
        self.mend_by_names()
            .map(Cow::Owned)
            .or(self.fixed_mend().map(Cow::Borrowed))
    }

    /// What depends on what was written.
    fn mend_by_names(&self) -> Option<String> {
        match self {
            Self::Syntax { mend, .. } => mend.clone(),
            Self::NoDriver { mend, .. } => Some(mend.clone()),
            Self::NoCommand { near, .. } => Some(
                near.clone()
                    .unwrap_or_else(|| "`outrigger help` lists them".to_owned()),
            ),
            Self::UnknownClass { name, known } => did_you_mean(name, known.split(", ")),
            Self::UnknownBoard { name, known } => {
                let meant = did_you_mean(name, known.split(", ")).map(|meant| format!("{meant} "));
                Some(format!(
                    "{}a board of your own is a board file (--board FILE), which `outrigger new-board` begins",
                    meant.unwrap_or_default()
                ))
            }
            Self::UnknownOption { key, known, .. } => Some(match known.as_slice() {
                [] => "this class has no options".to_owned(),
                known => {
                    let meant = did_you_mean(key, known.iter().map(String::as_str));
                    let meant = meant.map(|meant| format!("{meant} "));
                    format!(
                        "{}its options are {}",
                        meant.unwrap_or_default(),
                        known.join(", ")
                    )
                }
            }),
            Self::MissingNode { near, .. } => Some(match near {
                Some(near) => format!("did you mean {near}? `outrigger devices` lists what there is"),
                None => {
                    "`outrigger devices` lists what there is; an alias, a label (\"&emmc2\") or a compatible \
                         names a node as well"
                        .to_owned()
                }
            }),
            _ => None,
        }
    }

    /// What does not.
    fn fixed_mend(&self) -> Option<&'static str> {
        Some(match self {
            Self::SharedPage { .. } | Self::SharedInterrupt { .. } => {
                "give both to one domain, or keep the other from everybody: withhold = [\"…\"] beside board"
            }
            Self::AmbiguousNode { .. } => "name it by its full path",
            Self::OtherBoard(_) => "`outrigger new --base-dtb` finds the board of a device tree",
            Self::Disabled(_) => {
                "enable it (status = \"okay\") in the device tree that the machine boots with"
            }
            Self::NotOnCard(_) => {
                "say where it is: NAME = \"FILE\" in [card.files], or put it into the firmware folder"
            }
            Self::TwiceOnCard { .. } => "more lines of config.txt go into config = [\"…\"] in [card]",
            Self::CardFull { .. } => "raise boot-mib in [card]",
            Self::CardData { .. } => "raise size-mib in [card]",
            Self::NoFirmware(_) => "add [boot] with xen = \"console=…\" and load = ADDRESS to the board file",
            Self::NoRoom { .. } => {
                "lower load in the board file's [boot], or give the device tree of the machine as it boots"
            }
            Self::NotRegular => "save it to a file first, or give it as - on standard input",
            Self::InputTwice => "give the other file by its name",
            Self::DuplicateKey { .. } => "take one away, or give it another name",
            Self::NotAFolder => "--out names a folder, which is made if it is not there",
            Self::NotWritable { .. } => "choose another --out, or make that folder writable",
            Self::NoDevices(_) => "devices = [\"/path\"]; `outrigger devices` lists what this class drives",
            Self::NoDomains => {
                "[domain.block] with class = \"block\" and devices = [\"/path\"]; `outrigger new` writes one"
            }
            Self::XenConsole(_) => {
                "the board file names it (dtuart=), or else stdout-path of the device tree"
            }
            Self::ImageMemory { .. } => "raise memory in the domain's table",
            Self::TooManyInterrupts { .. } => "spread the devices over more domains",
            Self::Policy => "add the one that is missing, or choose xsm = \"dummy\"",
            Self::GivenAndWithheld(_) => "take it out of withhold, or out of the domain's devices",
            Self::GivenTwice { .. } | Self::ListedTwice { .. } => "take one away",
            Self::Removed(_) => "take it out of remove in the board file, if the board starts with it",
            Self::NoSuchDomain => "`xl list` shows which domains there are",
            Self::NotServing { missing: true, .. } => "`xl create /etc/xen/outrigger/NAME.cfg` starts it",
            Self::NotServing { missing: false, .. } => "its console says more: `xl console NAME`",
            Self::NoToolstack(_) => "this is done in Dom0, as root",
            _ => return None,
        })
    }
}
