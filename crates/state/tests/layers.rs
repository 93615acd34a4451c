//! Layers of `/etc` over several starts and images, with real overlays.
//!
//! Each test starts itself again as root of a new user namespace, because mounts need one and a process with threads cannot
//! enter it.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

#[path = "../../sys/tests/namespaces/inside.rs"]
mod inside;

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use bedstone_disk::layout::Slot;
use bedstone_state::etc::Report;
use bedstone_state::etc::layers::{Host, Layer, Layers};
use inside::inside;
use rustix::mount::{MountFlags, UnmountFlags};

/// A device: its data partition and the images that were on it.
struct Device {
    directory: tempfile::TempDir,
    /// Fails the mounts after so many, as a power cut in the middle would end the start.
    mounts_left: std::cell::Cell<usize>,
}

impl Host for Device {
    fn mount(
        &self,
        target: &Path,
        lowers: &[&Path],
        changes: Option<(&Path, &Path)>,
    ) -> io::Result<()> {
        let left = self.mounts_left.get();
        self.mounts_left
            .set(left.checked_sub(1).ok_or(io::ErrorKind::BrokenPipe)?);
        let lowers: Vec<String> = lowers.iter().map(|it| it.display().to_string()).collect();
        let mut options = format!("userxattr,lowerdir={}", lowers.join(":"));
        if let Some((upper, work)) = changes {
            let (upper, work) = (upper.display(), work.display());
            options = format!("{options},upperdir={upper},workdir={work}");
        }
        let options = CString::new(options).unwrap();
        rustix::mount::mount(
            "etc",
            target,
            "overlay",
            MountFlags::empty(),
            Some(options.as_c_str()),
        )?;
        Ok(())
    }

    fn describe(&self, report: &Report) -> String {
        format!("{} conflicts", report.conflicts().count())
    }
}

impl Device {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Overlays of overlays have limits; a memory file system takes everything.
        rustix::mount::mount("t", directory.path(), "tmpfs", MountFlags::empty(), None).unwrap();
        Self {
            directory,
            mounts_left: std::cell::Cell::new(usize::MAX),
        }
    }

    fn layers(&self) -> Layers {
        Layers::new(self.directory.path().join("update/etc"))
    }

    fn image(&self, name: &str, files: &[(&str, &str)]) {
        let root = self.directory.path().join(name);
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn open(&self, slot: Slot, image: &str) -> bedstone_state::Result<Layer> {
        let lower = self.directory.path().join(image);
        self.layers().open(slot, image, &lower, self)
    }

    /// Starts a slot with an image and does something in its `/etc`.
    fn start(&self, slot: Slot, image: &str, body: impl FnOnce(&Path)) -> Option<Report> {
        let layer = self.open(slot, image).unwrap();
        let etc = self.directory.path().join("etc");
        fs::create_dir_all(&etc).unwrap();
        let lower = self.directory.path().join(image);
        self.mount(&etc, &[&lower], Some((&layer.upper, &layer.work)))
            .unwrap();
        body(&etc);
        rustix::mount::unmount(&etc, UnmountFlags::empty()).unwrap();
        layer.report
    }
}

fn read(etc: &Path, path: &str) -> String {
    fs::read_to_string(etc.join(path)).unwrap_or_else(|error| error.kind().to_string())
}

#[test]
fn a_life_of_updates() {
    inside("a_life_of_updates", || {
        let device = Device::new();
        device.image(
            "1",
            &[
                ("conf", "1\n2\n3\n"),
                ("dropped", "1\n"),
                ("removed", "1\n"),
                ("dir/a", "1\n"),
                ("dir/b", "1\n"),
            ],
        );
        let report = device.start(Slot::A, "1", |etc| {
            fs::write(etc.join("machine-id"), "id\n").unwrap();
            fs::write(etc.join("conf"), "one\n2\n3\n").unwrap();
            fs::remove_file(etc.join("removed")).unwrap();
            // A directory made anew hides what the image has there.
            fs::remove_dir_all(etc.join("dir")).unwrap();
            fs::create_dir(etc.join("dir")).unwrap();
            fs::write(etc.join("dir/own"), "1\n").unwrap();
            fs::write(etc.join("key"), "secret").unwrap();
            fs::set_permissions(etc.join("key"), PermissionsExt::from_mode(0o600)).unwrap();
            symlink("/nowhere", etc.join("link")).unwrap();
        });
        assert_eq!(report, None);

        device.image(
            "2",
            &[
                ("conf", "1\n2\nthree\n"),
                ("removed", "1\n"),
                ("dir/a", "2\n"),
                ("dir/b", "1\n"),
                ("new", "2\n"),
            ],
        );
        let first = |etc: &Path| {
            assert_eq!(read(etc, "conf"), "one\n2\nthree\n");
            assert_eq!(read(etc, "machine-id"), "id\n");
            assert_eq!(read(etc, "new"), "2\n");
            for gone in ["removed", "dropped", "dir/a", "dir/b"] {
                assert_eq!(read(etc, gone), "entity not found", "{gone}");
            }
            assert_eq!(read(etc, "dir/own"), "1\n");
            assert_eq!(read(etc, "dir/a.dpkg-dist"), "2\n");
            assert_eq!(fs::metadata(etc.join("key")).unwrap().mode() & 0o777, 0o600);
            assert_eq!(
                fs::read_link(etc.join("link")).unwrap(),
                Path::new("/nowhere")
            );
            fs::write(etc.join("conf"), "tried\n").unwrap();
        };
        let report = device.start(Slot::B, "2", first).unwrap();
        assert_eq!(report.conflicts().count(), 1);
        let layer = device.layers().layer(Slot::B);
        assert_eq!(read(&layer, "merge.json"), "1 conflicts");
        assert!(read(&layer, "merge.txt").contains("dir/a"));

        // A second start finds what the first left, the old slot is as it was.
        let report = device.start(Slot::B, "2", |etc| assert_eq!(read(etc, "conf"), "tried\n"));
        assert_eq!(report, None);
        let report = device.start(Slot::A, "1", |etc| {
            assert_eq!(read(etc, "conf"), "one\n2\n3\n");
            assert_eq!(read(etc, "dropped"), "1\n");
            assert_eq!(read(etc, "new"), "entity not found");
            fs::write(etc.join("later"), "1\n").unwrap();
        });
        assert_eq!(report, None);

        // The running slot's layer stays, the other's is made anew when the same image is installed once more.
        device.layers().forget(Slot::A).unwrap();
        assert!(device.layers().layer(Slot::A).exists());
        device.layers().forget(Slot::B).unwrap();
        assert!(!device.layers().layer(Slot::B).exists());
        device.start(Slot::B, "2", |etc| {
            assert_eq!(read(etc, "conf"), "one\n2\nthree\n");
            assert_eq!(read(etc, "later"), "1\n");
        });
        let names: Vec<PathBuf> = fs::read_dir(device.directory.path().join("update/etc"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into())
            .collect();
        assert_eq!(names.len(), 3, "{names:?}");
    });
}

#[test]
fn an_interrupted_merge_changes_nothing() {
    inside("an_interrupted_merge_changes_nothing", || {
        let device = Device::new();
        device.image("1", &[("conf", "1\n")]);
        device.image("2", &[("conf", "1\n"), ("new", "2\n")]);
        device.start(Slot::A, "1", |etc| {
            fs::write(etc.join("own"), "1\n").unwrap();
        });
        for mounts in 0..2 {
            device.mounts_left.set(mounts);
            assert!(device.open(Slot::B, "2").is_err());
            assert!(!device.layers().layer(Slot::B).exists());
        }
        device.mounts_left.set(usize::MAX);
        // What a power cut left of a layer that was being made.
        let new = device.directory.path().join("update/etc/new");
        fs::create_dir_all(new.join("upper")).unwrap();
        fs::write(new.join("upper/conf"), "half").unwrap();
        let report = device.start(Slot::B, "2", |etc| {
            assert_eq!(read(etc, "own"), "1\n");
            assert_eq!(read(etc, "conf"), "1\n");
        });
        assert_eq!(report.unwrap().kept, 1);
    });
}

#[test]
fn an_image_written_from_outside_takes_over_the_newest_layer() {
    inside(
        "an_image_written_from_outside_takes_over_the_newest_layer",
        || {
            let device = Device::new();
            for (image, text) in [("1", "1\n"), ("2", "2\n"), ("3", "3\n")] {
                device.image(image, &[("version", text)]);
            }
            device.start(Slot::A, "1", |etc| {
                fs::write(etc.join("own"), "a\n").unwrap();
            });
            device.start(Slot::B, "2", |_| {});
            device.start(Slot::A, "1", |etc| {
                fs::write(etc.join("own"), "newest\n").unwrap();
            });
            // Slot A itself is rewritten: its own layer is the source and is replaced in one step.
            device.start(Slot::A, "3", |etc| {
                assert_eq!(read(etc, "own"), "newest\n");
                assert_eq!(read(etc, "version"), "3\n");
            });
        },
    );
}
