//! How an image was built and from what: SLSA provenance v1 (slsa.dev/spec/v1.0/provenance), build type of Bedstone.
//!
//! The format is described in `docs/formats/provenance.md`. Fields come in a fixed order and lists are sorted where their
//! order says nothing, so that equal builds give equal predicates.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::statement::{Descriptor, Predicate};

/// The build type of images, version 1; a change that readers could misunderstand gets another number.
pub const IMAGE_BUILD_TYPE: &str = "urn:bedstone:build:image:v1";
/// The builder: the `bedstone` command on whatever machine it ran.
pub const BUILDER: &str = "urn:bedstone:builder:cli";

/// The SLSA provenance predicate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// All inputs.
    pub build_definition: BuildDefinition,
    /// This run of the build.
    pub run_details: RunDetails,
}

impl Predicate for Provenance {
    const TYPE: &'static str = "https://slsa.dev/provenance/v1";
}

/// Everything that the outcome depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildDefinition {
    /// How to read the parameters, [`IMAGE_BUILD_TYPE`].
    pub build_type: String,
    /// What the user asked for.
    pub external_parameters: ExternalParameters,
    /// What the builder decided, such as architecture and epoch.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub internal_parameters: BTreeMap<String, Value>,
    /// Every material: packages, tools, keys, local files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resolved_dependencies: Vec<Descriptor>,
}

/// What the user asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalParameters {
    /// The manifest as it counts once all layers are merged.
    pub manifest: Descriptor,
    /// The files that it was merged from, in the order of merging.
    pub layers: Vec<Descriptor>,
    /// The lock file.
    pub lock: Descriptor,
}

/// Facts about one run; none of them changes the outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunDetails {
    /// Who built.
    pub builder: Builder,
    /// When.
    pub metadata: Metadata,
    /// What came out besides the subjects, such as logs and step times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub byproducts: Vec<Descriptor>,
}

/// Who built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Builder {
    /// [`BUILDER`], or the URI of a hosted build service.
    pub id: String,
    /// Versions by component, `bedstone` among them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub version: BTreeMap<String, String>,
    /// Programs of the host that could have influenced the outcome.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub builder_dependencies: Vec<Descriptor>,
}

/// When, and which run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Tells this run from others.
    pub invocation_id: String,
    /// Start, RFC 3339 in UTC; see [`timestamp`].
    pub started_on: String,
    /// End, RFC 3339 in UTC.
    pub finished_on: String,
}

impl Provenance {
    /// The provenance of an image; materials and byproducts are sorted, layers keep their order.
    pub fn of_image(
        external_parameters: ExternalParameters,
        internal_parameters: BTreeMap<String, Value>,
        mut materials: Vec<Descriptor>,
        mut run_details: RunDetails,
    ) -> Self {
        let key = |d: &Descriptor| (d.uri.clone(), d.name.clone(), d.digest.clone());
        materials.sort_by_key(key);
        materials.dedup();
        run_details.byproducts.sort_by_key(key);
        run_details.builder.builder_dependencies.sort_by_key(key);
        Self {
            build_definition: BuildDefinition {
                build_type: IMAGE_BUILD_TYPE.to_owned(),
                external_parameters,
                internal_parameters,
                resolved_dependencies: materials,
            },
            run_details,
        }
    }
}

/// Writes seconds since 1970 as RFC 3339 in UTC: `2026-11-21T08:30:00Z`.
pub fn timestamp(seconds: i64) -> Result<String> {
    jiff::Timestamp::from_second(seconds)
        .map(|time| time.to_string())
        .map_err(|error| Error::Field {
            what: "SLSA provenance",
            field: "metadata",
            reason: format!("has no such time: {error}"),
        })
}
