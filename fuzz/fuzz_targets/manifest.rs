#![no_main]
//! Any text as a manifest: reading, merging with itself, checking, planning and showing problems never panic.

use std::io;
use std::path::Path;

use bedstone_image::document::{Style, render};
use bedstone_image::manifest::{LayerName, Loader, effective};
use bedstone_image::profile::Catalog;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let catalog = Catalog::embedded();
    let read = |path: &Path| -> io::Result<String> {
        match path.to_str() {
            Some("a.toml" | "b.toml") => Ok(text.to_owned()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    };
    match Loader::new(&catalog, &read).load(&LayerName::parse_list("a.toml:b.toml")) {
        Ok(composition) => drop(effective(&composition)),
        Err(problems) => drop(render(
            &problems.sources,
            &problems.diagnostics,
            Style::Plain,
        )),
    }
});
