//! One rule per format: `Ok`, or what is wrong with the value.

type Rule = Result<(), String>;

fn ensure(good: bool, why: impl FnOnce() -> String) -> Rule {
    if good { Ok(()) } else { Err(why()) }
}

fn all(value: &str, allowed: impl Fn(u8) -> bool) -> bool {
    !value.is_empty() && value.bytes().all(allowed)
}

fn lower_or_digit(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

pub(super) fn name(value: &str) -> Rule {
    ensure(
        value.len() <= 63
            && all(value, |b| lower_or_digit(b) || b == b'-')
            && !value.starts_with('-')
            && !value.ends_with('-'),
        || {
            format!(
                "`{value}` is not a name of lower-case letters, digits and inner `-`, at most 63 long, such as `demo-gateway`"
            )
        },
    )
}

pub(super) fn version(value: &str) -> Rule {
    ensure(
        value.len() <= 64
            && value.starts_with(|c: char| c.is_ascii_digit())
            && all(value, |b| b.is_ascii_alphanumeric() || b".+~-".contains(&b)),
        || {
            format!(
                "`{value}` is not a version: a digit first, then letters, digits, `.`, `+`, `~` and `-`, such as `1.2.0`"
            )
        },
    )
}

pub(super) fn suite(value: &str) -> Rule {
    ensure(
        value.starts_with(|c: char| c.is_ascii_lowercase())
            && all(value, |b| lower_or_digit(b) || b"-./_".contains(&b))
            && !value.contains("..")
            && !value.contains("//")
            && !value.ends_with('/'),
        || {
            format!(
                "`{value}` is not the name of a suite or component, such as `bookworm` or `main`"
            )
        },
    )
}

pub(super) fn package(value: &str) -> Rule {
    let (name, architecture) = match value.split_once(':') {
        Some((name, architecture)) => (name, Some(architecture)),
        None => (value, None),
    };
    ensure(
        name.len() >= 2
            && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && all(name, |b| lower_or_digit(b) || b"+-.".contains(&b))
            && architecture.is_none_or(|a| all(a, |b| lower_or_digit(b) || b == b'-')),
        || {
            format!(
                "`{value}` is not a Debian package name: at least two of lower-case letters, digits, `+`, `-` and `.`, such as `openssh-server`"
            )
        },
    )
}

pub(super) fn package_version(value: &str) -> Rule {
    let upstream = match value.split_once(':') {
        Some((epoch, rest)) if all(epoch, |b| b.is_ascii_digit()) => rest,
        Some(_) => "",
        None => value,
    };
    ensure(
        upstream.starts_with(|c: char| c.is_ascii_alphanumeric())
            && all(upstream, |b| {
                b.is_ascii_alphanumeric() || b".+~-:".contains(&b)
            }),
        || format!("`{value}` is not a Debian package version, such as `1:9.2p1-2+deb12u5`"),
    )
}

pub(super) fn unit(value: &str) -> Rule {
    const SUFFIXES: &[&str] = &[
        "service",
        "socket",
        "timer",
        "target",
        "mount",
        "automount",
        "path",
        "slice",
        "swap",
    ];
    let Some((stem, suffix)) = value.rsplit_once('.') else {
        return Err(format!(
            "`{value}` lacks the suffix of a unit: write `{value}.service`, `.socket`, `.timer` …"
        ));
    };
    if !SUFFIXES.contains(&suffix) {
        return Err(format!(
            "`{value}` does not end like a systemd unit: `.service`, `.socket`, `.timer`, `.target`, `.mount` …"
        ));
    }
    ensure(
        value.len() <= 255
            && all(stem, |b| {
                b.is_ascii_alphanumeric() || b":_.\\@-".contains(&b)
            }),
        || format!("`{value}` holds characters that a unit name cannot have"),
    )
}

pub(super) fn user(value: &str) -> Rule {
    ensure(
        value.len() <= 32
            && value.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && all(value, |b| lower_or_digit(b) || b"_-".contains(&b)),
        || {
            format!(
                "`{value}` is not a user or group name: a lower-case letter or `_` first, then also digits and `-`, at most 32 long"
            )
        },
    )
}

pub(super) fn password_hash(value: &str) -> Rule {
    // Never repeat the value: it may be a password that somebody typed in clear.
    const METHODS: &[&str] = &["$y$", "$gy$", "$7$", "$2b$", "$6$", "$5$"];
    if !value.starts_with('$') {
        return Err("this is not a hash: make one with `mkpasswd -m yescrypt`; a password in clear text is never accepted".to_owned());
    }
    ensure(
        METHODS.iter().any(|method| value.starts_with(method)),
        || {
            "the method of this hash is too weak or unknown: make a new one with `mkpasswd -m yescrypt`".to_owned()
        },
    )?;
    ensure(
        value.len() >= 20
            && value.matches('$').count() >= 3
            && all(value, |b| b.is_ascii_graphic() && !b":;*!\\".contains(&b)),
        || "this hash is cut short or holds characters that crypt(5) does not allow".to_owned(),
    )
}

pub(super) fn ssh_key(value: &str) -> Rule {
    const KINDS: &[&str] = &[
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
        "ssh-rsa",
    ];
    let mut words = value.split(' ');
    let kind = words.next().unwrap_or_default();
    let blob = words.next().unwrap_or_default();
    if value.contains("PRIVATE KEY") {
        return Err(
            "this is a private key: name the public one, the content of the `.pub` file".to_owned(),
        );
    }
    ensure(KINDS.contains(&kind), || {
        format!(
            "`{kind}` is not a kind of public key that OpenSSH accepts by default; `ssh-keygen -t ed25519` makes one"
        )
    })?;
    // RFC 4253 section 6.6: the blob begins with the kind again, as a string with a 32-bit length.
    let decoded = base64(blob).ok_or("the key after the kind is not base64")?;
    let named = decoded.get(4..4 + kind.len()) == Some(kind.as_bytes())
        && decoded.get(..4) == Some(&(kind.len() as u32).to_be_bytes()[..]);
    ensure(named && decoded.len() > 4 + kind.len() + 4, || {
        format!("the key is cut short or is not of kind `{kind}`")
    })?;
    line(value)
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let body = text.trim_end_matches('=');
    if text.is_empty() || !text.len().is_multiple_of(4) || text.len() - body.len() > 2 {
        return None;
    }
    let mut out = Vec::with_capacity(body.len() * 3 / 4);
    let mut bits = 0_u32;
    let mut count = 0;
    for b in body.bytes() {
        let value = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(out)
}

pub(super) fn image_path(value: &str) -> Rule {
    ensure(value.starts_with('/') && value.len() > 1, || {
        format!("`{value}` is not an absolute path in the image, such as `/etc/motd`")
    })?;
    ensure(
        value.len() < 4096
            && !value.chars().any(char::is_control)
            && value[1..]
                .split('/')
                .all(|part| !part.is_empty() && part != "." && part != ".."),
        || {
            format!(
                "`{value}` is not normalised: no `.`, `..`, `//`, control characters or `/` at the end"
            )
        },
    )
}

pub(super) fn host_path(value: &str) -> Rule {
    ensure(
        !value.is_empty() && value.len() < 4096 && !value.chars().any(char::is_control),
        || "a path cannot be empty or hold control characters".to_owned(),
    )
}

pub(super) fn mode(value: &str) -> Rule {
    ensure(
        (3..=4).contains(&value.len()) && all(value, |b| (b'0'..=b'7').contains(&b)),
        || format!("`{value}` is not a file mode: three or four octal digits such as `0644`"),
    )
}

pub(super) fn parse_size(value: &str) -> Option<u64> {
    let (number, factor) = match value.as_bytes().last()? {
        b'K' => (&value[..value.len() - 1], 1 << 10),
        b'M' => (&value[..value.len() - 1], 1 << 20),
        b'G' => (&value[..value.len() - 1], 1 << 30),
        b'T' => (&value[..value.len() - 1], 1_u64 << 40),
        _ => return None,
    };
    if !all(number, |b| b.is_ascii_digit()) {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(factor)
}

pub(super) fn size(value: &str) -> Rule {
    ensure(parse_size(value).is_some_and(|bytes| bytes > 0), || {
        format!(
            "`{value}` is not a size: a whole number and `K`, `M`, `G` or `T` (powers of 1024), such as `64M`"
        )
    })
}

pub(super) fn module(value: &str) -> Rule {
    ensure(
        value.len() <= 64 && all(value, |b| b.is_ascii_alphanumeric() || b"_-".contains(&b)),
        || format!("`{value}` is not a module name, such as `virtio_blk` (without path and `.ko`)"),
    )
}

pub(super) fn firmware(value: &str) -> Rule {
    ensure(
        !value.starts_with('/')
            && value
                .split('/')
                .all(|part| !part.is_empty() && part != ".." && part != ".")
            && all(value, |b| b.is_ascii_graphic()),
        || format!("`{value}` is not a path or pattern below `/lib/firmware`, such as `rtl_nic/*`"),
    )
}

pub(super) fn kernel_parameter(value: &str) -> Rule {
    const OURS: &[&str] = &[
        "root",
        "roothash",
        "rootfstype",
        "rootflags",
        "ro",
        "rw",
        "init",
        "rdinit",
        "usrhash",
    ];
    let name = value.split('=').next().unwrap_or_default();
    ensure(
        all(name, |b| b.is_ascii_graphic() && !b"\"'=".contains(&b)),
        || format!("`{value}` is not one kernel parameter, such as `console=ttyS0,115200`"),
    )?;
    let quoted = value.matches('"').count();
    ensure(
        all(value, |b| b.is_ascii_graphic() || b == b' ')
            && (quoted == 0 && !value.contains(' ') || quoted == 2 && value.ends_with('"')),
        || format!("`{value}` is more than one parameter: give each its own item"),
    )?;
    ensure(
        !OURS.contains(&name)
            && !name.starts_with("bedstone.")
            && !name.starts_with("systemd.verity"),
        || format!("`{name}` is set by the build, from the image that it makes"),
    )
}

pub(super) fn kernel_option(value: &str) -> Rule {
    ensure(
        value
            .strip_prefix("CONFIG_")
            .is_some_and(|rest| all(rest, |b| b.is_ascii_alphanumeric() || b == b'_')),
        || format!("`{value}` is not a kernel option, such as `CONFIG_STRICT_DEVMEM`"),
    )
}

pub(super) fn sysctl_key(value: &str) -> Rule {
    ensure(
        all(value, |b| {
            b.is_ascii_alphanumeric() || b"._-*/".contains(&b)
        }) && value.contains('.')
            && !value.starts_with('.')
            && !value.ends_with('.')
            && !value.contains(".."),
        || format!("`{value}` is not a sysctl, such as `kernel.kptr_restrict`"),
    )
}

pub(super) fn line(value: &str) -> Rule {
    ensure(
        !value.is_empty() && !value.chars().any(char::is_control),
        || "a single line of text is wanted, without control characters".to_owned(),
    )
}

pub(super) fn reason(value: &str) -> Rule {
    ensure(value.trim().chars().count() >= 10, || {
        "a reason is a sentence that a reviewer can judge: at least ten characters".to_owned()
    })?;
    line(value)
}

pub(super) fn subject(value: &str) -> Rule {
    let Some((kind, name)) = value.split_once(':') else {
        return Err(format!(
            "`{value}` is not a subject: write its kind first, such as `sysctl:kernel.sysrq`"
        ));
    };
    match kind {
        "package" => package(name),
        "file" => image_path(name),
        "sysctl" => sysctl_key(name),
        "service" => unit(name),
        "blacklist" | "module" => module(name),
        "kernel-parameter" => ensure(all(name, |b| b.is_ascii_graphic() && b != b'='), || {
            format!("`{name}` is not the name of a kernel parameter")
        }),
        _ => Err(format!(
            "`{kind}` is not a kind of subject: `package`, `file`, `sysctl`, `service`, `kernel-parameter`, `module` or `blacklist`"
        )),
    }
}

pub(super) fn requirement(value: &str) -> Rule {
    let good = value == "KSPP" || {
        let mut words = value.split(' ');
        let kind = words.next().unwrap_or_default();
        let number = words.next().unwrap_or_default();
        let enhancement = words.next();
        ["CR", "EDR", "HDR", "NDR", "SAR"].contains(&kind)
            && number.split_once('.').is_some_and(|(a, b)| {
                all(a, |b| b.is_ascii_digit()) && all(b, |b| b.is_ascii_digit())
            })
            && enhancement.is_none_or(|e| {
                e.strip_prefix("RE(")
                    .and_then(|e| e.strip_suffix(')'))
                    .is_some_and(|e| all(e, |b| b.is_ascii_digit()))
            })
            && words.next().is_none()
    };
    ensure(good, || {
        format!(
            "`{value}` is not a requirement: an item of IEC 62443-4-2 such as `CR 1.11` or `CR 2.11 RE(1)`, or `KSPP`"
        )
    })
}

pub(super) fn parse_kernel_version(value: &str) -> Option<(u32, u32)> {
    let mut parts = value.split('.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    parts
        .all(|part| all(part, |b| b.is_ascii_digit()))
        .then_some((major, minor))
}

pub(super) fn kernel_version(value: &str) -> Rule {
    ensure(parse_kernel_version(value).is_some(), || {
        format!("`{value}` is not a kernel version, such as `6.1`")
    })
}
