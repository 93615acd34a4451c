//! Rules that span several keys; what a single value may be is the schema's matter.

use bedstone_state::version::compare;

use super::{Compression, FileSystem, Interface, Manifest, Modules, User};
use crate::archives;
use crate::document::text::SizeText;
use crate::document::{Diagnostic, Node};

/// Everything in a complete manifest that does not fit together.
pub(super) fn rules(manifest: &Manifest, tree: &Node) -> Vec<Diagnostic> {
    let mut found = Rules {
        tree,
        problems: Vec::new(),
    };
    found.debian(manifest);
    found.packages(manifest);
    found.kernel(manifest);
    found.users(manifest);
    found.files(manifest);
    found.services(manifest);
    found.network(manifest);
    found.storage(manifest);
    found.secure_boot(manifest);
    found.update(manifest);
    found.hooks(manifest);
    found.problems
}

struct Rules<'t> {
    tree: &'t Node,
    problems: Vec<Diagnostic>,
}

impl Rules<'_> {
    /// Reports `problem` at the key at the end of `path`, or at the nearest table that was written.
    fn report(&mut self, problem: Diagnostic, path: &[&str]) {
        let place = (1..=path.len())
            .rev()
            .find_map(|length| self.tree.key_at(&path[..length]));
        self.problems.push(match place {
            Some(origin) => problem.at(origin, ""),
            None => problem,
        });
    }

    /// As [`Self::report`], also pointing to where another value stands.
    fn conflict(&mut self, message: String, path: &[&str], other: &[&str], label: &str) {
        let mut problem = Diagnostic::error(message);
        if let Some(origin) = self.tree.key_at(other) {
            problem = problem.related(origin, label);
        }
        self.report(problem, path);
    }

    fn debian(&mut self, manifest: &Manifest) {
        const OURS: &[&str] = &[
            "debian",
            "debian-security",
            "debian-updates",
            "debian-backports",
            archives::BOOT,
            "local",
        ];
        for (name, source) in &manifest.debian.sources {
            if OURS.contains(&&**name) {
                self.report(
                    Diagnostic::error(format!("`{name}` names one of Debian's own sources"))
                        .help("give the repository another name"),
                    &["debian", "sources", name],
                );
            }
            if source.uris.is_empty() {
                self.report(
                    Diagnostic::error(format!("source `{name}` has no address")),
                    &["debian", "sources", name, "uris"],
                );
            }
        }
        for (name, pin) in &manifest.debian.pins {
            let path = ["debian", "pins", name];
            let kinds = usize::from(pin.version.is_some())
                + usize::from(pin.suite.is_some())
                + usize::from(pin.source.is_some());
            if kinds != 1 {
                self.report(
                    Diagnostic::error(format!(
                        "pin `{name}` must say exactly one of `version`, `suite` and `source`"
                    )),
                    &path,
                );
            }
            if let Some(source) = &pin.source
                && !manifest.debian.sources.contains_key(source)
            {
                self.report(
                    Diagnostic::error(format!(
                        "pin `{name}` names the source `{source}`, which `debian.sources` does not have"
                    )),
                    &["debian", "pins", name, "source"],
                );
            }
        }
    }

    fn packages(&mut self, manifest: &Manifest) {
        for (index, package) in manifest.packages.remove.iter().enumerate() {
            if let Some(installed) = manifest.packages.install.iter().position(|p| p == package) {
                self.conflict(
                    format!("`{package}` is both installed and removed"),
                    &["packages", "remove", &index.to_string()],
                    &["packages", "install", &installed.to_string()],
                    "installed here",
                );
            }
        }
    }

    fn kernel(&mut self, manifest: &Manifest) {
        let kernel = &manifest.kernel;
        if let Some(source) = &kernel.source {
            if kernel.package.is_some() {
                self.conflict(
                    "the kernel is either a package or built from source, not both".to_owned(),
                    &["kernel", "source"],
                    &["kernel", "package"],
                    "the package",
                );
            }
            if source.package.is_some() == source.tree.is_some() {
                self.report(
                    Diagnostic::error(
                        "`kernel.source` must say exactly one of `package` and `tree`",
                    ),
                    &["kernel", "source"],
                );
            }
            if source.config.is_some() && source.defconfig.is_some() {
                self.conflict(
                    "the configuration starts either from `config` or from `defconfig`".to_owned(),
                    &["kernel", "source", "defconfig"],
                    &["kernel", "source", "config"],
                    "the file",
                );
            }
        }
        if matches!(&kernel.modules, Modules::Named(names) if names.iter().any(|m| &**m == "all")) {
            self.report(
                Diagnostic::error("`all` stands alone, not in a list")
                    .help("write `modules = \"all\"`"),
                &["kernel", "modules"],
            );
        }
    }

    fn users(&mut self, manifest: &Manifest) {
        let Some((_, root)) = manifest.users.iter().find(|(name, _)| &***name == "root") else {
            return;
        };
        let allowed = User {
            password: root.password.clone(),
            ssh_keys: root.ssh_keys.clone(),
            ..User::default()
        };
        if *root != allowed {
            let written = ["groups", "shell", "home", "description", "system"]
                .into_iter()
                .find(|key| self.tree.at(&["users", "root", key]).is_some())
                .unwrap_or("root");
            self.report(
                Diagnostic::error("`root` exists already: only its password and keys can be given"),
                &["users", "root", written],
            );
        }
    }

    fn files(&mut self, manifest: &Manifest) {
        for (path, file) in &manifest.files {
            if file.content.is_some() == file.source.is_some() {
                self.report(
                    Diagnostic::error(format!(
                        "file `{path}` must say exactly one of `content` and `source`"
                    )),
                    &["files", path],
                );
            }
            if ["/run/", "/tmp/", "/proc/", "/sys/", "/dev/"]
                .iter()
                .any(|mount| path.starts_with(mount))
            {
                self.report(
                    Diagnostic::error(format!(
                        "file `{path}` would be hidden: something is mounted there when the system runs"
                    ))
                    .help("make it at boot, by a file in `/usr/lib/tmpfiles.d`"),
                    &["files", path],
                );
            }
        }
    }

    fn services(&mut self, manifest: &Manifest) {
        let services = &manifest.services;
        let lists = [
            ("enable", &services.enable),
            ("disable", &services.disable),
            ("mask", &services.mask),
        ];
        for (later, (name, units)) in lists.iter().enumerate().skip(1) {
            for (index, unit) in units.iter().enumerate() {
                for (other, others) in &lists[..later] {
                    if let Some(at) = others.iter().position(|o| o == unit) {
                        self.conflict(
                            format!("`{unit}` is in `services.{name}` and in `services.{other}`"),
                            &["services", name, &index.to_string()],
                            &["services", other, &at.to_string()],
                            "and here",
                        );
                    }
                }
            }
        }
    }

    fn network(&mut self, manifest: &Manifest) {
        for (name, interface) in &manifest.network.interfaces {
            self.interface(name, interface);
        }
    }

    fn interface(&mut self, name: &str, interface: &Interface) {
        let path = ["network", "interfaces", name];
        if !interface.dhcp && interface.addresses.is_empty() {
            self.report(
                Diagnostic::error(format!("interface `{name}` gets no address"))
                    .help("say `dhcp = true` or give `addresses`"),
                &path,
            );
        }
        if let Some(gateway) = &interface.gateway {
            let reachable = interface
                .addresses
                .iter()
                .any(|address| in_network(address, gateway));
            if !reachable && !interface.addresses.is_empty() {
                self.report(
                    Diagnostic::error(format!(
                        "the gateway `{gateway}` is in none of the networks of interface `{name}`"
                    )),
                    &["network", "interfaces", name, "gateway"],
                );
            }
        }
    }

    fn storage(&mut self, manifest: &Manifest) {
        let partitions = &manifest.partitions;
        let sizes: [(&str, &SizeText, u64); 4] = [
            ("esp", &partitions.esp, 4),
            ("boot", &partitions.boot, 16),
            ("root", &partitions.root, 64),
            ("data", &partitions.data, 64),
        ];
        for (name, size, least) in sizes {
            let path = ["partitions", name];
            if !size.bytes().is_multiple_of(1 << 20) {
                self.report(
                    Diagnostic::error(format!(
                        "`partitions.{name}` must be a multiple of `1M`, not `{size}`: partitions are aligned to it"
                    )),
                    &path,
                );
            } else if size.bytes() < least << 20 {
                self.report(
                    Diagnostic::error(format!(
                        "`partitions.{name}` must be at least `{least}M`, not `{size}`"
                    )),
                    &path,
                );
            }
        }
        let fits = match (
            manifest.root.file_system,
            manifest.root.effective_compression(),
        ) {
            (FileSystem::Ext4, compression) => compression == Compression::None,
            (FileSystem::Squashfs, compression) => compression != Compression::Lz4hc,
            (FileSystem::Erofs, _) => true,
        };
        if !fits {
            self.report(
                Diagnostic::error("this file system does not have this compression"),
                &["root", "compression"],
            );
        }
    }

    fn update(&mut self, manifest: &Manifest) {
        let update = &manifest.update;
        if update.health.commands.iter().any(Vec::is_empty) {
            self.report(
                Diagnostic::error("a command of `commands` names no program"),
                &["update", "health", "commands"],
            );
        }
        let version = &manifest.product.version;
        if let Some(minimum) = &update.minimum_version
            && compare(minimum, version).is_gt()
        {
            self.conflict(
                format!("`minimum-version` {minimum} is above the product's own version {version}: it would shut this image out"),
                &["update", "minimum-version"],
                &["product", "version"],
                "the version of this image",
            );
        }
        let own_keys =
            manifest.secure_boot.key.is_some() && manifest.secure_boot.certificate.is_some();
        if update.agent && update.certificates.is_empty() && own_keys {
            self.report(
                Diagnostic::error("a product with keys of its own would take updates that a development key signed")
                    .help("name the certificates in [update], or leave the agent out with `agent = false`"),
                &["update", "certificates"],
            );
        }
    }

    fn secure_boot(&mut self, manifest: &Manifest) {
        let keys = &manifest.secure_boot;
        if keys.key.is_some() != keys.certificate.is_some() {
            self.report(
                Diagnostic::error("`secure-boot` needs both `key` and `certificate`, or neither"),
                &["secure-boot"],
            );
        }
    }

    fn hooks(&mut self, manifest: &Manifest) {
        for (name, hook) in &manifest.hooks {
            let mut names: Vec<_> = hook
                .inputs
                .iter()
                .map(|input| input.path().file_name())
                .collect();
            names.sort();
            if names.contains(&None) {
                self.report(
                    Diagnostic::error(format!("an input of hook `{name}` has no name of its own"))
                        .help("name a file or directory, not `.` or `..`"),
                    &["hooks", name, "inputs"],
                );
            }
            if names.windows(2).any(|pair| pair[0] == pair[1]) {
                self.report(
                    Diagnostic::error(format!(
                        "two inputs of hook `{name}` have the same last part, so the script could see only one"
                    )),
                    &["hooks", name, "inputs"],
                );
            }
        }
    }
}

/// Whether an address lies in the network that `cidr` describes.
fn in_network(cidr: &str, address: &str) -> bool {
    use std::net::IpAddr;
    let Some((own, length)) = cidr.split_once('/') else {
        return false;
    };
    let (Ok(own), Ok(address), Ok(length)) = (
        own.parse::<IpAddr>(),
        address.parse::<IpAddr>(),
        length.parse::<u32>(),
    ) else {
        return false;
    };
    match (own, address) {
        (IpAddr::V4(own), IpAddr::V4(address)) => {
            let shift = 32_u32.saturating_sub(length);
            (u32::from(own) ^ u32::from(address))
                .checked_shr(shift)
                .unwrap_or(0)
                == 0
        }
        (IpAddr::V6(own), IpAddr::V6(address)) => {
            // A router announces itself by a link-local address, which is on every IPv6 network.
            let link_local = address.segments()[0] & 0xffc0 == 0xfe80;
            let shift = 128_u32.saturating_sub(length);
            link_local
                || (u128::from(own) ^ u128::from(address))
                    .checked_shr(shift)
                    .unwrap_or(0)
                    == 0
        }
        _ => false,
    }
}
