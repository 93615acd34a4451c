//! What is stated about a build: SLSA provenance in a DSSE envelope (`docs/formats/provenance.md`).

use std::collections::BTreeMap;

use bedstone_deb::lock::Lock;
use bedstone_evidence::provenance::{
    BUILDER, Builder, ExternalParameters, Metadata, Provenance, RunDetails, timestamp,
};
use bedstone_evidence::{Descriptor, Envelope, Statement};
use bedstone_store::Digest;

use super::{Build, Result};
use crate::record::{Artifact, ImageRecord};

/// States how the artifacts were made and from what; the envelope as JSON.
pub(super) fn provenance(
    build: &Build<'_>,
    record: &ImageRecord,
    lock: &Lock,
    artifacts: &[Artifact],
    begun: i64,
) -> Result<Vec<u8>> {
    let composition = &build.product.composition;
    let layers = composition
        .layers
        .iter()
        .map(|layer| {
            let text = composition.sources.text(layer.source);
            Descriptor::new(layer.name.to_string(), &Digest::of(text.as_bytes()))
        })
        .collect();
    let parameters = ExternalParameters {
        manifest: Descriptor::new("manifest.json", &record.manifest),
        layers,
        lock: Descriptor::new("bedstone.lock", &record.lock),
    };
    let mut materials: Vec<Descriptor> = lock
        .packages
        .iter()
        .chain(&lock.tools)
        .chain(&lock.boot)
        .map(|it| Descriptor::debian_package(&it.name, &it.version, &it.architecture, &it.sha256))
        .collect();
    materials.push(Descriptor::new("bedstone-init", &Digest::of(build.init)));
    if record.hardware.is_some() {
        materials.push(Descriptor::new("bedstone-agent", &Digest::of(build.agent)));
    }
    materials.push(Descriptor::new(
        "Secure Boot certificate",
        &record.signing.certificate,
    ));
    let internal = BTreeMap::from([
        (
            "architecture".to_owned(),
            record.architecture.clone().into(),
        ),
        ("epoch".to_owned(), record.epoch.into()),
        (
            "developmentKeys".to_owned(),
            record.signing.development.into(),
        ),
        ("rootHash".to_owned(), record.root.hash.to_string().into()),
    ]);
    let finished = (build.clock)();
    let subjects: Vec<Descriptor> = artifacts
        .iter()
        .map(|artifact| Descriptor::new(&artifact.file, &artifact.sha256))
        .collect();
    let seed = format!("{begun} {finished} {}", record.lock);
    let run = RunDetails {
        builder: Builder {
            id: BUILDER.to_owned(),
            version: BTreeMap::from([("bedstone".to_owned(), build.version.to_owned())]),
            builder_dependencies: Vec::new(),
        },
        metadata: Metadata {
            invocation_id: Digest::of(seed.as_bytes()).to_string(),
            started_on: timestamp(begun)?,
            finished_on: timestamp(finished)?,
        },
        byproducts: Vec::new(),
    };
    let statement = Statement::new(
        subjects,
        Provenance::of_image(parameters, internal, materials, run),
    );
    let envelope = Envelope::seal(&statement, &[&build.keys.evidence])?;
    Ok(envelope.to_json()?)
}
