use std::collections::BTreeMap;
use std::io;

use bedstone_disk::efi_variables::{DevicePath, GLOBAL, LoadOption, boot_order};
use bedstone_disk::gpt::{self, Table};

use super::Variables;
use crate::slot::Slot;

/// Where removable media, and EFI Boot Guard here, are started from (UEFI 2.10 §3.5.1.1).
const BOOT_LOADER: &str = if cfg!(target_arch = "x86_64") {
    r"\EFI\BOOT\BOOTX64.EFI"
} else if cfg!(target_arch = "aarch64") {
    r"\EFI\BOOT\BOOTAA64.EFI"
} else {
    r"\EFI\BOOT\BOOTARM.EFI"
};
const KERNEL: &str = r"\linux.efi";

/// What must be written so that the firmware has its boot entries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Plan {
    /// Entries to create: number and description, and content.
    create: Vec<(u16, String, Vec<u8>)>,
    /// The new `BootOrder`, if it changes.
    order: Option<Vec<u16>>,
}

impl Variables {
    /// Makes sure that the firmware starts EFI Boot Guard first, and when that gives up (it does not try the other slot
    /// when the kernel of a confirmed one is refused) either slot's kernel. Entries of others stay, behind these.
    ///
    /// Returns the descriptions of the entries that were missing.
    pub(crate) fn ensure_boot_entries(&self, table: &Table) -> io::Result<Vec<String>> {
        let wanted = wanted(table).map_err(io::Error::other)?;
        let order = self.0.read("BootOrder", GLOBAL)?.unwrap_or_default();
        let order = boot_order::decode(&order).map_err(io::Error::other)?;
        let plan = plan(&self.boot_entries()?, &order, &wanted).map_err(io::Error::other)?;
        for (number, _, content) in &plan.create {
            self.0.write(&boot_order::name(*number), GLOBAL, content)?;
        }
        if let Some(order) = plan.order {
            self.0
                .write("BootOrder", GLOBAL, &boot_order::encode(&order))?;
        }
        let created = plan.create.into_iter();
        Ok(created.map(|(_, description, _)| description).collect())
    }

    fn boot_entries(&self) -> io::Result<BTreeMap<u16, Vec<u8>>> {
        let mut entries = BTreeMap::new();
        for name in self.0.names(GLOBAL)? {
            if let Some(number) = boot_order::entry(&name)
                && let Some(value) = self.0.read(&name, GLOBAL)?
            {
                entries.insert(number, value);
            }
        }
        Ok(entries)
    }
}

/// The entries in the order in which the firmware is to try them.
fn wanted(table: &Table) -> bedstone_disk::Result<[LoadOption; 3]> {
    let entry = |description: &str, partition: &str, file: &str| {
        let partition = table.partition(partition)?;
        let (start, size) = (partition.start / gpt::SECTOR, partition.size / gpt::SECTOR);
        let path = DevicePath::file(partition.number, start, size, partition.guid, file);
        Ok::<_, bedstone_disk::Error>(LoadOption::active(description, path))
    };
    Ok([
        entry("EFI Boot Guard", "esp", BOOT_LOADER)?,
        entry("Bedstone slot B", Slot::B.boot_partition(), KERNEL)?,
        entry("Bedstone slot A", Slot::A.boot_partition(), KERNEL)?,
    ])
}

/// Plans the writes, given the entries that are there, `BootOrder`, and what must come first in it.
fn plan(
    entries: &BTreeMap<u16, Vec<u8>>,
    order: &[u16],
    wanted: &[LoadOption],
) -> bedstone_disk::Result<Plan> {
    let mut plan = Plan::default();
    let mut numbers = Vec::new();
    for option in wanted {
        let same = entries.iter().find(|(_, content)| {
            LoadOption::decode(content).is_ok_and(|found| {
                found.path == option.path && found.attributes & LoadOption::ACTIVE != 0
            })
        });
        let number = if let Some((number, _)) = same {
            *number
        } else {
            let number = (0..=u16::MAX)
                .find(|number| !entries.contains_key(number) && !numbers.contains(number))
                .unwrap_or(u16::MAX);
            let content = option.encode()?;
            plan.create
                .push((number, option.description.clone(), content));
            number
        };
        numbers.push(number);
    }
    let others = order.iter().filter(|number| !numbers.contains(number));
    let new: Vec<u16> = numbers.iter().chain(others).copied().collect();
    plan.order = (new != order).then_some(new);
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bedstone_disk::gpt::Partition;
    use bedstone_disk::guid::Guid;
    use proptest::prelude::*;

    pub(crate) fn table() -> Table {
        let names = ["esp", "boot0", "boot1"];
        let partitions = names.iter().zip(1_u8..).map(|(name, number)| Partition {
            number: u32::from(number),
            kind: Guid::BASIC_DATA,
            guid: Guid::from_bytes([number; 16]),
            start: u64::from(number) << 20,
            size: 1 << 20,
            attributes: 0,
            name: (*name).to_owned(),
        });
        Table {
            disk: Guid::from_bytes([9; 16]),
            disk_size: 16 << 20,
            partitions: partitions.collect(),
        }
    }

    #[test]
    fn creates_what_is_missing_once() {
        let directory = tempfile::tempdir().unwrap();
        let variables = Variables::open(directory.path()).unwrap();
        let foreign = LoadOption::active("Network", DevicePath::default());
        variables
            .0
            .write("Boot0001", GLOBAL, &foreign.encode().unwrap())
            .unwrap();
        variables.0.write("BootOrder", GLOBAL, &[1, 0]).unwrap();
        let created = variables.ensure_boot_entries(&table()).unwrap();
        assert_eq!(
            created,
            ["EFI Boot Guard", "Bedstone slot B", "Bedstone slot A"]
        );
        let order = variables.0.read("BootOrder", GLOBAL).unwrap().unwrap();
        assert_eq!(boot_order::decode(&order).unwrap(), [0, 2, 3, 1]);
        assert!(variables.ensure_boot_entries(&table()).unwrap().is_empty());
        let again = variables.0.read("BootOrder", GLOBAL).unwrap().unwrap();
        assert_eq!(again, order);
        let entry = variables.0.read("Boot0002", GLOBAL).unwrap().unwrap();
        let entry = LoadOption::decode(&entry).unwrap();
        assert_eq!(entry.description, "Bedstone slot B");
    }

    proptest! {
        #[test]
        fn foreign_entries_keep_their_order(
            entries: BTreeMap<u16, Vec<u8>>,
            order in prop::collection::vec(any::<u16>(), 0..12),
        ) {
            let wanted = wanted(&table()).unwrap();
            let plan = plan(&entries, &order, &wanted).unwrap();
            let new = plan.order.unwrap();
            let created: Vec<u16> = plan.create.iter().map(|(number, _, _)| *number).collect();
            prop_assert_eq!(&new[..3], &created);
            prop_assert!(created.iter().all(|number| !entries.contains_key(number)));
            let others: Vec<u16> = order.iter().filter(|number| !created.contains(number)).copied().collect();
            prop_assert_eq!(&new[3..], others);
        }
    }
}
