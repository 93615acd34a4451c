#![no_main]
//! What QEMU may say on its monitor, cut in two anywhere.

use bedstone_lab::qmp::{Framer, Message};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((cut, stream)) = data.split_first() else {
        return;
    };
    let (first, second) = stream.split_at(usize::from(*cut).min(stream.len()));
    let mut framer = Framer::default();
    for piece in [first, second] {
        let Ok(lines) = framer.push(piece) else {
            return;
        };
        for line in lines {
            let _ = Message::parse(&line);
        }
    }
});
