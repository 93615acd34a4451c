use super::*;
use proptest::prelude::*;

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("efivars")).unwrap();
        Self { directory }
    }

    fn variables(&self) -> Variables {
        Variables::open(self.directory.path().join("efivars")).unwrap()
    }

    fn file(&self) -> std::path::PathBuf {
        self.directory.path().join("update").join(FILE)
    }
}

fn minimum(version: &str, kept: Kept) -> Minimum {
    Minimum {
        version: version.to_owned(),
        kept,
    }
}

#[test]
fn only_rises() {
    let place = Place::new();
    let (variables, file) = (place.variables(), place.file());
    let firmware = Some(&variables);
    assert_eq!(read(firmware, &file), Known::default());
    for (raised, then) in [
        ("1.9", "1.9"),
        ("1.10", "1.10"),
        ("1.2", "1.10"),
        ("2", "2"),
    ] {
        let found = raise(firmware, &file, raised).unwrap();
        assert_eq!(found, minimum(then, Kept::Firmware));
        assert_eq!(read(firmware, &file).minimum, Some(found));
    }
    assert!(!file.exists());
    let value = variables.read(VARIABLE, BEDSTONE).unwrap().unwrap();
    assert_eq!(value, b"\x012");
}

#[test]
fn a_file_takes_its_place_where_the_firmware_keeps_none() {
    let place = Place::new();
    let file = place.file();
    let kept = raise(None, &file, "2.0").unwrap();
    assert_eq!(kept, minimum("2.0", Kept::File));
    assert_eq!(read(None, &file).minimum, Some(kept));
    raise(None, &file, "1.0").unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "2.0\n");
    // Firmware that has it later takes it over, at the highest that either knows.
    let variables = place.variables();
    let kept = raise(Some(&variables), &file, "1.5").unwrap();
    assert_eq!(kept, minimum("2.0", Kept::Firmware));
    assert_eq!(read(Some(&variables), &file).minimum, Some(kept));
}

#[test]
fn firmware_that_takes_no_variable_leaves_it_to_the_file() {
    let place = Place::new();
    let (variables, file) = (place.variables(), place.file());
    // A directory of the variable's name: every write of it fails, as on full flash.
    let name = bedstone_disk::efi_variables::efivarfs::file_name(VARIABLE, BEDSTONE);
    std::fs::create_dir(place.directory.path().join("efivars").join(name)).unwrap();
    let kept = raise(Some(&variables), &file, "3").unwrap();
    assert_eq!(kept, minimum("3", Kept::File));
    let known = read(Some(&variables), &file);
    assert_eq!(known.minimum, Some(kept));
    assert_eq!(known.faults.len(), 1);
}

#[test]
fn what_it_did_not_write_counts_as_not_there() {
    let place = Place::new();
    let variables = place.variables();
    let long = [&[1][..], &[b'1'; LONGEST + 1]].concat();
    for value in [
        &b""[..],
        b"\x01",
        b"\x022.0",
        b"\x012 0",
        b"\x012\n",
        b"\x01\xff",
        &long,
    ] {
        assert!(decode(value).is_err(), "{value:?}");
        variables.write(VARIABLE, BEDSTONE, value).unwrap();
        let known = read(Some(&variables), &place.file());
        assert_eq!(known.minimum, None);
        assert_eq!(known.faults.len(), 1);
    }
    let raised = raise(Some(&variables), &place.file(), "1").unwrap();
    assert_eq!(raised, minimum("1", Kept::Firmware));
    for text in ["", "a b", "\u{e9}", &"1".repeat(1000)] {
        std::fs::create_dir_all(place.file().parent().unwrap()).unwrap();
        std::fs::write(place.file(), text).unwrap();
        assert_eq!(read(None, &place.file()).faults.len(), 1, "{text}");
    }
}

#[test]
fn an_unknown_version_is_below() {
    assert!(is_below(None, "1"));
    assert!(is_below(Some("1.9"), "1.10"));
    assert!(!is_below(Some("1.10"), "1.10"));
}

proptest! {
    #[test]
    fn round_trip(version in "[!-~]{1,128}") {
        prop_assert_eq!(decode(&encode(&version).unwrap()).unwrap(), version);
    }

    #[test]
    fn never_panics(value: Vec<u8>) {
        let _ = decode(&value);
    }
}
