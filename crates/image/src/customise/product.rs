use std::fmt::Write;

use crate::manifest::Manifest;

/// The `os-release` of an image: Debian's identity, so that tools know the packages, and the product's as IMAGE_ID and IMAGE_VERSION (os-release(5)).
pub fn os_release(manifest: &Manifest) -> String {
    let product = &manifest.product;
    let suite = &*manifest.debian.suite;
    let title = product
        .description
        .as_deref()
        .unwrap_or(&product.name)
        .to_owned();
    let mut out = String::new();
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(out, "{key}={}", quoted(value));
    };
    line(
        "PRETTY_NAME",
        &format!("{title} {} (Debian {suite})", product.version),
    );
    line("NAME", "Debian GNU/Linux");
    line("ID", "debian");
    if let Some(number) = release_number(suite) {
        line("VERSION_ID", number);
        line("VERSION", &format!("{number} ({suite})"));
    }
    line("VERSION_CODENAME", suite);
    line("IMAGE_ID", &product.name);
    line("IMAGE_VERSION", &product.version);
    if let Some(vendor) = &product.vendor {
        line("VENDOR_NAME", vendor);
    }
    if let Some(url) = &product.home_url {
        line("HOME_URL", url);
    }
    if let Some(url) = &product.support_url {
        line("SUPPORT_URL", url);
    }
    out
}

/// Debian's number for a code name; testing and unstable have none.
fn release_number(suite: &str) -> Option<&'static str> {
    match suite {
        "buster" => Some("10"),
        "bullseye" => Some("11"),
        "bookworm" => Some("12"),
        "trixie" => Some("13"),
        _ => None,
    }
}

/// A value as a shell reads it: quoted where it is more than a word.
fn quoted(value: &str) -> String {
    let word = value
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if word {
        return value.to_owned();
    }
    let mut out = String::from("\"");
    for c in value.chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}
