use crate::colour::nearest;
use crate::outline::Outline;
use crate::{Colour, Picture, Shape};

/// A thing in a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// The shape that covers it best.
    pub shape: Shape,
    /// The palette's colour that is nearest.
    pub colour: Colour,
    /// Of its centre, of a triangle the centroid; in halves of the width, from the middle to the right.
    pub x: f32,
    /// The same down, in halves of the height.
    pub y: f32,
    /// In halves of the shorter side.
    pub radius: f32,
    /// Radians, clockwise, below the shape's period.
    pub angle: f32,
    /// Share of the picture.
    pub area: f32,
    /// What it and the shape have in common, of what they cover together: 1 is a perfect drawing.
    pub overlap: f32,
}

/// Areas of less than this share of the shorter side's square are specks.
const SPECK: f32 = 0.004;
/// What fills more of the picture is a background, of a colour that backgrounds do not have.
const LARGEST: f32 = 0.5;
/// Half the width, in shorter sides, of what is a thing and no soft edge.
const THICK: f32 = 0.012;

/// The things in a picture, the largest first.
pub fn things(picture: &Picture) -> Vec<Found> {
    let picture = &picture.reduced();
    let pixels = Pixels::new(picture);
    let short = picture.width().min(picture.height()) as f32;
    let least = (SPECK * short * short) as usize;
    let mut seeds: Vec<Seed> = pixels.areas().into_iter().filter(|seed| seed.places.len() >= least).collect();
    seeds.retain_mut(|seed| pixels.thick(seed, (THICK * short).round() as usize));
    seeds.sort_by_key(|seed| std::cmp::Reverse(seed.places.len()));
    let mut owner = vec![usize::MAX; pixels.labels.len()];
    for (index, seed) in seeds.iter().enumerate() {
        seed.places.iter().for_each(|&place| owner[place] = index);
    }
    let mut found: Vec<Found> =
        seeds.iter().enumerate().map(|(index, seed)| pixels.measure(seed, index, &mut owner)).collect();
    found.retain(|found| found.area <= LARGEST);
    found.sort_by(|a, b| b.area.total_cmp(&a.area));
    found
}

/// Connected pixels of one label.
struct Seed {
    colour: Colour,
    places: Vec<usize>,
}

struct Pixels<'a> {
    picture: &'a Picture,
    /// The thing's colour of each pixel; `None` for the background.
    labels: Vec<Option<Colour>>,
    /// The background's colour in each row.
    behind: Vec<[f32; 3]>,
}

impl<'a> Pixels<'a> {
    fn new(picture: &'a Picture) -> Pixels<'a> {
        let (width, height) = (picture.width(), picture.height());
        let places = (0..width * height).map(|i| (i % width, i / width));
        let labels: Vec<_> = places.map(|(x, y)| nearest(picture.at(x, y))).collect();
        let row = |y: usize| {
            let columns = (0..width).filter(|x| labels[y * width + x].is_none());
            median(columns.map(|x| picture.at(x, y)))
        };
        let rows: Vec<Option<[f32; 3]>> = (0..height).map(row).collect();
        // A thing may fill a row: the next row's background is near enough.
        let near = |y: usize| {
            let row = |y: usize| rows.get(y).copied().flatten();
            (0..height).find_map(|d| row(y + d).or(row(y.wrapping_sub(d)))).unwrap_or([128.0; 3])
        };
        let behind = (0..height).map(near).collect();
        Pixels { picture, labels, behind }
    }

    /// Every connected area of a thing's colour.
    fn areas(&self) -> Vec<Seed> {
        let mut seen = vec![false; self.labels.len()];
        let mut areas = Vec::new();
        for start in 0..self.labels.len() {
            let Some(colour) = self.labels[start].filter(|_| !seen[start]) else { continue };
            seen[start] = true;
            let mut places = vec![start];
            let mut next = 0;
            while let Some(&place) = places.get(next) {
                next += 1;
                for neighbour in self.neighbours(place) {
                    if !seen[neighbour] && self.labels[neighbour] == Some(colour) {
                        seen[neighbour] = true;
                        places.push(neighbour);
                    }
                }
            }
            areas.push(Seed { colour, places });
        }
        areas
    }

    /// Whether some pixel has nothing but its own colour within `reach`: a soft edge has none.
    fn thick(&self, seed: &Seed, reach: usize) -> bool {
        let (width, height) = (self.picture.width(), self.picture.height());
        seed.places.iter().any(|place| {
            let (x, y) = (place % width, place / width);
            let inside = x >= reach && y >= reach && x + reach < width && y + reach < height;
            inside
                && (y - reach..=y + reach).all(|row| {
                    let row = &self.labels[row * width..(row + 1) * width];
                    row[x - reach..=x + reach].iter().all(|label| *label == Some(seed.colour))
                })
        })
    }

    /// The area up to where its colour and the background are mixed by half, and its shape.
    fn measure(&self, seed: &Seed, index: usize, owner: &mut [usize]) -> Found {
        let (width, height) = (self.picture.width(), self.picture.height());
        let at = |place: usize| self.picture.at(place % width, place / width);
        let colour = median(seed.places.iter().map(|&place| at(place))).unwrap_or_default();
        let belongs = |place: usize| {
            let pixel = at(place).map(f32::from);
            distance(pixel, colour) < distance(pixel, self.behind[place / width])
        };
        let mut places: Vec<usize> = seed.places.iter().copied().filter(|&place| belongs(place)).collect();
        let mut next = 0;
        while let Some(&place) = places.get(next) {
            next += 1;
            for neighbour in self.neighbours(place) {
                if owner[neighbour] == usize::MAX && belongs(neighbour) {
                    owner[neighbour] = index;
                    places.push(neighbour);
                }
            }
        }
        let mut mask = vec![false; self.labels.len()];
        places.iter().for_each(|&place| mask[place] = true);
        let count = places.len().max(1) as f32;
        let sum = |of: fn(usize, usize) -> usize| {
            places.iter().map(|&place| of(place, width) as f64 + 0.5).sum::<f64>() as f32 / count
        };
        let (x, y) = (sum(|place, width| place % width), sum(|place, width| place / width));
        let root = count.sqrt();
        let inside = |x: f32, y: f32| {
            let within = x >= 0.0 && y >= 0.0 && x < width as f32 && y < height as f32;
            within && mask[y as usize * width + x as usize]
        };
        let fit = Outline::new([x, y], root, inside).fit();
        let (width, height) = (width as f32, height as f32);
        Found {
            shape: fit.shape,
            colour: nearest(colour.map(|c| c as u8)).unwrap_or(seed.colour),
            x: (x + fit.centre[0] * root) / width * 2.0 - 1.0,
            y: (y + fit.centre[1] * root) / height * 2.0 - 1.0,
            radius: fit.radius * root / (width.min(height) / 2.0),
            angle: fit.angle,
            area: count / (width * height),
            overlap: fit.overlap,
        }
    }

    fn neighbours(&self, place: usize) -> impl Iterator<Item = usize> + use<> {
        let (width, count) = (self.picture.width(), self.labels.len());
        let x = place % width;
        let left = (x > 0).then(|| place - 1);
        let right = (x + 1 < width).then_some(place + 1);
        let below = (place + width < count).then_some(place + width);
        [left, right, place.checked_sub(width), below].into_iter().flatten()
    }
}

/// Channel by channel; `None` of nothing.
fn median(pixels: impl Iterator<Item = [u8; 3]>) -> Option<[f32; 3]> {
    let mut counts = [[0usize; 256]; 3];
    let mut total = 0;
    for pixel in pixels {
        total += 1;
        counts.iter_mut().zip(pixel).for_each(|(counts, value)| counts[usize::from(value)] += 1);
    }
    let middle = |counts: &[usize; 256]| {
        let mut sum = 0;
        let half = counts.iter().position(|count| {
            sum += count;
            2 * sum >= total
        });
        half.unwrap_or_default() as f32
    };
    (total > 0).then(|| [middle(&counts[0]), middle(&counts[1]), middle(&counts[2])])
}

fn distance(a: [f32; 3], b: [f32; 3]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}
