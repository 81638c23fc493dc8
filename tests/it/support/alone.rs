//! A test that measures its process has one to itself.

use std::process::Command;

const ALONE: &str = "UPISTREAM_TEST_ALONE";

/// Runs the calling test once more in a process of its own and shows what it printed. True: this is that process.
pub fn is_alone(test: &str) -> bool {
    if std::env::var(ALONE).is_ok_and(|name| name == test) {
        return true;
    }
    let program = std::env::current_exe().expect("tests are files");
    let ran = Command::new(program).args(["--exact", test, "--nocapture", "--test-threads=1"]).env(ALONE, test).output();
    let ran = ran.expect("a test can run itself");
    let text = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    println!("{text}");
    assert!(ran.status.success() && text.contains("1 passed"), "`{test}` failed in its own process:\n{text}");
    false
}

/// The memory of this process that is in use, in kilobytes.
pub fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("among others");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("in kB")
}
