//! From the manifest's `[debian]` and `[boot]` to the repositories that packages come from.

use std::path::PathBuf;

use bedstone_deb::release::ValidUntil;
use bedstone_deb::sources::{Mirrors, SignedBy, Source};

use crate::document::text::Reason;
use crate::manifest::Manifest;

/// Name of Debian's own suite in lock and messages; the others are named after it.
const DEBIAN: &str = "debian";
/// Name of the suite that EFI Boot Guard and the kernel stub come from.
pub const BOOT: &str = "boot";
/// The component that holds both.
const BOOT_COMPONENT: &str = "main";

/// The repositories of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archives {
    /// What the image's packages, and the tools that build it, are chosen from; in the order of preference among equals.
    pub image: Vec<Source>,
    /// What EFI Boot Guard and the kernel stub are chosen from; nothing else is.
    pub boot: Source,
}

/// Lists the repositories of `manifest`. `mirrors` are used where it names none; `keyring` verifies Debian's own suites
/// where it names none.
pub fn archives(manifest: &Manifest, mirrors: &Mirrors, keyring: &SignedBy) -> Archives {
    let debian = &manifest.debian;
    let architecture = debian.architecture.name().to_owned();
    let components: Vec<String> = debian.components.iter().map(ToString::to_string).collect();
    let signed_by = match &debian.signed_by {
        Some(path) => SignedBy {
            files: vec![PathBuf::from(&**path)],
            ..SignedBy::default()
        },
        None => keyring.clone(),
    };
    let own = |name: String, suite: String, label: &str, components: Vec<String>, expired| Source {
        uris: uris(manifest, mirrors, &suite),
        name,
        suite,
        components,
        architectures: vec![architecture.clone()],
        signed_by: signed_by.clone(),
        origin: Some("Debian".to_owned()),
        label: Some(label.to_owned()),
        valid_until: valid_until(expired),
        priority: None,
    };
    let suite = debian.suite.to_string();
    let expired = debian.accept_expired.as_ref();
    let wanted = [
        ("", "Debian", true),
        ("-updates", "Debian", debian.updates),
        ("-security", "Debian-Security", debian.security),
        ("-backports", "Debian Backports", debian.backports),
    ];
    let mut image: Vec<Source> = wanted
        .into_iter()
        .filter(|(_, _, wanted)| *wanted)
        .map(|(suffix, label, _)| {
            let name = format!("{DEBIAN}{suffix}");
            own(
                name,
                format!("{suite}{suffix}"),
                label,
                components.clone(),
                expired,
            )
        })
        .collect();
    image.extend(debian.sources.iter().map(|(name, source)| Source {
        name: name.to_string(),
        uris: source.uris.iter().map(ToString::to_string).collect(),
        suite: source.suite.to_string(),
        components: source.components.iter().map(ToString::to_string).collect(),
        architectures: vec![architecture.clone()],
        signed_by: SignedBy {
            files: vec![PathBuf::from(&*source.signed_by)],
            ..SignedBy::default()
        },
        origin: None,
        label: None,
        valid_until: valid_until(source.accept_expired.as_ref()),
        priority: source.priority.map(i32::from),
    }));
    let boot = own(
        BOOT.to_owned(),
        manifest.boot.suite.to_string(),
        "Debian",
        vec![BOOT_COMPONENT.to_owned()],
        manifest.boot.accept_expired.as_ref(),
    );
    Archives { image, boot }
}

fn uris(manifest: &Manifest, mirrors: &Mirrors, suite: &str) -> Vec<String> {
    let named = if suite.ends_with("-security") {
        manifest.debian.security_mirror.as_ref()
    } else {
        manifest.debian.mirror.as_ref()
    };
    match named {
        Some(uri) => vec![uri.to_string()],
        None => mirrors.of(suite).to_vec(),
    }
}

fn valid_until(expired: Option<&Reason>) -> ValidUntil {
    match expired {
        Some(reason) => ValidUntil::Ignore {
            reason: reason.to_string(),
        },
        None => ValidUntil::Enforce,
    }
}
