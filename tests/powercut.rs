//! No power cut bricks a device: updates, confirmation and rollback over a recording block layer, every crash replayed.
//!
//! What the agent does to a real disk layout is recorded, write by write and flush by flush. Then every state is judged that
//! a power cut can leave on the medium: each prefix of the log sector by sector, torn sectors, and reorderings of what was
//! written between two flushes. The judge is the model of EFI Boot Guard with a full dm-verity check of the slot that it
//! would start, followed boot by boot until it stays with one.

use std::sync::atomic::AtomicBool;

use bedstone_agent::plan::Policy;
use bedstone_agent::transaction::Records;
use bedstone_agent::{Installation, Outcome, install, repair, trial};
use bedstone_bundle::signature::{Clock, Trust};
use bedstone_disk::layout::Slot;
use bedstone_tests::crash::disk::Machine;
use bedstone_tests::crash::enumerate::{Allowed, Report, examine};
use bedstone_tests::crash::product::{Carried, Product, Release, zchunk_file};
use bedstone_tests::crash::server::Server;

static CALM: AtomicBool = AtomicBool::new(false);

fn policy(running: &str) -> Policy {
    Policy {
        hardware: "board".to_owned(),
        running_version: running.to_owned(),
        minimum_version: None,
        allow_downgrade: false,
        reinstall: false,
    }
}

/// Installs a release, as the agent on the device does.
fn update(machine: &Machine, product: &Product, running: &str, release: &Release, attempts: u8) {
    let code = install_bundle(
        machine,
        product,
        running,
        release,
        &release.bundle,
        attempts,
    );
    assert_eq!(code, "installed");
}

/// Installs a bundle of a release; returns the result code.
fn install_bundle(
    machine: &Machine,
    product: &Product,
    running: &str,
    release: &Release,
    bundle: &[u8],
    attempts: u8,
) -> &'static str {
    let records = tempfile::tempdir().expect("a directory");
    let trust = Trust::new(&product.certificate, Clock::Unknown).expect("a certificate");
    let records = Records::new(records.path());
    let installation = Installation {
        trust: &trust,
        key: None,
        policy: &policy(running),
        attempts,
        records: &records,
        interrupt: &CALM,
    };
    let outcome = install(&mut machine.device(), bundle, &installation, &mut |_| {});
    let expected = Outcome::Installed {
        slot: machine.running().other(),
        version: release.version.to_owned(),
    };
    match outcome {
        Ok(outcome) => {
            assert_eq!(outcome, expected);
            "installed"
        }
        Err(error) => error.code(),
    }
}

#[test]
fn no_power_cut_bricks_a_device() {
    let product = Product::create();
    let [one, two, three] = ["1.0", "2.0", "3.0"].map(|version| product.release(version));
    let mut machine = Machine::new(&product, &one);
    let mut report = Report::default();

    // From the factory: both slots hold version 1.
    let log = machine.record(|machine| update(machine, &product, "1.0", &two, 3));
    examine(
        &mut report,
        "install 2.0",
        &log,
        &Allowed::from(&one).to(&two),
    );
    machine.start(&two.root_hash, Slot::B);

    let log = machine.record(|machine| {
        trial::confirm(&mut machine.device()).expect("a confirmation");
    });
    examine(
        &mut report,
        "confirm 2.0",
        &log,
        &Allowed::from(&one).to(&two),
    );
    machine.start(&two.root_hash, Slot::B);

    // Over the old version, with one start only to prove itself.
    let log = machine.record(|machine| update(machine, &product, "2.0", &three, 1));
    examine(
        &mut report,
        "install 3.0",
        &log,
        &Allowed::from(&two).to(&three),
    );
    machine.start(&three.root_hash, Slot::A);

    let log = machine.record(|machine| {
        trial::give_up(&mut machine.device()).expect("a rollback");
    });
    examine(
        &mut report,
        "give up 3.0",
        &log,
        &Allowed::from(&two).to(&three),
    );
    machine.start(&two.root_hash, Slot::B);

    // A second installation before the restart writes the same slot again.
    update(&machine, &product, "2.0", &three, 3);
    let log = machine.record(|machine| update(machine, &product, "2.0", &three, 3));
    examine(
        &mut report,
        "install 3.0 again",
        &log,
        &Allowed::from(&two).to(&three),
    );
    machine.start(&three.root_hash, Slot::A);
    trial::confirm(&mut machine.device()).expect("a confirmation");

    // The other slot rots: its root, then its boot partition.
    for partition in ["root-b", "boot1"] {
        machine.damage(partition);
        let log = machine.record(|machine| {
            let records = tempfile::tempdir().expect("a directory");
            let records = Records::new(records.path());
            let repaired = repair(&mut machine.device(), &records, &CALM, &mut |_, _| {});
            assert!(matches!(
                repaired,
                Ok(bedstone_agent::Repaired::Written(Slot::B, _))
            ));
        });
        let name = format!("repair {partition}");
        examine(&mut report, &name, &log, &Allowed::from(&three));
    }
    machine.start(&three.root_hash, Slot::A);

    println!("{report}");
    assert_eq!(report.bricked, 0);
    assert!(report.states() > 10_000, "{report}");
}

/// The first release's root file system makes a part of the second one's: that is written from the running slot.
#[test]
fn no_power_cut_during_a_difference_bricks_a_device() {
    let product = Product::create();
    let one = product.release("1.0");
    let two = product.release_after(&one, "2.0");
    let server = Server::start(zchunk_file(&two.root).1);
    let rdiff = Carried::Rdiff {
        base: &one.root,
        with_whole: false,
    };
    let zchunk = Carried::Zchunk {
        url: &server.url,
        with_whole: false,
    };
    for (name, carried) in [
        ("full", Carried::Whole),
        ("rdiff", rdiff),
        ("zchunk", zchunk),
    ] {
        let bundle = product.bundle(&two, &carried);
        let install =
            |machine: &Machine| install_bundle(machine, &product, "1.0", &two, &bundle, 3);
        let mut machine = Machine::new(&product, &one);
        let mut report = Report::default();
        if name == "zchunk" {
            // First a download that breaks off shortly before its end, when a part has been written.
            install(&Machine::new(&product, &one));
            server.break_after(server.served() - 2000);
            let log = machine.record(|machine| assert_eq!(install(machine), "download"));
            let allowed = Allowed::from(&one);
            examine(&mut report, "zchunk 2.0, broken off", &log, &allowed);
            server.break_after(u64::MAX);
        }
        let log = machine.record(|machine| assert_eq!(install(machine), "installed"));
        let allowed = Allowed::from(&one).to(&two);
        examine(&mut report, &format!("{name} 2.0"), &log, &allowed);
        machine.start(&two.root_hash, Slot::B);

        println!("{name}: {report}");
        assert_eq!(report.bricked, 0, "{name}");
        assert!(report.states() > 3000, "{name}: {report}");
    }
}
