//! What a tree holds, as text to compare.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use bedstone_store::Digest;

/// Everything in a tree by path: kind, mode, owners, content, extended attributes; with times when asked for.
///
/// Without times owners stand by name, because those are compared between trees with different numbers.
pub(crate) fn list(root: &Path, times: bool) -> BTreeMap<String, String> {
    let names = |file: &str| -> BTreeMap<u32, String> {
        let text = fs::read_to_string(root.join(file)).unwrap();
        let fields = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
        fields
            .map(|it| (it[2].parse().unwrap(), it[0].to_owned()))
            .collect()
    };
    let (users, groups) = (names("etc/passwd"), names("etc/group"));
    let mut entries = BTreeMap::new();
    let mut open = vec![String::new()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(root.join(directory.trim_start_matches('/'))).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let path = format!("{directory}/{name}");
            let full = root.join(path.trim_start_matches('/'));
            let metadata = fs::symlink_metadata(&full).unwrap();
            let kind = metadata.file_type();
            let content = if kind.is_dir() {
                open.push(path.clone());
                "directory".to_owned()
            } else if kind.is_symlink() {
                fs::read_link(&full).unwrap().display().to_string()
            } else if kind.is_file() {
                Digest::of(&fs::read(&full).unwrap()).to_string()
            } else {
                format!("device {}", kind.is_char_device())
            };
            let owners = if times {
                format!("{}:{} {}", metadata.uid(), metadata.gid(), metadata.mtime())
            } else {
                let name = |map: &BTreeMap<u32, String>, id: u32| {
                    map.get(&id).cloned().unwrap_or(id.to_string())
                };
                format!(
                    "{}:{}",
                    name(&users, metadata.uid()),
                    name(&groups, metadata.gid())
                )
            };
            let attributes = attributes(&full, times);
            let line = format!("{:o} {owners} {content} {attributes}", metadata.mode());
            entries.insert(path, line);
        }
        open.sort_unstable_by(|a, b| b.cmp(a));
    }
    entries
}

/// Fails with the first differences, if there are any.
pub(crate) fn assert_equal(one: &BTreeMap<String, String>, two: &BTreeMap<String, String>) {
    let differences = differences(one, two);
    let shown = &differences[..differences.len().min(20)];
    assert!(
        differences.is_empty(),
        "{} differences: {shown:#?}",
        differences.len()
    );
}

/// The paths that are not the same, with both sides.
pub(crate) fn differences(
    one: &BTreeMap<String, String>,
    two: &BTreeMap<String, String>,
) -> Vec<(String, String)> {
    let absent = "absent".to_owned();
    let mut paths: Vec<&String> = one.keys().chain(two.keys()).collect();
    paths.sort_unstable();
    paths.dedup();
    paths
        .into_iter()
        .map(|path| {
            (
                path,
                one.get(path).unwrap_or(&absent),
                two.get(path).unwrap_or(&absent),
            )
        })
        .filter(|(_, one, two)| one != two)
        .map(|(path, one, two)| (path.clone(), format!("{one} | {two}")))
        .collect()
}

/// File capabilities always; access control lists only with numbers, which they hold.
fn attributes(path: &Path, numbers: bool) -> String {
    let mut text = String::new();
    for name in [
        "security.capability",
        "system.posix_acl_access",
        "system.posix_acl_default",
    ] {
        let mut value = vec![0; 4096];
        if let Ok(length) = rustix::fs::lgetxattr(path, name, &mut value) {
            let shown = if numbers || name.starts_with("security") {
                &value[..length]
            } else {
                &[]
            };
            let _ = write!(text, "{name}={shown:?}");
        }
    }
    text
}
