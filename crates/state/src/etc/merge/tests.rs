use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::etc::apply::Directories;
use crate::etc::tree;
use crate::etc::tree::{Kind, Node};
use proptest::prelude::*;

/// What a path holds in a test.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Thing {
    Directory,
    File(String, u32),
    Link(String),
}

type Things = BTreeMap<String, Thing>;

fn file(text: &str) -> Thing {
    Thing::File(text.to_owned(), 0o644)
}

fn things(list: &[(&str, Thing)]) -> Things {
    list.iter()
        .map(|(path, thing)| ((*path).to_owned(), thing.clone()))
        .collect()
}

fn create(root: &Path, things: &Things) {
    fs::create_dir(root).unwrap();
    for (path, thing) in things {
        let path = root.join(path);
        match thing {
            Thing::Directory => fs::create_dir(path).unwrap(),
            Thing::Link(to) => symlink(to, path).unwrap(),
            Thing::File(text, mode) => {
                fs::write(&path, text).unwrap();
                fs::set_permissions(&path, PermissionsExt::from_mode(*mode)).unwrap();
            }
        }
    }
}

fn found(root: &Path) -> Things {
    let tree = tree::read(root).unwrap();
    let thing = |(path, node): (&PathBuf, &Node)| {
        let thing = match &node.kind {
            Kind::Directory => Thing::Directory,
            Kind::Link(to) => Thing::Link(to.display().to_string()),
            Kind::File(_) => Thing::File(
                fs::read_to_string(root.join(path)).unwrap(),
                node.attributes.mode,
            ),
            Kind::Special => panic!("{path:?}"),
        };
        (path.display().to_string(), thing)
    };
    tree.iter().map(thing).collect()
}

/// Merges and makes the changes in a copy of `theirs`.
fn merged(base: &Things, mine: &Things, theirs: &Things) -> (Things, Report) {
    let directory = tempfile::tempdir().unwrap();
    let root = |name: &str| directory.path().join(name);
    let mut directories = Directories {
        base: root("base"),
        mine: root("mine"),
        theirs: root("theirs"),
    };
    create(&directories.base, base);
    create(&directories.mine, mine);
    create(&directories.theirs, theirs);
    create(&root("target"), theirs);
    let merged = merge(
        &tree::read(&directories.base).unwrap(),
        &tree::read(&directories.mine).unwrap(),
        &tree::read(&directories.theirs).unwrap(),
        &mut directories,
    )
    .unwrap();
    directories.apply(&merged.changes, &root("target")).unwrap();
    (found(&root("target")), merged.report)
}

fn conflicts(report: &Report) -> Vec<String> {
    let text = |entry: &Entry| format!("{}: {}", entry.path.display(), entry.note);
    report.conflicts().map(text).collect()
}

#[test]
fn each_side_keeps_what_it_alone_changed() {
    let base = things(&[
        ("both", file("1\n2\n3\n")),
        ("image", file("1\n")),
        ("mine", file("1\n")),
        ("gone-here", file("1\n")),
        ("gone-there", file("1\n")),
        ("link", Thing::Link("/a".to_owned())),
    ]);
    let mine = things(&[
        ("both", file("one\n2\n3\n")),
        ("image", file("1\n")),
        ("mine", file("x\n")),
        ("gone-there", file("1\n")),
        ("link", Thing::Link("/b".to_owned())),
        ("machine-id", file("0123\n")),
        ("ssh", Thing::Directory),
        ("ssh/ssh_host_key", Thing::File("key\n".to_owned(), 0o600)),
    ]);
    let theirs = things(&[
        ("both", file("1\n2\nthree\n")),
        ("image", file("2\n")),
        ("mine", file("1\n")),
        ("gone-here", file("1\n")),
        ("link", Thing::Link("/a".to_owned())),
        ("new", file("1\n")),
    ]);
    let (result, report) = merged(&base, &mine, &theirs);
    let expected = things(&[
        ("both", file("one\n2\nthree\n")),
        ("image", file("2\n")),
        ("mine", file("x\n")),
        ("link", Thing::Link("/b".to_owned())),
        ("machine-id", file("0123\n")),
        ("new", file("1\n")),
        ("ssh", Thing::Directory),
        ("ssh/ssh_host_key", Thing::File("key\n".to_owned(), 0o600)),
    ]);
    assert_eq!(result, expected);
    assert_eq!((report.kept, report.taken), (6, 3));
    assert_eq!(conflicts(&report), [""; 0]);
    assert_eq!(
        report.to_string(),
        "6 changes of the device kept, 3 of the image taken\nmerged: both: it has the changes of both\n"
    );
}

#[test]
fn conflicts_keep_the_devices_and_put_the_images_beside() {
    let base = things(&[
        ("conf", file("1\n")),
        ("dropped", file("1\n")),
        ("gone", file("1\n")),
    ]);
    let mine = things(&[
        ("conf", file("mine\n")),
        ("conf.dpkg-dist", file("from an earlier merge\n")),
        ("dropped", file("mine\n")),
    ]);
    let theirs = things(&[("conf", file("theirs\n")), ("gone", file("2\n"))]);
    let (result, report) = merged(&base, &mine, &theirs);
    let expected = things(&[
        ("conf", file("mine\n")),
        ("conf.dpkg-dist", file("theirs\n")),
        ("dropped", file("mine\n")),
        ("gone.dpkg-dist", file("2\n")),
    ]);
    assert_eq!(result, expected);
    assert_eq!(
        conflicts(&report),
        [
            "conf: both changed it; the image's is in `conf.dpkg-dist`",
            "dropped: the image has it no more; the device had changed it",
            "gone: it was removed on the device; the image's is in `gone.dpkg-dist`",
        ]
    );
}

#[test]
fn directories_stay_for_what_is_in_them() {
    let base = things(&[
        ("app", Thing::Directory),
        ("app/conf", file("1\n")),
        ("deleted", Thing::Directory),
        ("deleted/conf", file("1\n")),
        ("moved", Thing::Directory),
        ("moved/conf", file("1\n")),
        ("old", Thing::Directory),
        ("old/conf", file("1\n")),
    ]);
    let mine = things(&[
        ("app", Thing::Directory),
        ("app/conf", file("mine\n")),
        ("moved", Thing::Link("/srv/moved".to_owned())),
        ("old", Thing::Directory),
        ("old/conf", file("1\n")),
        ("old/local", file("mine\n")),
    ]);
    let theirs = things(&[
        ("app", Thing::Link("/usr/share/app".to_owned())),
        ("deleted", Thing::Directory),
        ("deleted/conf", file("1\n")),
        ("deleted/new", file("2\n")),
        ("moved", Thing::Directory),
        ("moved/conf", file("1\n")),
        ("moved/new", file("2\n")),
    ]);
    let (result, report) = merged(&base, &mine, &theirs);
    let expected = things(&[
        ("app", Thing::Directory),
        ("app.dpkg-dist", Thing::Link("/usr/share/app".to_owned())),
        ("app/conf", file("mine\n")),
        ("deleted", Thing::Directory),
        ("deleted/new", file("2\n")),
        ("moved", Thing::Link("/srv/moved".to_owned())),
        ("old", Thing::Directory),
        ("old/local", file("mine\n")),
    ]);
    assert_eq!(result, expected);
    assert_eq!(
        conflicts(&report),
        [
            "app: the device changed what is in this directory; the image's is in `app.dpkg-dist`",
            "app/conf: the image has it no more; the device had changed it",
            "moved/new: left out: `moved` is no directory here",
        ]
    );
}

#[test]
fn permissions_are_merged_for_themselves() {
    let with = |text: &str, mode| things(&[("f", Thing::File(text.to_owned(), mode))]);
    let (result, report) = merged(
        &with("1\n", 0o644),
        &with("1\n", 0o600),
        &with("2\n", 0o644),
    );
    assert_eq!(result, with("2\n", 0o600));
    assert_eq!(conflicts(&report), [""; 0]);
    let (result, _) = merged(
        &with("1\n", 0o644),
        &with("2\n", 0o644),
        &with("1\n", 0o640),
    );
    assert_eq!(result, with("2\n", 0o640));
    let (result, report) = merged(
        &with("1\n", 0o644),
        &with("1\n", 0o600),
        &with("1\n", 0o640),
    );
    assert_eq!(result, with("1\n", 0o600));
    assert_eq!(
        conflicts(&report),
        ["f: both changed permissions or owner: the device's are kept"]
    );
}

#[test]
fn accounts_are_merged_by_name_and_others_not_at_all() {
    let shadow = |text: &str| things(&[("shadow", Thing::File(text.to_owned(), 0o640))]);
    let (result, report) = merged(
        &shadow("root:!:1::::::\n"),
        &shadow("root:SECRET:1::::::\n"),
        &shadow("root:!:1::::::\nnew:!:1::::::\n"),
    );
    assert_eq!(result, shadow("root:SECRET:1::::::\nnew:!:1::::::\n"));
    assert!(!report.to_string().contains("SECRET"));
    let bytes = |text: &str| things(&[("b", file(text))]);
    let (_, report) = merged(
        &bytes("\0\n2\n3\n"),
        &bytes("1\n2\n3\n"),
        &bytes("\0\n2\n4\n"),
    );
    assert_eq!(report.conflicts().count(), 1);
}

#[test]
fn long_texts_are_not_merged() {
    let with = |head: &str, tail: &str| {
        let middle = "0123456789abcde\n".repeat(70_000);
        things(&[("f", file(&format!("{head}\n{middle}{tail}\n")))])
    };
    let (result, report) = merged(&with("1", "2"), &with("m", "2"), &with("1", "t"));
    assert_eq!(result["f"], with("m", "2")["f"]);
    assert_eq!(report.conflicts().count(), 1);
}

fn tree_of(lines: &'static [&'static str]) -> impl Strategy<Value = Things> {
    let content = prop::collection::vec(prop::sample::select(lines), 0..5);
    let mode = prop::sample::select(vec![0o644, 0o600]);
    let thing = prop_oneof![
        2 => Just(None),
        2 => Just(Some(Thing::Directory)),
        4 => (content, mode).prop_map(|(lines, mode)| Some(Thing::File(lines.concat(), mode))),
        1 => prop::sample::select(lines).prop_map(|to| Some(Thing::Link(to.trim().to_owned()))),
    ];
    let names = ["a", "a/x", "a/y", "a/y/z", "b", "b/x", "passwd"];
    prop::collection::vec(thing, names.len()).prop_map(move |list| {
        let mut things = Things::new();
        for (name, thing) in names.iter().zip(list) {
            let parent = name.rsplit_once('/').map(|(parent, _)| parent);
            let open = parent.is_none_or(|parent| things.get(parent) == Some(&Thing::Directory));
            if let (Some(thing), true) = (thing, open) {
                things.insert((*name).to_owned(), thing);
            }
        }
        things
    })
}

const SHARED: &[&str] = &["1\n", "2\n", "3\n", "4\n"];
const DEVICE: &[&str] = &["1\n", "2\n", "3\n", "mine-1\n", "mine-2\n"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn an_unchanged_side_gives_the_other(base in tree_of(SHARED), changed in tree_of(SHARED)) {
        let (result, report) = merged(&base, &base, &changed);
        prop_assert_eq!(&result, &changed);
        prop_assert!(report.entries.is_empty());
        let (result, report) = merged(&base, &changed, &base);
        prop_assert_eq!(&result, &changed);
        prop_assert!(report.entries.is_empty());
        let (result, report) = merged(&base, &changed, &changed);
        prop_assert_eq!(&result, &changed);
        prop_assert!(report.entries.is_empty());
    }

    #[test]
    fn no_line_of_the_device_is_lost(
        base in tree_of(SHARED),
        mine in tree_of(DEVICE),
        theirs in tree_of(SHARED),
    ) {
        let (result, report) = merged(&base, &mine, &theirs);
        for (path, thing) in &mine {
            if base.get(path) == Some(thing) {
                continue;
            }
            match (thing, result.get(path)) {
                (Thing::File(mine, _), Some(Thing::File(text, _))) => {
                    for line in mine.lines().filter(|line| line.starts_with("mine")) {
                        prop_assert!(text.contains(line), "{path}: {line} is not in {text:?}");
                    }
                }
                (thing, Some(found)) => prop_assert_eq!(thing, found, "{}", path),
                (_, None) => prop_assert!(false, "{path} is gone"),
            }
        }
        // What the image brings is there, or beside, or somebody is told.
        for (path, thing) in &theirs {
            let told = report.entries.iter().any(|entry| entry.path == Path::new(path));
            let same = |other: Option<&Thing>| other == Some(thing);
            if !told && !same(base.get(path)) && !same(result.get(path)) {
                let only_open = *thing == Thing::Directory && result.keys().any(|it| it == path);
                prop_assert!(only_open, "{path} of the image is neither there nor told: {report:?}");
            }
        }
    }
}
