//! The program as it is, on a machine of files: installations, refusals, the daemon.

#[path = "program/machine.rs"]
mod machine;
#[allow(unreachable_pub, reason = "it is public in the library of the tests")]
#[path = "../../../tests/crash/product.rs"]
mod product;
#[path = "program/scenes.rs"]
mod scenes;

use machine::Agent;

fn agent() -> Agent {
    Agent {
        emulator: None,
        program: env!("CARGO_BIN_EXE_bedstone-agent").into(),
    }
}

#[test]
fn tells_what_it_is_and_what_is_missing() {
    scenes::tells_what_it_is_and_what_is_missing(&agent());
}

#[test]
fn installs_a_file() {
    scenes::installs_a_file(&agent());
}

#[test]
fn installs_what_a_server_sends_in_pieces() {
    scenes::installs_what_a_server_sends_in_pieces(&agent());
}

#[test]
fn refuses_with_a_code() {
    scenes::refuses_with_a_code(&agent());
}

#[test]
fn serves_a_socket() {
    scenes::serves_a_socket(&agent());
}
