use std::fmt;
use std::sync::OnceLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Setting;
use crate::document::text::{KernelOption, KernelVersion, Line, Reason, Requirement};
use crate::document::{Problems, Sources, decode, schema_of};
use crate::manifest::Architecture;
use crate::profile::Catalog;

/// Recommended kernel settings, as data: `catalog/kernel/kspp.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Baseline {
    /// Short name.
    pub name: Line,
    /// Where the recommendations come from.
    pub description: Line,
    /// The settings.
    pub rule: Vec<Rule>,
}

/// One recommended setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rule {
    /// The option.
    pub option: KernelOption,
    /// What it may be: `y`, `m`, `n`, a number, `>=` and a number, or a quoted string. Any of them will do.
    pub wanted: Vec<Wanted>,
    /// Options that do the same; when one of them is `y`, this rule holds as well.
    #[serde(default)]
    pub or: Vec<KernelOption>,
    /// The rule matters only when this option is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<KernelOption>,
    /// Architectures that have the option; without any, all.
    #[serde(default)]
    pub architectures: Vec<Architecture>,
    /// First kernel version that has the option.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<KernelVersion>,
    /// First kernel version that no longer has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<KernelVersion>,
    /// The requirement that it serves.
    pub requirement: Requirement,
    /// What it protects from.
    pub reason: Reason,
}

impl Rule {
    /// Whether the rule concerns a kernel of this version and architecture.
    pub fn concerns(&self, version: (u32, u32), architecture: Architecture) -> bool {
        (self.architectures.is_empty() || self.architectures.contains(&architecture))
            && self
                .from
                .as_ref()
                .is_none_or(|from| version >= from.major_minor())
            && self
                .before
                .as_ref()
                .is_none_or(|before| version < before.major_minor())
    }
}

/// A value that a rule accepts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Wanted {
    /// Exactly this.
    Exactly(Setting),
    /// A number that is at least this.
    AtLeast(i64),
}

impl Wanted {
    /// Whether a setting will do; an option that the file does not speak of counts as [`Setting::No`].
    pub fn accepts(&self, setting: &Setting) -> bool {
        match self {
            Self::Exactly(wanted) => {
                wanted == setting
                    || wanted
                        .number()
                        .is_some_and(|number| setting.number() == Some(number))
            }
            Self::AtLeast(least) => setting
                .number()
                .is_some_and(|number| number >= i128::from(*least)),
        }
    }
}

impl TryFrom<String> for Wanted {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wanted = match text.strip_prefix(">=") {
            Some(number) => number.trim().parse().ok().map(Self::AtLeast),
            None => Setting::parse(&text).map(Self::Exactly),
        };
        wanted.ok_or_else(|| {
            format!(
                "`{text}` is not a wanted value: `y`, `m`, `n`, a number, `>=65536` or `\"text\"`"
            )
        })
    }
}

impl From<Wanted> for String {
    fn from(wanted: Wanted) -> Self {
        wanted.to_string()
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(setting) => write!(f, "{setting}"),
            Self::AtLeast(number) => write!(f, ">={number}"),
        }
    }
}

impl JsonSchema for Wanted {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Wanted".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

impl Baseline {
    /// The baseline of the catalogue that is compiled in: the Kernel Self Protection Project's recommendations.
    pub fn standard() -> Result<Self, Problems> {
        const NAME: &str = "kernel/kspp.toml";
        let text = Catalog::embedded().text(NAME).unwrap_or_default();
        Self::parse(NAME, &text)
    }

    /// Reads a baseline; `path` is the name that problems show.
    pub fn parse(path: &str, text: &str) -> Result<Self, Problems> {
        static SCHEMA: OnceLock<serde_json::Value> = OnceLock::new();
        let mut sources = Sources::new();
        let source = sources.add(path, text);
        match decode(&sources, source, SCHEMA.get_or_init(schema_of::<Self>)) {
            Ok((baseline, _)) => Ok(baseline),
            Err(diagnostics) => Err(Problems::new(sources, diagnostics)),
        }
    }
}
