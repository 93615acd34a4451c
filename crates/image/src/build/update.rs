//! The agent in the image, and what it is told.

use serde_json::{Value, json};

use super::Build;
use crate::manifest::{CertificateTime, Health, Manifest};
use crate::rootfs::change::{Change, Owner, UnitAction};

const AGENT: &str = "/usr/bin/bedstone-agent";
const CONFIG: &str = "/usr/lib/bedstone/update.json";
const CERTIFICATES: &str = "/usr/lib/bedstone/update.pem";
const UNITS: &str = "/usr/lib/systemd/system";
/// Seconds on top of the health deadline, counted from the kernel's start, after which a slot that nobody confirmed is left,
/// should the agent itself not work. The agent counts from its own start, which is after all that the system starts.
const GRACE: u32 = 600;

const AGENT_UNIT: &str = "\
[Unit]
Description=Confirm a new system or leave it, and tell what became of the last update
After=multi-user.target

[Service]
Type=exec
ExecStart=/usr/bin/bedstone-agent boot
Restart=no

[Install]
WantedBy=multi-user.target
";

const TRIAL_SERVICE: &str = "\
[Unit]
Description=Restart out of a system that was not confirmed in time
ConditionPathExists=/run/bedstone/trial

[Service]
Type=oneshot
ExecStart=/usr/bin/systemctl --no-block reboot
";

const DAEMON_SOCKET: &str = "\
[Unit]
Description=Socket for updates

[Socket]
ListenStream=/run/bedstone/agent.sock
SocketMode=0600
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
";

/// Confined to what writing the other slot takes: block devices, its own records, the network for downloads, and a word with
/// systemd for the restart. `CAP_SYS_ADMIN` is for dropping a partition's cache before it is read back, `CAP_DAC_READ_SEARCH`
/// for bundles that are not root's, `CAP_LINUX_IMMUTABLE` and the firmware's variables for the minimum version.
const DAEMON_SERVICE: &str = "\
[Unit]
Description=Install, confirm, leave and repair systems for clients of a socket
Requires=bedstone-agentd.socket
After=bedstone-agentd.socket

[Service]
Type=exec
ExecStart=/usr/bin/bedstone-agent daemon
StateDirectory=bedstone/update
ReadWritePaths=/run/bedstone -/sys/firmware/efi/efivars
ProtectSystem=strict
ProtectHome=read-only
DevicePolicy=closed
DeviceAllow=block-* rw
CapabilityBoundingSet=CAP_SYS_ADMIN CAP_SYS_BOOT CAP_DAC_READ_SEARCH CAP_LINUX_IMMUTABLE
NoNewPrivileges=yes
KeyringMode=private
LockPersonality=yes
MemoryDenyWriteExecute=yes
PrivateMounts=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service @reboot
SystemCallErrorNumber=EPERM
UMask=0077
";

/// What is added to the tree so that the device takes updates; nothing when the manifest does not want that.
pub(super) fn changes(build: &Build<'_>, manifest: &Manifest) -> Vec<Change> {
    let update = &manifest.update;
    if !update.agent {
        return Vec::new();
    }
    let timer = format!(
        "[Unit]\nDescription=Time within which a new system has to be confirmed\n\n[Timer]\nOnBootSec={}s\n\n[Install]\nWantedBy=timers.target\n",
        u64::from(update.health.deadline) + u64::from(GRACE)
    );
    let mut config = config(manifest).to_string();
    config.push('\n');
    let mut changes = vec![
        file(AGENT, build.agent.to_vec(), 0o755),
        file(CONFIG, config.into_bytes(), 0o644),
        file(CERTIFICATES, build.keys.update.clone(), 0o644),
    ];
    for (name, text) in [
        ("bedstone-agent.service", AGENT_UNIT),
        ("bedstone-agentd.socket", DAEMON_SOCKET),
        ("bedstone-agentd.service", DAEMON_SERVICE),
        ("bedstone-trial.service", TRIAL_SERVICE),
        ("bedstone-trial.timer", &timer),
    ] {
        changes.push(file(
            &format!("{UNITS}/{name}"),
            text.as_bytes().to_vec(),
            0o644,
        ));
    }
    for unit in [
        "bedstone-agent.service",
        "bedstone-agentd.socket",
        "bedstone-trial.timer",
    ] {
        changes.push(Change::Unit {
            unit: unit.to_owned(),
            action: UnitAction::Enable,
        });
    }
    changes
}

/// What the device is, as bundles name it.
pub(super) fn hardware(manifest: &Manifest) -> String {
    let update = manifest.update.hardware.as_deref();
    update
        .or(manifest.board.as_deref())
        .unwrap_or(&manifest.product.name)
        .to_owned()
}

/// `update.json`, as `bedstone-agent` documents it.
fn config(manifest: &Manifest) -> Value {
    let update = &manifest.update;
    let mut config = json!({
        "version": 1,
        "hardware": hardware(manifest),
        "certificates": CERTIFICATES,
        "certificate_time": match update.certificate_time {
            CertificateTime::Check => "check",
            CertificateTime::Ignore => "ignore",
        },
        "attempts": update.attempts,
        "health": {
            "deadline": update.health.deadline,
            "probes": probes(&update.health),
        },
    });
    if let Some(minimum) = &update.minimum_version {
        config["minimum_version"] = json!(**minimum);
    }
    config
}

fn probes(health: &Health) -> Vec<Value> {
    let system = health.system.then(|| json!("system"));
    let units = health.units.iter().map(|unit| json!({"unit": **unit}));
    let commands = health
        .commands
        .iter()
        .map(|words| json!({"command": words.iter().map(|word| &**word).collect::<Vec<_>>()}));
    let tcp = health.tcp.iter().map(|address| json!({"tcp": **address}));
    let http = health.http.iter().map(|address| json!({"http": **address}));
    system
        .into_iter()
        .chain(units)
        .chain(commands)
        .chain(tcp)
        .chain(http)
        .collect()
}

fn file(path: &str, content: Vec<u8>, mode: u32) -> Change {
    Change::File {
        path: path.to_owned(),
        content,
        mode,
        owner: Owner::root(),
    }
}
