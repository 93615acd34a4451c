use super::*;
use crate::signer::FileKey;
use ring::rand::SystemRandom;

fn envelope() -> Envelope {
    let pem = FileKey::generate_pem(&SystemRandom::new()).unwrap();
    let key = FileKey::from_pkcs8(pem.as_bytes()).unwrap();
    Envelope::seal(&crate::statement::tests::sample(), &[&key]).unwrap()
}

#[test]
fn finds_by_each_subject() {
    let directory = tempfile::tempdir().unwrap();
    let store = EvidenceStore::new(directory.path().join("evidence"));
    let (disk, rootfs) = (Digest::of(b"disk"), Digest::of(b"rootfs"));
    assert!(store.about(&disk).unwrap().is_empty());
    let (one, two) = (envelope(), envelope());
    let first = store.put(&one).unwrap();
    assert_eq!(store.put(&one).unwrap(), first);
    let second = store.put(&two).unwrap();
    for subject in [disk, rootfs] {
        let found = store.about(&subject).unwrap();
        let mut digests: Vec<_> = found.iter().map(|entry| entry.digest).collect();
        digests.sort();
        let mut expected = vec![first, second];
        expected.sort();
        assert_eq!(digests, expected);
        assert!(found.iter().any(|entry| entry.envelope == one));
        let name = found[0].path.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("slsa.dev_provenance_v1-"), "{name}");
    }
    assert!(store.about(&Digest::of(b"other")).unwrap().is_empty());
}

#[test]
fn says_what_was_altered() {
    let directory = tempfile::tempdir().unwrap();
    let store = EvidenceStore::new(directory.path());
    store.put(&envelope()).unwrap();
    let subject = Digest::of(b"disk");
    let path = store.about(&subject).unwrap().remove(0).path;
    fs::write(&path, b"{}").unwrap();
    let error = store.about(&subject).unwrap_err().to_string();
    assert!(
        error.contains(path.to_str().unwrap()) && error.contains("altered"),
        "{error}"
    );
}

#[test]
fn refuses_what_has_no_subject() {
    let pem = FileKey::generate_pem(&SystemRandom::new()).unwrap();
    let key = FileKey::from_pkcs8(pem.as_bytes()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let store = EvidenceStore::new(directory.path());
    let mut statement = crate::statement::tests::sample();
    statement.subject.clear();
    let error = store
        .put(&Envelope::seal(&statement, &[&key]).unwrap())
        .unwrap_err();
    assert!(error.to_string().contains("`subject`"), "{error}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
