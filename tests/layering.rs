//! The rules of the code that a compiler does not know: which part may import which, what only some
//! of them may use, and what documents promise about files.

use std::fs;
use std::path::{Path, PathBuf};

/// The parts in their order, as in lib.rs, and what each may import besides itself, `limits` and
/// `clock`: only what stands above it. See ARCHITECTURE.md.
const PARTS: &[(&str, &[&str])] = &[
    ("limits", &[]),
    ("clock", &[]),
    ("peer", &[]),
    ("http", &[]),
    ("ws", &["http"]),
    ("outbound", &["peer"]),
    ("conn", &["peer", "http", "ws", "outbound"]),
    ("envelope", &[]),
    ("rooms", &["peer", "ws", "outbound", "envelope"]),
    ("web", &[]),
    ("chat", &["peer", "http", "ws", "outbound", "conn", "envelope", "rooms", "web"]),
    ("process", &[]),
    ("reactor", &["peer", "conn", "process"]),
    ("options", &["chat", "process", "reactor"]),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Each file below a folder of the repository, by its name there.
fn files(folder: &str) -> Vec<(String, String)> {
    let folder = root().join(folder);
    let name = |path: &Path| path.strip_prefix(&folder).expect("below").display().to_string();
    let text = |path: &Path| fs::read_to_string(path).expect("a text");
    rust_files(&folder).iter().map(|path| (name(path), text(path))).collect()
}

/// Each file of the program, without its unit tests.
fn sources() -> Vec<(String, String)> {
    let mut files = files("src");
    for (_, code) in &mut files {
        code.truncate(code.find("#[cfg(test)]").unwrap_or(code.len()));
    }
    files
}

fn tests() -> Vec<(String, String)> {
    files("tests")
}

fn part(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap_or_default()
}

/// The parts that a file names after `crate::`, alone or in braces.
fn imports(code: &str) -> Vec<String> {
    let name = |text: &str| text.chars().take_while(|char| char.is_alphanumeric()).collect();
    let lines: Vec<&str> = statements(code).map(|(_, line)| line).collect();
    let mut found = Vec::new();
    for import in lines.join("\n").split("crate::").skip(1) {
        match import.strip_prefix('{').and_then(|list| list.split_once('}')) {
            Some((list, _)) => found.extend(list.split(',').map(|part| name(part.trim()))),
            None => found.push(name(import)),
        }
    }
    found
}

#[test]
fn imports_run_one_way() {
    for (file, code) in sources() {
        let part = part(&file);
        let Some((_, allowed)) = PARTS.iter().find(|(name, _)| *name == part) else {
            assert!(["lib.rs", "main.rs"].contains(&&*file), "{file} is in no part");
            continue;
        };
        for to in imports(&code) {
            let is_free = [part, "limits", "clock"].contains(&&*to);
            assert!(is_free || allowed.contains(&&*to), "{file} imports {to}");
        }
    }
}

#[test]
fn each_part_imports_only_those_above_it() {
    for (at, (part, allowed)) in PARTS.iter().enumerate() {
        for to in *allowed {
            assert!(PARTS[..at].iter().any(|(above, _)| above == to), "{to} is below {part}");
        }
    }
    let lib = fs::read_to_string(root().join("src/lib.rs")).expect("the library");
    let modules = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    assert!(modules.eq(PARTS.iter().map(|(part, _)| *part)), "lib.rs has another order");
}

/// Lines that say something to the compiler, with their numbers.
fn statements(code: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(code.lines()).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Fails where a file of `files` that is not `excepted` uses one of `words`.
fn forbid(files: &[(String, String)], words: &[&str], excepted: &[&str]) {
    for (file, code) in files {
        if excepted.iter().any(|prefix| file.starts_with(prefix)) {
            continue;
        }
        for (number, line) in statements(code) {
            for word in words {
                assert!(!line.contains(word), "{file}:{number} has {word}");
            }
        }
    }
}

#[test]
fn only_the_edge_touches_the_machine() {
    let clocks = ["Instant", "SystemTime", "Local::", "Utc::now"];
    let sockets = ["mio::", "TcpStream", "TcpListener", "UdpSocket", "UnixStream", "io::Error"];
    let others = ["thread", "RandomState", "std::env", "std::fs", "std::process", "stderr"];
    let words = [&clocks[..], &sockets, &others].concat();
    forbid(&sources(), &words, &["process/", "reactor/", "main.rs"]);
}

#[test]
fn the_edge_stays_where_it_is() {
    // Sockets and the monotonic clock are the reactor's alone.
    let words = ["mio::", "TcpStream", "TcpListener", "Instant", "SystemTime", "std::thread"];
    forbid(&sources(), &words, &["reactor/"]);
}

#[test]
fn iteration_order_is_the_same_in_every_run() {
    forbid(&sources(), &["HashMap", "HashSet", "rand::"], &[]);
}

#[test]
fn small_machines_have_all_that_is_used() {
    // A 32-bit MIPS has no 64-bit atomics. What others use, scripts/build-static finds.
    forbid(&sources(), &["AtomicU64", "AtomicI64"], &[]);
}

#[test]
fn nothing_is_unsafe() {
    for root in ["lib.rs", "main.rs"] {
        let files = sources();
        let (_, code) = files.iter().find(|(file, _)| file == root).expect("a crate's root");
        assert!(code.contains("#![forbid(unsafe_code)]"), "{root}");
    }
    // An allocator that counts cannot be written without it.
    forbid(&tests(), &["unsafe "], &["kit/src/heap.rs", "layering.rs"]);
}

#[test]
fn an_exception_from_a_lint_has_a_reason() {
    let is_allowed = |code: &str, at: usize| {
        let end = code[at..].find(']').expect("an attribute ends");
        code[at..at + end].contains("reason = ")
    };
    for (file, code) in sources() {
        for (at, _) in code.match_indices("[allow(").chain(code.match_indices("[expect(")) {
            assert!(is_allowed(&code, at), "{file}: {}", code[at..].lines().next().unwrap_or(""));
        }
    }
}

/// Numbers that only tune how the work is done, or that a standard sets for the shape of a frame or
/// a key. They stand beside their one user.
const NUMBERS_ELSEWHERE: &[&str] = &[
    "COUNTS_KEPT",
    "ROOM_BYTES",
    "DEFAULT_PORT",
    "SIMILARITY_MIN",
    "USAGE",
    "EVENTS_PER_POLL",
    "WRITES_PER_ITERATION",
    "WRITTEN_BYTES_PER_ITERATION",
    "LISTEN_BACKLOG",
    "ACCEPT_RETRY_MS",
    "STOPPED_MS_MIN",
    "OFFSET_MS",
    "HEADER_BYTES_MAX",
    "SENT_HEADER_BYTES_MAX",
    "SHORT_LENGTH_MAX",
    "CLOSE_REASON_BYTES_MAX",
    "BLOCK_WORDS",
    "FORESEEN_BYTES_MIN",
    "KEEPALIVE_SLICES",
    "NS_PER_MS",
    "SOCKET_MODE",
    "BLOCK_SLOTS",
    "BLOCK_IDS",
    "SCRATCH_BYTES_KEPT",
    "CAPACITY_KEPT",
    "ENTRIES_KEPT",
    "SLOTS_KEPT",
];

#[test]
fn limits_are_where_one_looks_for_them() {
    for (file, code) in sources().iter().filter(|(file, _)| file != "limits.rs") {
        for (number, line) in statements(code) {
            let Some(rest) = line.split("const ").nth(1).filter(|rest| !rest.starts_with("fn "))
            else {
                continue;
            };
            let name = rest.split(':').next().unwrap_or_default();
            let value = rest.split("= ").nth(1).unwrap_or_default();
            let is_number = value.starts_with(|first: char| first.is_ascii_digit());
            assert!(
                !is_number || NUMBERS_ELSEWHERE.contains(&name),
                "{file}:{number}: {name} belongs into limits.rs"
            );
        }
    }
}

#[test]
fn every_file_is_on_the_map() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the map");
    for (file, _) in sources() {
        assert!(map.contains(&format!("| `{file}` |")), "{file} is not on the map");
    }
    for line in map.lines().filter(|line| line.starts_with("| `") && line.contains(".rs`")) {
        let file = line.split('`').nth(1).unwrap_or_default();
        assert!(root().join("src").join(file).exists(), "{file} is on the map and not there");
    }
}

#[test]
fn nothing_is_left_undone() {
    let words = ["todo!", "unimplemented!", "dbg!", "FIXME", "TODO", "XXX"];
    for (file, code) in files("src") {
        for word in words {
            assert!(!code.contains(word), "{file} has {word}");
        }
    }
    // This file names them.
    forbid(&tests(), &["todo!", "unimplemented!", "dbg!", "#[ignore"], &["layering.rs"]);
}

#[test]
fn no_test_sleeps_until_something_is_so() {
    // Sleeps are behind two names, one that asks again and one that lets time go by which is
    // measured: see tests/common/program.rs.
    forbid(&tests(), &["thread::sleep", " sleep("], &["common/program.rs", "layering.rs"]);
}

#[test]
fn the_changelog_knows_the_version() {
    let changelog = fs::read_to_string(root().join("CHANGELOG.md")).expect("a changelog");
    assert!(changelog.contains(&format!("## {}", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn the_readme_shows_every_option() {
    let readme = fs::read_to_string(root().join("README.md")).expect("a readme");
    for line in hallway::options::help().lines() {
        assert!(readme.contains(line.trim()), "the README does not show {line:?}");
    }
}

#[test]
fn every_defence_has_its_test() {
    let table = fs::read_to_string(root().join("SECURITY.md")).expect("a table");
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(2);
    for row in rows {
        let named: Vec<_> = row.split('`').filter_map(|word| word.split_once(".rs::")).collect();
        // A page is tested in a browser, a file a subject.
        let of_the_page: Vec<_> = row.split('`').filter(|word| word.ends_with(".mjs")).collect();
        assert!(!(named.is_empty() && of_the_page.is_empty()), "no test is named in {row}");
        for file in of_the_page {
            let code = fs::read_to_string(root().join(file)).unwrap_or_default();
            assert!(code.contains("\ntest('"), "{file} has no tests");
        }
        for (file, test) in named {
            let code = fs::read_to_string(root().join(format!("{file}.rs")));
            let code = code.unwrap_or_else(|_| panic!("SECURITY.md names {file}.rs"));
            let is_there = code.contains(&format!("#[test]\nfn {test}()"))
                || code.contains(&format!("#[test]\n    fn {test}()"));
            assert!(is_there, "{file}.rs has no test {test}");
        }
    }
}
