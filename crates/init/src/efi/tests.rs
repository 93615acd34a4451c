use super::*;
use proptest::prelude::*;

fn variables() -> (tempfile::TempDir, Variables) {
    let directory = tempfile::tempdir().unwrap();
    let variables = Variables::open(directory.path()).unwrap();
    (directory, variables)
}

#[test]
fn a_failure_is_kept_until_forgotten() {
    let (_directory, variables) = variables();
    assert_eq!(variables.failure().unwrap(), None);
    variables.record_failure("first").unwrap();
    variables.record_failure("second").unwrap();
    assert_eq!(variables.failure().unwrap().as_deref(), Some("second"));
    variables.forget_failure().unwrap();
    assert_eq!(variables.failure().unwrap(), None);
}

#[test]
fn reads_the_partition_in_either_case() {
    let (_directory, variables) = variables();
    assert_eq!(variables.stub_partition(), None);
    let text = "D0533BF2-de02-80d3-a5ae-28f48860841d";
    let value: Vec<u8> = text
        .encode_utf16()
        .chain([0])
        .flat_map(u16::to_le_bytes)
        .collect();
    variables
        .0
        .write("StubDevicePartUUID", LOADER, &value)
        .unwrap();
    assert_eq!(variables.stub_partition(), text.parse().ok());
    assert_eq!(variables.loader_partition(), None);
}

proptest! {
    #[test]
    fn any_reason_fits(text in "\\PC{0,600}") {
        let (_directory, variables) = variables();
        variables.record_failure(&text).unwrap();
        let kept = variables.failure().unwrap().unwrap();
        prop_assert!(kept.len() <= LONGEST);
        prop_assert!(text.starts_with(&kept));
        prop_assert!(text.len() > LONGEST || text == kept);
    }
}
