/// Pixels of a picture or a frame, 8-bit RGB.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

/// Shorter side that is enough to tell shapes apart; larger pictures are brought down by a whole factor.
const ENOUGH: usize = 200;

impl Picture {
    /// From `3 * width * height` bytes, row by row from the top; `None` for another number of bytes.
    pub fn new(width: usize, height: usize, rgb: Vec<u8>) -> Option<Picture> {
        (rgb.len() == 3 * width * height && !rgb.is_empty()).then_some(Picture { width, height, rgb })
    }

    /// As [`new`](Self::new), of bytes that are known to be as many.
    pub(crate) fn from_parts(width: usize, height: usize, rgb: Vec<u8>) -> Picture {
        Picture { width, height, rgb }
    }

    /// Pixels across.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Pixels down.
    pub fn height(&self) -> usize {
        self.height
    }

    /// `3 * width * height` bytes.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The pixel in column `x` of row `y`.
    pub(crate) fn at(&self, x: usize, y: usize) -> [u8; 3] {
        let at = 3 * (y * self.width + x);
        [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]]
    }

    /// Means of squares of pixels, so that the shorter side still has [`ENOUGH`].
    pub(crate) fn reduced(&self) -> Picture {
        let factor = (self.width.min(self.height) / ENOUGH).max(1);
        if factor == 1 {
            return self.clone();
        }
        let (width, height) = (self.width / factor, self.height / factor);
        let mut rgb = Vec::with_capacity(3 * width * height);
        for y in 0..height {
            for x in 0..width {
                let mut sum = [0usize; 3];
                for (row, column) in (0..factor * factor).map(|i| (i / factor, i % factor)) {
                    let pixel = self.at(x * factor + column, y * factor + row);
                    sum.iter_mut().zip(pixel).for_each(|(sum, channel)| *sum += usize::from(channel));
                }
                rgb.extend(sum.map(|sum| (sum / (factor * factor)) as u8));
            }
        }
        Picture { width, height, rgb }
    }
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({}x{})", self.width, self.height)
    }
}
