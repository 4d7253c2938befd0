//! Puts the page into the binary: every file of src/web that is no Rust, as it is and
//! compressed, in a table that src/web/mod.rs includes.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use zopfli::{Format, Options};

fn main() -> io::Result<()> {
    let from = PathBuf::from(env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("src/web");
    let to = PathBuf::from(env::var("OUT_DIR").unwrap_or_default());
    println!("cargo::rerun-if-changed={}", from.display());

    let mut table = String::from("&[\n");
    for path in files(&from)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = fs::read(&path)?;
        let compressed = to.join(format!("{name}.gz"));
        fs::write(&compressed, gzip(&bytes)?)?;
        // The entry page has the address that people type.
        let address = if name == "index.html" { "/".to_owned() } else { format!("/{name}") };
        let _ = writeln!(
            table,
            "Asset {{ path: {address:?}, name: {name:?}, etag: {:?}, plain: include_bytes!({path:?}), \
             gzip: include_bytes!({compressed:?}) }},",
            etag(&bytes)
        );
    }
    table.push(']');
    fs::write(to.join("assets.rs"), table)
}

/// The files to serve, in the same order on every machine.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() && path.extension().is_some_and(|extension| extension != "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressed = Vec::new();
    zopfli::compress(Options::default(), Format::Gzip, bytes, &mut compressed)?;
    Ok(compressed)
}

/// A strong validator (RFC 9110, section 8.8.3): the content's hash.
fn etag(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}
