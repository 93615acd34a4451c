//! The peak of a process's resident memory.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::process::Command;

/// Runs this program again, which ends with [`tell`]; returns what that told, in kB.
pub(crate) fn of_this_program(words: &[&OsStr]) -> u64 {
    let output = Command::new(env::current_exe().unwrap())
        .args(words)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let told = String::from_utf8(output.stdout).unwrap();
    told.trim().parse().unwrap()
}

/// Prints the peak of this process so far.
pub(crate) fn tell() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    println!("{}", peak.trim().trim_end_matches(" kB"));
}
