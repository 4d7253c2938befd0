//! What runs the tests: a skip is listed, an unexpected one fails `.ci/run`, and so does a count that
//! `benches/instructions` cannot read. The scripts are the real ones; the programs that they run are
//! not.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use testkit::skip;

/// Programs of a test's own, which scripts find before all others.
struct Fakes(PathBuf);

impl Fakes {
    fn new(name: &str) -> Self {
        let folder = env::temp_dir().join(format!("hallway-{}-{name}", std::process::id()));
        fs::create_dir(&folder).expect("a folder");
        Self(folder)
    }

    /// A shell script under the name of a program.
    fn with(self, program: &str, script: &str) -> Self {
        // In a process of its own: a file that is open for writing cannot be run, and it would be
        // open in a child that another test forks meanwhile.
        let write = r##"printf '#!/bin/sh\n%s\n' "$2" >"$1" && chmod 755 "$1""##;
        let path = self.0.join(program);
        let mut shell = Command::new("sh");
        let written = shell.args(["-c", write, "sh"]).arg(path).arg(script).status();
        assert!(written.expect("a shell").success());
        self
    }

    /// Runs a script of the repository; its status, and all that it has said.
    fn run(&self, script: &str, arguments: &[&str]) -> (Option<i32>, String) {
        let path = env::var("PATH").expect("a path");
        let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join(script))
            .args(arguments)
            .env("PATH", format!("{}:{path}", self.0.display()))
            .env("PYTHON", "true")
            .env_remove("SKIPPED_TESTS")
            .output();
        let Output { status, stdout, stderr } = output.expect("the script starts");
        (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
    }
}

impl Drop for Fakes {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Set where the test below is to be skipped.
const VARIABLE: &str = "RUNNER_SKIPS";

#[test]
fn this_is_skipped_where_it_is_told_to() {
    if env::var_os(VARIABLE).is_some() {
        skip("it was told to\nby a variable");
    }
}

/// A shell's line that runs the test above.
fn skipped_test() -> String {
    let program = env::current_exe().expect("a test is a program");
    format!("{VARIABLE}=yes '{}' --exact this_is_skipped_where_it_is_told_to", program.display())
}

const SKIPPED: &str = "runner::this_is_skipped_where_it_is_told_to: it was told to\n";

#[test]
fn skipped_tests_are_listed_also_after_a_failure() {
    let mut fakes = Fakes::new("tests-run");
    for program in ["cc", "node", "npm", "strace", "faketime"] {
        fakes = fakes.with(program, "true");
    }
    let fakes = fakes.with("cargo", &format!("{}; exit 3", skipped_test()));
    let (status, said) = fakes.run("tests/run", &[]);
    assert_eq!(status, Some(3), "{said}");
    assert!(said.contains(&format!("\n1 skipped:\n  {SKIPPED}The tests FAILED.\n")), "{said}");

    let fakes = fakes.with("cargo", "exit 3");
    let (_, said) = fakes.run("tests/run", &[]);
    assert!(said.contains("\nNothing was skipped.\nThe tests FAILED.\n"), "{said}");
}

#[test]
fn an_unexpected_skip_fails_the_whole() {
    let fakes = Fakes::new("ci-run").with("cargo", "true");
    let (status, said) = fakes.run(".ci/run", &["format"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("\nNothing was skipped.\n"), "{said}");

    let expected = "tests/skips add 'packaging/test deb' 'not a stage of .ci/run'";
    let fakes = fakes.with("cargo", &format!("[ $1 = doc ] || {expected}"));
    let (status, said) = fakes.run(".ci/run", &["format", "documentation"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(
        said.contains("\n4 skipped:\n  packaging/test deb: not a stage of .ci/run\n"),
        "{said}"
    );

    let fakes = fakes.with("cargo", &format!("[ $1 = doc ] || {expected}; {}", skipped_test()));
    let (status, said) = fakes.run(".ci/run", &["documentation"]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains(&format!("should be able to run it: {SKIPPED}")), "{said}");

    let fakes = fakes.with("cargo", "exit 3");
    assert_eq!(fakes.run(".ci/run", &["format"]).0, Some(3), "what fails, fails");
}

/// What the table of `benches/instructions` has, in its own form.
fn table() -> Vec<(String, String)> {
    let table = include_str!("../benches/instructions.txt");
    let rows = table.lines().filter_map(|line| line.split_once(' '));
    rows.filter(|(path, _)| *path != "#").map(|(path, count)| (path.into(), count.into())).collect()
}

/// A bench with these paths, and a Valgrind that counts them as the table has it, but for one, of
/// which it says something else.
fn counting(name: &str, paths: &[&str], (other, says): (&str, &str)) -> (Option<i32>, String) {
    let fakes = Fakes::new(name).with("sans_io-1", &format!("printf '%s\\n' {}", paths.join(" ")));
    let built = format!(r#"echo '{{"executable":"{}"}}'"#, fakes.0.join("sans_io-1").display());
    let mut cases = format!("{other}) {says} ;;\n");
    for (path, count) in table() {
        cases += &format!("{path}) echo '==1== Collected : {count}' ;;\n");
    }
    // Its last argument is the path.
    let valgrind = format!("for path; do true; done\ncase $path in\n{cases}esac");
    fakes.with("cargo", &built).with("valgrind", &valgrind).run("benches/instructions", &[])
}

#[test]
fn a_count_that_cannot_be_read_or_compared_is_a_failure() {
    let table = table();
    let paths: Vec<&str> = table.iter().map(|(path, _)| path.as_str()).collect();
    let (status, said) = counting("as-before", &paths, ("none", "true"));
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(said.matches("+0.0 %  ok\n").count(), paths.len(), "{said}");

    let first = paths[0];
    let one_more = [&paths[..], &["another"]].concat();
    for (name, paths, other, sentence) in [
        ("silent", &paths, (first, "true"), "no count in what valgrind says of"),
        (
            "garbled",
            &paths,
            (first, "echo 'Collected : many'"),
            "no count in what valgrind says of",
        ),
        ("nothing", &paths, (first, "echo 'Collected : 0'"), "no count in what valgrind says of"),
        ("failing", &paths, (first, "echo 'Collected : 9'; exit 1"), "valgrind fails on"),
        ("more", &paths, (first, "echo 'Collected : 999999999999'"), "MORE THAN 5 % MORE"),
        ("new", &one_more, ("another", "echo 'Collected : 9'"), "no count of another in"),
        ("gone", &paths[1..].to_vec(), ("none", "true"), "any more: benches/instructions --renew"),
        ("empty", &vec![], ("none", "true"), "lists no path"),
    ] {
        let (status, said) = counting(name, paths, other);
        assert_eq!(status, Some(1), "{name}: {said}");
        assert!(said.contains(sentence), "{name}: {said}");
    }
}
