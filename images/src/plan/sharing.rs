//! No page and no interrupt has two owners.
//!
//! A page is the least that `iomem=` can give, and Xen routes an interrupt to one domain. What stays with Dom0 counts
//! as well: Xen maps every node of the host's device tree to it, even a disabled one, unless the node is marked
//! `xen,passthrough`. So a neighbour that nobody misses (a disabled node, or one of the board's slots) is withheld from
//! Dom0 too; any other is an error.

use std::collections::HashMap;

use super::Device;
use crate::board::Board;
use crate::error::{Error, Fault};
use crate::machine::{At, Domain, MachineFile};
use crate::tree::interrupts::Spi;
use crate::tree::registers::Region;
use crate::tree::{BaseTree, Node};

type Given<'a> = (&'a Domain, &'a Device);

/// Checks the devices of all domains against each other and against the rest of the machine. Returns the paths of the
/// nodes to withhold from Dom0 beside the given ones, in the tree's order.
pub(super) fn check(
    machine: &MachineFile,
    base: &BaseTree,
    domains: &[(&Domain, Vec<Device>)],
) -> Result<Vec<String>, Error> {
    let given: Vec<Given<'_>> = domains
        .iter()
        .flat_map(|(domain, devices)| devices.iter().map(|device| (*domain, device)))
        .collect();
    for (index, second) in given.iter().enumerate() {
        for first in &given[..index] {
            between(first, second).map_err(|fault| machine.refuse(second.1.line, fault))?;
        }
    }
    let mut withheld = Vec::new();
    let by_path: HashMap<&str, ()> = given
        .iter()
        .map(|(_, device)| (device.path.as_str(), ()))
        .collect();
    let nobodys = nobodys(machine, base)?;
    let console = base.xen_console(&machine.board);
    for (_, device) in &given {
        let path = || device.path.clone();
        let meets = |node: &&str| {
            *node == device.path || is_inside(node, &device.path) || is_inside(&device.path, node)
        };
        if nobodys.iter().any(|node| meets(&node.as_str())) {
            return Err(machine.refuse(device.line, Fault::GivenAndWithheld(path())));
        }
    }
    for node in base
        .nodes()
        .iter()
        .filter(|node| !by_path.contains_key(node.path.as_str()) && !machine.board.removes(&node.path))
    {
        if nobodys.contains(&node.path) {
            withheld.push(node.path.clone());
            continue;
        }
        if nobodys.iter().any(|nobodys| is_inside(&node.path, nobodys)) {
            continue;
        }
        let beside = given
            .iter()
            .filter(|(_, device)| !is_inside(&node.path, &device.path));
        for (_, device) in beside {
            if let Some(fault) = with_dom0(device, node) {
                if !can_be_withheld(&machine.board, node) || console.as_ref() == Some(&node.path) {
                    return Err(machine.refuse(device.line, fault));
                }
                withheld.push(node.path.clone());
                break;
            }
        }
    }
    Ok(withheld)
}

/// The nodes that the machine file wants to be nobody's.
fn nobodys(machine: &MachineFile, base: &BaseTree) -> Result<Vec<String>, Error> {
    let find = |At { value, line }: &At<String>| {
        let node = super::given::find(base, value).map_err(|fault| machine.refuse(*line, fault))?;
        Ok(node.path.clone())
    };
    machine.withhold.iter().map(find).collect()
}

/// Whether `path` lies below `outer`.
pub(crate) fn is_inside(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'))
}

/// Two given devices: neither the same, nor one inside the other, nor of one page or interrupt for two domains.
fn between((first_domain, first): &Given<'_>, (second_domain, second): &Given<'_>) -> Result<(), Fault> {
    let path = second.path.clone();
    let same_domain = first_domain.name == second_domain.name;
    if first.path == second.path && same_domain {
        return Err(Fault::ListedTwice { path });
    }
    if first.path == second.path {
        let (first, second) = (first_domain.name.clone(), second_domain.name.clone());
        return Err(Fault::GivenTwice { path, first, second });
    }
    if is_inside(&second.path, &first.path) {
        return Err(Fault::Inside {
            path,
            outer: first.path.clone(),
        });
    }
    if is_inside(&first.path, &second.path) {
        return Err(Fault::Inside {
            path: first.path.clone(),
            outer: path,
        });
    }
    if same_domain {
        return Ok(());
    }
    let (other, owner) = (first.path.clone(), format!("domain {}", first_domain.name));
    if let Some(page) = shared_page(&first.regions, &second.regions) {
        return Err(Fault::SharedPage {
            path,
            page,
            other,
            owner,
        });
    }
    if let Some(intid) = shared_interrupt(&first.spis, &second.spis) {
        return Err(Fault::SharedInterrupt {
            path,
            intid,
            other,
            owner,
        });
    }
    Ok(())
}

/// What a given device and a node left to Dom0 share.
fn with_dom0(device: &Device, node: &Node) -> Option<Fault> {
    let (path, other, owner) = (device.path.clone(), node.path.clone(), "Dom0".to_owned());
    if !node.is_window_to(&device.path)
        && let Some(page) = shared_page(&device.regions, &node.registers.regions)
    {
        return Some(Fault::SharedPage {
            path,
            page,
            other,
            owner,
        });
    }
    let intid = shared_interrupt(&device.spis, &node.interrupts.spis)?;
    Some(Fault::SharedInterrupt {
        path,
        intid,
        other,
        owner,
    })
}

/// Whether nobody misses this node.
pub(crate) fn can_be_withheld(board: &Board, node: &Node) -> bool {
    !node.enabled || node.compatible.iter().any(|c| board.slots.contains(c))
}

/// The address of the first page frame of both.
pub(crate) fn shared_page(one: &[Region], other: &[Region]) -> Option<u64> {
    one.iter()
        .find_map(|a| other.iter().find_map(|b| a.shared_page(*b)))
}

pub(crate) fn shared_interrupt(one: &[Spi], other: &[Spi]) -> Option<u32> {
    one.iter()
        .map(|spi| spi.intid())
        .find(|intid| other.iter().any(|spi| spi.intid() == *intid))
}
