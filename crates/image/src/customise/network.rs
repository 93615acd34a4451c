use std::fmt::Write;

use super::settled::Settled;
use crate::manifest::{Interface, Manifest};

/// The files that host name, interfaces, name and time servers come to: path and text, in order of path.
pub(super) fn files(manifest: &Manifest, settled: &Settled) -> Vec<(String, String)> {
    let full = manifest.with_defaults();
    let network = &full.network;
    let hostname = network.hostname.as_deref().unwrap_or("localhost");
    let mut files = vec![
        ("/etc/hostname".to_owned(), format!("{hostname}\n")),
        (
            "/etc/hosts".to_owned(),
            format!(
                "127.0.0.1\tlocalhost\n127.0.1.1\t{hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n"
            ),
        ),
    ];
    // systemd-networkd uses the first file that matches: names before patterns.
    let mut interfaces: Vec<_> = network.interfaces.iter().collect();
    interfaces.sort_by_key(|(name, _)| (name.contains(['*', '?', '[']), (*name).clone()));
    for (index, (name, interface)) in interfaces.into_iter().enumerate() {
        let plain: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        files.push((
            format!("/etc/systemd/network/{:02}-{plain}.network", 50 + index),
            unit(name, interface),
        ));
    }
    if !network.dns.is_empty() {
        let servers: Vec<&str> = network.dns.iter().map(|a| &**a).collect();
        files.push((
            "/etc/systemd/resolved.conf.d/50-bedstone.conf".to_owned(),
            format!("[Resolve]\nDNS={}\n", servers.join(" ")),
        ));
    }
    if !network.ntp.is_empty() {
        files.push(time_servers(manifest, settled));
    }
    files.sort();
    files
}

fn unit(name: &str, interface: &Interface) -> String {
    let mut out = format!("[Match]\nName={name}\n");
    if interface.optional {
        out.push_str("\n[Link]\nRequiredForOnline=no\n");
    }
    out.push_str("\n[Network]\n");
    if interface.dhcp {
        out.push_str("DHCP=yes\n");
    }
    for address in &interface.addresses {
        let _ = writeln!(out, "Address={address}");
    }
    if let Some(gateway) = &interface.gateway {
        let _ = writeln!(out, "Gateway={gateway}");
    }
    out
}

fn time_servers(manifest: &Manifest, settled: &Settled) -> (String, String) {
    let servers = &manifest.network.ntp;
    if settled.installs("chrony") {
        let mut text = String::new();
        for server in servers {
            let _ = writeln!(text, "pool {server} iburst");
        }
        ("/etc/chrony/sources.d/bedstone.sources".to_owned(), text)
    } else {
        let names: Vec<&str> = servers.iter().map(|s| &**s).collect();
        (
            "/etc/systemd/timesyncd.conf.d/50-bedstone.conf".to_owned(),
            format!("[Time]\nNTP={}\n", names.join(" ")),
        )
    }
}
