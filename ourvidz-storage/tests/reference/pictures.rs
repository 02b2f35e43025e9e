use std::io::Cursor;

use bytes::Bytes;
use image::{DynamicImage, ImageFormat, RgbImage};

/// Every pixel tells where it is.
pub(crate) fn gradient(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| [(x * 7) as u8, (y * 5) as u8, ((x + y) * 3) as u8].into())
}

pub(crate) fn encode(picture: impl Into<DynamicImage>, format: ImageFormat) -> Bytes {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner().into()
}

pub(crate) fn png() -> Bytes {
    encode(gradient(24, 16), ImageFormat::Png)
}

/// A PNG chunk with its checksum.
pub(crate) fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let checked = [kind.as_slice(), data].concat();
    let mut crc = u32::MAX;
    for byte in &checked {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
        }
    }
    [&(data.len() as u32).to_be_bytes(), checked.as_slice(), &(!crc).to_be_bytes()].concat()
}

/// A PNG that claims this size and holds almost nothing. `color`: 0 grey, 2 RGB, 6 RGBA.
pub(crate) fn claiming(width: u32, height: u32, depth: u8, color: u8) -> Bytes {
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([depth, color, 0, 0, 0]);
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    bytes.extend(chunk(b"IHDR", &header));
    bytes.extend(chunk(b"IDAT", &[0x78, 0x9c, 0x03, 0, 0, 0, 0, 1]));
    bytes.extend(chunk(b"IEND", b""));
    bytes.into()
}

/// The JPEG with an EXIF segment that asks for `orientation`, 1 to 8.
pub(crate) fn oriented(jpeg: &Bytes, orientation: u8) -> Bytes {
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut bytes = vec![0xff, 0xd8, 0xff, 0xe1];
    bytes.extend((exif.len() as u16 + 2).to_be_bytes());
    bytes.extend(exif);
    bytes.extend(&jpeg[2..]);
    bytes.into()
}
