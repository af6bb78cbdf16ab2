//! Names of PCI devices, from the list `pci.ids` that distributions ship.
//!
//! Format: the comments at the head of the list, <https://pci-ids.ucw.cz>. Vendors, their devices
//! and the subsystems of those are indented by one tab more each; so are classes, which begin with
//! `C`, their subclasses and programming interfaces. Two blanks come before the name.

use std::collections::HashMap;

/// The list by the numbers of what it names: `8086`, `8086:1533`, `8086:1533:15d9:1533`, and for
/// classes `C 02`, `C 0200`, `C 020000`.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<String, String>);

/// Longest list that is read; the real one has some 1.5 MB.
const ENTRIES_MAX: usize = 1 << 20;

impl Names {
    /// Reads the list; what is not understood is left out.
    pub(super) fn read(text: &str) -> Self {
        let mut names = HashMap::new();
        let (mut first, mut second) = (String::new(), String::new());
        for line in text.lines().filter(|l| !l.starts_with('#')) {
            let Some((id, name)) = line.split_once("  ") else {
                continue;
            };
            let depth = id.len() - id.trim_start_matches('\t').len();
            let id = id.trim();
            // Numbers of a class are written one after the other.
            let class = first.starts_with("C ");
            let joint = if class { "" } else { ":" };
            let key = match depth {
                0 => {
                    id.clone_into(&mut first);
                    second.clear();
                    first.clone()
                }
                1 => {
                    second = format!("{first}{joint}{id}");
                    second.clone()
                }
                _ => format!("{second}{joint}{}", id.replace(' ', ":")),
            };
            if names.len() < ENTRIES_MAX {
                names.insert(key, name.trim().to_owned());
            }
        }
        Self(names)
    }

    fn of<'a>(&'a self, key: &str, otherwise: &'a str) -> &'a str {
        self.0.get(key).map_or(otherwise, String::as_str)
    }

    /// The name of a vendor, or its number.
    pub(super) fn vendor<'a>(&'a self, vendor: &'a str) -> &'a str {
        self.of(vendor, vendor)
    }

    /// The name of a device, or its number.
    pub(super) fn device<'a>(&'a self, vendor: &str, device: &'a str) -> &'a str {
        self.of(&format!("{vendor}:{device}"), device)
    }

    /// The name of a subsystem, vendor and device, of a device; or the number of the subsystem.
    pub(super) fn subsystem<'a>(
        &'a self,
        (vendor, device): (&str, &str),
        (sub_vendor, sub_device): (&str, &'a str),
    ) -> &'a str {
        let key = format!("{vendor}:{device}:{sub_vendor}:{sub_device}");
        self.of(&key, sub_device)
    }

    /// The name of a class of six digits, or of as much of it as has a name.
    pub(super) fn class(&self, class: &str) -> String {
        let parts = [6, 4, 2].into_iter().filter_map(|n| class.get(..n));
        let mut found = parts.filter_map(|p| self.0.get(&format!("C {p}")));
        match found.next() {
            Some(name) => name.clone(),
            None => format!("Unknown class ({class})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Names;

    #[test]
    fn names_are_found_at_every_depth() {
        let n = Names::read(
            "# comment\n\n8086  Intel\n\t1533  I210\n\t\t15d9 1533  Onboard\n\
             C 02  Network controller\n\t00  Ethernet controller\n\t\t01  Special\n",
        );
        assert_eq!(n.vendor("8086"), "Intel");
        assert_eq!(n.vendor("ffff"), "ffff");
        assert_eq!(n.device("8086", "1533"), "I210");
        let sub = |s| n.subsystem(("8086", "1533"), ("15d9", s));
        assert_eq!((sub("1533"), sub("0001")), ("Onboard", "0001"));
        assert_eq!(n.class("020001"), "Special");
        assert_eq!(n.class("020000"), "Ethernet controller");
        assert_eq!(n.class("028000"), "Network controller");
        assert_eq!(n.class("ff0000"), "Unknown class (ff0000)");
    }
}
