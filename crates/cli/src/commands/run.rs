use std::fmt::Write as _;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bedstone_disk::efi_variables::SecureBootKeys;
use bedstone_disk::guid::Guid;
use bedstone_disk::uki;
use bedstone_image::record::ImageRecord;
use bedstone_lab::firmware::write_variables;
use bedstone_lab::qemu::{
    Acceleration, Access, Drive, Firmware, Format, Network, QemuConfig, Tools, Tpm,
};
use bedstone_lab::run::{End, RunConfig, RunReport, Terminal, Until};

use crate::args::{Accel, RunArgs};
use crate::context::Context;
use crate::failure::{Failure, Kind, Result};

/// Where Debian's package ovmf has the firmware.
const OVMF: &str = "/usr/share/OVMF";
/// Name of the file that keeps what the guest writes.
const OVERLAY: &str = "disk.run.qcow2";

pub(crate) fn run(arguments: &RunArgs, context: &Context) -> Result<()> {
    let record = ImageRecord::read(&arguments.image).map_err(|error| {
        Failure::caused_by(Kind::Input, error).hint("name the output directory of `bedstone build`")
    })?;
    let cache = context.cache_directory()?.join("lab");
    let path: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|value| std::env::split_paths(&value).collect())
        .unwrap_or_default();
    let tools = Tools::discover(&path, Path::new(OVMF), &cache).map_err(refuse)?;
    let machine = machine(arguments, &record, &tools, &cache)?;
    let interactive = !arguments.until_login
        && !context.json
        && std::io::stdin().is_terminal()
        && std::io::stdout().is_terminal();
    let config = RunConfig {
        machine,
        until: if arguments.until_login {
            Until::Login
        } else {
            Until::PowerOff
        },
        limit: Duration::from_secs(arguments.timeout),
        echo: !interactive && !arguments.until_login,
    };
    if interactive {
        context
            .reporter
            .note("The console is yours; leave it with Ctrl-A x.");
    }
    let stdin = std::io::stdin();
    let mut stdout = std::io::stdout();
    let terminal = interactive.then(|| Terminal {
        input: stdin.as_fd(),
        output: &mut stdout,
    });
    let report = bedstone_lab::run(
        &tools,
        &config,
        &cache,
        &context.reporter,
        &context.interrupt,
        terminal,
    )
    .map_err(refuse)?;
    context.print(&report, || render(&report, &record, arguments))?;
    match &report.end {
        End::Login if wants_secure_boot(arguments) && !enforces_secure_boot(&report) => {
            Err(Failure::new(
                Kind::Failed,
                "the guest does not say that its firmware enforces Secure Boot",
            ))
        }
        End::Login | End::GuestShutdown | End::Quit => Ok(()),
        End::Interrupted => Err(Failure::new(Kind::Interrupted, "interrupted")),
        End::Timeout { tail } => Err(Failure::new(
            Kind::Failed,
            format!(
                "no login prompt within {} s; the console's last lines:\n{tail}",
                arguments.timeout
            ),
        )
        .hint("a slow or busy machine needs more time: --timeout SECONDS")),
        End::Failure { message } => Err(Failure::new(Kind::Failed, message.clone())),
    }
}

fn machine(
    arguments: &RunArgs,
    record: &ImageRecord,
    tools: &Tools,
    cache: &Path,
) -> Result<QemuConfig> {
    let file = |kind: &str| -> Result<PathBuf> {
        record
            .artifact(kind)
            .map(|artifact| arguments.image.join(&artifact.file))
            .ok_or_else(|| {
                Failure::new(
                    Kind::Input,
                    format!("the image has no artifact of kind `{kind}`"),
                )
            })
    };
    let firmware = if arguments.kernel_only {
        let bytes = read(&file("uki")?)?;
        let contents =
            uki::Contents::read(&bytes).map_err(|error| Failure::caused_by(Kind::Input, error))?;
        Firmware::KernelOnly {
            kernel: file("kernel")?,
            initrd: Some(file("initramfs")?),
            command_line: contents.command_line.to_owned(),
        }
    } else {
        let template = tools.ovmf_variables().map_err(refuse)?;
        let secure_boot = !arguments.no_secure_boot;
        let name = if secure_boot { "secure" } else { "open" };
        let target = cache.join(format!(
            "variables-{}-{name}.fd",
            record.signing.certificate
        ));
        let certificates = [
            file("pk-certificate")?,
            file("kek-certificate")?,
            file("db-certificate")?,
        ];
        let [pk, kek, db] = [
            read(&certificates[0])?,
            read(&certificates[1])?,
            read(&certificates[2])?,
        ];
        let keys = SecureBootKeys {
            owner: Guid::derive(&record.signing.certificate, "owner of Secure Boot keys"),
            pk: &pk,
            kek: &[&kek],
            db: &[&db],
        };
        write_variables(&template, secure_boot.then_some(&keys), &[], &target).map_err(refuse)?;
        Firmware::Ovmf {
            secure_boot,
            variables: Drive::discarding(target),
        }
    };
    let disk = file("disk")?;
    let access = if arguments.keep {
        Access::Overlay(arguments.image.join(OVERLAY))
    } else {
        Access::Discard
    };
    Ok(QemuConfig {
        memory: arguments.memory,
        cpus: u32::from(arguments.cpus),
        acceleration: match arguments.accel {
            Accel::Auto => Acceleration::Auto,
            Accel::Kvm => Acceleration::Kvm,
            Accel::Tcg => Acceleration::Tcg,
        },
        disks: vec![Drive {
            path: disk,
            format: Format::Raw,
            access,
        }],
        tpm: arguments.tpm.as_ref().map(|state| Tpm {
            state: state.clone(),
            keep: true,
        }),
        watchdog: !arguments.no_watchdog,
        network: if arguments.no_network {
            Network::Off
        } else {
            Network::User { isolated: false }
        },
        console_log: Some(arguments.image.join("console.log")),
        ..QemuConfig::new(record.product.name.clone(), firmware)
    })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Failure::caused_by(Kind::Input, error).context(format!("cannot read `{}`", path.display()))
    })
}

fn refuse(error: bedstone_lab::Error) -> Failure {
    Failure::caused_by(Kind::Failed, error)
}

fn wants_secure_boot(arguments: &RunArgs) -> bool {
    !arguments.kernel_only && !arguments.no_secure_boot
}

/// Whether the image's init read in the firmware's variables that what does not verify is not started.
fn enforces_secure_boot(report: &RunReport) -> bool {
    report
        .init
        .iter()
        .any(|line| line == "the firmware enforces Secure Boot")
}

fn render(report: &RunReport, record: &ImageRecord, arguments: &RunArgs) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<14}{value}");
    };
    let firmware = match (arguments.kernel_only, enforces_secure_boot(report)) {
        (true, _) => "none: kernel started directly",
        (false, true) => "OVMF, Secure Boot enforced with this image's keys",
        (false, false) => "OVMF, Secure Boot not enforced",
    };
    line("firmware", firmware);
    if let Some(slot) = &report.slot {
        line("slot", slot);
    }
    let root = format!(
        "{} on dm-verity, read-only, root hash {}",
        record.root.file_system, record.root.hash
    );
    line("root", &root);
    for said in &report.init {
        line("init", said);
    }
    if let Some(boot) = report.boots.last() {
        let times: Vec<String> = [
            ("firmware", boot.output),
            ("boot loader", boot.boot_loader),
            ("kernel", boot.kernel),
            ("init", boot.init),
            ("systemd", boot.user_space),
            ("login", boot.login),
        ]
        .into_iter()
        .filter_map(|(name, at)| Some(format!("{name} {:.1} s", at?)))
        .collect();
        line("boot time", &times.join(", "));
    }
    line(
        "machine",
        &format!("QEMU {} ({:?})", report.qemu, report.accelerator),
    );
    text
}
