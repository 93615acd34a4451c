//! What a client may say on the agent's socket; what was read can be written and is the same then.
#![no_main]

use bedstone_agent::protocol::Request;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut reader = data;
    while let Ok(Some(request)) = Request::read(&mut reader) {
        let mut line = serde_json::to_vec(&request).expect("a request is JSON");
        line.push(b'\n');
        // Escapes may make a line longer than one may be.
        if line.len() <= bedstone_agent::protocol::LINE {
            let again = Request::read(&mut &*line).expect("what was written can be read");
            assert_eq!(again, Some(request));
        }
    }
});
