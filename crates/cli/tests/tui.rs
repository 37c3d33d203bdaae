//! `tollgate tui` as a process.

use std::process::{Command, Stdio};

#[test]
fn without_a_terminal_it_says_what_to_use_instead() {
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .arg("tui")
        .stdin(Stdio::null())
        .output()
        .expect("the program was built");
    let said = String::from_utf8(output.stderr).expect("it is text");
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("needs a terminal") && said.contains("`tollgate log"), "{said}");
    assert!(output.stdout.is_empty(), "nothing is drawn where nobody looks");
}
