//! Every row of the boot loader's selection, as seen in QEMU with releases 0.13 and 0.22 or read in their source.

use super::*;

fn bytes(environment: &Environment) -> Vec<u8> {
    environment.to_bytes().unwrap()
}

fn in_progress(environment: Environment) -> Environment {
    Environment {
        in_progress: true,
        ..environment
    }
}

/// Which environment boots, and what is written to which.
type Outcome = (Option<usize>, Vec<(usize, Environment)>);

fn outcome(environments: &[Option<&[u8]>]) -> Outcome {
    let decision = select(environments, Loader::Since0_20);
    let old = select(environments, Loader::UpTo0_19);
    assert_eq!(old.on_load_failure, LoadFailure::ReturnToFirmware);
    assert_eq!((old.boots, &old.writes), (decision.boots, &decision.writes));
    let writes = decision.writes.iter();
    let writes = writes.map(|(at, bytes)| (*at, Environment::from_bytes(bytes).unwrap()));
    (decision.boots, writes.collect())
}

#[test]
fn two_valid_environments() {
    use State::{Failed, Installed, Ok, Testing};
    let confirmed = slot(0, 2, Ok);
    let rows: [(Environment, usize, Option<Environment>); 9] = [
        (slot(1, 3, Ok), 1, None),
        (slot(1, 1, Ok), 0, None),
        (slot(1, 2, Ok), 0, None), // a tie: the first
        (slot(1, 3, Failed), 1, None),
        (slot(1, 0, Failed), 0, None),
        (slot(1, 3, Installed), 1, Some(slot(1, 3, Testing))),
        (slot(1, 3, Testing), 0, Some(slot(1, 0, Failed))),
        (in_progress(slot(1, 3, Ok)), 0, None),
        (in_progress(slot(1, 3, Installed)), 0, None),
    ];
    for (other, boots, written) in rows {
        let (a, b) = (bytes(&confirmed), bytes(&other));
        let writes: Vec<_> = written.clone().map(|env| (1, env)).into_iter().collect();
        assert_eq!(
            outcome(&[Some(&a), Some(&b)]),
            (Some(boots), writes),
            "{other:?}"
        );
        // The order in which the firmware finds the volumes matters for ties alone.
        if other.revision != confirmed.revision {
            let writes: Vec<_> = written.map(|env| (0, env)).into_iter().collect();
            assert_eq!(outcome(&[Some(&b), Some(&a)]), (Some(1 - boots), writes));
        }
    }
}

#[test]
fn one_is_invalid() {
    let good = bytes(&slot(0, 2, State::Ok));
    let mut corrupt = bytes(&slot(1, 3, State::Ok));
    corrupt[1030] ^= 1;
    let truncated = &bytes(&slot(1, 3, State::Ok))[..4096];
    for bad in [corrupt.as_slice(), truncated, &[]] {
        assert_eq!(outcome(&[Some(&good), Some(bad)]), (Some(0), vec![]));
        assert_eq!(outcome(&[Some(bad), Some(&good)]), (Some(1), vec![]));
    }
    // A slot under test with an invalid one beside it: the loader marks it failed, then takes index 0, whatever it is.
    let testing = bytes(&slot(0, 3, State::Testing));
    let failed = slot(0, 0, State::Failed);
    let first = outcome(&[Some(&testing), Some(&corrupt)]);
    assert_eq!(first, (Some(0), vec![(0, failed.clone())]));
    let decision = select(&[Some(&corrupt), Some(&testing)], Loader::Since0_20);
    assert_eq!(decision.boots, Some(0));
    assert!(decision.corrupt);
    assert_eq!(decision.kernel_file, "C:BOOT1:linux.efi");
    assert_eq!(decision.writes, [(1, bytes(&failed))]);
}

#[test]
fn both_are_invalid() {
    let mut a = bytes(&slot(0, 2, State::Ok));
    let mut b = bytes(&slot(1, 3, State::Ok));
    a[1100] ^= 1;
    b[1100] ^= 1;
    let decision = select(&[Some(&a), Some(&b)], Loader::UpTo0_19);
    assert_eq!((decision.boots, decision.corrupt), (Some(0), true));
    assert_eq!(decision.kernel_file, "C:BOOT0:linux.efi");
    assert!(decision.writes.is_empty());
}

#[test]
fn both_have_revision_zero() {
    let failed = bytes(&slot(0, 0, State::Failed));
    let other = bytes(&slot(1, 0, State::Failed));
    assert_eq!(outcome(&[Some(&failed), Some(&other)]), (Some(0), vec![]));
}

#[test]
fn other_numbers_of_environments() {
    let a = bytes(&slot(0, 2, State::Ok));
    let testing = bytes(&slot(1, 3, State::Testing));
    // With one alone nothing can be written, and there is no other to fall back to.
    assert_eq!(outcome(&[None, Some(&testing), None]), (Some(1), vec![]));
    let installed = bytes(&slot(1, 3, State::Installed));
    assert_eq!(outcome(&[Some(&installed)]), (Some(0), vec![]));
    assert_eq!(outcome(&[]), (None, vec![]));
    assert_eq!(outcome(&[None, None]), (None, vec![]));
    let three = [Some(a.as_slice()), Some(&a), None, Some(&testing)];
    assert_eq!(outcome(&three), (None, vec![]));
    // Volumes without environment do not shift the indexes.
    let spread = [None, Some(a.as_slice()), None, Some(testing.as_slice())];
    let failed = slot(1, 0, State::Failed);
    assert_eq!(outcome(&spread), (Some(1), vec![(3, failed)]));
}

#[test]
fn a_kernel_that_cannot_be_loaded() {
    let a = bytes(&slot(0, 2, State::Ok));
    let installed = bytes(&slot(1, 3, State::Installed));
    let testing = bytes(&slot(1, 3, State::Testing));
    let failure = |b: &[u8], loader| select(&[Some(&a), Some(b)], loader).on_load_failure;
    let firmware = LoadFailure::ReturnToFirmware;
    assert_eq!(failure(&installed, Loader::Since0_20), LoadFailure::Reset);
    assert_eq!(failure(&installed, Loader::UpTo0_19), firmware);
    assert_eq!(failure(&testing, Loader::Since0_20), firmware);
    assert_eq!(failure(&a, Loader::Since0_20), firmware);
}

#[test]
fn the_fields_that_are_used() {
    let environment = Environment {
        kernel_params: "quiet".to_owned(),
        ..slot(1, 3, State::Ok)
    };
    let decision = select(&[Some(&bytes(&environment))], Loader::Since0_20);
    assert_eq!(decision.kernel_file, "C:BOOT1:linux.efi");
    assert_eq!(decision.kernel_params, "quiet");
    assert_eq!(decision.watchdog_seconds, 60);
    assert!(!decision.corrupt);
}
