//! The kernel command line, which the signature of the unified kernel image covers.

use bedstone_disk::guid::Guid;
use bedstone_disk::verity::RootArguments;

use crate::manifest::DataEncryption;

/// What the kernel command line is made from.
#[derive(Debug)]
pub(super) struct CommandLine<'a> {
    pub(super) root: &'a RootArguments,
    pub(super) disk: Guid,
    pub(super) data: DataEncryption,
    /// Parameters of profiles, board and manifest.
    pub(super) own: &'a [String],
}

impl CommandLine<'_> {
    /// The line, without its end. Own parameters come last: the kernel lets the last one win.
    pub(super) fn text(&self) -> String {
        let data = match self.data {
            DataEncryption::None => "plain",
            DataEncryption::Tpm2 => "tpm2",
        };
        // `gpt`: the backup table counts when the primary one is damaged. The generator that mounts partitions by their types
        // would mount the ESP on /boot. `efi=runtime`: real-time kernels leave the firmware's variables off otherwise, and those
        // tell which slot was started.
        let mut line = format!(
            "{} bedstone.disk={} bedstone.data={data} panic=5 gpt systemd.gpt_auto=no efi=runtime",
            self.root, self.disk
        );
        for parameter in self.own {
            line.push(' ');
            line.push_str(parameter);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bedstone_store::Digest;

    #[test]
    fn command_line_wakes_no_generator_of_systemd() {
        let root = RootArguments {
            hash: Digest::of(b"root"),
            salt: vec![1, 2],
            data_blocks: 10,
            hash_offset: 40960,
            uuid: Guid::from_bytes([7; 16]),
            file_system: "erofs".to_owned(),
        };
        let line = CommandLine {
            root: &root,
            disk: Guid::from_bytes([9; 16]),
            data: DataEncryption::Tpm2,
            own: &["console=ttyS0".to_owned()],
        }
        .text();
        assert_eq!(RootArguments::parse(&line).unwrap(), root);
        assert!(line.ends_with(
            " bedstone.data=tpm2 panic=5 gpt systemd.gpt_auto=no efi=runtime console=ttyS0"
        ));
        assert!(!line.split(' ').any(|word| word.starts_with("root")));
    }
}
