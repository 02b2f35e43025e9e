/// Bytes of coefficients that the decoder keeps of the whole picture: 2 for each pixel and component if the
/// file has several scans (progressive, or one scan for each component), else none. Chroma counts as if it were
/// not subsampled. Bytes that are no JPEG give 0: the decoder refuses them.
pub(super) fn coefficient_bytes(bytes: &[u8], pixels: u64) -> u64 {
    let mut frame = None;
    let mut at = 2;
    while let Some(&[0xff, marker, high, low]) = bytes.get(at..at + 4) {
        match marker {
            // Padding before a marker.
            0xff => {
                at += 1;
                continue;
            }
            0xc0..=0xcf if ![0xc4, 0xc8, 0xcc].contains(&marker) => {
                let progressive = [0xc2, 0xc6, 0xca, 0xce].contains(&marker);
                frame = bytes.get(at + 9).map(|components| (progressive, *components));
            }
            0xda => {
                let in_scan = bytes.get(at + 4).copied();
                return match frame {
                    Some((progressive, components)) if progressive || in_scan != Some(components) => {
                        2 * u64::from(components) * pixels
                    }
                    _ => 0,
                };
            }
            _ => {}
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(frame: u8, components: u8, in_scan: u8) -> Vec<u8> {
        let mut bytes = vec![0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff];
        bytes.extend([0xff, frame, 0, 17, 8, 0, 1, 0, 1, components]);
        bytes.extend([0; 9]);
        bytes.extend([0xff, 0xc4, 0, 2, 0xff, 0xda, 0, 12, in_scan]);
        bytes
    }

    #[test]
    fn files_of_several_scans_keep_their_coefficients() {
        assert_eq!(coefficient_bytes(&file(0xc0, 3, 3), 10), 0);
        assert_eq!(coefficient_bytes(&file(0xc0, 3, 1), 10), 60);
        assert_eq!(coefficient_bytes(&file(0xc2, 3, 3), 10), 60);
        assert_eq!(coefficient_bytes(&file(0xc2, 1, 1), 10), 20);
        for cut in 0..file(0xc2, 3, 3).len() {
            assert_eq!(
                coefficient_bytes(&file(0xc2, 3, 3)[..cut], 10),
                if cut < 36 { 0 } else { 60 },
                "{cut}"
            );
        }
    }
}
