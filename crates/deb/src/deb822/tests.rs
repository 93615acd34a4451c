use proptest::prelude::*;

use super::*;

fn fields(text: &str) -> Vec<Vec<(String, String)>> {
    Stanzas::new("test", text.as_bytes())
        .map(|stanza| {
            stanza
                .fields()
                .map(|field| {
                    let field = field.unwrap();
                    let name = String::from_utf8(field.name().to_vec()).unwrap();
                    (name, field.text().unwrap().to_owned())
                })
                .collect()
        })
        .collect()
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn reads_stanzas_fields_and_continuations() {
    let text = "\n\nPackage: a\nDescription: short\n long\n .\n more\n\n# note\nPackage:b\r\n";
    assert_eq!(
        fields(text),
        [
            vec![
                pair("Package", "a"),
                pair("Description", "short\n long\n .\n more")
            ],
            vec![pair("Package", "b")],
        ]
    );
    let second = Stanzas::new("test", text.as_bytes()).nth(1).unwrap();
    assert_eq!(second.line(), 9);
    assert_eq!(second.get("pACKAGE").unwrap(), Some("b"));
    assert_eq!(second.get("Version").unwrap(), None);
}

#[test]
fn names_the_line_of_a_defect() {
    let cases = [
        ("Package: a\nnonsense\n", 2, Defect::NoColon),
        (" continued: x\n", 1, Defect::Continuation),
        ("A: b\n: x\n", 2, Defect::Name),
        ("A: b\nB c: x\n", 2, Defect::Name),
        ("A: b\n\n\na: c\nA: d\n", 5, Defect::Duplicate),
    ];
    for (text, expected, defect) in cases {
        let error = Stanzas::new("index", text.as_bytes())
            .find_map(|stanza| stanza.check().err())
            .unwrap();
        assert_eq!(
            error.to_string(),
            format!("`index` line {expected}: {defect}")
        );
    }
}

#[test]
fn refuses_what_is_not_utf8() {
    let stanza = Stanzas::new("x", b"A: \xff\n").next().unwrap();
    assert!(stanza.get("A").is_err());
}

proptest! {
    #[test]
    fn writes_what_it_reads(
        stanzas in prop::collection::vec(
            prop::collection::vec(("[A-Z][A-Za-z0-9-]{0,9}", "[!-~]([ -~]{0,20}[!-~])?(\n[!-~]([ -~]{0,9}[!-~])?){0,3}"), 1..5),
            0..5,
        )
    ) {
        let mut writer = StanzaWriter::new();
        for stanza in &stanzas {
            for (name, value) in stanza {
                writer.field(name, value).unwrap();
            }
            writer.end();
        }
        let expected: Vec<Vec<_>> = stanzas
            .iter()
            .map(|stanza| stanza.iter().map(|(name, value)| pair(name, &value.replace('\n', "\n "))).collect())
            .collect();
        prop_assert_eq!(fields(&writer.finish()), expected);
    }

    #[test]
    fn never_panics_and_covers_the_input(bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b' '), Just(b':'), any::<u8>()], 0..200)) {
        let mut length = 0;
        for stanza in Stanzas::new("x", &bytes) {
            length += stanza.bytes().len();
            let _ = stanza.check();
        }
        prop_assert!(length <= bytes.len());
    }
}
