//! The rules of the house that a compiler does not know.

use std::fs;
use std::path::{Path, PathBuf};

/// What each part may import; `limits` and `clock` are free to all. See ARCHITECTURE.md.
const ARROWS: &[(&str, &[&str])] = &[
    ("limits", &[]),
    ("clock", &[]),
    ("wire", &["wire"]),
    ("hub", &["hub", "wire"]),
    ("web", &[]),
    ("server", &["server", "hub", "wire", "web"]),
    ("options", &["server"]),
    ("reactor", &["reactor", "server", "hub"]),
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

/// Each file below src, by its name there, without its tests.
fn sources() -> Vec<(String, String)> {
    let src = root().join("src");
    let name = |path: &Path| path.strip_prefix(&src).expect("below").display().to_string();
    let code = |path: &Path| {
        let text = fs::read_to_string(path).expect("a text");
        text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
    };
    rust_files(&src).iter().map(|path| (name(path), code(path))).collect()
}

fn part(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap_or_default()
}

#[test]
fn imports_run_one_way() {
    for (file, code) in sources() {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == part(&file)) else {
            assert!(["lib.rs", "main.rs", "logger.rs"].contains(&&*file), "{file} is in no part");
            continue;
        };
        for import in code.split("crate::").skip(1) {
            let to: String = import.chars().take_while(|char| char.is_alphanumeric()).collect();
            let is_free = ["limits", "clock"].contains(&&*to);
            assert!(is_free || allowed.contains(&&*to), "{file} imports {to}");
        }
    }
}

#[test]
fn only_the_edge_touches_the_machine() {
    let machine =
        ["Instant", "SystemTime", "mio::", "TcpStream", "TcpListener", "io::Error", "thread::"];
    for (file, code) in sources() {
        let is_edge = ["reactor", "main", "logger"].contains(&part(&file));
        for word in machine.iter().filter(|_| !is_edge) {
            let used = code
                .lines()
                .any(|line| !line.trim_start().starts_with("//") && line.contains(word));
            assert!(!used, "{file} uses {word}");
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
    let words = ["todo!", "unimplemented!", "dbg!", "FIXME"];
    for (file, code) in sources() {
        for word in words {
            assert!(!code.contains(word), "{file} has {word}");
        }
    }
}

#[test]
fn the_changelog_knows_the_version() {
    let changelog = fs::read_to_string(root().join("CHANGELOG.md")).expect("a changelog");
    assert!(changelog.contains(&format!("## {}", env!("CARGO_PKG_VERSION"))));
}
