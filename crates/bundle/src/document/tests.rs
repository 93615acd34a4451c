#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

use proptest::prelude::*;

use super::*;

/// The tree without its lines.
fn bare(node: &Node) -> Node {
    Node::new(match &node.value {
        Value::Group(members) => Value::Group(
            members
                .iter()
                .map(|(name, node)| (name.clone(), bare(node)))
                .collect(),
        ),
        Value::List(items) => Value::List(items.iter().map(bare).collect()),
        other => other.clone(),
    })
}

fn group(members: &[(&str, Value)]) -> Value {
    Value::Group(
        members
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Node::new(value.clone())))
            .collect(),
    )
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn list(items: &[Value]) -> Value {
    Value::List(items.iter().cloned().map(Node::new).collect())
}

#[test]
fn libconfig_in_all_its_forms() {
    let source = "# one\n// two\n/* three\n */ software = { a = 1; b : \"x\" \"y\" // joined\n \"z\"\n\
        c = 0x1F, d = 10L; e = -4; f = TRUE; g = 1.5; h = [ 1, 2 ]; i = ( \"m\", { n = false; } );\n\
        j = \"tab\\t quote\\\" hex\\x41\"; k = []; l = (); m-n_o = 1e3; };\n";
    let error = parse(source.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("line 7"), "{error}");
    let source = source.replace("1e3", "1.0e3");
    let expected = group(&[(
        "software",
        group(&[
            ("a", Value::Number(1)),
            ("b", text("xyz")),
            ("c", Value::Number(31)),
            ("d", Value::Number(10)),
            ("e", Value::Number(-4)),
            ("f", Value::Flag(true)),
            ("g", Value::Fraction(1.5)),
            ("h", list(&[Value::Number(1), Value::Number(2)])),
            ("i", list(&[text("m"), group(&[("n", Value::Flag(false))])])),
            ("j", text("tab\t quote\" hexA")),
            ("k", list(&[])),
            ("l", list(&[])),
            ("m-n_o", Value::Fraction(1000.0)),
        ]),
    )]);
    assert_eq!(bare(&parse(source.as_bytes()).unwrap()).value, expected);
}

#[test]
fn json_in_all_its_forms() {
    let source = "{ \"a\": [1, -2, 1.5e2, \"\\u00e9\\ud83d\\ude00\\/\"],\n \"b\": {}, \"c\": true, \"d\": [] }";
    let expected = group(&[
        (
            "a",
            list(&[
                Value::Number(1),
                Value::Number(-2),
                Value::Fraction(150.0),
                text("é😀/"),
            ]),
        ),
        ("b", group(&[])),
        ("c", Value::Flag(true)),
        ("d", list(&[])),
    ]);
    assert_eq!(bare(&parse(source.as_bytes()).unwrap()).value, expected);
}

#[test]
fn faults_name_their_line() {
    for (source, line, words) in [
        ("a = 1;\nb = ;", 2, "expected a value, found `;`"),
        ("a = 1;\n\na = 2;", 3, "`a` is given twice"),
        ("a = \"x\n", 1, "does not end"),
        ("a = \"\\q\";", 1, "escape"),
        ("a = \"\\x00\";", 1, "escape"),
        ("a = 007;", 1, "expected a value"),
        ("a = 99999999999999999999;", 1, "expected a value"),
        ("a = [ 1, \"x\" ];", 1, "scalars of one kind"),
        ("a = [ { } ];", 1, "scalars of one kind"),
        ("a = ( 1 2 );", 1, "expected `,` or `)`"),
        ("/* ", 1, "comment does not end"),
        ("@include \"x\"", 1, "expected a name, found `@`"),
        ("a = {\n b = 1;\n", 3, "expected a name, found the end"),
        ("a = 1; }", 1, "expected a name, found `}`"),
        ("{\"a\": 1,\n\"a\": 2}", 2, "`a` is given twice"),
        ("{\"a\": 01}", 1, "expected a value"),
        ("{\"a\": null}", 1, "expected a value"),
        ("{\"a\": 1,}", 1, "expected a name"),
        ("{\"a\": \"\\ud800\"}", 1, "escape"),
        ("{\"a\": \"\\u0000\"}", 1, "escape"),
        ("{}\nx", 2, "expected the end"),
        ("{\"a\": \"\n\"}", 2, "control character"),
        ("a = \"\u{0}\";", 1, "NUL"),
    ] {
        let error = parse(source.as_bytes()).unwrap_err().to_string();
        assert!(
            error.contains(&format!("line {line}:")) || error.contains(&format!("line {line}, ")),
            "{source:?}: {error}"
        );
        assert!(error.contains(words), "{source:?}: {error}");
    }
    let error = parse(b"a = 1;\n\xff").unwrap_err().to_string();
    assert!(error.contains("line 2: not UTF-8"), "{error}");
    assert!(parse(&vec![b' '; LIMIT + 1]).is_err());
}

#[test]
fn nesting_has_an_end() {
    for (open, close) in [("a = {", "};"), ("a = (", ");")] {
        let source = format!("{}{}", open.repeat(40), close.repeat(40));
        assert!(parse(source.as_bytes()).is_err());
    }
    let source = format!("{{\"a\": {}", "[".repeat(1_000_000 / 2));
    let error = parse(source.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("32 deep"), "{error}");
}

#[test]
fn serde_reads_our_json() {
    let tree = Node::new(group(&[(
        "a",
        list(&[text("x\"\\\n\té"), Value::Number(i64::MAX), group(&[])]),
    )]));
    let value: serde_json::Value = serde_json::from_str(&to_json(&tree)).unwrap();
    assert_eq!(
        value,
        serde_json::json!({"a": ["x\"\\\n\té", i64::MAX, {}]})
    );
}

fn printable() -> impl Strategy<Value = String> {
    "[ -~äß€😀\n\t\r]{0,12}"
}

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::Flag),
        any::<i64>().prop_map(Value::Number),
        (-1000_i32..1000).prop_map(|n| Value::Fraction(f64::from(n) / 8.0)),
        printable().prop_map(Value::Text),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        let named = proptest::collection::btree_map("[a-z][a-z0-9_-]{0,5}", inner.clone(), 0..5);
        prop_oneof![
            named.prop_map(|members| Value::Group(
                members
                    .into_iter()
                    .map(|(name, value)| (name, Node::new(value)))
                    .collect()
            )),
            // An array holds one kind, a list anything: groups make a list of it.
            proptest::collection::vec(inner, 0..4).prop_map(|items| {
                let mut items: Vec<Node> = items.into_iter().map(Node::new).collect();
                items.push(Node::new(Value::Group(Vec::new())));
                Value::List(items)
            }),
        ]
    })
}

proptest! {
    #[test]
    fn both_syntaxes_round_trip(value in tree()) {
        let root = Node::new(Value::Group(vec![("software".to_owned(), Node::new(value))]));
        let libconfig = to_libconfig(&root);
        prop_assert_eq!(bare(&parse(libconfig.as_bytes()).unwrap()), root.clone(), "{}", libconfig);
        let json = to_json(&root);
        prop_assert_eq!(bare(&parse(json.as_bytes()).unwrap()), root, "{}", json);
    }

    #[test]
    fn nothing_panics(text in "[{}()\\[\\];:=,\"\\\\/*#a-z0-9.+\\- \n]{0,80}") {
        let _ = parse(text.as_bytes());
    }
}
