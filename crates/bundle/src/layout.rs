//! What goes where on a device with CIP's two slots: a root file system and a kernel image for one slot, and the boot
//! loader if asked for.
//!
//! The shape is that of isar-cip-core's template: handler `roundrobin`, whose `device` is a list `CURRENT->TARGET` that says
//! which slot follows which. The boot loader's environment names the current slot by the kernel image that it starts. The
//! agent of Bedstone reads the same shape; it finds the running slot by other means.

mod root;

use std::collections::BTreeMap;

use crate::description::{Alternative, Description, Entry, Property, Section};

pub use root::{Delta, FULL, Image, Root};

/// The two slots of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots {
    /// PARTUUIDs of the root slots A and B.
    pub roots: [String; 2],
    /// EFILABELs of the boot partitions that belong to them: `BOOT0`, `BOOT1`.
    pub boots: [String; 2],
    /// Name of the kernel image on the boot partitions: `linux.efi`.
    pub kernel: String,
}

/// Where the boot loader is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootLoader {
    /// Name of the member that holds it.
    pub member: String,
    /// PARTUUID of the EFI system partition.
    pub partition: String,
    /// Path on it, such as `/EFI/BOOT/BOOTX64.EFI`.
    pub path: String,
}

/// A bundle for two slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwoSlots {
    /// Version of the bundle.
    pub version: String,
    /// Name of the product.
    pub name: String,
    /// Hardware that it is for; devices compare it with their own revision. Not empty: SWUpdate as Debian builds it refuses
    /// a bundle without.
    pub hardware: Vec<String>,
    /// The slots.
    pub slots: Slots,
    /// How the root file system is carried.
    pub root: Root,
    /// Name of the member with the kernel image.
    pub kernel: String,
    /// The boot loader, if it is to be replaced. That cannot be undone by falling back to the other slot.
    pub boot_loader: Option<BootLoader>,
}

impl TwoSlots {
    /// The description, without the digests, which [`crate::write()`] adds.
    pub fn describe(&self) -> Description {
        let kernel = &self.slots.kernel;
        let follow = |targets: &[String; 2]| {
            let [a, b] = &self.slots.boots;
            let [to_a, to_b] = targets;
            // Who runs A installs B: the entry after the current one, round and round.
            Some(format!("C:{a}:{kernel}->{to_a},C:{b}:{kernel}->{to_b}"))
        };
        let whole = |member: &String| Entry {
            filename: Some(member.clone()),
            handler: Some("roundrobin".to_owned()),
            device: follow(&self.slots.roots),
            // A root file system does not fit where SWUpdate would keep a copy of it.
            installed_directly: true,
            properties: properties(&[("subtype", "image")]),
            ..Entry::default()
        };
        let (image, full) = match &self.root {
            Root::Full(member) => (whole(member), None),
            Root::Delta {
                member,
                delta,
                full,
            } => {
                let mut image = whole(member);
                image.properties.extend(delta.properties());
                // SWUpdate's handler for zchunk reads the header from a copy.
                image.installed_directly = matches!(delta, Delta::Rdiff { .. });
                (image, full.as_ref().map(whole))
            }
        };
        let kernel = Entry {
            filename: Some(self.kernel.clone()),
            handler: Some("roundrobin".to_owned()),
            device: follow(&self.slots.boots),
            filesystem: Some("vfat".to_owned()),
            path: Some(self.slots.kernel.clone()),
            properties: properties(&[("subtype", "kernel")]),
            ..Entry::default()
        };
        let boot_loader = self.boot_loader.as_ref().map(|loader| Entry {
            filename: Some(loader.member.clone()),
            handler: Some("rawfile".to_owned()),
            device: Some(format!("/dev/disk/by-partuuid/{}", loader.partition)),
            filesystem: Some("vfat".to_owned()),
            path: Some(loader.path.clone()),
            properties: properties(&[("atomic-install", "true"), ("create-destination", "true")]),
            ..Entry::default()
        });
        Description {
            version: self.version.clone(),
            name: Some(self.name.clone()),
            base: Section {
                hardware: Some(self.hardware.clone()),
                images: Some(vec![image]),
                files: Some([Some(kernel), boot_loader].into_iter().flatten().collect()),
                ..Section::default()
            },
            alternatives: full.map(alternatives).unwrap_or_default(),
            ..Description::default()
        }
    }
}

/// The set and mode in which the whole root file system is; the kernel image comes from the base.
fn alternatives(full: Entry) -> BTreeMap<String, Alternative> {
    let (set, mode) = FULL;
    let one = |name: &str, alternative| BTreeMap::from([(name.to_owned(), alternative)]);
    let section = Section {
        images: Some(vec![full]),
        ..Section::default()
    };
    let mode = one(
        mode,
        Alternative {
            section,
            ..Alternative::default()
        },
    );
    one(
        set,
        Alternative {
            alternatives: mode,
            ..Alternative::default()
        },
    )
}

fn properties(pairs: &[(&str, &str)]) -> BTreeMap<String, Property> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Property::One((*value).to_owned())))
        .collect()
}

#[cfg(test)]
mod tests;
