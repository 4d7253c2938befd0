//! The characters that no name may have, against Unicode's own tables.

use hallway::envelope::name::is_invisible;
use regex_syntax::Parser;
use regex_syntax::hir::{Class, HirKind};

/// What docs/protocol.md says: controls, bidirectional controls, separators of lines, what a
/// renderer shows as nothing, the annotations that wrap a text, and the blank Braille pattern.
const FORBIDDEN: &str = r"[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Default_Ignorable_Code_Point}\u{2800}\u{FFF9}-\u{FFFB}]";

#[test]
fn every_character_of_unicode() {
    let class = Parser::new().parse(FORBIDDEN).expect("a class of characters");
    let HirKind::Class(Class::Unicode(class)) = class.kind() else { panic!("{class:?}") };
    let is_forbidden =
        |char| class.ranges().iter().any(|range| (range.start()..=range.end()).contains(&char));
    let differing: Vec<char> =
        (char::MIN..=char::MAX).filter(|&char| is_invisible(char) != is_forbidden(char)).collect();
    assert!(differing.is_empty(), "{differing:?}");
}
