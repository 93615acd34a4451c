use std::os::unix::fs::MetadataExt;
use std::sync::atomic::AtomicBool;

use super::*;

static CALM: AtomicBool = AtomicBool::new(false);

/// Applies changes to a tree with root's account only; needs no namespace as long as all belongs to the caller.
fn apply(changes: &[Change]) -> (tempfile::TempDir, Result<()>) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("tree");
    fs::create_dir_all(root.join("etc")).unwrap();
    let (uid, gid) = (
        rustix::process::getuid().as_raw(),
        rustix::process::getgid().as_raw(),
    );
    fs::write(
        root.join("etc/passwd"),
        format!("root:x:{uid}:{gid}::/root:/bin/sh\n"),
    )
    .unwrap();
    fs::write(root.join("etc/group"), format!("root:x:{gid}:\n")).unwrap();
    fs::write(root.join("etc/old"), "old").unwrap();
    let cache = CacheDirs::open(directory.path().join("cache")).unwrap();
    let tree = Tree {
        root: &root,
        pinned: &Ids::default(),
        epoch: 1000,
        cache: &cache,
        interrupt: &CALM,
    };
    let result = tree.apply(changes);
    (directory, result)
}

fn file(path: &str, content: &str) -> Change {
    Change::File {
        path: path.to_owned(),
        content: content.as_bytes().to_vec(),
        mode: 0o600,
        owner: Owner::root(),
    }
}

#[test]
fn files_directories_links() {
    let (directory, result) = apply(&[
        file("/etc/deep/file", "x"),
        file("/etc/old", "new"),
        Change::Directory {
            path: "/srv".to_owned(),
            mode: 0o750,
            owner: Owner::root(),
        },
        Change::Symlink {
            path: "/etc/link".to_owned(),
            target: "old".to_owned(),
        },
        // Replaces the link, not what it points to.
        file("/etc/link", "own"),
        Change::Attributes {
            path: "/etc/old".to_owned(),
            mode: Some(0o640),
            owner: None,
        },
        Change::Remove {
            path: "/etc/deep".to_owned(),
        },
    ]);
    result.unwrap();
    let tree = directory.path().join("tree");
    let mode = |path: &str| fs::symlink_metadata(tree.join(path)).unwrap().mode() & 0o7777;
    assert_eq!(fs::read_to_string(tree.join("etc/old")).unwrap(), "new");
    assert_eq!(fs::read_to_string(tree.join("etc/link")).unwrap(), "own");
    assert_eq!(
        (mode("etc/old"), mode("etc/link"), mode("srv")),
        (0o640, 0o600, 0o750)
    );
    assert!(!tree.join("etc/deep").exists());
}

#[test]
fn mistakes_are_told() {
    let told = |change: Change| apply(&[change]).1.unwrap_err().to_string();
    assert_eq!(
        told(Change::Remove {
            path: "/etc/typo".to_owned()
        }),
        "cannot apply the change to `/etc/typo`: it does not exist"
    );
    assert!(told(file("/etc", "x")).contains("is a directory"));
    let stranger = Owner {
        user: "stranger".to_owned(),
        group: "root".to_owned(),
    };
    let path = "/x".to_owned();
    assert!(
        told(Change::Directory {
            path,
            mode: 0o755,
            owner: stranger
        })
        .contains("`stranger`")
    );
    let unit = Change::Unit {
        unit: "x.service".to_owned(),
        action: UnitAction::Mask,
    };
    assert!(told(unit).contains("`systemd`"));
}
