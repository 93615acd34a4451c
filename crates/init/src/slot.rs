use std::fmt;

use bedstone_disk::gpt::Table;
use bedstone_disk::guid::Guid;
pub(crate) use bedstone_disk::layout::Slot;

/// The slot that is running, and how that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Running {
    pub(crate) slot: Slot,
    pub(crate) source: Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The boot stub told which partition it was loaded from.
    Stub,
    /// The boot loader told.
    Loader,
    /// Only this slot's root partition holds what the command line announces.
    RootPartition,
    /// Both do, or none: slot A for want of better.
    Assumed,
}

impl Source {
    /// Whether this start went through the boot loader, whose environments may then be changed.
    pub(crate) fn is_firmware(self) -> bool {
        matches!(self, Self::Stub | Self::Loader)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stub => "stub",
            Self::Loader => "loader",
            Self::RootPartition => "root-partition",
            Self::Assumed => "assumed",
        })
    }
}

/// Finds out which slot is running.
///
/// `stub` and `loader` are the partitions that `StubDevicePartUUID` and `LoaderDevicePartUUID` name; the latter may be
/// the EFI system partition, which tells nothing. `holds` says whether a slot's root partition carries the announced
/// image; it is asked only when the firmware does not tell.
pub(crate) fn running(
    table: &Table,
    stub: Option<Guid>,
    loader: Option<Guid>,
    holds: impl Fn(Slot) -> bool,
) -> Running {
    let booted_from = |guid: Option<Guid>| {
        let guid = guid?;
        Slot::ALL.into_iter().find(|slot| {
            let partition = table.partition(slot.boot_partition());
            partition.is_ok_and(|partition| partition.guid == guid)
        })
    };
    if let Some(slot) = booted_from(stub) {
        let source = Source::Stub;
        return Running { slot, source };
    }
    if let Some(slot) = booted_from(loader) {
        let source = Source::Loader;
        return Running { slot, source };
    }
    match Slot::ALL.map(holds) {
        [true, false] => Running {
            slot: Slot::A,
            source: Source::RootPartition,
        },
        [false, true] => Running {
            slot: Slot::B,
            source: Source::RootPartition,
        },
        _ => Running {
            slot: Slot::A,
            source: Source::Assumed,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bedstone_disk::gpt::Partition;

    fn table() -> Table {
        let names = ["esp", "boot0", "boot1", "root-a", "root-b", "data"];
        let partitions = names.iter().zip(1_u8..).map(|(name, number)| Partition {
            number: u32::from(number),
            kind: Guid::LINUX_DATA,
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
    fn believes_the_stub_then_the_loader_then_the_disk() {
        let guid = |number| Some(Guid::from_bytes([number; 16]));
        let (esp, boot0, boot1, unknown) = (guid(1), guid(2), guid(3), guid(77));
        let none = |_| false;
        let only_b = |slot| slot == Slot::B;
        let cases = [
            (running(&table(), boot1, boot0, none), Slot::B, Source::Stub),
            (running(&table(), boot0, esp, only_b), Slot::A, Source::Stub),
            (
                running(&table(), None, boot1, none),
                Slot::B,
                Source::Loader,
            ),
            (
                running(&table(), unknown, boot1, none),
                Slot::B,
                Source::Loader,
            ),
            (
                running(&table(), esp, esp, only_b),
                Slot::B,
                Source::RootPartition,
            ),
            (
                running(&table(), None, None, |slot| slot == Slot::A),
                Slot::A,
                Source::RootPartition,
            ),
            (
                running(&table(), None, None, |_| true),
                Slot::A,
                Source::Assumed,
            ),
            (
                running(&table(), None, None, none),
                Slot::A,
                Source::Assumed,
            ),
        ];
        for (found, slot, source) in cases {
            assert_eq!(found, Running { slot, source });
        }
    }
}
