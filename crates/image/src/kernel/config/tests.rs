use proptest::prelude::*;

use super::*;

#[test]
fn every_form_of_a_line_reads() {
    let config = Config::parse(
        "#\n# Automatically generated file; DO NOT EDIT.\n# Linux/x86 6.1.140 Kernel Configuration\n#\n\
         CONFIG_A=y\r\nCONFIG_B=m\nCONFIG_C=n\n# CONFIG_D is not set\nCONFIG_E=\"a \\\"b\\\" \\\\c\"\nCONFIG_F=0x1f\nCONFIG_G=-1\n\nCONFIG_A=m\n",
    )
    .unwrap();
    assert_eq!(config.version(), Some((6, 1)));
    assert_eq!(config.architecture(), Some("x86"));
    assert_eq!(
        config.get("CONFIG_A"),
        Some(&Setting::Module),
        "the last line counts"
    );
    assert_eq!(config.get("CONFIG_C"), Some(&Setting::No));
    assert_eq!(config.get("CONFIG_D"), Some(&Setting::No));
    assert_eq!(
        config.get("CONFIG_E"),
        Some(&Setting::Text("a \"b\" \\c".to_owned()))
    );
    assert_eq!(config.get("CONFIG_F").and_then(Setting::number), Some(31));
    assert_eq!(config.get("CONFIG_G").and_then(Setting::number), Some(-1));
    assert_eq!(config.get("CONFIG_Z"), None);
}

#[test]
fn a_line_that_is_none_is_named() {
    let error = |text| Config::parse(text).unwrap_err().to_string();
    assert_eq!(
        error("CONFIG_A=y\nhello\n"),
        "line 2: `hello` is neither an option nor a comment"
    );
    assert_eq!(error("A=y\n"), "line 1: `A` is not the name of an option");
    assert_eq!(
        error("CONFIG_A=\"x\n"),
        "line 1: `\"x` is not a value: `y`, `m`, `n`, a number or a quoted string"
    );
}

fn setting() -> impl Strategy<Value = Setting> {
    prop_oneof![
        Just(Setting::Yes),
        Just(Setting::Module),
        Just(Setting::No),
        any::<i64>().prop_map(|n| Setting::Number(n.to_string())),
        "[ -~]{0,20}".prop_map(Setting::Text),
    ]
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same(options in proptest::collection::btree_map("CONFIG_[A-Z0-9_]{1,12}", setting(), 0..20)) {
        let mut config = Config::default();
        for (name, value) in options {
            config.set(name, value);
        }
        prop_assert_eq!(Config::parse(&config.to_string()).unwrap(), config);
    }

    #[test]
    fn nothing_panics(text in "(CONFIG_A|#|=|\"|\\\\|y|m|0x|\n| is not set|Linux/| Kernel Configuration|.){0,40}") {
        let _ = Config::parse(&text);
    }
}
