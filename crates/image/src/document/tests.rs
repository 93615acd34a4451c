use proptest::prelude::*;
use schemars::JsonSchema;
use serde::Deserialize;

use super::check::{Scope, check};
use super::*;

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Sample {
    name: text::PackageName,
    #[serde(default)]
    count: Option<u8>,
    #[serde(default)]
    kind: Option<Kind>,
    #[serde(default)]
    list: Vec<text::UnitName>,
    #[serde(default)]
    either: Option<Either>,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    /// One.
    First,
    /// Two.
    Second,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Either {
    Word(Kind),
    List(Vec<u8>),
}

fn read(text: &str) -> Result<Sample, String> {
    let mut sources = Sources::new();
    let source = sources.add("s.toml", text);
    decode::<Sample>(&sources, source, &schema_of::<Sample>())
        .map(|(sample, _)| sample)
        .map_err(|d| Problems::new(sources, d).to_string())
}

#[test]
fn good_documents_decode() {
    assert_eq!(
        read(
            "name = \"aide\"\ncount = 3\nkind = \"second\"\nlist = [\"a.service\"]\neither = [1]\n"
        )
        .unwrap(),
        Sample {
            name: text::PackageName::fixed("aide"),
            count: Some(3),
            kind: Some(Kind::Second),
            list: vec![text::UnitName::fixed("a.service")],
            either: Some(Either::List(vec![1])),
        }
    );
    assert_eq!(
        read("name = \"aide\"\neither = \"first\"\n")
            .unwrap()
            .either,
        Some(Either::Word(Kind::First))
    );
}

#[test]
fn every_problem_is_reported_at_once_with_line_and_column() {
    let text = "nam = \"x\"\ncount = 300\nkind = \"secnd\"\nlist = [\"ssh\", 3]\neither = true\n";
    assert_eq!(
        read(text).unwrap_err(),
        "s.toml:1:1: `name` is missing; \
         s.toml:1:1: unknown key `nam` at the top level; \
         s.toml:2:9: `count` must be between 0 and 255, not 300; \
         s.toml:3:8: `kind` cannot be `secnd`: it is one of `first`, `second`; \
         s.toml:4:9: `list`: `ssh` lacks the suffix of a unit: write `ssh.service`, `.socket`, `.timer` …; \
         s.toml:4:16: `list` must be a string, not a whole number; \
         s.toml:5:10: `either` must be a list or a string, not true or false"
    );
}

#[test]
fn every_syntax_error_is_reported() {
    let error = read("name = \ncount = = 2\n").unwrap_err();
    assert!(error.contains("s.toml:1:"), "{error}");
    assert!(error.contains("s.toml:2:"), "{error}");
    let error = read("name = \"aide\"\ncount = 99999999999999999999\n").unwrap_err();
    assert_eq!(
        error,
        "s.toml:2:9: `99999999999999999999` is not a number that fits into 64 bits"
    );
}

#[test]
fn the_line_is_shown_with_what_was_probably_meant() {
    let mut sources = Sources::new();
    let source = sources.add("s.toml", "# a comment\nnaem = \"aide\"\n");
    let root = parse(&sources, source).unwrap();
    let problems = check(&root, &schema_of::<Sample>(), Scope::Layer);
    let shown = render(&sources, &problems, Style::Plain);
    assert_eq!(
        shown,
        "error: unknown key `naem` at the top level\n\
         \x20--> s.toml:2:1\n\
         \x20 |\n\
         2 | naem = \"aide\"\n\
         \x20 | ^^^^ not known here\n\
         \x20 |\n\
         \x20 = help: did you mean `name`?\n"
    );
    assert!(render(&sources, &problems, Style::Colour).contains("\x1b["));
}

#[test]
fn nearest_finds_typos_and_leaves_strangers() {
    let known = ["packages", "partitions", "product"];
    assert_eq!(nearest("pacakges", known), Some("packages"));
    assert_eq!(nearest("partition", known), Some("partitions"));
    assert_eq!(nearest("kernel", known), None);
    assert_eq!(nearest("", known), None);
}

proptest! {
    #[test]
    fn no_text_makes_parsing_checking_or_rendering_panic(text in "([a-z]{1,4}|=|\"|\\[|\\]|\\{|\\}|\n|\\.|é|\u{1F600}|0x|1|#|'''|,| ){0,40}") {
        let mut sources = Sources::new();
        let source = sources.add("s.toml", text);
        let problems = match parse(&sources, source) {
            Ok(root) => check(&root, &schema_of::<Sample>(), Scope::Whole),
            Err(problems) => problems,
        };
        let _ = render(&sources, &problems, Style::Plain);
        let _ = Problems::new(sources, problems).to_string();
    }
}
