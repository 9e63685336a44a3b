//! From words to segments.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use crate::{DNS_MAX, OWN_MAX, Own, Parsed, Segment, Subnet, TRUSTED_MAX, parse_mac};

/// Greatest VLAN.
const VLAN_MAX: u16 = 4094;
/// Longest name of a segment.
const NAME_MAX: usize = 31;

/// What is wrong, and how to mend it. The segment's own words stand before it, so that it need not repeat them.
type Fault = &'static str;

/// The words that may follow a segment's name and card.
const WORDS: [&str; 6] = ["address", "router", "dns", "vlan", "mode", "uplink"];

const NAME: Fault = "a name has 1 to 31 letters, digits, '-', '_' and '.'";
const PRINTABLE: Fault = "a character that is not printable ASCII";
const KEYS: Fault =
    "after the name and the card there are address=, router=, dns=, vlan=, mode=, uplink= and trusted=";
const TWICE: Fault =
    "a key stands twice; only dns= may, three times at most, and trusted=, four times at most";
const ADDRESS: Fault =
    "address= is neither dhcp nor a station's address with its prefix of 8 to 30 bits, such as 192.0.2.5/24";
const STATION: Fault = "router= and dns= take a station's IPv4 address";
const VLAN: Fault = "vlan= is not 1 to 4094";
const MODE: Fault = "mode= is neither bridge nor nat";
const CARD: Fault = "there is no such card; they are called net0, net1 and so on, as many as there are";
const CARD_TAKEN: Fault = "the card is another segment's way out already";
const NAT_CARD: Fault = "with mode=nat the way out is another segment's address: take the card out";
const NAT_ADDRESS: Fault =
    "mode=nat needs address=, the gateway's with its guests' subnet, such as address=10.0.3.1/24";
const NAT_KEYS: Fault = "router=, vlan= and trusted= are for bridged segments";
const TRUSTED: Fault = "trusted= takes the MAC of a guest's vif with hyphens, such as 00-16-3e-00-00-01";
const NO_SERVER: Fault =
    "nobody could answer address=dhcp: name a card, or the guest that is the DHCP server with trusted=";
const UPLINK: Fault = "uplink= needs mode=nat";
const NO_ADDRESS: Fault = "router=, dns= and vlan= need address=";
const ROUTER: Fault = "router= is not in the subnet of a fixed address=";
const NAME_TAKEN: Fault = "another segment has this name already";
const SUBNET_TAKEN: Fault = "its subnet is another segment's, too; choose another";
const OWN: Fault = "there are 8 addresses already, and no more can be";
const NO_UPLINK: Fault = "mode=nat needs a bridged segment with an address=, named by uplink= if there are several, such as lan:net0:address=dhcp";

/// Understands `text`. `cards`: the names of the cards that there are.
pub fn parse(text: &str, cards: &[&str]) -> Parsed {
    let mut parsed = Parsed::default();
    for word in text.split(',') {
        match segment(word, cards, &parsed.segments) {
            Ok(segment) => parsed.segments.push(segment),
            Err(fault) => parsed.faults.push(line(word, fault)),
        }
    }
    join(&mut parsed);
    parsed
}

fn line(word: &str, fault: Fault) -> String {
    let shown = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    let mut line = String::from("segment ");
    line.extend(word.chars().take(80).map(shown));
    line += ": ";
    if fault == KEYS
        && let Some(unknown) = unknown(word)
    {
        line.extend(unknown.chars().take(40).map(shown));
        line += " is no word of a segment; ";
    }
    line + fault
}

/// The first part of a segment's text that is none of its words.
fn unknown(word: &str) -> Option<&str> {
    let known = |part: &&str| part.split_once('=').is_some_and(|(key, _)| WORDS.contains(&key));
    let mut parts = word.split(':').skip(1).enumerate();
    let mut unknown = parts
        .by_ref()
        .filter(|(index, part)| !known(part) && (*index > 0 || part.contains('=')));
    unknown.next().map(|(_, part)| part)
}

fn segment(word: &str, cards: &[&str], others: &[Segment]) -> Result<Segment, Fault> {
    if !word.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(PRINTABLE);
    }
    let segment = Words::parse(word)?.check(cards)?;
    fits(&segment, others)?;
    Ok(segment)
}

/// One segment's words, each understood by itself.
#[derive(Default)]
struct Words<'a> {
    name: &'a str,
    card: Option<&'a str>,
    address: Option<&'a str>,
    router: Option<Ipv4Addr>,
    dns: Vec<Ipv4Addr>,
    vlan: Option<u16>,
    mode: Option<&'a str>,
    uplink: Option<&'a str>,
    trusted: Vec<[u8; 6]>,
}

impl<'a> Words<'a> {
    fn parse(word: &'a str) -> Result<Self, Fault> {
        let mut parts = word.split(':');
        let mut words = Self {
            name: parts.next().unwrap_or_default(),
            ..Self::default()
        };
        if !is_name(words.name) {
            return Err(NAME);
        }
        for (index, part) in parts.enumerate() {
            match part.split_once('=') {
                Some((key, value)) => words.set(key, value)?,
                None if index == 0 => words.card = Some(part),
                None => return Err(KEYS),
            }
        }
        Ok(words)
    }

    fn set(&mut self, key: &str, value: &'a str) -> Result<(), Fault> {
        let twice = match key {
            "address" => self.address.replace(value).is_some(),
            "mode" => self.mode.replace(value).is_some(),
            "uplink" => self.uplink.replace(value).is_some(),
            "router" => self.router.replace(station(value)?).is_some(),
            "dns" => {
                self.dns.push(station(value)?);
                self.dns.len() > DNS_MAX
            }
            "trusted" => {
                let mac = parse_mac(value, '-').filter(|mac| mac[0] & 1 == 0);
                self.trusted.push(mac.ok_or(TRUSTED)?);
                self.trusted.len() > TRUSTED_MAX
            }
            "vlan" => {
                let vlan = value.parse().ok().filter(|vlan| (1..=VLAN_MAX).contains(vlan));
                self.vlan.replace(vlan.ok_or(VLAN)?).is_some()
            }
            _ => return Err(KEYS),
        };
        if twice { Err(TWICE) } else { Ok(()) }
    }

    /// What the words say together.
    fn check(self, cards: &[&str]) -> Result<Segment, Fault> {
        if self.card.is_some_and(|card| !cards.contains(&card)) {
            return Err(CARD);
        }
        let nat = match self.mode {
            None | Some("bridge") => false,
            Some("nat") => true,
            Some(_) => return Err(MODE),
        };
        let address = match self.address {
            None | Some("dhcp") => None,
            Some(text) => Some(Subnet::parse(text).ok_or(ADDRESS)?),
        };
        let named = self.router.is_some() || self.vlan.is_some();
        let answered = self.card.is_some() || !self.trusted.is_empty();
        match nat {
            true if self.card.is_some() => return Err(NAT_CARD),
            true if address.is_none() => return Err(NAT_ADDRESS),
            true if named || !self.trusted.is_empty() => return Err(NAT_KEYS),
            false if self.uplink.is_some() => return Err(UPLINK),
            false if self.address.is_none() && (named || !self.dns.is_empty()) => return Err(NO_ADDRESS),
            false if self.address.is_some() && address.is_none() && !answered => return Err(NO_SERVER),
            _ => {}
        }
        if let Some(router) = self.router
            && !address.is_some_and(|address| address.has_station(router))
        {
            return Err(ROUTER);
        }
        Ok(Segment {
            name: self.name.to_string(),
            card: self.card.map(ToString::to_string),
            own: self.address.is_some().then_some(Own {
                address,
                router: self.router,
                dns: self.dns,
                vlan: self.vlan.unwrap_or(0),
            }),
            uplink: nat.then(|| self.uplink.unwrap_or_default().to_string()),
            trusted: self.trusted,
        })
    }
}

/// Whether a segment can be beside the others.
fn fits(segment: &Segment, others: &[Segment]) -> Result<(), Fault> {
    let subnet = |segment: &Segment| segment.own.as_ref().and_then(|own| own.address);
    for other in others {
        if other.name == segment.name {
            return Err(NAME_TAKEN);
        }
        if segment.card.is_some() && other.card == segment.card {
            return Err(CARD_TAKEN);
        }
        if let (Some(theirs), Some(ours)) = (subnet(other), subnet(segment))
            && theirs.overlaps(ours)
        {
            return Err(SUBNET_TAKEN);
        }
    }
    let own = others.iter().filter(|other| other.own.is_some()).count();
    if segment.own.is_some() && own >= OWN_MAX {
        Err(OWN)
    } else {
        Ok(())
    }
}

/// Finds the uplinks of NAT segments; those without one are faults.
fn join(parsed: &mut Parsed) {
    let Parsed { segments, faults } = parsed;
    let is_way = |segment: &&Segment| segment.uplink.is_none() && segment.own.is_some();
    let ways: Vec<String> = segments
        .iter()
        .filter(is_way)
        .map(|segment| segment.name.clone())
        .collect();
    segments.retain_mut(|segment| {
        let Some(uplink) = &mut segment.uplink else {
            return true;
        };
        if let [only] = ways.as_slice()
            && uplink.is_empty()
        {
            uplink.clone_from(only);
        }
        let known = ways.contains(uplink);
        if !known {
            faults.push(line(&segment.name, NO_UPLINK));
        }
        known
    });
}

fn station(value: &str) -> Result<Ipv4Addr, Fault> {
    let address: Option<Ipv4Addr> = value.parse().ok();
    let station = address.filter(|address| !matches!(address.octets()[0], 0 | 127 | 224..));
    station.ok_or(STATION)
}

fn is_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
