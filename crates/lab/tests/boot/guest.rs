//! The guest that most tests boot, made once, and what they need around it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bedstone_lab::qemu::{Accelerator, Firmware, QemuConfig, Tools};
use bedstone_store::{FileLock, Mode};

/// Long enough for a boot while others keep the processors busy.
pub(crate) const BOOT: Duration = Duration::from_secs(240);
/// Long enough for a command then.
pub(crate) const COMMAND: Duration = Duration::from_secs(60);
/// Root's password in the guest; `INIT` has it as `openssl passwd -5` codes it.
pub(crate) const PASSWORD: &str = "very secret";

const META_PACKAGE: &str = "linux-image-cloud-amd64";
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /etc /root /tmp
hostname guest
for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk; do
    insmod /modules/$module.ko
done
ip link set lo up
echo 'root:x:0:0:root:/root:/bin/sh' > /etc/passwd
echo 'root:$5$saltsalt$ycP6lxnNqE14aEjFqPPnNsZXvbsVo/c/4Oykr.mYwtB:1::::::' > /etc/shadow
echo 'bedstone-init: slot a, root 0123456789abcdef verified (erofs), data none, 0.1 s' > /dev/kmsg
for word in $(cat /proc/cmdline); do
    [ "$word" = lab.shell ] && while :; do setsid cttyhack sh; done
done
while :; do setsid getty -L 115200 ttyS0 vt100; done
"#;

/// Kernel and initramfs.
#[derive(Debug, Clone)]
pub(crate) struct Guest {
    pub(crate) kernel: PathBuf,
    pub(crate) initrd: PathBuf,
}

/// The guest, from a cache of the build directory.
pub(crate) fn guest() -> Guest {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lab-guest");
    let guest = Guest {
        kernel: cache.join("vmlinuz"),
        initrd: cache.join("initrd"),
    };
    let _lock = FileLock::acquire(cache.join("lock"), Mode::Exclusive).unwrap();
    if !guest.kernel.exists() {
        fetch_kernel(&cache, &guest.kernel);
    }
    let script = cache.join("init");
    if fs::read_to_string(&script).ok().as_deref() != Some(INIT) {
        make_initrd(&cache, &guest.initrd);
        fs::write(script, INIT).unwrap();
    }
    guest
}

impl Guest {
    /// A machine that starts this guest without firmware, with `words` on the kernel's command line.
    pub(crate) fn machine(&self, words: &str) -> QemuConfig {
        let firmware = Firmware::KernelOnly {
            kernel: self.kernel.clone(),
            initrd: Some(self.initrd.clone()),
            command_line: format!("console=ttyS0 panic=1 {words}"),
        };
        QemuConfig {
            memory: 256,
            ..QemuConfig::new("guest", firmware)
        }
    }
}

/// A directory for one test: temporary files of its machines, caches, images.
#[derive(Debug)]
pub(crate) struct Work {
    directory: tempfile::TempDir,
    pub(crate) tools: Tools,
}

impl Work {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let tools = tools(directory.path());
        Self { directory, tools }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// What works here; the answer is shared by all tests.
    pub(crate) fn accelerator(&self) -> Accelerator {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lab-guest");
        Accelerator::choose(&self.tools, bedstone_lab::qemu::Acceleration::Auto, &cache).unwrap()
    }
}

impl Drop for Work {
    /// No process may be left that names a file of this test.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let left = processes_about(self.path());
            assert!(left.is_empty(), "left behind: {left:?}");
        }
    }
}

pub(crate) fn tools(work: &Path) -> Tools {
    let path = ["/usr/bin", "/bin", "/usr/local/bin"].map(PathBuf::from);
    Tools::discover(&path, Path::new("/usr/share/OVMF"), work)
        .expect("apt-get install qemu-system-x86 qemu-utils")
}

/// The command lines of QEMU and swtpm processes that name something in `directory`.
pub(crate) fn processes_about(directory: &Path) -> Vec<String> {
    let directory = directory.to_str().unwrap();
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            let command = fs::read(entry.ok()?.path().join("cmdline")).ok()?;
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            let ours = command.contains("qemu-system") || command.contains("swtpm");
            (ours && command.contains(directory)).then_some(command)
        })
        .collect()
}

/// Runs a program to its end and gives what it prints.
pub(crate) fn tool(package: &str, directory: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; apt-get install {package}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

fn fetch_kernel(cache: &Path, kernel: &Path) {
    let shown = tool(
        "apt",
        cache,
        "apt-cache",
        &["show", "--no-all-versions", META_PACKAGE],
    );
    let package = shown
        .lines()
        .find_map(|line| line.strip_prefix("Depends: ")?.split([' ', ',']).next())
        .expect("the meta package depends on a kernel; run apt-get update");
    let download = tempfile::tempdir_in(cache).unwrap();
    tool(
        "apt",
        download.path(),
        "apt-get",
        &["download", "-qq", package],
    );
    let script = "dpkg-deb --fsys-tarfile ./*.deb | \
        tar -x --wildcards './boot/vmlinuz-*' '*/drivers/virtio/*.ko' '*/virtio_blk.ko' && \
        mkdir modules && find lib -name '*.ko' -exec mv {} modules/ ';' && \
        mv boot/vmlinuz-* vmlinuz";
    tool("dpkg", download.path(), "sh", &["-c", script]);
    fs::rename(download.path().join("modules"), cache.join("modules")).unwrap();
    fs::rename(download.path().join("vmlinuz"), kernel).unwrap();
}

fn make_initrd(cache: &Path, initrd: &Path) {
    let tree = tempfile::tempdir_in(cache).unwrap();
    for directory in ["bin", "dev", "proc", "sys"] {
        fs::create_dir(tree.path().join(directory)).unwrap();
    }
    fs::copy("/bin/busybox", tree.path().join("bin/busybox"))
        .expect("apt-get install busybox-static");
    let to = tree.path().join("modules");
    tool(
        "coreutils",
        cache,
        "cp",
        &["-r", "modules", to.to_str().unwrap()],
    );
    let init = tree.path().join("init");
    fs::write(&init, INIT).unwrap();
    fs::set_permissions(&init, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let script = format!(
        "find . | LC_ALL=C sort | cpio --quiet -o -H newc > '{}'",
        initrd.display()
    );
    tool("cpio", tree.path(), "sh", &["-c", &script]);
}
