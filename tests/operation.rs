//! What an operator does with the program: checks its options.

use std::process::{Command, Output};

fn hallway(options: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_hallway")).args(options).output();
    output.expect("the program starts")
}

#[test]
fn a_check_judges_the_options_and_listens_nowhere() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let good = hallway(&["--check", "--listen", &address]);
    let said = String::from_utf8(good.stdout).expect("text");
    assert!(
        good.status.success() && said.contains(&format!("listen on        {address}")),
        "{said}"
    );
    assert!(good.stderr.is_empty());

    let bad = hallway(&["--history", "many", "--check"]);
    assert_eq!((bad.status.code(), bad.stdout.len()), (Some(2), 0));
    assert!(String::from_utf8_lossy(&bad.stderr).starts_with("hallway: --history many: "));
}
