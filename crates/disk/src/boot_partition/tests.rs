use std::collections::BTreeMap;

use super::*;
use crate::bgenv::Value;

/// A partition in memory that loses power after some writes; nothing is on the medium before it was settled.
#[derive(Clone)]
struct Memory {
    bytes: Vec<u8>,
    writes_left: usize,
}

impl ReadAt for Memory {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.bytes.read_exact_at(buffer, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.bytes.size()
    }
}

impl WriteAt for Memory {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        // Sector by sector, so that a cut tears larger writes.
        for (sector, index) in bytes.chunks(512).zip(0..) {
            self.writes_left = self
                .writes_left
                .checked_sub(1)
                .ok_or(io::ErrorKind::BrokenPipe)?;
            self.bytes.write_all_at(sector, offset + index * 512)?;
        }
        Ok(())
    }
}

impl Medium for Memory {
    fn settle(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn environment_of(revision: u32, state: State) -> Environment {
    Environment {
        kernel_file: "C:BOOT1:linux.efi".to_owned(),
        state,
        revision,
        ..Environment::default()
    }
}

fn identity() -> Identity {
    Identity {
        label: "BOOT1".to_owned(),
        volume_id: 7,
        time: 0,
    }
}

/// A partition that an older release left, with its kernel first and other files besides.
fn old() -> Memory {
    let mut tree = Tree::new();
    tree.insert("AAA.EFI", vec![9; 300_000]).unwrap();
    tree.insert(
        bgenv::FILE_NAME,
        environment_of(4, State::Ok).to_bytes().unwrap(),
    )
    .unwrap();
    let options = fat::Options {
        kind: None,
        size: 8 << 20,
        volume_id: 1,
        label: "OLD".to_owned(),
        time: 1_700_000_000,
    };
    let mut bytes = io::Cursor::new(vec![0; 8 << 20]);
    fat::plan(&options, &tree)
        .unwrap()
        .write(&mut bytes)
        .unwrap();
    Memory {
        bytes: bytes.into_inner(),
        writes_left: usize::MAX,
    }
}

fn running() -> Vec<u8> {
    environment_of(5, State::Ok).to_bytes().unwrap()
}

/// Whether the boot loader, with the running slot's environment beside it, starts the slot of `medium`.
fn starts(medium: &Memory) -> bool {
    let Ok(found) = environment(medium) else {
        return false;
    };
    let decision = bgenv::select(&[Some(&running()), Some(&found)], Loader::Since0_20);
    decision.boots == Some(1)
}

fn update(medium: &mut Memory, kernel: &[u8]) -> Result<()> {
    let mut installed = environment_of(6, State::Installed);
    installed.variables.set(ATTEMPTS, &Value::U8(2))?;
    disable(medium)?;
    renew(medium, &identity(), &installed, &kernel.to_vec().into())?;
    replace_environment(medium, &installed.to_bytes()?)
}

#[test]
fn a_renewed_partition_has_its_files() {
    let mut medium = old();
    let kernel = vec![3; 700_001];
    update(&mut medium, &kernel).unwrap();
    let volume = Volume::open(&medium).unwrap();
    assert_eq!(volume.label().unwrap().as_deref(), Some("BOOT1"));
    assert_eq!(volume.read(KERNEL_FILE_NAME, 1 << 20).unwrap(), kernel);
    assert_eq!(
        volume.read(bgenv::LABEL_FILE_NAME, 100).unwrap(),
        bgenv::label_file("BOOT1").unwrap()
    );
    assert!(starts(&medium));
    assert!(usable(&medium).is_ok());
}

#[test]
fn a_kernel_tells_the_version_of_its_image() {
    let section = |content: &[u8]| {
        let text = vec![0x90; 90_000];
        let sections = [(".text", &*text), (".osrel", content)];
        crate::pe::tests::synthetic(&sections)
    };
    let text = "ID=debian\nIMAGE_VERSION=1.2\n";
    let mut medium = old();
    update(&mut medium, &section(text.as_bytes())).unwrap();
    assert_eq!(os_release(&medium).unwrap(), text);
    for kernel in [
        section(b"\xff"),
        section(&vec![b'x'; OS_RELEASE_LIMIT + 1]),
        crate::pe::tests::synthetic(&[(".text", &[0x90; 90])]),
        section(b"x")[..400].to_vec(),
        Vec::new(),
    ] {
        update(&mut medium, &kernel).unwrap();
        assert!(os_release(&medium).is_err());
    }
}

#[test]
fn no_power_cut_lets_an_unfinished_slot_start() {
    let kernel = vec![3; 20_000];
    let mut whole = old();
    whole.writes_left = 1 << 30;
    update(&mut whole, &kernel).unwrap();
    let writes = (1 << 30) - whole.writes_left;
    for cut in 0..writes {
        let mut medium = old();
        medium.writes_left = cut;
        assert!(update(&mut medium, &kernel).is_err(), "{cut}");
        // Started at the last write only, which makes the environment whole.
        assert!(!starts(&medium), "after {cut} of {writes} sectors");
    }
}

#[test]
fn an_unreadable_partition_is_disabled_and_renewed() {
    for damage in [0, 512] {
        let mut medium = old();
        medium.bytes[damage..damage + 512].fill(0xff);
        disable(&mut medium).unwrap();
        assert!(!starts(&medium));
        update(&mut medium, &[1; 1000]).unwrap();
        assert!(starts(&medium));
    }
}

#[test]
fn a_kernel_that_does_not_fit_changes_nothing_but_the_mark() {
    let mut medium = old();
    assert!(update(&mut medium, &vec![1; 9 << 20]).is_err());
    let found = Environment::from_bytes(&environment(&medium).unwrap()).unwrap();
    assert_eq!((found.state, found.revision), (State::Failed, 0));
    assert_eq!(
        Volume::open(&medium)
            .unwrap()
            .read("AAA.EFI", 1 << 20)
            .unwrap(),
        vec![9; 300_000]
    );
}

#[test]
fn usable_tells_why_not() {
    let cases: BTreeMap<&str, Environment> = BTreeMap::from([
        ("it is marked as failed", environment_of(0, State::Failed)),
        (
            "an update of it was begun and not finished",
            Environment {
                in_progress: true,
                ..environment_of(3, State::Ok)
            },
        ),
    ]);
    for (reason, bad) in cases {
        let mut medium = old();
        replace_environment(&mut medium, &bad.to_bytes().unwrap()).unwrap();
        assert_eq!(usable(&medium).unwrap_err(), reason);
    }
    // Its kernel is another file.
    assert!(usable(&old()).is_err());
}
