use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::document::{Problems, Sources, Style, Value, parse, render};
use crate::profile::Catalog;

fn load(files: &[(&str, &str)], layers: &str) -> Result<Composition, Problems> {
    let files: BTreeMap<&str, &str> = files.iter().copied().collect();
    let read = |path: &Path| -> io::Result<String> {
        files
            .get(path.to_str().unwrap_or_default())
            .map(|text| (*text).to_owned())
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    };
    let catalog = Catalog::embedded();
    Loader::new(&catalog, &read).load(&LayerName::parse_list(layers))
}

fn good(files: &[(&str, &str)], layers: &str) -> Composition {
    load(files, layers)
        .unwrap_or_else(|p| panic!("{}", render(&p.sources, &p.diagnostics, Style::Plain)))
}

fn bad(files: &[(&str, &str)], layers: &str) -> String {
    load(files, layers).unwrap_err().to_string()
}

const BASE: (&str, &str) = (
    "a.toml",
    "product = { name = \"p\", version = \"1\" }\n[packages]\ninstall = [\"aide\", \"acl\"]\n[kernel]\ncommand-line = [\"quiet\"]\n",
);

#[test]
fn later_layers_win_and_lists_append_remove_and_start_afresh() {
    let b = (
        "b.toml",
        "[packages]\ninstall = [\"!aide\", \"sudo\", \"acl\"]\nrecommends = true\n[kernel]\ncommand-line = [\"!*\", \"panic=1\"]\n[product]\nversion = \"2\"\n",
    );
    let composed = good(&[BASE, b], "a.toml:b.toml");
    let manifest = &composed.manifest;
    assert_eq!(&*manifest.product.version, "2");
    assert_eq!(&*manifest.product.name, "p");
    let install: Vec<&str> = manifest.packages.install.iter().map(|p| &**p).collect();
    assert_eq!(install, ["acl", "sudo"]);
    assert!(manifest.packages.recommends);
    assert_eq!(&*manifest.kernel.command_line[0], "panic=1");
    assert_eq!(composed.origin_text(&["product", "version"]), "b.toml:7");
    assert_eq!(
        composed.origin_text(&["packages", "install", "0"]),
        "a.toml:3"
    );
    assert_eq!(composed.origin_text(&["root", "type"]), "default");
}

#[test]
fn taking_away_what_nobody_listed_is_an_error() {
    let b = ("b.toml", "[packages]\ninstall = [\"!aid\"]\n");
    let problems = load(&[BASE, b], "a.toml:b.toml").unwrap_err();
    assert_eq!(
        problems.to_string(),
        "b.toml:2:12: `!aid` takes nothing away: no earlier layer lists `aid`"
    );
    assert_eq!(problems.diagnostics[0].help, ["did you mean `!aide`?"]);
}

#[test]
fn includes_come_before_the_file_and_count_once() {
    let files = [
        (
            "d/p.toml",
            "include = [\"../base.toml\", \"site.toml\"]\nproduct = { name = \"p\", version = \"3\" }\n",
        ),
        (
            "base.toml",
            "product = { name = \"base\", version = \"1\" }\n",
        ),
        (
            "d/site.toml",
            "include = [\"../base.toml\"]\n[product]\nname = \"site\"\nvendor = \"V\"\n[files.\"/a\"]\nsource = \"a.txt\"\n",
        ),
    ];
    let composed = good(&files, "d/p.toml");
    let names: Vec<String> = composed.layers.iter().map(|l| l.name.to_string()).collect();
    assert_eq!(names, ["base.toml", "d/site.toml", "d/p.toml"]);
    assert_eq!(&*composed.manifest.product.name, "p");
    assert_eq!(composed.manifest.product.vendor.as_deref(), Some("V"));
    let file = composed.manifest.files.values().next().unwrap();
    assert_eq!(
        file.source.as_deref(),
        Some("d/a.txt"),
        "relative to the file that names it"
    );
}

#[test]
fn circles_and_missing_layers_are_shown_where_they_are_named() {
    let files = [
        ("a.toml", "include = [\"b.toml\"]\n"),
        ("b.toml", "include = [\"a.toml\"]\n"),
    ];
    assert_eq!(
        bad(&files, "a.toml"),
        "b.toml:1:12: layers include each other: `a.toml` → `b.toml` → `a.toml`"
    );
    let files = [("a.toml", "include = [\"gone.toml\", \"@opt/nothing\"]\n")];
    let text = bad(&files, "a.toml:other.toml");
    assert!(
        text.contains("a.toml:1:12: cannot read layer `gone.toml`: entity not found"),
        "{text}"
    );
    assert!(
        text.contains("a.toml:1:25: cannot read layer `@opt/nothing`: the catalogue has no"),
        "{text}"
    );
    assert!(text.contains("cannot read layer `other.toml`"), "{text}");
}

#[test]
fn the_board_is_the_lowest_layer_and_unknown_boards_are_listed() {
    let p = (
        "p.toml",
        "board = \"qemu-amd64\"\nproduct = { name = \"p\", version = \"1\" }\n[boot]\nwatchdog = 10\n",
    );
    let composed = good(&[p], "p.toml:@opt/development");
    assert_eq!(composed.layers[0].name.to_string(), "@boards/qemu-amd64");
    assert_eq!(composed.manifest.boot.watchdog, 10);
    assert!(composed.manifest.boot.accept_expired.is_some());
    let p = (
        "p.toml",
        "board = \"qemu-amd46\"\nproduct = { name = \"p\", version = \"1\" }\n",
    );
    assert_eq!(
        bad(&[p], "p.toml"),
        "p.toml:1:9: cannot read layer `@boards/qemu-amd46`: the catalogue has no `boards/qemu-amd46.toml`; it has `boards/qemu-amd64`"
    );
}

#[test]
fn a_key_in_the_wrong_section_is_told_where_it_belongs() {
    let files = [(
        "p.toml",
        "product = { name = \"p\", version = \"1\" }\nhostname = \"x\"\n[packages]\nrecomends = true\n",
    )];
    let problems = load(&files, "p.toml").unwrap_err();
    let shown = render(&problems.sources, &problems.diagnostics, Style::Plain);
    assert!(
        shown.contains("`hostname` belongs to `[network]`"),
        "{shown}"
    );
    assert!(shown.contains("did you mean `recommends`?"), "{shown}");
}

/// What is wrong, and what is said about it.
const REFUSED: &[(&str, &str)] = &[
    (
        "[kernel]\npackage = \"linux-image-amd64\"\n[kernel.source]\ntree = \"linux\"\n",
        "p.toml:4:9: the kernel is either a package or built from source, not both",
    ),
    (
        "[kernel.source]\nconfig = \"c\"\n",
        "p.toml:2:9: `kernel.source` must say exactly one of `package` and `tree`",
    ),
    (
        "[kernel]\nmodules = [\"all\"]\n",
        "p.toml:3:1: `all` stands alone, not in a list",
    ),
    (
        "[files.\"/etc/a\"]\nmode = \"0600\"\n",
        "p.toml:2:8: file `/etc/a` must say exactly one of `content` and `source`",
    ),
    (
        "[files.\"/run/a\"]\ncontent = \"\"\n",
        "p.toml:2:8: file `/run/a` would be hidden: something is mounted there when the system runs",
    ),
    (
        "[services]\nenable = [\"a.service\"]\nmask = [\"a.service\"]\n",
        "p.toml:4:9: `a.service` is in `services.mask` and in `services.enable`",
    ),
    (
        "[network.interfaces.eth0]\noptional = true\n",
        "p.toml:2:21: interface `eth0` gets no address",
    ),
    (
        "[network.interfaces.eth0]\naddresses = [\"192.0.2.2/24\"]\ngateway = \"198.51.100.1\"\n",
        "p.toml:4:1: the gateway `198.51.100.1` is in none of the networks of interface `eth0`",
    ),
    (
        "[partitions]\nroot = \"100K\"\n",
        "p.toml:3:1: `partitions.root` must be a multiple of `1M`, not `100K`: partitions are aligned to it",
    ),
    (
        "[partitions]\nboot = \"4M\"\n",
        "p.toml:3:1: `partitions.boot` must be at least `16M`, not `4M`",
    ),
    (
        "[root]\ntype = \"ext4\"\ncompression = \"lz4\"\n",
        "p.toml:4:1: this file system does not have this compression",
    ),
    (
        "[secure-boot]\nkey = \"k.pem\"\n",
        "p.toml:2:2: `secure-boot` needs both `key` and `certificate`, or neither",
    ),
    (
        "[update]\nminimum-version = \"1.1\"\n",
        "p.toml:3:1: `minimum-version` 1.1 is above the product's own version 1: it would shut this image out",
    ),
    (
        "[packages]\ninstall = [\"aide\"]\nremove = [\"aide\"]\n",
        "p.toml:4:11: `aide` is both installed and removed",
    ),
    (
        "[debian.pins.x]\npackages = [\"aide\"]\n",
        "p.toml:2:14: pin `x` must say exactly one of `version`, `suite` and `source`",
    ),
    (
        "[debian.sources.local]\nuris = [\"file:///a\"]\nsuite = \"x\"\nsigned-by = \"k\"\n",
        "p.toml:2:17: `local` names one of Debian's own sources",
    ),
    (
        "[debian.sources.boot]\nuris = [\"file:///a\"]\nsuite = \"x\"\nsigned-by = \"k\"\n",
        "p.toml:2:17: `boot` names one of Debian's own sources",
    ),
    (
        "[hooks.h]\nscript = \"s\"\ninputs = [\"a/x\", \"b/x\"]\n",
        "p.toml:4:1: two inputs of hook `h` have the same last part, so the script could see only one",
    ),
    (
        "[users.root]\ngroups = [\"sudo\"]\n",
        "p.toml:3:1: `root` exists already: only its password and keys can be given",
    ),
    (
        "[users.operator]\npassword = \"secret\"\n",
        "p.toml:3:12: `users.operator.password`: this is not a hash: make one with `mkpasswd -m yescrypt`; a password in clear text is never accepted",
    ),
    (
        "[overrides]\n\"sysctl:kernel.sysrq\" = \"no\"\n",
        "p.toml:3:25: `overrides.\"sysctl:kernel.sysrq\"`: a reason is a sentence that a reviewer can judge: at least ten characters",
    ),
];

#[test]
fn what_does_not_fit_together_is_refused_where_it_is_written() {
    for (text, message) in REFUSED {
        let text = format!("product = {{ name = \"p\", version = \"1\" }}\n{text}");
        assert_eq!(bad(&[("p.toml", &text)], "p.toml"), *message);
    }
}

#[test]
fn a_whole_manifest_needs_a_product() {
    assert_eq!(
        bad(&[("p.toml", "[product]\nname = \"p\"\n")], "p.toml"),
        "p.toml:1:1: `product.version` is missing"
    );
    assert_eq!(bad(&[], ""), "no layer is named");
}

#[test]
fn the_effective_manifest_says_where_values_come_from_and_reads_the_same() {
    let p = (
        "p.toml",
        "board = \"qemu-amd64\"\nproduct = { name = \"p\", version = \"1\" }\n[users.op]\nssh-keys = []\n[files.\"/etc/a b\"]\ncontent = \"x\\ty\\n\\u0001\"\n",
    );
    let composed = good(&[p], "p.toml");
    let text = effective(&composed);
    assert!(text.contains("name = \"p\"  # p.toml:2\n"), "{text}");
    assert!(text.contains("type = \"erofs\"  # default\n"), "{text}");
    assert!(
        text.contains("    \"virtio_blk\",  # @boards/qemu-amd64:"),
        "{text}"
    );
    let again = good(&[("e.toml", &text)], "e.toml");
    assert_eq!(again.manifest, composed.manifest.with_defaults());
}

/// Writes the generated files anew when `BEDSTONE_UPDATE_DOCS` is set, and else holds the checked-in ones against them.
#[test]
fn the_published_schema_and_reference_are_current() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    let json = format!("{}\n", serde_json::to_string_pretty(schema()).unwrap());
    for (name, text) in [("manifest.schema.json", json), ("manifest.md", reference())] {
        let path = directory.join(name);
        if std::env::var_os("BEDSTONE_UPDATE_DOCS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let current = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            current == text,
            "{} is stale: run the tests with BEDSTONE_UPDATE_DOCS=1",
            path.display()
        );
    }
}

fn layer(text: &str) -> (Sources, crate::document::Node) {
    let mut sources = Sources::new();
    let source = sources.add("l.toml", text);
    let node = parse(&sources, source).unwrap();
    (sources, node)
}

/// Layers over a few keys that always have the same kinds.
fn layers() -> impl Strategy<Value = String> {
    let item = prop_oneof![Just("a"), Just("b"), Just("c"), Just("!*")];
    let list = proptest::option::of(proptest::collection::vec(item, 0..4));
    let scalar = proptest::option::of(0..9_u8);
    (list, scalar.clone(), scalar).prop_map(|(list, s, t)| {
        let s = s.map_or(String::new(), |s| format!("s = {s}\n"));
        let list = list.map_or(String::new(), |list| format!("l = {list:?}\n"));
        let t = t.map_or(String::new(), |t| format!("[t]\nx = {t}\n[t.u]\ny = {t}\n"));
        format!("{s}{list}{t}")
    })
}

proptest! {
    #[test]
    fn merging_is_associative(a in layers(), b in layers(), c in layers()) {
        let mut problems = Vec::new();
        let node = |text: &str| layer(text).1;
        let left = merge::combine(merge::combine(node(&a), node(&b), "", &mut problems), node(&c), "", &mut problems);
        let right = merge::combine(node(&a), merge::combine(node(&b), node(&c), "", &mut problems), "", &mut problems);
        prop_assert!(problems.is_empty());
        prop_assert_eq!(left.to_json(), right.to_json());
    }

    #[test]
    fn an_empty_layer_changes_nothing_and_merging_twice_is_merging_once(a in layers()) {
        let node = |text: &str| layer(text).1;
        let alone = merge([node(&a)]).unwrap().unwrap().to_json();
        prop_assert_eq!(merge([node(&a), node("")]).unwrap().unwrap().to_json(), alone.clone());
        prop_assert_eq!(merge([node(""), node(&a)]).unwrap().unwrap().to_json(), alone.clone());
        prop_assert_eq!(merge([node(&a), node(&a)]).unwrap().unwrap().to_json(), alone);
    }

    #[test]
    fn settled_lists_have_no_marks_and_no_repetitions(a in layers(), b in layers()) {
        let merged = merge([layer(&a).1, layer(&b).1]).unwrap().unwrap();
        if let Some(node) = merged.at(&["l"]) {
            let Value::List(items) = &node.value else { panic!() };
            let mut texts: Vec<String> = items.iter().map(|i| i.to_json().to_string()).collect();
            prop_assert!(texts.iter().all(|t| !t.starts_with("\"!")));
            let length = texts.len();
            texts.sort();
            texts.dedup();
            prop_assert_eq!(texts.len(), length);
        }
    }

    #[test]
    fn no_manifest_makes_loading_panic(text in "(product|packages|install|kernel|modules|include|board|users|files|\\.|=|\"|\\[|\\]|\\{|\\}|\n|!|a|@|1|true|,| ){0,40}") {
        let catalog = Catalog::embedded();
        let read = |_: &Path| -> io::Result<String> { Ok(text.clone()) };
        if let Err(problems) = Loader::new(&catalog, &read).load(&LayerName::parse_list("a.toml")) {
            let _ = render(&problems.sources, &problems.diagnostics, Style::Plain);
        }
    }
}
