//! Package sets: seeded, from real names, with those mixed in that are known to be hard.

use std::fmt::Write as _;

use bedstone_deb::resolve::{Base, Preferences, Request};

use super::archive::Archive;

/// A small generator (xorshift64*), so that a seed always means the same sets.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// Virtual packages, alternatives, pairs that exclude each other, tasks, kernels, big trees.
const TRICKY: &str = "\
    mail-transport-agent default-mta exim4 postfix sendmail nullmailer mailutils bsd-mailx \
    cron-daemon cron systemd-cron bcron anacron logrotate system-log-daemon rsyslog syslog-ng \
    busybox-syslogd inetutils-syslogd systemd-sysv sysvinit-core runit-init init elogind \
    libpam-systemd libpam-elogind dbus dbus-broker default-dbus-session-bus dbus-x11 gawk mawk \
    original-awk awk editor vim vim-tiny nvi x-window-manager x-terminal-emulator \
    x-display-manager gdm3 lightdm sddm task-gnome-desktop task-kde-desktop task-xfce-desktop \
    task-ssh-server task-laptop task-german-desktop gnome kde-full xfce4 lxqt linux-image-amd64 \
    linux-image-arm64 linux-image-rt-amd64 linux-image-cloud-amd64 linux-headers-amd64 \
    initramfs-tools dracut tiny-initramfs linux-initramfs-tool grub-pc grub-efi-amd64 \
    grub-efi-arm64 systemd-boot shim-signed java-runtime default-jre default-jdk-headless \
    java-compiler openjdk-11-jre openjdk-17-jdk python3-all python3:any perl:any \
    python-is-python3 httpd apache2 nginx nginx-light nginx-full nginx-extras lighttpd httpd-cgi \
    php libapache2-mod-php php-fpm mariadb-server mysql-server default-mysql-server postgresql \
    virtual-mysql-server ntp chrony openntpd systemd-timesyncd time-daemon ntpsec \
    network-manager ifupdown ifupdown2 connman netplan.io resolvconf openresolv systemd-resolved \
    avahi-daemon isc-dhcp-client dhcpcd-base udhcpc dhcp-client iptables nftables firewalld ufw \
    fail2ban openssh-server ssh dropbear ssh-server tinysshd samba samba-ad-dc winbind sssd \
    libnss-ldapd libnss-ldap slapd krb5-user heimdal-clients docker.io podman containerd runc \
    crun lxc libvirt-daemon-system qemu-system-x86 qemu-system-arm qemu-user-static \
    build-essential gcc-multilib g++ clang lld gcc-arm-linux-gnueabihf libc6-dev-arm64-cross \
    cmake meson autoconf autoconf2.13 automake c-compiler libc-dev pulseaudio pipewire-pulse \
    pipewire-audio jackd2 libjack-0.125 jackd1 libcurl4-openssl-dev libcurl4-gnutls-dev \
    libgnutls28-dev libssl-dev libpng-dev libjpeg-dev libmagick++-dev texlive-full emacs \
    emacs-nox emacsen www-browser firefox-esr chromium libreoffice gimp inkscape fonts-noto \
    ttf-mscorefonts-installer pinentry-gtk2 pinentry-curses pinentry gnupg gnupg2 gpg \
    debconf-2.0 cdebconf debsums aptitude apt apt-transport-https unattended-upgrades \
    needrestart usrmerge usr-is-merged adduser passwd login util-linux-extra libpam-runtime \
    coreutils busybox busybox-static toybox dash bash ksh mksh zsh tpm2-tools cryptsetup \
    cryptsetup-initramfs lvm2 mdadm btrfs-progs zfsutils-linux auditd aide tripwire apparmor \
    selinux-basics no-such-package does-not-exist-1.0 libgcc-s1 libc6 cloud-init open-vm-tools \
    xserver-xorg xserver xorg wayland-session weston nodm console-setup console-setup-mini kbd \
    console-tools locales locales-all tzdata tzdata-legacy rt-tests stress-ng swupdate mosquitto \
    snmpd vsftpd proftpd-basic ftp-server pure-ftpd libpaper1 cups lprng lpr gpsd wpasupplicant \
    iwd wireless-regdb crda bluez modemmanager \
";

/// The request of that number: mostly easy ones, and each kind of hard one now and then.
pub(crate) fn request(archive: &Archive, random: &mut Random, recommends: bool) -> Request {
    let names: Vec<&str> = archive.universe.names().collect();
    let hard: Vec<&str> = TRICKY.split_whitespace().collect();
    let mut request = Request {
        recommends,
        base: match random.below(6) {
            0 => Base::None,
            1 => Base::Essential,
            2 => Base::Important,
            3 => Base::Standard,
            _ => Base::Required,
        },
        ..Request::default()
    };
    let tricky = random.below(5);
    for _ in 0..tricky {
        request.install.push((*random.pick(&hard)).to_owned());
    }
    let real = random.below(if tricky == 0 { 8 } else { 4 }) + usize::from(tricky == 0);
    for _ in 0..real {
        request.install.push((*random.pick(&names)).to_owned());
    }
    if let Some(foreign) = archive.architectures.get(1) {
        for name in &mut request.install {
            if random.below(3) == 0 {
                name.push(':');
                name.push_str(foreign);
            }
        }
    }
    match random.below(10) {
        0 => {
            let name = *random.pick(&names);
            let version = archive
                .universe
                .versions(name, None)
                .last()
                .unwrap()
                .version();
            request.install.push(format!("{name}={version}"));
        }
        1 => request
            .install
            .push(format!("{}/{}", random.pick(&names), archive.suite)),
        2 => request.install.push(format!("{}-", random.pick(&names))),
        3 => {
            let name = *random.pick(&hard);
            if archive
                .universe
                .versions(name, None)
                .next()
                .is_some_and(|package| !package.essential())
            {
                request.exclude.push(name.to_owned());
            }
        }
        4 => request.preferences = pins(archive, random, &names, &hard),
        _ => {}
    }
    request
}

/// Pins on names, suites and versions, for and against.
fn pins(archive: &Archive, random: &mut Random, names: &[&str], hard: &[&str]) -> Preferences {
    let mut text = String::new();
    for _ in 0..=random.below(3) {
        let name = match random.below(4) {
            0 => "*",
            1 => "lib*",
            2 => *random.pick(hard),
            _ => *random.pick(names),
        };
        let suite = ["", "-updates", "-security"][random.below(3)];
        let priority = ["-10", "50", "400", "600", "1001"][random.below(5)];
        // A pin that forbids everything answers nothing.
        let priority = if name == "*" && priority == "-10" {
            "990"
        } else {
            priority
        };
        let release = archive.suite;
        write!(
            text,
            "Package: {name}\nPin: release n={release}{suite}\nPin-Priority: {priority}\n\n"
        )
        .unwrap();
    }
    Preferences::parse("generated", text.as_bytes()).unwrap()
}
