use super::*;
use proptest::prelude::*;

const ROOT: &str = r#"mainmenu "Linux"
source "arch/$(SRCARCH)/Kconfig"
source "drivers/md/Kconfig"
"#;
const ARCHITECTURE: &str = r#"config X86
	def_bool y
config EXPERT
	bool "Expert"
	help
	  config NOT_REALLY
	    depends on help

	  text
"#;
const MD: &str = r#"menuconfig MD
	bool "Multiple devices"
	depends on BLOCK
	select SRCU
if MD
config BLK_DEV_DM
	tristate "Device mapper"
config DM_VERITY
	tristate "Verity target" if EXPERT
	depends on BLK_DEV_DM && \
		!DM_OLD
	select CRYPTO
config DM_BUFIO
	tristate
endif
menu "More"
	depends on NET
choice
	prompt "One of"
config ONE
	bool "One"
endchoice
endmenu
"#;

fn rules() -> Rules {
    Rules::read("x86", &|path| {
        match path {
            "Kconfig" => Some(ROOT),
            "arch/x86/Kconfig" => Some(ARCHITECTURE),
            "drivers/md/Kconfig" => Some(MD),
            _ => None,
        }
        .map(str::to_owned)
    })
}

#[test]
fn what_keeps_an_option_from_being_set_is_named() {
    let rules = rules();
    let config = |text| Config::parse(text).unwrap();
    let explain = |option, text| rules.explain(option, &config(text));
    assert_eq!(
        explain("CONFIG_DM_VERITY", "CONFIG_MD=y\nCONFIG_EXPERT=y\n"),
        "drivers/md/Kconfig:8 depends on `BLK_DEV_DM && !DM_OLD` (CONFIG_BLK_DEV_DM=n)"
    );
    assert_eq!(
        explain("CONFIG_DM_VERITY", "CONFIG_BLK_DEV_DM=m\nCONFIG_DM_OLD=y\n"),
        "drivers/md/Kconfig:8 depends on `MD` (CONFIG_MD=n), `EXPERT` (CONFIG_EXPERT=n), \
         `BLK_DEV_DM && !DM_OLD` (CONFIG_DM_OLD=y)"
    );
    assert_eq!(
        explain("CONFIG_DM_BUFIO", "CONFIG_MD=y\n"),
        "drivers/md/Kconfig:13 lets only other options select it"
    );
    assert_eq!(
        explain("CONFIG_ONE", "CONFIG_NET=y\n"),
        "drivers/md/Kconfig:20 offers it, but another option selects it or a choice excludes it"
    );
    assert_eq!(
        explain("CONFIG_NOT_REALLY", ""),
        "this kernel has no such option"
    );
}

#[test]
fn files_that_include_each_other_end() {
    let rules = Rules::read("x86", &|_| {
        Some("config A\n\tbool \"A\"\nsource \"Kconfig\"\n".to_owned())
    });
    assert_eq!(rules.definitions("CONFIG_A").len(), DEPTH);
}

proptest! {
    #[test]
    fn no_text_makes_reading_panic(text in "(config|menu|if|endif|endmenu|choice|endchoice|help|depends on|bool|source|prompt|A|B|&&|!|=|\"|'|\\\\| |\t|\n|ä){0,60}") {
        let rules = Rules::read("x86", &|path| (path == "Kconfig").then(|| text.clone()));
        let _ = rules.explain("CONFIG_A", &Config::default());
    }
}
