//! Validated strings: each is a type of its own, checked once when it is read.
//!
//! Every type has a *format* name that its JSON schema carries; [`check`] finds the rule by that name, so that the checker
//! and serde apply the very same one.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::path::Path;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

macro_rules! text {
    ($($(#[$doc:meta])* $name:ident = $format:literal, $hint:literal, $rule:path;)*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
            #[serde(try_from = "String", into = "String")]
            pub struct $name(String);

            impl $name {
                /// A value known to be good, from the program's own text.
                #[allow(dead_code, reason = "not every format has a default")]
                pub(crate) fn fixed(value: &'static str) -> Self {
                    debug_assert!($rule(value).is_ok(), "{value}");
                    Self(value.to_owned())
                }
            }

            impl TryFrom<String> for $name {
                type Error = String;

                fn try_from(value: String) -> Result<Self, String> {
                    $rule(&value)?;
                    Ok(Self(value))
                }
            }

            impl TryFrom<&str> for $name {
                type Error = String;

                fn try_from(value: &str) -> Result<Self, String> {
                    Self::try_from(value.to_owned())
                }
            }

            impl From<$name> for String {
                fn from(value: $name) -> Self {
                    value.0
                }
            }

            impl Deref for $name {
                type Target = str;

                fn deref(&self) -> &str {
                    &self.0
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(&self.0)
                }
            }

            impl JsonSchema for $name {
                fn inline_schema() -> bool {
                    true
                }

                fn schema_name() -> Cow<'static, str> {
                    stringify!($name).into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    json_schema!({ "type": "string", "format": $format })
                }
            }
        )*

        const RULES: &[(&str, &str, fn(&str) -> Result<(), String>)] =
            &[$(($format, $hint, $rule)),*];
    };
}

mod net;
mod rules;

pub use net::{Cidr, HostName, InterfacePattern, IpAddress, Uri};

text! {
    /// The name of a product: file names and partition identifiers are made from it.
    ProductName = "product-name", "lower-case letters, digits and `-`, such as `demo-gateway`", rules::name;
    /// The version of a product: digits, letters, `.`, `+`, `~`, `-`, starting with a digit.
    ProductVersion = "version", "a version such as `1.2.0`", rules::version;
    /// A name that the manifest itself introduces, for a hook or a source.
    Name = "name", "lower-case letters, digits and `-`", rules::name;
    /// A Debian suite or code name, such as `bookworm` or `stable-security`.
    SuiteName = "suite", "a Debian suite such as `bookworm`", rules::suite;
    /// An archive component, such as `main` or `non-free-firmware`.
    Component = "component", "an archive component such as `main`", rules::suite;
    /// A Debian package name, with `:arch` where another architecture is meant (Debian Policy 5.6.1).
    PackageName = "package-name", "a package name such as `openssh-server`", rules::package;
    /// A Debian package version (Debian Policy 5.6.12).
    PackageVersion = "package-version", "a package version such as `1:9.2p1-2`", rules::package_version;
    /// A systemd unit, suffix included.
    UnitName = "unit-name", "a unit such as `ssh.service`", rules::unit;
    /// A user or group, by the rules of shadow's `useradd`.
    UserName = "user-name", "a user such as `operator`", rules::user;
    /// A hashed password in crypt(5) form, of a method that is still considered strong.
    PasswordHash = "password-hash", "a hash made by `mkpasswd -m yescrypt`", rules::password_hash;
    /// A line of an `authorized_keys` file without options.
    SshKey = "ssh-key", "a public key such as `ssh-ed25519 AAAA… name`", rules::ssh_key;
    /// A path inside the image: absolute and normalised.
    ImagePath = "image-path", "an absolute path such as `/etc/motd`", rules::image_path;
    /// A path on the build machine, relative to the file that names it.
    HostPath = "host-path", "a path relative to this file", rules::host_path;
    /// Permission bits in octal, such as `0644`.
    FileMode = "file-mode", "an octal mode such as `0644`", rules::mode;
    /// A size with a binary unit, such as `64M` or `1G`.
    SizeText = "size", "a size such as `64M` or `1G`", rules::size;
    /// A kernel module, `-` and `_` being the same.
    ModuleName = "module-name", "a module such as `virtio_blk`", rules::module;
    /// A path or shell pattern below `/lib/firmware`.
    FirmwarePattern = "firmware-pattern", "a path below /lib/firmware such as `rtl_nic/*`", rules::firmware;
    /// One parameter of the kernel command line.
    KernelParameter = "kernel-parameter", "one parameter such as `console=ttyS0,115200`", rules::kernel_parameter;
    /// A kernel configuration option, such as `CONFIG_STRICT_DEVMEM`.
    KernelOption = "kernel-option", "an option such as `CONFIG_STRICT_DEVMEM`", rules::kernel_option;
    /// A sysctl, in dotted form.
    SysctlKey = "sysctl-key", "a sysctl such as `kernel.kptr_restrict`", rules::sysctl_key;
    /// The value of a sysctl: one line.
    SysctlValue = "sysctl-value", "one line of text", rules::line;
    /// One line of text without control characters.
    Line = "line", "one line of text", rules::line;
    /// Why something is as it is: a sentence that a reviewer can judge.
    Reason = "reason", "a sentence of at least ten characters", rules::reason;
    /// What a profile's override concerns: `package:NAME`, `file:/PATH`, `sysctl:KEY`, `service:UNIT`, `kernel-parameter:NAME`, `module:NAME` or `blacklist:MODULE`.
    Subject = "subject", "a subject such as `sysctl:kernel.sysrq`", rules::subject;
    /// A requirement: an item of IEC 62443-4-2 (`CR 1.11`, `EDR 3.14 RE(1)`) or `KSPP`, the Kernel Self Protection Project's recommendations.
    Requirement = "requirement", "a requirement such as `CR 1.11` or `KSPP`", rules::requirement;
    /// A kernel version such as `6.1` or `6.12.43`.
    KernelVersion = "kernel-version", "a version such as `6.1`", rules::kernel_version;
}

/// Holds a value against the rule of a format; formats without a rule allow everything.
///
/// Fails with a sentence that ends in an example.
pub fn check(format: &str, value: &str) -> Result<(), String> {
    match net::check(format, value) {
        Some(result) => result,
        None => RULES
            .iter()
            .find(|(name, _, _)| *name == format)
            .map_or(Ok(()), |(_, _, rule)| rule(value)),
    }
}

/// What a format wants, in words, for the reference manual.
pub fn describe(format: &str) -> Option<&'static str> {
    net::describe(format).or_else(|| {
        RULES
            .iter()
            .find(|(name, _, _)| *name == format)
            .map(|(_, hint, _)| *hint)
    })
}

impl SizeText {
    /// The size in bytes.
    pub fn bytes(&self) -> u64 {
        rules::parse_size(&self.0).unwrap_or(0)
    }
}

impl FileMode {
    /// The permission bits, set-id and sticky bits included.
    pub fn bits(&self) -> u32 {
        u32::from_str_radix(&self.0, 8).unwrap_or(0)
    }
}

impl HostPath {
    /// The path.
    pub fn path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl ModuleName {
    /// The name as the kernel writes it, with `_`.
    pub fn normalised(&self) -> String {
        self.0.replace('-', "_")
    }
}

impl KernelVersion {
    /// Major and minor number, which is what the baseline distinguishes.
    pub fn major_minor(&self) -> (u32, u32) {
        rules::parse_kernel_version(&self.0).unwrap_or((0, 0))
    }
}

impl KernelParameter {
    /// What stands before the `=`.
    pub fn name(&self) -> &str {
        self.0.split('=').next().unwrap_or(&self.0)
    }
}

#[cfg(test)]
mod tests;
