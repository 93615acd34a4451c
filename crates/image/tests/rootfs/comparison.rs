//! Our tree beside mmdebstrap's of the very same packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bedstone_image::rootfs::cache::CacheDirs;
use bedstone_sys::namespace::user_command;

use crate::archive::Set;
use crate::building::{CALM, configure, finish};
use crate::listing;

/// Paths that may differ, with the reason. A `*` stands for any characters.
const EXPLAINED: &str = include_str!("explained.txt");

/// Makes mmdebstrap's tree out of the set's packages.
pub(crate) fn peer(set: &Set) -> PathBuf {
    let directory = set.directory();
    let tree = directory.join("mmdebstrap");
    if directory.join("mmdebstrap-complete").exists() {
        return tree;
    }
    let script = r#"
set -eu
export PATH=$PATH:/usr/sbin:/sbin
rm -rf Release
dpkg-scanpackages -m debs /dev/null > Packages 2> /dev/null
apt-ftparchive -o APT::FTPArchive::Release::Codename=$suite -o APT::FTPArchive::Release::Suite=$suite release . > Release.new
mv Release.new Release
SOURCE_DATE_EPOCH=1750000000 INITRD=No mmdebstrap -q --variant=minbase --include="apt $names" $suite $PWD/mmdebstrap.tar \
    "deb [trusted=yes] copy://$PWD ./"
"#;
    // Its tree, unpacked as an ordinary user, would have that user's numbers; device nodes are the kernel's alone.
    // What an earlier run left has numbers that only the namespace may remove.
    let unpack = "set -eu; rm -rf mmdebstrap; mkdir mmdebstrap; tar -C mmdebstrap --numeric-owner --xattrs --xattrs-include='*' --exclude='./dev/*' \
        -xpf mmdebstrap.tar; rm mmdebstrap.tar; touch mmdebstrap-complete";
    run(set, &directory, Command::new("/bin/sh"), script);
    run(set, &directory, user_command("/bin/sh").unwrap(), unpack);
    tree
}

fn run(set: &Set, directory: &Path, mut shell: Command, script: &str) {
    let output = shell
        .args(["-c", script])
        .current_dir(directory)
        .env("suite", set.suite)
        .env("names", set.names.join(" "))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "mmdebstrap failed; needed are `apt-get install mmdebstrap apt-utils dpkg-dev uidmap`\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Our tree must be what mmdebstrap makes, but for what is explained.
pub(crate) fn compare(set: &Set) {
    let directory = tempfile::tempdir().unwrap();
    let cache = CacheDirs::open(directory.path()).unwrap();
    let rootfs = finish(&configure(&set.packages(), 2, &cache), &cache);
    let changed = rootfs.check(&cache, &CALM).unwrap();
    assert!(changed.is_empty(), "dpkg --verify names {changed:?}");
    let view = rootfs.view(&cache).unwrap();
    let theirs = listing::list(&peer(set), false);
    let ours = listing::list(view.path(), false);
    let explained: Vec<&str> = EXPLAINED
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            line.split_once("  ")
                .expect("a path, two blanks, a reason")
                .0
        })
        .collect();
    let unexplained: Vec<_> = listing::differences(&theirs, &ours)
        .into_iter()
        .filter(|(path, _)| !explained.iter().any(|pattern| fits(pattern, path)))
        .collect();
    assert!(
        unexplained.is_empty(),
        "mmdebstrap | ours: {unexplained:#?}"
    );
    same_accounts(&peer(set), view.path());
}

/// The account files differ in numbers and order only.
fn same_accounts(theirs: &Path, ours: &Path) {
    for (file, numbers) in [
        ("passwd", &[2, 3][..]),
        ("group", &[2]),
        ("shadow", &[]),
        ("gshadow", &[]),
    ] {
        let lines = |root: &Path| {
            let text = fs::read_to_string(root.join("etc").join(file)).unwrap();
            let mut lines: Vec<String> = text
                .lines()
                .map(|line| {
                    let kept = line
                        .split(':')
                        .enumerate()
                        .filter(|(index, _)| !numbers.contains(index));
                    // A password's day follows the time of the image.
                    let kept = kept.filter(|(index, _)| file != "shadow" || *index != 2);
                    kept.map(|(_, field)| field).collect::<Vec<_>>().join(":")
                })
                .collect();
            lines.sort_unstable();
            lines
        };
        assert_eq!(lines(theirs), lines(ours), "/etc/{file}");
    }
}

fn fits(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((prefix, rest)) => path.strip_prefix(prefix).is_some_and(|path| {
            (0..=path.len()).any(|at| path.is_char_boundary(at) && fits(rest, &path[at..]))
        }),
    }
}
