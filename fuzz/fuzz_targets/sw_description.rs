//! `sw-description` in both syntaxes; what was read can be written and is the same then.
#![no_main]

use bedstone_bundle::Description;
use bedstone_bundle::description::Syntax;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(description) = Description::parse(data) else {
        return;
    };
    let _ = description.select(Some("board"), Some(("stable", "a")));
    // Control characters are read and not written.
    if let Ok(text) = description.to_text(Syntax::Json) {
        let again = Description::parse(text.as_bytes()).expect("what was written can be read");
        assert_eq!(again.to_text(Syntax::Json).ok(), Some(text));
        let text = description.to_text(Syntax::Libconfig).expect("the other syntax can say it too");
        let again = Description::parse(text.as_bytes()).expect("what was written can be read");
        assert_eq!(again.to_text(Syntax::Libconfig).ok(), Some(text));
    }
});
