use super::*;
use proptest::prelude::*;
use std::os::unix::fs::MetadataExt;

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn read(root: &Path, path: &str) -> Option<String> {
    fs::read_to_string(root.join(path)).ok()
}

fn source(image: &Path) -> Source<'_> {
    Source {
        image,
        data: "",
        skip: &["lib/dpkg"],
    }
}

#[test]
fn first_start_copies_and_the_next_leaves_alone() {
    let image = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let (image, data) = (image.path(), data.path());
    write(image, "lib/dpkg/status", "many");
    write(image, "lib/app/state", "from the image");
    write(image, "log/app/.keep", "");
    std::os::unix::fs::symlink("/run", image.join("run")).unwrap();
    fs::create_dir(image.join("tmp")).unwrap();
    fs::set_permissions(image.join("tmp"), PermissionsExt::from_mode(0o1777)).unwrap();
    std::os::unix::fs::symlink("gone", image.join("lib/app/link")).unwrap();

    // `lib` comes to exist with this project's own directory, so its children are added one by one.
    let added = add(data, "image-1", &[source(image)]).unwrap();
    assert_eq!(added, 5);
    assert_eq!(read(data, "lib/app/state").unwrap(), "from the image");
    assert_eq!(fs::read_link(data.join("run")).unwrap(), Path::new("/run"));
    assert!(data.join("lib/dpkg").is_dir());
    assert_eq!(read(data, "lib/dpkg/status"), None);
    let mode = fs::metadata(data.join("tmp")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o1777);
    let times = |root: &Path| {
        fs::metadata(root.join("lib/app/state"))
            .unwrap()
            .mtime_nsec()
    };
    assert_eq!(times(image), times(data));

    fs::remove_file(data.join("lib/app/state")).unwrap();
    assert_eq!(add(data, "image-1", &[source(image)]).unwrap(), 0);
    assert_eq!(read(data, "lib/app/state"), None);
}

#[test]
fn another_image_adds_what_is_missing_only() {
    let image = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let (image, data) = (image.path(), data.path());
    write(image, "lib/app/default", "old");
    write(image, "lib/link/file", "x");
    add(data, "image-1", &[source(image)]).unwrap();
    write(data, "lib/app/default", "changed on the device");
    fs::remove_dir_all(data.join("lib/link")).unwrap();
    std::os::unix::fs::symlink("/mnt", data.join("lib/link")).unwrap();
    // What an interrupted start left.
    write(data, "lib/bedstone/staging/0", "half");

    write(image, "lib/app/default", "new");
    write(image, "lib/app/more", "new");
    write(image, "lib/other/file", "new");
    assert_eq!(add(data, "image-2", &[source(image)]).unwrap(), 2);
    assert_eq!(
        read(data, "lib/app/default").unwrap(),
        "changed on the device"
    );
    assert_eq!(read(data, "lib/app/more").unwrap(), "new");
    assert_eq!(read(data, "lib/other/file").unwrap(), "new");
    assert!(data.join("lib/link").is_symlink());
    assert!(!data.join("lib/bedstone/staging").exists());
    assert_eq!(read(data, IMAGE).unwrap(), "image-2\n");
}

#[test]
fn homes_go_to_their_place() {
    let image = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    write(image.path(), "operator/.profile", "x");
    let home = Source {
        image: image.path(),
        data: "local/home",
        skip: &[],
    };
    fs::create_dir(data.path().join("local")).unwrap();
    add(data.path(), "image", &[home]).unwrap();
    assert!(data.path().join("local/home/operator/.profile").is_file());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn nothing_of_the_device_is_ever_changed(
        device in prop::collection::btree_map("[ab]{1,2}(/[ab]{1,2}){0,2}", "[a-z]{0,4}", 0..8),
        image in prop::collection::btree_map("[ab]{1,2}(/[ab]{1,2}){0,2}", "[a-z]{0,4}", 0..8),
    ) {
        let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [from, to] = directories.each_ref().map(tempfile::TempDir::path);
        // A path that runs through a file of the other entries is left out.
        let fill = |root: &Path, files: &std::collections::BTreeMap<String, String>| {
            for (path, text) in files {
                let path = root.join(path);
                if fs::create_dir_all(path.parent().unwrap()).is_ok() {
                    let _ = fs::write(path, text);
                }
            }
        };
        fill(from, &image);
        fill(to, &device);
        let before: Vec<_> = device.keys().map(|path| read(to, path)).collect();
        add(to, "x", &[source(from)]).unwrap();
        let after: Vec<_> = device.keys().map(|path| read(to, path)).collect();
        prop_assert_eq!(before, after);
        for path in image.keys().filter(|path| from.join(path).is_file()) {
            let blocked = Path::new(path).ancestors().skip(1).any(|above| to.join(above).is_file());
            prop_assert!(blocked || to.join(path).exists(), "{} is missing", path);
        }
    }
}
