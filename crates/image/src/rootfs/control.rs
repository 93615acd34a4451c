//! The fields of a package's control stanza that decide how it is unpacked and configured.

use std::collections::BTreeSet;

use crate::error::{Error, Result};

/// What the control stanza says about one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Control {
    /// `Package`.
    pub(super) name: String,
    /// `Version`.
    pub(super) version: String,
    /// `Architecture`.
    pub(super) architecture: String,
    /// `Multi-Arch: same`: dpkg qualifies the names of its info files with the architecture.
    pub(super) coinstallable: bool,
    /// `Essential: yes`.
    pub(super) essential: bool,
    /// `Pre-Depends`, each a list of alternatives by name.
    pub(super) pre_depends: Vec<Vec<String>>,
    /// `Depends`, likewise.
    pub(super) depends: Vec<Vec<String>>,
    /// Names in `Provides`.
    pub(super) provides: Vec<String>,
    /// Names in `Replaces`.
    pub(super) replaces: BTreeSet<String>,
}

impl Control {
    /// Reads a stanza; `package` stands for it in errors.
    pub(super) fn parse(package: &str, stanza: &str) -> Result<Self> {
        let require = |name: &str| {
            field(stanza, name)
                .map(|value| value.trim().to_owned())
                .filter(|value| !value.is_empty())
                .ok_or_else(|| Error::Control {
                    package: package.to_owned(),
                    problem: format!("no field `{name}`"),
                })
        };
        let names = |name: &str| relations(&field(stanza, name).unwrap_or_default());
        let is = |name: &str, value: &str| field(stanza, name).is_some_and(|it| it.trim() == value);
        Ok(Self {
            name: require("Package")?,
            version: require("Version")?,
            architecture: require("Architecture")?,
            coinstallable: is("Multi-Arch", "same"),
            essential: is("Essential", "yes"),
            pre_depends: names("Pre-Depends"),
            depends: names("Depends"),
            provides: names("Provides").into_iter().flatten().collect(),
            replaces: names("Replaces").into_iter().flatten().collect(),
        })
    }

    /// The name of the package's files in `/var/lib/dpkg/info`, without suffix: `libc6:amd64`, `dpkg`.
    pub(super) fn info_name(&self) -> String {
        if self.coinstallable {
            format!("{}:{}", self.name, self.architecture)
        } else {
            self.name.clone()
        }
    }
}

/// The value of a field with its continuation lines. Names compare without regard to case.
fn field(stanza: &str, name: &str) -> Option<String> {
    let mut lines = stanza.lines();
    let first = lines.by_ref().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then_some(value)
    })?;
    let mut value = first.to_owned();
    for line in lines.take_while(|line| line.starts_with([' ', '\t'])) {
        value.push('\n');
        value.push_str(line);
    }
    Some(value)
}

/// The names in a relationship field, without versions and architecture qualifiers.
fn relations(value: &str) -> Vec<Vec<String>> {
    value
        .split(',')
        .map(|clause| clause.split('|').filter_map(relation_name).collect())
        .filter(|alternatives: &Vec<String>| !alternatives.is_empty())
        .collect()
}

fn relation_name(relation: &str) -> Option<String> {
    let relation = relation.trim_start();
    let end = relation
        .find(|character: char| character.is_ascii_whitespace() || "(:[<".contains(character))
        .unwrap_or(relation.len());
    (end > 0).then(|| relation[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STANZA: &str = "Package: libfoo\nVersion: 1:2-3\nArchitecture: amd64\nMulti-Arch: same\n\
        Pre-Depends: dpkg (>= 1.17.14)\ndepends: libc6 (>= 2.34), libbar:any | libbaz [amd64],\n libqux,\n\
        Provides: libfoo-api (= 1)\nReplaces: libold (<< 2), other\nDescription: x\n Depends: not this\n";

    #[test]
    fn fields_are_read() {
        let control = Control::parse("libfoo", STANZA).unwrap();
        assert_eq!(control.version, "1:2-3");
        assert!(control.coinstallable && !control.essential);
        assert_eq!(control.info_name(), "libfoo:amd64");
        assert_eq!(control.pre_depends, [["dpkg"]]);
        assert_eq!(
            control.depends,
            [vec!["libc6"], vec!["libbar", "libbaz"], vec!["libqux"]]
        );
        assert_eq!(control.provides, ["libfoo-api"]);
        assert!(control.replaces.contains("libold") && control.replaces.contains("other"));
    }

    #[test]
    fn a_missing_field_is_named() {
        let error = Control::parse("x", "Package: x\nVersion: 1\n").unwrap_err();
        assert!(error.to_string().contains("`Architecture`"), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(?s).{0,200}") {
            let _ = Control::parse("x", &text);
            let _ = Control::parse("x", &format!("Package: x\nVersion: 1\nArchitecture: all\nDepends: {text}"));
        }
    }
}
