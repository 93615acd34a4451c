use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use super::*;
use crate::rootfs::change::{Group, Password, User};

struct Tree(tempfile::TempDir);

impl Tree {
    /// A tree with the accounts that base-passwd makes, as far as they matter here, owned by whoever runs the test.
    fn new() -> Self {
        let tree = tempfile::tempdir().unwrap();
        let (uid, gid) = {
            let metadata = fs::metadata(tree.path()).unwrap();
            (metadata.uid(), metadata.gid())
        };
        fs::create_dir_all(tree.path().join("etc/skel")).unwrap();
        fs::write(tree.path().join("etc/skel/.profile"), "# profile\n").unwrap();
        for (name, text) in [
            ("passwd", format!("root:x:{uid}:{gid}:root:/root:/bin/sh\n")),
            ("group", format!("root:x:{gid}:\nshadow:x:{gid}:\nsudo:x:27:\n")),
            ("shadow", "root:*:19000:0:99999:7:::\n".to_owned()),
            ("gshadow", "root:*::\nshadow:*::\nsudo:*::\n".to_owned()),
        ] {
            fs::write(tree.path().join("etc").join(name), text).unwrap();
        }
        Self(tree)
    }

    fn apply(&self, changes: &[Change], pinned: &BTreeMap<String, u32>) -> Result<()> {
        let sandbox = Sandbox::new(self.0.path());
        let interrupt = AtomicBool::new(false);
        Application {
            root: self.0.path(),
            sandbox: &sandbox,
            scratch: self.0.path(),
            time: 1_700_000_000,
            numbers: &Numbers {
                users: pinned,
                groups: pinned,
            },
            interrupt: &interrupt,
        }
        .apply(changes)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.path().join(path)).unwrap()
    }
}

fn file(path: &str, content: &str) -> Change {
    Change::File {
        path: path.to_owned(),
        content: content.as_bytes().to_vec(),
        mode: 0o640,
        owner: Owner::root(),
    }
}

fn user(name: &str) -> User {
    User {
        name: name.to_owned(),
        system: false,
        group: None,
        groups: vec!["sudo".to_owned()],
        comment: "Some: body".to_owned(),
        home: format!("/home/{name}"),
        create_home: false,
        shell: "/bin/bash".to_owned(),
        password: Password::Hash("$y$x".to_owned()),
    }
}

#[test]
fn files_replace_links_and_never_leave_the_tree() {
    let tree = Tree::new();
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), tree.0.path().join("escape")).unwrap();
    symlink("/etc", tree.0.path().join("configuration")).unwrap();
    symlink("../../../../../../etc/passwd", tree.0.path().join("etc/issue")).unwrap();
    tree.apply(
        &[
            file("/escape/x", "inside"),
            file("/configuration/deep/y", "below etc"),
            file("/etc/issue", "hello"),
        ],
        &BTreeMap::new(),
    )
    .unwrap();
    assert!(fs::read_dir(outside.path()).unwrap().next().is_none());
    assert_eq!(tree.read("etc/deep/y"), "below etc");
    assert_eq!(tree.read("etc/issue"), "hello");
    let metadata = fs::symlink_metadata(tree.0.path().join("etc/issue")).unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.mtime()), (0o640, 1_700_000_000));
}

#[test]
fn circular_links_and_missing_paths_are_errors() {
    let tree = Tree::new();
    symlink("b", tree.0.path().join("a")).unwrap();
    symlink("a", tree.0.path().join("b")).unwrap();
    let nothing = BTreeMap::new();
    let error = tree.apply(&[file("/a/x", "")], &nothing).unwrap_err();
    assert!(error.to_string().contains("too many symbolic links"), "{error}");
    let remove = Change::Remove {
        path: "/etc/tpyo".to_owned(),
    };
    let error = tree.apply(&[remove], &nothing).unwrap_err();
    assert!(error.to_string().contains("/etc/tpyo"), "{error}");
}

#[test]
fn accounts_get_pinned_numbers_or_the_next_free() {
    let tree = Tree::new();
    let pinned = BTreeMap::from([("operator".to_owned(), 1004), ("gone".to_owned(), 1000)]);
    let changes = [
        Change::User(user("operator")),
        Change::User(user("guest")),
        Change::Group(Group {
            name: "plant".to_owned(),
            system: true,
            members: vec!["guest".to_owned()],
        }),
    ];
    tree.apply(&changes, &pinned).unwrap();
    let passwd = tree.read("etc/passwd");
    assert!(passwd.contains("\noperator:x:1004:1004:Some  body:/home/operator:/bin/bash\n"), "{passwd}");
    // 1000 belongs to an account that is gone and is never given to another.
    assert!(passwd.contains("\nguest:x:1001:1001:"), "{passwd}");
    let group = tree.read("etc/group");
    assert!(group.contains("sudo:x:27:operator,guest\n"), "{group}");
    assert!(group.contains("plant:x:100:guest\n"), "{group}");
    assert!(tree.read("etc/gshadow").contains("sudo:*::operator,guest\n"));
    assert!(tree.read("etc/shadow").contains("operator:$y$x::0:99999:7:::\n"));
    assert!(tree.apply(&changes[..1], &pinned).is_err());
}

#[test]
fn malformed_account_files_are_named_with_their_line() {
    let tree = Tree::new();
    fs::write(tree.0.path().join("etc/group"), "root:x:0:\nbroken\n").unwrap();
    let error = tree
        .apply(&[Change::User(user("operator"))], &BTreeMap::new())
        .unwrap_err()
        .to_string();
    assert!(error.contains("etc/group") && error.contains("line 2"), "{error}");
}
