//! The page, inside of the binary: the files beside this one, put there by build.rs.

/// A file that is served as it is.
#[derive(Debug)]
pub struct Asset {
    /// Where it is served.
    pub path: &'static str,
    /// The file's own name.
    pub name: &'static str,
    /// The value of its `ETag`, quotes included.
    pub etag: &'static str,
    /// Its bytes.
    pub plain: &'static [u8],
    /// The same compressed.
    pub gzip: &'static [u8],
}

/// Where the page is.
pub const PAGE: &str = "/";

/// Where the page says how it is called when it is installed.
pub const MANIFEST: &str = "/manifest.webmanifest";

/// What stands for the title in these two, and is one.
pub const TITLE: &str = "Hallway";

/// What stands in the page for what it says on entering.
pub const WELCOME: &str = "<!--welcome-->";

const ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// What the page may do, which holds for all that it loads: nothing from anywhere else, nothing
/// inline is run, no string becomes markup or script, and nobody frames it. `connect-src` names
/// the WebSocket schemes because browsers before 2022 do not take `'self'` for them.
const POLICY: &str = "default-src 'none'; script-src 'self'; \
    style-src 'self'; img-src 'self' data:; connect-src 'self' ws: wss:; \
    manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// Header fields of the page itself.
const PAGE_FIELDS: &[(&str, &str)] =
    &[("Content-Security-Policy", POLICY), ("Referrer-Policy", "no-referrer")];

/// Header fields of every asset. `no-cache` means: ask whether it is still the same, which `ETag`
/// answers in a few bytes.
const FIELDS: &[(&str, &str)] = &[("Cache-Control", "no-cache"), ("Vary", "Accept-Encoding")];

/// The asset at `path`.
pub fn asset(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

impl Asset {
    /// Names and values of its header fields, but for its type, length and validator.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &'static str)> + use<> {
        let page = if self.path == PAGE { PAGE_FIELDS } else { &[] };
        page.iter().chain(FIELDS).copied()
    }

    /// Its media type, by the ending of its name.
    pub fn content_type(&self) -> &'static str {
        match self.name.rsplit('.').next().unwrap_or_default() {
            "html" => "text/html; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            // Modules are UTF-8, whatever is said of them.
            "js" => "text/javascript",
            "svg" => "image/svg+xml",
            "png" => "image/png",
            "webmanifest" => "application/manifest+json",
            _ => "application/octet-stream",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_here_and_every_file_has_a_type() {
        assert!(asset("/").is_some_and(|page| page.plain.starts_with(b"<!doctype html>")));
        for asset in ASSETS {
            assert_ne!(asset.content_type(), "application/octet-stream", "{}", asset.name);
        }
    }

    #[test]
    fn what_an_operator_may_change_is_there() {
        let count = |path, words: &str| {
            let text = str::from_utf8(asset(path).unwrap().plain).unwrap();
            text.matches(words).count()
        };
        assert_eq!(count(PAGE, &format!("<title>{TITLE}</title>")), 1);
        assert_eq!((count(PAGE, WELCOME), count(MANIFEST, TITLE)), (2, 2));
    }

    #[test]
    fn all_of_it_is_at_most_30_kb_compressed() {
        let all: usize = ASSETS.iter().map(|asset| asset.gzip.len()).sum();
        assert!(all <= 30 * 1024, "{all} bytes");
    }
}
