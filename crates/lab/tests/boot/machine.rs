//! One machine with everything, and what may happen in its life.

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bedstone_lab::qemu::{Access, Drive, Ending, Format, Network, Qemu, QemuConfig, Tpm};
use bedstone_lab::{Device, Error};
use bedstone_store::Digest;

use crate::guest::{BOOT, COMMAND, PASSWORD, Work, guest};

/// Logs in, runs commands whatever the kernel prints between, goes back to a snapshot, resets, and switches off.
#[test]
fn a_whole_life() {
    let work = Work::new();
    let disk = work.path().join("disk, with a comma.img");
    fs::write(&disk, vec![7; 1 << 20]).unwrap();
    let log = work.path().join("console.log");
    let config = QemuConfig {
        disks: vec![Drive::discarding(&disk)],
        tpm: Some(Tpm {
            state: work.path().join("tpm"),
            keep: true,
        }),
        watchdog: true,
        network: Network::User { isolated: true },
        console_log: Some(log.clone()),
        ..guest().machine("")
    };
    let mut machine = Qemu::new(&work.tools, config, work.accelerator(), None).unwrap();
    assert!(matches!(machine.console(), Err(Error::Off(_))));
    machine.power_on().unwrap();
    assert!(matches!(machine.power_on(), Err(Error::On(_))));
    let port = machine.ssh_port().unwrap().unwrap();
    TcpStream::connect(("127.0.0.1", port)).unwrap();

    let console = machine.console().unwrap();
    let refused = console.login("root", Some("wrong"), BOOT).unwrap_err();
    assert!(
        matches!(&refused, Error::Login(user) if user == "root"),
        "{refused}"
    );
    console.login("root", Some(PASSWORD), BOOT).unwrap();
    let boot = &console.boots()[0];
    eprintln!("boot: {boot:?}");
    assert!(boot.output <= boot.kernel && boot.kernel < boot.init && boot.init < boot.login);

    // Exit statuses, both outputs, quotes, bytes and lengths come through.
    let output = console
        .run("echo out; echo 'err \"$HOME\" \\n' >&2; exit 3", COMMAND)
        .unwrap();
    assert_eq!(
        (output.text().as_str(), output.status),
        ("out\nerr \"$HOME\" \\n", 3)
    );
    let all: Vec<String> = (1..256).map(|byte| format!("\\{byte:03o}")).collect();
    let all = all.concat();
    let output = console
        .run(&format!("head -c 1 /dev/zero; printf '{all}'"), COMMAND)
        .unwrap();
    assert_eq!(output.bytes, (0..=255).collect::<Vec<u8>>());
    let long = "x".repeat(5000);
    assert_eq!(
        console
            .run(&format!("echo {long}"), COMMAND)
            .unwrap()
            .text(),
        long
    );
    assert_eq!(
        console
            .run("cat /sys/class/tpm/tpm0/tpm_version_major", COMMAND)
            .unwrap()
            .text(),
        "2"
    );

    // The kernel writes on the same line all the while.
    let noise = "( while :; do echo \"noise that comes in between\" > /dev/kmsg; done ) > /dev/null 2>&1 & echo $!";
    let noise = console.run(noise, COMMAND).unwrap().text();
    for size in [10, 1000, 20_000] {
        let output = console
            .run(&format!("yes '{size} bytes' | head -c {size}"), COMMAND)
            .unwrap();
        assert_eq!((output.bytes.len(), output.status), (size, 0));
    }
    assert_eq!(
        console
            .run(&format!("kill {noise}"), COMMAND)
            .unwrap()
            .status,
        0
    );

    // A command without end is given up, and the shell is there again.
    let endless = console
        .run("cat /dev/zero > /dev/null", Duration::from_secs(3))
        .unwrap_err();
    assert!(matches!(endless, Error::Timeout { .. }), "{endless}");
    console.wait_for_shell(COMMAND).unwrap();

    // Forth and back within one life.
    console.run("echo before > /tmp/file", COMMAND).unwrap();
    let begun = Instant::now();
    machine
        .qmp()
        .unwrap()
        .save_snapshot("here", COMMAND)
        .unwrap();
    eprintln!("savevm: {:?}", begun.elapsed());
    let console = machine.console().unwrap();
    console.run("echo after > /tmp/file", COMMAND).unwrap();
    let begun = Instant::now();
    machine
        .qmp()
        .unwrap()
        .load_snapshot("here", COMMAND)
        .unwrap();
    let console = machine.console().unwrap();
    assert_eq!(
        console.run("cat /tmp/file", COMMAND).unwrap().text(),
        "before"
    );
    eprintln!("loadvm and a command: {:?}", begun.elapsed());

    machine.reset().unwrap();
    let console = machine.console().unwrap();
    console.login("root", Some(PASSWORD), BOOT).unwrap();
    let boots = console.boots();
    assert_eq!(boots.len(), 2, "{boots:?}");
    assert!(boots[1].started > 0.0 && boots[1].login.is_some());

    console.send_line("poweroff -f").unwrap();
    assert_eq!(machine.wait_off(COMMAND).unwrap(), Ending::GuestShutdown);
    machine.power_off().unwrap();

    machine.power_on().unwrap();
    let qmp = machine.qmp().unwrap();
    assert_eq!(qmp.status(COMMAND).unwrap(), "running");
    assert!(qmp.load_snapshot("nowhere", COMMAND).is_err());
    assert_ne!(qmp.status(COMMAND).unwrap(), "running");
    drop(machine);
    assert_eq!(
        Digest::of(&fs::read(&disk).unwrap()),
        Digest::of(&vec![7; 1 << 20])
    );
    assert!(fs::read_dir(work.path().join("tpm")).unwrap().count() > 0);
    let log = fs::read_to_string(log).unwrap();
    assert!(
        log.lines()
            .all(|line| line.starts_with('[') && !line.contains('\r'))
    );
    assert!(log.contains("guest login: "));
}

/// The watchdog, started by hand because the cloud kernel has no driver, resets a guest that hangs.
#[test]
fn a_watchdog_resets() {
    const BARK: &str = r#"
        cd /sys/bus/pci/devices
        for device in *; do [ "$(cat $device/device)" = 0x25ab ] && found=$device; done
        cd $found
        printf '\002' | dd of=config bs=1 seek=4 conv=notrunc
        base=$(head -n 1 resource | cut -d ' ' -f 1)
        reload=$(printf '0x%x' $((base + 12)))
        timer() {
            devmem $reload 16 0x80; devmem $reload 16 0x86; devmem $(printf '0x%x' $((base + $1))) 32 0x200
        }
        timer 0; timer 4
        devmem $reload 16 0x80; devmem $reload 16 0x86; devmem $reload 16 0x100
        printf '\002' | dd of=config bs=1 seek=104 conv=notrunc
    "#;
    let work = Work::new();
    let config = QemuConfig {
        watchdog: true,
        ..guest().machine("lab.shell iomem=relaxed")
    };
    let mut machine = Qemu::new(&work.tools, config, work.accelerator(), None).unwrap();
    machine.power_on().unwrap();
    let console = machine.console().unwrap();
    console.wait_for_shell(BOOT).unwrap();
    let output = console.run(BARK, COMMAND).unwrap();
    assert_eq!(output.status, 0, "{}", output.text());
    let begun = Instant::now();
    let qmp = machine.qmp().unwrap();
    let bark = qmp
        .wait_event("the watchdog", COMMAND, |event| event.name == "WATCHDOG")
        .unwrap();
    assert_eq!(bark.data["action"], "reset");
    let reset = qmp
        .wait_event("the reset", COMMAND, |event| event.name == "RESET")
        .unwrap();
    eprintln!("watchdog after {:?}: {:?}", begun.elapsed(), reset.reason());
    machine.console().unwrap().wait_for_shell(BOOT).unwrap();
    assert_eq!(machine.console().unwrap().boots().len(), 2);
    // No power button driver listens here; the press is seen, and waiting for its effect has an end.
    let error = machine.shut_down(Duration::from_millis(100)).unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    machine
        .qmp()
        .unwrap()
        .wait_event("the press", COMMAND, |event| event.name == "POWERDOWN")
        .unwrap();
}

/// What the guest writes stays as long as it was said to.
#[test]
fn writes_stay_where_they_should() {
    let work = Work::new();
    let disk = work.path().join("disk.img");
    let overlay = work.path().join("overlay.qcow2");
    for (access, base_changes) in [
        (Access::Discard, false),
        (Access::Overlay(overlay.clone()), false),
        (Access::Writable, true),
    ] {
        fs::write(&disk, vec![0; 1 << 20]).unwrap();
        let drive = Drive {
            path: disk.clone(),
            format: Format::Raw,
            access: access.clone(),
        };
        let config = QemuConfig {
            disks: vec![drive],
            ..guest().machine("lab.shell")
        };
        let mut machine = Qemu::new(&work.tools, config, work.accelerator(), None).unwrap();
        machine.power_on().unwrap();
        let console = machine.console().unwrap();
        console.wait_for_shell(BOOT).unwrap();
        let write = "printf written | dd of=/dev/vda conv=notrunc,fsync";
        assert_eq!(console.run(write, COMMAND).unwrap().status, 0);
        machine.power_off().unwrap();
        machine.power_on().unwrap();
        let console = machine.console().unwrap();
        console.wait_for_shell(BOOT).unwrap();
        let read = console.run("head -c 7 /dev/vda", COMMAND).unwrap();
        assert_eq!(read.text(), "written", "{access:?}");
        drop(machine);
        let mut first = [0; 1];
        fs::File::open(&disk)
            .unwrap()
            .read_exact(&mut first)
            .unwrap();
        assert_eq!(first[0] == b'w', base_changes, "{access:?}");
        assert_eq!(overlay.exists(), access != Access::Discard);
    }
    let left: Vec<_> = fs::read_dir(work.path())
        .unwrap()
        .filter(|entry| {
            entry
                .as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .starts_with("machine-")
        })
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// QEMU's own words come through when it does not take a file.
#[test]
fn a_file_that_is_no_disk_is_told() {
    let work = Work::new();
    let disk = work.path().join("disk.qcow2");
    fs::write(&disk, "no qcow2").unwrap();
    let config = |path: &std::path::Path| QemuConfig {
        disks: vec![Drive {
            path: path.to_path_buf(),
            format: Format::Qcow2,
            access: Access::Writable,
        }],
        ..guest().machine("")
    };
    let mut machine = Qemu::new(&work.tools, config(&disk), work.accelerator(), None).unwrap();
    let error = machine.power_on().unwrap_err();
    assert!(
        matches!(&error, Error::Ended { message, .. } if message.contains("Image is not in qcow2 format")),
        "{error}"
    );
    let missing = work.path().join("missing");
    let error = Qemu::new(&work.tools, config(&missing), work.accelerator(), None).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
}
