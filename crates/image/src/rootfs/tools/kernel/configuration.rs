//! From a base configuration and fragments to a complete one.

use std::fs;
use std::path::Path;

use super::bench::{Bench, SOURCE};
use crate::error::{Error, Result};
use crate::kernel::{Config, Fragment, Rules, Setting, Unobtained, merge_fragments, unobtained};
use crate::manifest::KernelSource;
use crate::rootfs::cache::KeyBuilder;

/// The certificate that modules are verified with, relative to the source.
pub(super) const CERTIFICATE: &str = "certs/bedstone.pem";
/// What this build sets itself when there are loadable modules: the kernel's own build signs nothing and makes no key.
const MODULAR: &str = "CONFIG_MODULE_SIG=y
# CONFIG_MODULE_SIG_ALL is not set
CONFIG_MODULE_SIG_SHA256=y
CONFIG_MODULE_SIG_KEY=\"\"
CONFIG_SYSTEM_TRUSTED_KEYRING=y
CONFIG_SYSTEM_TRUSTED_KEYS=\"certs/bedstone.pem\"
CONFIG_MODULE_COMPRESS_NONE=y
";
/// Its name in messages.
const BUILD: &str = "what the build sets";

/// A configuration of the manifest with its name in messages.
struct Named {
    name: String,
    text: String,
    config: Config,
}

/// What the manifest asks for.
pub(super) struct Request {
    /// The file to start from, or else the target.
    base: Option<Named>,
    target: String,
    fragments: Vec<Named>,
}

impl Request {
    /// Reads the files that the manifest names.
    pub(super) fn read(source: &KernelSource) -> Result<Self> {
        Ok(Self {
            base: source
                .config
                .as_ref()
                .map(|path| read(path.path()))
                .transpose()?,
            target: source
                .defconfig
                .as_deref()
                .unwrap_or("defconfig")
                .to_owned(),
            fragments: source
                .fragments
                .iter()
                .map(|path| read(path.path()))
                .collect::<Result<_>>()?,
        })
    }

    /// Adds all that the result depends on beside the source.
    pub(super) fn add_to(&self, key: &mut KeyBuilder) {
        match &self.base {
            Some(base) => key.add("config").add(&base.text),
            None => key.add("target").add(&self.target),
        };
        for fragment in &self.fragments {
            key.add("fragment").add(&fragment.text);
        }
    }

    /// Makes the complete configuration, as a file, with the source's own rules.
    pub(super) fn complete(&self, bench: &Bench<'_>) -> Result<String> {
        let base = if let Some(base) = &self.base {
            base.config.clone()
        } else {
            let quoted = self.target.replace('\'', "'\\''");
            bench.step(
                "making the kernel's base configuration",
                &format!("make -s -C {SOURCE} -- '{quoted}'"),
            )?;
            read(&bench.source().join(".config"))?.config
        };
        let mut fragments: Vec<Fragment<'_>> = self
            .fragments
            .iter()
            .map(|named| Fragment {
                name: &named.name,
                config: &named.config,
            })
            .collect();
        let mut complete = olddefconfig(bench, &base, &fragments)?;
        let own = Config::parse(MODULAR).map_err(|error| Error::NoKernel(error.to_string()))?;
        if complete.config.get("CONFIG_MODULES") == Some(&Setting::Yes) {
            refuse(&own, &fragments)?;
            fragments.push(Fragment {
                name: BUILD,
                config: &own,
            });
            complete = olddefconfig(bench, &base, &fragments)?;
        }
        let missing = unobtained(&complete.config, &fragments);
        if missing.is_empty() {
            return Ok(complete.text);
        }
        let rules = Rules::read("x86", &|path| bench.read(path));
        let told: Vec<String> = missing
            .iter()
            .map(|it| tell(it, &rules, &complete.config))
            .collect();
        Err(Error::NoKernel(format!(
            "the kernel's rules drop options of the fragments:\n  {}",
            told.join("\n  ")
        )))
    }
}

fn tell(missing: &Unobtained, rules: &Rules, config: &Config) -> String {
    let Unobtained {
        option,
        fragment,
        line,
        wanted,
        got,
    } = missing;
    format!(
        "{fragment}:{line}: {option}={wanted} becomes {got}: {}",
        rules.explain(option, config)
    )
}

/// Refuses fragments that want to sign modules in another way.
fn refuse(own: &Config, fragments: &[Fragment<'_>]) -> Result<()> {
    for fragment in fragments {
        for (option, setting) in own.iter() {
            if let Some(other) = fragment.config.get(option).filter(|it| *it != setting) {
                return Err(Error::NoKernel(format!(
                    "{}:{}: {option}={other}: the build itself signs modules, and sets it to {setting}",
                    fragment.name,
                    fragment.config.line(option).unwrap_or_default()
                )));
            }
        }
    }
    Ok(())
}

/// Lays the fragments over the base and completes the result.
fn olddefconfig(bench: &Bench<'_>, base: &Config, fragments: &[Fragment<'_>]) -> Result<Named> {
    let merged = merge_fragments(base, fragments).text;
    bench.write(".config", merged.as_bytes())?;
    bench.step(
        "completing the kernel's configuration",
        &format!("make -s -C {SOURCE} olddefconfig"),
    )?;
    read(&bench.source().join(".config"))
}

fn read(path: &Path) -> Result<Named> {
    let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
    let name = path.display().to_string();
    let config = Config::parse(&text)
        .map_err(|error| Error::NoKernel(format!("configuration `{name}`: {error}")))?;
    Ok(Named { name, text, config })
}
