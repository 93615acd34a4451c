//! Changes of a manifest, filters and pinned numbers on a real tree.

use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use bedstone_event::Reporter;
use bedstone_image::rootfs::cache::CacheDirs;
use bedstone_image::rootfs::change::{
    Change, Group, Input, Owner, Password, Preseed, Script, UnitAction, User,
};
use bedstone_image::rootfs::{self, Customisation, Ids, Selection};
use bedstone_store::Digest;

use crate::archive::BOOKWORM;
use crate::building::{CALM, EPOCH, inside};

fn unit(unit: &str, action: UnitAction) -> Change {
    Change::Unit {
        unit: unit.to_owned(),
        action,
    }
}

fn changes(input: &std::path::Path) -> Vec<Change> {
    let operator = User {
        name: "operator".to_owned(),
        system: false,
        group: None,
        groups: vec!["adm".to_owned(), "plant".to_owned()],
        comment: "Operator".to_owned(),
        home: "/home/operator".to_owned(),
        create_home: true,
        shell: "/bin/bash".to_owned(),
        password: Password::Locked,
    };
    vec![
        Change::Group(Group { name: "plant".to_owned(), system: true, members: vec!["_chrony".to_owned()] }),
        Change::User(operator),
        Change::Password { user: "root".to_owned(), password: Password::Hash("$y$j9T$salt$hash".to_owned()) },
        Change::File {
            path: "/etc/issue".to_owned(),
            content: b"Bedstone\n".to_vec(),
            mode: 0o644,
            owner: Owner::root(),
        },
        unit("chrony.service", UnitAction::Disable),
        unit("nftables.service", UnitAction::Enable),
        unit("getty@.service", UnitAction::Mask),
        Change::DefaultTarget { target: "multi-user.target".to_owned() },
        Change::Remove { path: "/usr/bin/crontab".to_owned() },
        Change::Script(Script {
            name: "hook".to_owned(),
            content: b"#!/bin/sh -eu\ncp /run/bedstone/inputs/word /srv/word\nid -u > /srv/id\necho $COLOUR > /srv/colour\n\
                       echo x > /tmp/x\ntest ! -e /sys/class/net\n"
                .to_vec(),
            inputs: vec![Input {
                name: "word".to_owned(),
                source: input.to_path_buf(),
                digest: Digest::of(b"word"),
            }],
            environment: vec![("COLOUR".to_owned(), "blue".to_owned())],
        }),
    ]
}

#[test]
fn a_manifests_changes_are_applied() {
    inside(
        "customising::a_manifests_changes_are_applied",
        || drop(BOOKWORM.directory()),
        || {
            let directory = tempfile::tempdir().unwrap();
            let cache = CacheDirs::open(directory.path().join("cache")).unwrap();
            let input = directory.path().join("word");
            fs::write(&input, "word").unwrap();
            let packages = BOOKWORM.packages();
            let preseeds = [Preseed {
                package: "tzdata".to_owned(),
                selections:
                    "tzdata tzdata/Areas select Europe\ntzdata tzdata/Zones/Europe select Berlin\n"
                        .to_owned(),
            }];
            let selection = Selection {
                packages: &packages,
                architecture: "amd64",
                keep: &|_, path| !path.starts_with("usr/share/man/"),
                preseeds: &preseeds,
            };
            let jobs = NonZeroUsize::new(2).unwrap();
            let quiet = Reporter::quiet();
            let configured = rootfs::configure(&selection, jobs, &cache, &quiet, &CALM).unwrap();
            assert!(configured.left_out().len() > 1000);
            let changes = changes(&input);
            let mut ids = Ids::default();
            ids.users.insert("_chrony".to_owned(), 333);
            ids.users.insert("gone".to_owned(), 334);
            ids.users.insert("operator".to_owned(), 1042);
            let customisation = Customisation {
                ids: &ids,
                changes: &changes,
                epoch: EPOCH,
            };
            let rootfs = configured
                .finish(&customisation, &cache, &quiet, &CALM)
                .unwrap();
            assert_eq!(rootfs.ids().users["_chrony"], 333);
            assert_eq!(rootfs.ids().users["operator"], 1042);
            // What a release left in the lock gives the next one the same numbers, and the same tree.
            let customisation = Customisation {
                ids: rootfs.ids(),
                ..customisation
            };
            let again = configured
                .finish(&customisation, &cache, &quiet, &CALM)
                .unwrap();
            assert_eq!(again.ids(), rootfs.ids());

            let named = rootfs.check(&cache, &CALM).unwrap();
            assert_eq!(named, ["/etc/issue", "/usr/bin/crontab"]);
            let view = rootfs.view(&cache).unwrap();
            let root = view.path();
            let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
            assert_eq!(
                fs::metadata(root.join("var/lib/chrony")).unwrap().uid(),
                333
            );
            assert_eq!(
                fs::metadata(root.join("home/operator/.bashrc"))
                    .unwrap()
                    .uid(),
                1042
            );
            assert_eq!(
                fs::metadata(root.join("home/operator"))
                    .unwrap()
                    .permissions()
                    .mode()
                    & 0o7777,
                0o700
            );
            assert!(
                read("etc/group")
                    .lines()
                    .any(|line| line.starts_with("plant:x:") && line.ends_with("_chrony,operator"))
            );
            assert!(read("etc/shadow").starts_with("root:$y$j9T$salt$hash:"));
            assert_eq!(read("etc/issue"), "Bedstone\n");
            assert_eq!(
                (read("srv/word"), read("srv/id"), read("srv/colour")),
                ("word".into(), "0\n".into(), "blue\n".into())
            );
            let system = root.join("etc/systemd/system");
            assert!(
                fs::symlink_metadata(system.join("sysinit.target.wants/nftables.service")).is_ok()
            );
            assert!(
                fs::symlink_metadata(system.join("multi-user.target.wants/chrony.service"))
                    .is_err()
            );
            assert_eq!(
                fs::read_link(system.join("getty@.service"))
                    .unwrap()
                    .to_str(),
                Some("/dev/null")
            );
            assert_eq!(
                fs::read_link(root.join("etc/localtime")).unwrap().to_str(),
                Some("/usr/share/zoneinfo/Europe/Berlin")
            );
            assert!(!root.join("usr/share/man/man1").exists());
            assert!(root.join("usr/share/doc/chrony/copyright").exists());
            for empty in ["tmp", "run", "dev", "proc"] {
                assert_eq!(
                    fs::read_dir(root.join(empty)).unwrap().count(),
                    0,
                    "/{empty}"
                );
            }
            // A set-id program keeps its bits although its group's number changed.
            let helper =
                fs::metadata(root.join("usr/lib/dbus-1.0/dbus-daemon-launch-helper")).unwrap();
            assert_eq!(helper.permissions().mode() & 0o7777, 0o4754);
            assert_eq!(helper.gid(), rootfs.ids().groups["messagebus"]);
        },
    );
}
