use std::collections::{BTreeMap, HashSet};

use bedstone_store::Digest;
use serde::Deserialize;
use toml::Spanned;

use super::{Defect, Lock, Locked, Source};
use crate::error::{Error, Result};
use crate::version;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLock {
    version: Spanned<u64>,
    architecture: Spanned<String>,
    request: Option<Spanned<String>>,
    epoch: u64,
    #[serde(default, rename = "source")]
    sources: Vec<Spanned<RawSource>>,
    #[serde(default, rename = "package")]
    packages: Vec<Spanned<RawLocked>>,
    #[serde(default, rename = "tool")]
    tools: Vec<Spanned<RawLocked>>,
    #[serde(default)]
    boot: Vec<Spanned<RawLocked>>,
    #[serde(default)]
    ids: RawIds,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawSource {
    name: String,
    suite: String,
    components: Vec<String>,
    release_sha256: Spanned<String>,
    release_date: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawLocked {
    name: Spanned<String>,
    version: Spanned<String>,
    architecture: Spanned<String>,
    sha256: Spanned<String>,
    size: u64,
    source: String,
    source_version: Spanned<String>,
    origin: Spanned<String>,
    filename: Spanned<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawIds {
    #[serde(default)]
    users: BTreeMap<String, u32>,
    #[serde(default)]
    groups: BTreeMap<String, u32>,
}

pub(super) fn read(file: &str, text: &str) -> Result<Lock> {
    let reader = Reader { file, text };
    let raw: RawLock = toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        reader.error(start, Defect::Syntax(error.message().to_owned()))
    })?;
    if *raw.version.get_ref() != 1 {
        return Err(reader.error(
            raw.version.span().start,
            Defect::Version(*raw.version.get_ref()),
        ));
    }
    reader.word("architecture", &raw.architecture)?;
    let sources = reader.sources(raw.sources)?;
    Ok(Lock {
        architecture: raw.architecture.into_inner(),
        request: raw
            .request
            .map(|value| reader.digest("request", &value))
            .transpose()?,
        epoch: raw.epoch,
        packages: reader.packages(raw.packages, &sources)?,
        tools: reader.packages(raw.tools, &sources)?,
        boot: reader.packages(raw.boot, &sources)?,
        sources,
        users: raw.ids.users,
        groups: raw.ids.groups,
    })
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
}

impl Reader<'_> {
    fn sources(&self, raw: Vec<Spanned<RawSource>>) -> Result<Vec<Source>> {
        let mut names = HashSet::new();
        raw.into_iter()
            .map(|raw| {
                let start = raw.span().start;
                let raw = raw.into_inner();
                if !names.insert((raw.name.clone(), raw.suite.clone())) {
                    let what = format!("source `{}` suite `{}`", raw.name, raw.suite);
                    return Err(self.error(start, Defect::Duplicate(what)));
                }
                Ok(Source {
                    release_sha256: self.digest("release-sha256", &raw.release_sha256)?,
                    name: raw.name,
                    suite: raw.suite,
                    components: raw.components,
                    release_date: raw.release_date,
                })
            })
            .collect()
    }

    fn packages(&self, raw: Vec<Spanned<RawLocked>>, sources: &[Source]) -> Result<Vec<Locked>> {
        let mut names = HashSet::new();
        let mut packages = Vec::with_capacity(raw.len());
        for raw in raw {
            let start = raw.span().start;
            let raw = raw.into_inner();
            self.word("name", &raw.name)?;
            self.word("architecture", &raw.architecture)?;
            self.version("version", &raw.version)?;
            self.version("source-version", &raw.source_version)?;
            let locked = Locked {
                sha256: self.digest("sha256", &raw.sha256)?,
                filename: self.path(&raw.filename)?,
                name: raw.name.into_inner(),
                version: raw.version.into_inner(),
                architecture: raw.architecture.into_inner(),
                size: raw.size,
                source: raw.source,
                source_version: raw.source_version.into_inner(),
                origin: raw.origin.get_ref().clone(),
            };
            if !names.insert((locked.name.clone(), locked.architecture.clone())) {
                let what = format!("package `{}:{}`", locked.name, locked.architecture);
                return Err(self.error(start, Defect::Duplicate(what)));
            }
            if !sources.iter().any(|source| source.name == locked.origin) {
                let defect = Defect::Origin {
                    package: locked.name,
                    origin: locked.origin,
                };
                return Err(self.error(raw.origin.span().start, defect));
            }
            packages.push(locked);
        }
        Ok(packages)
    }

    /// Names become parts of paths, so they must not hold more than Policy 5.6.1 allows.
    fn word(&self, key: &'static str, value: &Spanned<String>) -> Result<()> {
        let text = value.get_ref();
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.bytes().all(valid) {
            return Ok(());
        }
        Err(self.value(key, value, "a name of letters, digits, `+`, `-` and `.`"))
    }

    fn version(&self, key: &'static str, value: &Spanned<String>) -> Result<()> {
        version::check(value.get_ref()).map_err(|_| self.value(key, value, "a version number"))
    }

    fn digest(&self, key: &'static str, value: &Spanned<String>) -> Result<Digest> {
        let digest = value.get_ref().parse();
        digest.map_err(|_| self.value(key, value, "a digest of 64 lower-case hexadecimal digits"))
    }

    fn path(&self, value: &Spanned<String>) -> Result<String> {
        let text = value.get_ref();
        let plain = !text.is_empty() && !text.chars().any(char::is_control);
        if plain && !text.split('/').any(|part| part == "..") {
            return Ok(text.clone());
        }
        Err(self.value("filename", value, "a path without `..`"))
    }

    fn value(&self, key: &'static str, value: &Spanned<String>, expected: &'static str) -> Error {
        let defect = Defect::Value {
            key,
            value: value.get_ref().clone(),
            expected,
        };
        self.error(value.span().start, defect)
    }

    fn error(&self, start: usize, defect: Defect) -> Error {
        let before = self.text.as_bytes().iter().take(start);
        Error::Lock {
            file: self.file.to_owned(),
            line: before.filter(|&&byte| byte == b'\n').count() + 1,
            defect,
        }
    }
}
