use std::io::Cursor;

use bedstone_disk::bgenv::Loader;
use bedstone_disk::fat::{self, Options, Tree};
use proptest::prelude::*;

use super::*;

/// A boot partition in memory that loses power after some sector writes.
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
        self.writes_left = self
            .writes_left
            .checked_sub(1)
            .ok_or(io::ErrorKind::BrokenPipe)?;
        self.bytes.write_all_at(bytes, offset)
    }
}

impl Medium for Memory {
    fn settle(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn environment(revision: u32, state: State) -> Environment {
    Environment {
        kernel_file: format!("C:BOOT{}:linux.efi", revision % 2),
        state,
        revision,
        ..Environment::default()
    }
}

fn volume(environment: &[u8], kernel: bool) -> Memory {
    let mut tree = Tree::new();
    tree.insert(bgenv::FILE_NAME, environment.to_vec()).unwrap();
    if kernel {
        tree.insert("linux.efi", vec![1; 5000]).unwrap();
    }
    let options = Options {
        kind: None,
        size: 4 << 20,
        volume_id: 1,
        label: String::new(),
        time: 1_700_000_000,
    };
    let mut bytes = Cursor::new(vec![0; 4 << 20]);
    fat::plan(&options, &tree)
        .unwrap()
        .write(&mut bytes)
        .unwrap();
    Memory {
        bytes: bytes.into_inner(),
        writes_left: usize::MAX,
    }
}

fn partitions(own: &Environment, other: &Environment) -> BootPartitions<Memory> {
    BootPartitions {
        own: volume(&own.to_bytes().unwrap(), true),
        other: volume(&other.to_bytes().unwrap(), true),
    }
}

/// Which of the two the boot loader starts.
fn boots(partitions: &BootPartitions<Memory>) -> &'static str {
    let environments = [&partitions.own, &partitions.other]
        .map(|medium| boot_partition::environment(medium).unwrap());
    let decision = bgenv::select(
        &[Some(&environments[0]), Some(&environments[1])],
        Loader::Since0_20,
    );
    ["own", "other"][decision.boots.unwrap()]
}

#[test]
fn marks_the_slot_where_the_other_is_good() {
    for state in [State::Ok, State::Testing, State::Installed] {
        let mut partitions = partitions(&environment(5, state), &environment(4, State::Ok));
        assert_eq!(partitions.leave(), Ok(Left::ForOther), "{state:?}");
        assert_eq!(boots(&partitions), "other");
        let own = Environment::from_bytes(&boot_partition::environment(&partitions.own).unwrap())
            .unwrap();
        assert_eq!((own.state, own.revision), (State::Failed, 0));
        assert_eq!(own.kernel_file, "C:BOOT1:linux.efi");
        // Once more: nothing left to do, and nothing goes wrong.
        assert_eq!(partitions.leave(), Ok(Left::ForOther));
    }
}

#[test]
fn stays_where_the_other_would_not_start() {
    let good = environment(5, State::Ok);
    let unfinished = Environment {
        in_progress: true,
        ..environment(6, State::Ok)
    };
    let cases = [
        (environment(0, State::Failed), "it is marked as failed"),
        (environment(4, State::Failed), "it is marked as failed"),
        (unfinished, "an update of it was begun and not finished"),
    ];
    for (other, reason) in cases {
        let mut partitions = partitions(&good, &other);
        let before = partitions.own.bytes.clone();
        assert_eq!(partitions.leave(), Ok(Left::Stay(reason.to_owned())));
        assert!(partitions.own.bytes == before);
    }
    let other = environment(4, State::Ok).to_bytes().unwrap();
    let mut no_kernel = BootPartitions {
        own: volume(&good.to_bytes().unwrap(), true),
        other: volume(&other, false),
    };
    assert!(matches!(no_kernel.leave(), Ok(Left::Stay(_))));
    let mut torn = other;
    torn[100] ^= 1;
    let mut torn = BootPartitions {
        own: volume(&good.to_bytes().unwrap(), true),
        other: volume(&torn, true),
    };
    assert!(matches!(torn.leave(), Ok(Left::Stay(_))));
}

#[test]
fn tells_that_the_other_was_passed_over() {
    let cases = [
        (environment(5, State::Ok), environment(4, State::Ok), false),
        (environment(4, State::Ok), environment(5, State::Ok), true),
        (
            environment(5, State::Testing),
            environment(4, State::Ok),
            false,
        ),
        (
            environment(0, State::Failed),
            environment(4, State::Ok),
            true,
        ),
    ];
    for (own, other, preferred) in cases {
        assert_eq!(partitions(&own, &other).other_is_preferred(), preferred);
    }
}

#[test]
fn an_invalid_own_environment_is_left_alone() {
    let mut own = environment(5, State::Ok).to_bytes().unwrap();
    own[3] ^= 1;
    let mut partitions = BootPartitions {
        own: volume(&own, true),
        other: volume(&environment(4, State::Ok).to_bytes().unwrap(), true),
    };
    assert_eq!(partitions.leave(), Ok(Left::ForOther));
    assert_eq!(boots(&partitions), "other");
}

#[test]
fn a_power_cut_at_any_write_leaves_a_machine_that_starts() {
    for writes in 0..8 {
        let mut partitions = partitions(&environment(5, State::Ok), &environment(4, State::Ok));
        partitions.own.writes_left = writes;
        let left = partitions.leave();
        let started = boots(&partitions);
        if writes == 0 {
            assert_eq!(started, "own");
        } else {
            // The first sector makes the CRC wrong; from then on the boot loader takes the other slot.
            assert_eq!(started, "other", "after {writes} writes");
        }
        if left == Ok(Left::ForOther) {
            return;
        }
    }
    panic!("more writes than the few sectors that change");
}

#[test]
fn a_slot_on_trial_has_its_attempts() {
    let mut own = environment(5, State::Installed);
    own.variables.set(ATTEMPTS, &Value::U8(2)).unwrap();
    let mut partitions = partitions(&own, &environment(4, State::Ok));
    let mut starts = 0;
    loop {
        let environments = [&partitions.own, &partitions.other]
            .map(|medium| boot_partition::environment(medium).unwrap());
        let decision = bgenv::select(
            &[Some(&environments[0]), Some(&environments[1])],
            Loader::Since0_20,
        );
        for (volume, bytes) in decision.writes {
            assert_eq!(volume, 0);
            replace_environment(&mut partitions.own, &bytes).unwrap();
        }
        if decision.boots == Some(1) {
            break;
        }
        // The power fails before the slot is confirmed.
        starts += 1;
        let left = partitions.allow_another_attempt().unwrap();
        assert_eq!(left, Some(3 - starts));
    }
    assert_eq!(starts, 3);
}

#[test]
fn a_confirmed_slot_is_not_on_trial() {
    let mut partitions = partitions(&environment(5, State::Ok), &environment(4, State::Ok));
    let before = partitions.own.bytes.clone();
    assert_eq!(partitions.allow_another_attempt(), Ok(None));
    assert!(partitions.own.bytes == before);
}

#[test]
fn broken_volumes_are_told() {
    let mut partitions = partitions(&environment(5, State::Ok), &environment(4, State::Ok));
    partitions.own.bytes[..512].fill(0);
    assert!(partitions.leave().is_err());
    partitions.other.bytes[..512].fill(0);
    assert!(matches!(partitions.leave(), Ok(Left::Stay(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn promises_the_other_slot_only_when_it_starts(
        revisions: [u8; 2],
        states in prop::array::uniform2(prop::sample::select(vec![State::Ok, State::Installed, State::Testing, State::Failed])),
        in_progress: [bool; 2],
    ) {
        let [own, other] = [0, 1].map(|index| Environment {
            in_progress: in_progress[index],
            ..environment(u32::from(revisions[index]), states[index])
        });
        let mut partitions = partitions(&own, &other);
        let before = boots(&partitions);
        match partitions.leave().unwrap() {
            Left::ForOther => prop_assert_eq!(boots(&partitions), "other"),
            Left::Stay(_) => prop_assert_eq!(boots(&partitions), before),
        }
    }
}
