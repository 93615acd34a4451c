use bedstone_disk::guid::Guid;
use bedstone_disk::verity::RootArguments;

use crate::error::{Error, Result};

/// What the signed kernel command line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameters {
    /// `bedstone.root.*`: the root file system and its hash tree.
    pub(crate) root: RootArguments,
    /// `bedstone.disk`: GUID of the disk's partition table.
    pub(crate) disk: Guid,
    /// `bedstone.data`: how the data partition is kept.
    pub(crate) data: DataMode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum DataMode {
    /// `plain`: ext4 on the partition.
    #[default]
    Plain,
    /// `tpm2`: ext4 in LUKS2, its key sealed by the TPM.
    Tpm2,
}

/// The root file systems whose modules an image may carry.
const FILE_SYSTEMS: [&str; 3] = ["erofs", "squashfs", "ext4"];

impl Parameters {
    /// Reads the kernel command line. Arguments of others are passed over; ours are taken strictly: a name that is not
    /// known, given twice or misspelt is refused, because it would silently weaken what was meant.
    pub(crate) fn parse(command_line: &str) -> Result<Self> {
        let mut disk = None;
        let mut data = None;
        for argument in command_line.split_ascii_whitespace() {
            let Some(argument) = argument.strip_prefix("bedstone.") else {
                continue;
            };
            let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
            let refuse = |reason: &str| {
                let text = format!("`bedstone.{name}={value}` {reason}");
                Err(Error::Parameters(text))
            };
            match name {
                _ if name.starts_with("root.") => {}
                "disk" => match value.parse::<Guid>() {
                    Ok(guid) if disk.is_none() => disk = Some(guid),
                    Ok(_) => return refuse("is given twice"),
                    Err(_) => return refuse("is no GUID"),
                },
                "data" => {
                    let mode = match value {
                        "plain" => DataMode::Plain,
                        "tpm2" => DataMode::Tpm2,
                        _ => return refuse("is neither `plain` nor `tpm2`"),
                    };
                    if data.replace(mode).is_some() {
                        return refuse("is given twice");
                    }
                }
                _ => return refuse("is not known"),
            }
        }
        let root = RootArguments::parse(command_line)
            .map_err(|error| Error::Parameters(error.to_string()))?;
        if !FILE_SYSTEMS.contains(&root.file_system.as_str()) {
            let text = format!("`bedstone.root.fs={}` is not supported", root.file_system);
            return Err(Error::Parameters(text));
        }
        Ok(Self {
            root,
            disk: disk.ok_or_else(|| Error::Parameters("`bedstone.disk` is missing".to_owned()))?,
            data: data.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROOT: &str = "bedstone.root.hash=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff \
        bedstone.root.salt=0a0b bedstone.root.data-blocks=100 bedstone.root.hash-offset=409600 \
        bedstone.root.uuid=d0533bf2-de02-80d3-a5ae-28f48860841d bedstone.root.fs=erofs";
    const DISK: &str = "bedstone.disk=C12A7328-f81f-11d2-ba4b-00a0c93ec93b";

    #[test]
    fn reads_ours_among_others() {
        let line = format!("BOOT_IMAGE=x quiet {ROOT} {DISK} bedstone.data=tpm2 panic=5\n");
        let parameters = Parameters::parse(&line).unwrap();
        assert_eq!(parameters.root.data_blocks, 100);
        assert_eq!(parameters.data, DataMode::Tpm2);
        let disk = parameters.disk.to_string();
        assert_eq!(disk, "c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
        let line = format!("{ROOT} {DISK}");
        assert_eq!(Parameters::parse(&line).unwrap().data, DataMode::Plain);
    }

    #[test]
    fn refuses_what_is_not_exactly_right() {
        let cases = [
            (ROOT.to_owned(), "`bedstone.disk` is missing"),
            (format!("{ROOT} {DISK} {DISK}"), "is given twice"),
            (
                format!("{ROOT} {DISK} bedstone.data=tpm"),
                "is neither `plain` nor `tpm2`",
            ),
            (format!("{ROOT} {DISK} bedstone.date=tpm2"), "is not known"),
            (
                format!("{ROOT} {DISK} bedstone.root.fs=erofs"),
                "is given twice",
            ),
            (format!("{ROOT} bedstone.disk=1"), "is no GUID"),
            (
                format!("{} {DISK}", ROOT.replace("erofs", "vfat")),
                "is not supported",
            ),
            (
                format!("{} {DISK}", ROOT.replace("salt", "sult")),
                "is not known",
            ),
        ];
        for (line, reason) in cases {
            let error = Parameters::parse(&line).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    proptest! {
        #[test]
        fn order_and_strangers_do_not_matter(
            order in Just(format!("{ROOT} {DISK} bedstone.data=plain").split_whitespace().map(str::to_owned).collect::<Vec<_>>())
                .prop_shuffle(),
            others in prop::collection::vec("[a-z]{1,8}(=[ -~&&[^ ]]{0,8})?", 0..8),
        ) {
            let plain = Parameters::parse(&format!("{ROOT} {DISK}")).unwrap();
            let line = order.iter().chain(&others).cloned().collect::<Vec<_>>().join(" ");
            prop_assert_eq!(Parameters::parse(&line).unwrap(), plain);
        }

        #[test]
        fn never_panics(line: String, ours in "(bedstone\\.[a-z.]{0,12}=?[0-9a-f]{0,8} ?){0,6}") {
            let _ = Parameters::parse(&line);
            let _ = Parameters::parse(&ours);
        }
    }
}
