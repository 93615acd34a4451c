//! The dependency floors of ARCHITECTURE.md, held over `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The floor of each crate. A crate imports only crates of lower floors.
const FLOORS: &[(&str, u32)] = &[
    ("bedstone-store", 0),
    ("bedstone-event", 0),
    ("bedstone-sys", 0),
    ("bedstone-evidence", 1),
    ("bedstone-disk", 1),
    ("bedstone-deb", 1),
    ("bedstone-delta", 1),
    ("bedstone-bundle", 2),
    ("bedstone-state", 2),
    ("bedstone-agent", 3),
    ("bedstone-image", 3),
    ("bedstone-lab", 3),
    ("bedstone-init", 3),
    ("bedstone-cli", 5),
    ("bedstone-tests", 6),
];

/// What never reaches the device, not even indirectly: the builder's and the server's dependency trees.
const NOT_ON_DEVICE: &[&str] = &[
    "tokio",
    "axum",
    "rusqlite",
    "typst",
    "pgp",
    "clap",
    "liblzma-sys",
    "bedstone-deb",
    "bedstone-image",
];

/// What the initramfs does without, beyond that: it has no network.
const NOT_IN_INITRAMFS: &[&str] = &["ureq", "rustls", "bedstone-delta"];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--offline"])
        // Other platforms' crates are not needed and may not have been downloaded.
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

/// Package name of each node and the names it depends on, development dependencies left out.
fn edges(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let names: BTreeMap<&str, &str> = metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|package| {
            (
                package["id"].as_str().expect("id"),
                package["name"].as_str().expect("name"),
            )
        })
        .collect();
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array().expect("nodes") {
        let entry = edges
            .entry(names[node["id"].as_str().expect("id")].to_owned())
            .or_default();
        for dependency in node["deps"].as_array().expect("deps") {
            let normal = dependency["dep_kinds"]
                .as_array()
                .expect("kinds")
                .iter()
                .any(|kind| kind["kind"].is_null());
            if normal {
                entry.insert(names[dependency["pkg"].as_str().expect("pkg")].to_owned());
            }
        }
    }
    edges
}

#[test]
fn crates_import_only_lower_floors() {
    let metadata = metadata();
    let floors: BTreeMap<&str, u32> = FLOORS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (name, dependencies) in edges(&metadata) {
        if !name.starts_with("bedstone-") {
            continue;
        }
        let Some(floor) = floors.get(name.as_str()) else {
            wrong.push(format!("`{name}` has no floor in tests/architecture.rs"));
            continue;
        };
        for dependency in dependencies
            .iter()
            .filter(|name| name.starts_with("bedstone-"))
        {
            if floors.get(dependency.as_str()).is_none_or(|on| on >= floor) {
                wrong.push(format!(
                    "`{name}` (floor {floor}) must not import `{dependency}`"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Everything that these crates bring with them.
fn reached(edges: &BTreeMap<String, BTreeSet<String>>, from: &[&str]) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<_> = from.iter().map(|name| (*name).to_owned()).collect();
    while let Some(name) = open.pop() {
        if reached.insert(name.clone()) {
            open.extend(edges.get(&name).into_iter().flatten().cloned());
        }
    }
    reached
}

#[test]
fn the_device_carries_nothing_of_builder_or_server() {
    let edges = edges(&metadata());
    for (programs, forbidden) in [
        (
            ["bedstone-init", "bedstone-agent"].as_slice(),
            NOT_ON_DEVICE,
        ),
        (&["bedstone-init"], NOT_IN_INITRAMFS),
    ] {
        let reached = reached(&edges, programs);
        let wrong: Vec<_> = forbidden
            .iter()
            .filter(|name| reached.contains(**name))
            .collect();
        assert!(wrong.is_empty(), "{programs:?} reach {wrong:?}");
    }
}

#[test]
fn unsafe_lives_in_sys_alone() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let mut wrong = Vec::new();
    let mut open = vec![crates];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).expect("crates are readable") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                if !path.ends_with("crates/sys") {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("source is text");
                if ["allow", "expect"]
                    .iter()
                    .any(|it| text.contains(&format!("{it}(unsafe_code")))
                {
                    wrong.push(path);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "unsafe is allowed in {wrong:?}");
}
