use super::*;

/// Format, values that it takes, values that it refuses.
const CASES: &[(&str, &[&str], &[&str])] = &[
    (
        "product-name",
        &["demo-gateway", "a"],
        &["", "Demo", "-a", "a-", "a b"],
    ),
    ("version", &["1.2.0", "2026-11~rc1"], &["v1", "", "1 2"]),
    (
        "suite",
        &["bookworm", "stable-security", "a/b"],
        &["", "/", "a/", "../b"],
    ),
    (
        "package-name",
        &["aide", "g++", "libc6:amd64", "0ad"],
        &["a", "Aide", "a b", "libc6:", "-ab"],
    ),
    (
        "package-version",
        &["1:9.2p1-2+deb12u5", "0~1"],
        &["", ":1", "a:1", "1 2", "-1"],
    ),
    (
        "unit-name",
        &["ssh.service", "getty@tty1.service", "dev-sda\\x2d1.swap"],
        &["ssh", "ssh.conf", ".service", "a b.service"],
    ),
    (
        "user-name",
        &["operator", "_chrony", "a-b"],
        &["Root", "1a", "", "a:b"],
    ),
    (
        "password-hash",
        &[
            "$y$j9T$rNFX9sPsgkEp6wvGEWKjG.$ScyyIgkCOLkzvL6v4IZpSqAtC04bmgVWk8fmBXl0436",
            "$6$abcdefgh$0123456789",
        ],
        &[
            "secret",
            "$1$abcdefgh$0123456789abcdef",
            "$y$x",
            "$6$abc:$0123456789012345",
        ],
    ),
    (
        "ssh-key",
        &[
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@here",
        ],
        &[
            "ssh-ed25519 AAAA",
            "ssh-dss AAAAB3NzaC1kc3M=",
            "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
            "",
        ],
    ),
    (
        "image-path",
        &["/etc/motd", "/a"],
        &["etc", "/", "/etc/", "/etc/../a", "/a//b", "/a/./b"],
    ),
    ("host-path", &["a", "../b", "/c"], &["", "a\nb"]),
    (
        "file-mode",
        &["0644", "755", "4755"],
        &["644x", "9", "00644", "0888"],
    ),
    (
        "size",
        &["64M", "1G", "512K", "2T"],
        &["64", "0M", "1.5G", "M", "64MB", "99999999999999T"],
    ),
    (
        "module-name",
        &["virtio_blk", "usb-storage"],
        &["a.ko", "a/b", ""],
    ),
    (
        "firmware-pattern",
        &["rtl_nic/*", "a.bin"],
        &["/lib/a", "../a", "a//b", ""],
    ),
    (
        "kernel-parameter",
        &["quiet", "console=ttyS0,115200", "dyndbg=\"file a +p\""],
        &[
            "a b",
            "root=/dev/sda",
            "roothash=1",
            "bedstone.root.hash=1",
            "",
            "=a",
            "dyndbg=\"a",
        ],
    ),
    (
        "kernel-option",
        &["CONFIG_STRICT_DEVMEM"],
        &["STRICT_DEVMEM", "CONFIG_", "CONFIG_A=y"],
    ),
    (
        "sysctl-key",
        &["kernel.kptr_restrict", "net.ipv4.conf.eth0/1.rp_filter"],
        &["kernel", ".a.b", "a..b", "a b.c"],
    ),
    ("sysctl-value", &["1", "|/bin/false"], &["", "a\nb"]),
    (
        "reason",
        &["the product is a router"],
        &["because", "          ", "two\nlines of text"],
    ),
    (
        "subject",
        &[
            "package:aide",
            "file:/etc/issue",
            "sysctl:kernel.sysrq",
            "service:ssh.service",
            "kernel-parameter:quiet",
            "blacklist:sctp",
            "module:loop",
        ],
        &["aide", "thing:aide", "file:etc"],
    ),
    (
        "requirement",
        &["CR 1.11", "EDR 3.14 RE(1)", "KSPP"],
        &["CR1.11", "XR 1.1", "CR 1.1 RE(x)", "CR 1.1 RE(1) x"],
    ),
    (
        "kernel-version",
        &["6.1", "6.12.43"],
        &["6", "six.one", "6.1-rc1"],
    ),
    (
        "host-name",
        &["gateway", "pool.example"],
        &["-a", "a..b", "a_b", ""],
    ),
    (
        "ip-address",
        &["192.0.2.1", "2001:db8::1"],
        &["192.0.2", "a"],
    ),
    (
        "cidr",
        &["192.0.2.10/24", "2001:db8::1/64"],
        &["192.0.2.10", "192.0.2.10/33", "192.0.2.10/0", "a/8"],
    ),
    (
        "interface",
        &["eth0", "en*"],
        &["", "a b", "!eth0", "a-name-that-is-too-long"],
    ),
    (
        "archive-uri",
        &["https://archive.example/debian", "file:///srv/debian"],
        &["ftp://a", "https://", "https://user:pw@host/x", "archive"],
    ),
];

#[test]
fn every_rule_takes_the_good_and_refuses_the_bad() {
    for (format, good, bad) in CASES {
        assert!(describe(format).is_some(), "{format}");
        for value in *good {
            assert_eq!(check(format, value), Ok(()), "{format} {value}");
        }
        for value in *bad {
            assert!(check(format, value).is_err(), "{format} takes `{value}`");
        }
    }
}

#[test]
fn a_password_in_clear_text_is_never_repeated() {
    let message = check("password-hash", "hunter2").unwrap_err();
    assert!(!message.contains("hunter2"));
}

#[test]
fn values_have_their_meaning() {
    assert_eq!(SizeText::fixed("64M").bytes(), 64 << 20);
    assert_eq!(FileMode::fixed("0440").bits(), 0o440);
    assert_eq!(ModuleName::fixed("usb-storage").normalised(), "usb_storage");
    assert_eq!(KernelVersion::fixed("6.12.43").major_minor(), (6, 12));
    assert_eq!(KernelParameter::fixed("console=ttyS0").name(), "console");
}
