//! The files of the profile `security` before the tools that read them, in real Debian trees of each supported suite.
//!
//! Needs the archive of the host's apt configuration, and the package `mmdebstrap`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use bedstone_image::customise::{HostInputs, plan};
use bedstone_image::manifest::{LayerName, Loader};
use bedstone_image::profile::{Catalog, Profiles};
use bedstone_image::rootfs::change::Change;

/// Archive addresses of the host's apt configuration: Debian's own and its security archive's.
fn mirrors() -> (String, String) {
    let output = Command::new("apt-get")
        .args([
            "indextargets",
            "--format",
            "$(REPO_URI)",
            "Created-By: Packages",
        ])
        .output()
        .expect("apt-get runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let find = |end: &str| {
        text.lines()
            .map(|line| line.trim_end_matches('/'))
            .find(|line| line.ends_with(end))
            .unwrap_or_else(|| {
                panic!("the host's apt configuration names no archive ending in `{end}`")
            })
            .to_owned()
    };
    (find("/debian"), find("/debian-security"))
}

fn verify(suite: &str) {
    let text = format!(
        "profiles = [\"security\"]\nproduct = {{ name = \"test\", version = \"1\" }}\ndebian = {{ suite = \"{suite}\" }}\n"
    );
    let catalog = Catalog::embedded();
    let composition = Loader::new(&catalog, &|_| Ok(text.clone()))
        .load(&LayerName::parse_list("test.toml"))
        .expect("the manifest loads");
    let manifest = &composition.manifest;
    let profiles = Profiles::load(
        &catalog,
        &manifest.profiles,
        &manifest.debian.suite,
        manifest.debian.architecture,
    )
    .expect("the profiles load");
    let plan = plan(&composition, &profiles, &HostInputs).expect("the manifest can be planned");

    let directory = tempfile::tempdir().expect("a temporary directory");
    let tree = directory.path().join("tree");
    for change in &plan.changes {
        if let Change::File {
            path,
            content,
            mode,
            ..
        } = change
        {
            write(&tree, path, content, *mode);
        }
    }
    write(
        &tree,
        "/verify.sh",
        include_bytes!("hardening/verify.sh"),
        0o755,
    );
    // mmdebstrap's own user must be able to read it.
    open(directory.path());

    let packages: Vec<&str> = plan
        .install
        .iter()
        .map(|request| &*request.name)
        .filter(|name| !name.starts_with("linux-image"))
        .chain(["pamtester"])
        .collect();
    let (main, security) = mirrors();
    let output = Command::new("mmdebstrap")
        .arg("--variant=minbase")
        .arg(format!("--include={}", packages.join(",")))
        .arg("--aptopt=Acquire::Check-Valid-Until \"false\"")
        .arg(format!("--customize-hook=sync-in {} /", tree.display()))
        .arg("--customize-hook=chroot \"$1\" /verify.sh >&2")
        .arg("--format=null")
        .arg(suite)
        .arg("/dev/null")
        .arg(format!("deb {main} {suite} main"))
        .arg(format!("deb {main} {suite}-updates main"))
        .arg(format!("deb {security} {suite}-security main"))
        .output()
        .expect("mmdebstrap runs: apt-get install mmdebstrap");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{suite}:\n{log}");
    assert_eq!(log.matches("\nok: ").count(), 10, "{suite}:\n{log}");
}

fn write(tree: &Path, path: &str, content: &[u8], mode: u32) {
    let file = tree.join(path.trim_start_matches('/'));
    fs::create_dir_all(file.parent().expect("an absolute path")).expect("a directory");
    fs::write(&file, content).expect("a file");
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("its mode");
}

/// Makes every directory readable for all: temporary directories are made for one user only.
fn open(directory: &Path) {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).expect("its mode");
    for entry in fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry");
        if entry.file_type().expect("its type").is_dir() {
            open(&entry.path());
        }
    }
}

#[test]
fn bookworms_tools_accept_the_security_profile() {
    verify("bookworm");
}

#[test]
fn trixies_tools_accept_the_security_profile() {
    verify("trixie");
}
