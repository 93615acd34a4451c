use super::*;
use crate::provenance::{
    BUILDER, Builder, ExternalParameters, Metadata, Provenance, RunDetails, timestamp,
};

/// A small provenance statement with everything in it.
pub(crate) fn sample() -> Statement<Provenance> {
    let digest = |text: &str| Digest::of(text.as_bytes());
    let provenance = Provenance::of_image(
        ExternalParameters {
            manifest: Descriptor::new("manifest", &digest("manifest")),
            layers: vec![
                Descriptor::new("product.toml", &digest("product")),
                Descriptor::new("board.toml", &digest("board")),
            ],
            lock: Descriptor::new("bedstone.lock", &digest("lock")),
        },
        BTreeMap::from([
            ("epoch".to_owned(), Value::from(1_700_000_000)),
            ("architecture".to_owned(), Value::from("amd64")),
        ]),
        vec![
            Descriptor::debian_package("zlib1g", "1:1.2.13.dfsg-1", "amd64", &digest("z")),
            Descriptor::debian_package("libstdc++6", "12.2.0-14+deb12u1", "amd64", &digest("c")),
            Descriptor::debian_package("zlib1g", "1:1.2.13.dfsg-1", "amd64", &digest("z")),
        ],
        RunDetails {
            builder: Builder {
                id: BUILDER.to_owned(),
                version: BTreeMap::from([("bedstone".to_owned(), "0.1.0".to_owned())]),
                builder_dependencies: Vec::new(),
            },
            metadata: Metadata {
                invocation_id: "run-1".to_owned(),
                started_on: timestamp(1_795_252_800).unwrap(),
                finished_on: timestamp(1_795_252_860).unwrap(),
            },
            byproducts: vec![Descriptor::new("build.log", &digest("log")).annotated("steps", 12)],
        },
    );
    Statement::new(
        vec![
            Descriptor::new("rootfs.erofs", &digest("rootfs")),
            Descriptor::new("disk.img", &digest("disk")),
        ],
        provenance,
    )
}

/// What fields of a statement are called and where they are is a promise to other people's tools.
#[test]
fn json_is_as_slsa_says() {
    let bytes = sample().to_json().unwrap();
    let json: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(json["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(json["predicateType"], "https://slsa.dev/provenance/v1");
    assert_eq!(json["subject"][0]["name"], "disk.img");
    let definition = &json["predicate"]["buildDefinition"];
    assert_eq!(definition["buildType"], "urn:bedstone:build:image:v1");
    assert_eq!(
        definition["externalParameters"]["layers"][1]["name"],
        "board.toml"
    );
    assert_eq!(definition["internalParameters"]["architecture"], "amd64");
    let materials = definition["resolvedDependencies"].as_array().unwrap();
    let uris: Vec<_> = materials
        .iter()
        .map(|m| m["uri"].as_str().unwrap())
        .collect();
    assert_eq!(
        uris,
        [
            "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bdeb12u1?arch=amd64",
            "pkg:deb/debian/zlib1g@1:1.2.13.dfsg-1?arch=amd64",
        ]
    );
    let run = &json["predicate"]["runDetails"];
    assert_eq!(run["builder"]["version"]["bedstone"], "0.1.0");
    assert_eq!(run["metadata"]["invocationId"], "run-1");
    assert_eq!(run["metadata"]["startedOn"], "2026-11-21T09:20:00Z");
    assert_eq!(run["byproducts"][0]["annotations"]["steps"], 12);
    assert_eq!(bytes, sample().to_json().unwrap());
}

#[test]
fn round_trips() {
    let bytes = sample().to_json().unwrap();
    assert_eq!(
        Statement::<Provenance>::from_json(&bytes).unwrap(),
        sample()
    );
    let any = Statement::from_json_any(&bytes).unwrap();
    assert_eq!(any.to_json().unwrap(), bytes);
    assert_eq!(any.subject[1].sha256(), Some(Digest::of(b"rootfs")));
}

#[test]
fn refuses_with_the_field_named() {
    let good: Value = serde_json::from_slice(&sample().to_json().unwrap()).unwrap();
    for (pointer, value, part) in [
        ("/_type", Value::from("x"), "`_type` is `x`"),
        ("/predicateType", Value::from("x"), "`predicateType` is `x`"),
        ("/subject/0", serde_json::json!({"name": "x"}), "`subject`"),
        ("/subject", Value::from(1), "malformed in-toto statement"),
        (
            "/predicate/buildDefinition",
            Value::Null,
            "malformed in-toto statement",
        ),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        let error = Statement::<Provenance>::from_json(bad.to_string().as_bytes()).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}
