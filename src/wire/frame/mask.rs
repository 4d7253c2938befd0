//! Masking (RFC 6455, section 5.3): each byte XOR the key's byte at its place modulo four.

/// Bytes that are unmasked at once; a multiple of the key's four. The compiler turns the loop
/// over such a block into vector instructions, without a line of `unsafe`.
const BLOCK: usize = 32;

/// Unmasks `payload` in place and returns the key turned so that it fits the bytes that follow.
///
/// Work: linear, a block at a time. Masking is its own inverse.
pub fn unmask(payload: &mut [u8], key: [u8; 4]) -> [u8; 4] {
    let mut wide = [0; BLOCK];
    for four in wide.chunks_exact_mut(key.len()) {
        four.copy_from_slice(&key);
    }
    let mut blocks = payload.chunks_exact_mut(BLOCK);
    for block in &mut blocks {
        for (byte, key) in block.iter_mut().zip(wide) {
            *byte ^= key;
        }
    }
    let rest = blocks.into_remainder();
    for (byte, key) in rest.iter_mut().zip(wide) {
        *byte ^= key;
    }
    let mut turned = key;
    turned.rotate_left(rest.len() % key.len());
    turned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        // Section 5.7: "Hello", masked.
        let mut payload = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        unmask(&mut payload, [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(&payload, b"Hello");
    }

    #[test]
    fn any_cut_gives_the_same_bytes() {
        let key = [0x11, 0x22, 0x44, 0x88];
        let masked: Vec<u8> = (0..=255).collect();
        let plain: Vec<u8> =
            masked.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]).collect();
        for cut in 0..=masked.len() {
            let mut bytes = masked.clone();
            let (head, tail) = bytes.split_at_mut(cut);
            let turned = unmask(head, key);
            unmask(tail, turned);
            assert_eq!(bytes, plain, "cut at {cut}");
        }
    }
}
