//! A test that runs itself once more, as root of a user namespace.

use bedstone_sys::namespace::user_command;

/// Runs `body`, which is the test called `name`, as root of a user namespace.
pub(crate) fn inside(name: &str, body: impl FnOnce()) {
    if std::env::var_os("BEDSTONE_TEST_INSIDE").is_some() {
        return body();
    }
    let program = std::env::current_exe().unwrap();
    let output = user_command(program.to_str().unwrap())
        .unwrap()
        .args(["--exact", name, "--nocapture"])
        .env("BEDSTONE_TEST_INSIDE", "1")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
