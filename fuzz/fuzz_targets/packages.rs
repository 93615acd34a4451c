#![no_main]
//! A `Packages` index, merged, and its first packages resolved.

use bedstone_deb::index::{Index, Universe};
use bedstone_deb::resolve::{Request, resolve};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let index = Index {
        priority: 500,
        packages: data.to_vec(),
        ..Index::default()
    };
    if let Ok(universe) = Universe::new(&["amd64", "armhf"], vec![index]) {
        let request = Request {
            install: universe.names().take(3).map(str::to_owned).collect(),
            recommends: true,
            ..Request::default()
        };
        let _ = resolve(&universe, &request);
    }
});
