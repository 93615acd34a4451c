use super::*;

fn config(text: &str) -> Config {
    Config::parse(text).unwrap()
}

#[test]
fn later_fragments_win_and_disagreements_are_listed() {
    let base = config("CONFIG_A=y\nCONFIG_B=y\n");
    let one = config("CONFIG_A=m\nCONFIG_C=64\n");
    let two = config("# CONFIG_A is not set\nCONFIG_D=\"x\"\n");
    let fragments = [
        Fragment {
            name: "one.config",
            config: &one,
        },
        Fragment {
            name: "two.config",
            config: &two,
        },
    ];
    let merged = merge_fragments(&base, &fragments);
    assert_eq!(
        merged.text,
        "CONFIG_B=y\nCONFIG_C=64\n# CONFIG_A is not set\nCONFIG_D=\"x\"\n"
    );
    assert_eq!(
        merged.overridden,
        [Overridden {
            option: "CONFIG_A".to_owned(),
            earlier: ("one.config".to_owned(), Setting::Module),
            later: ("two.config".to_owned(), Setting::No),
        }]
    );
}

#[test]
fn what_the_kernels_rules_dropped_is_reported_with_the_fragment_that_asked() {
    let one = config("CONFIG_A=y\nCONFIG_B=m\nCONFIG_N=n\nCONFIG_H=0x40\n");
    let two = config("CONFIG_A=m\n");
    let fragments = [
        Fragment {
            name: "one.config",
            config: &one,
        },
        Fragment {
            name: "two.config",
            config: &two,
        },
    ];
    let finished = config("CONFIG_A=y\nCONFIG_H=64\n");
    assert_eq!(
        unobtained(&finished, &fragments),
        [
            Unobtained {
                option: "CONFIG_A".to_owned(),
                fragment: "two.config".to_owned(),
                line: 1,
                wanted: Setting::Module,
                got: Setting::Yes,
            },
            Unobtained {
                option: "CONFIG_B".to_owned(),
                fragment: "one.config".to_owned(),
                line: 2,
                wanted: Setting::Module,
                got: Setting::No,
            },
        ]
    );
}
