use std::sync::OnceLock;

use crate::Shape;

/// Cells along each side of the grid that outlines are compared on.
const SIDE: usize = 64;
/// The grid reaches from -1.3 to 1.3 roots of the area: further than any shape does.
const REACH: f32 = 1.3;
/// Steps between the angles that are tried.
const STEP: f32 = std::f32::consts::PI / 60.0;

/// An area at one place and size: its centroid in the middle, its area 1.
pub(crate) struct Outline {
    cells: Cells,
    /// Cells that its area would fill, those beyond the grid included.
    count: f32,
}

/// The shape that covers an outline best.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fit {
    pub(crate) shape: Shape,
    /// Radians, clockwise, below the shape's period.
    pub(crate) angle: f32,
    /// Common area by joint area.
    pub(crate) overlap: f32,
    /// From the area's centroid to the shape's centre, in roots of the area.
    pub(crate) centre: [f32; 2],
    /// The shape's radius in roots of the area.
    pub(crate) radius: f32,
}

type Cells = [u64; SIDE];

impl Outline {
    /// Of the area where `inside` holds, with its centroid and the root of its area in the same unit.
    pub(crate) fn new(centroid: [f32; 2], root: f32, inside: impl Fn(f32, f32) -> bool) -> Outline {
        let cells = cells(|u, v| inside(centroid[0] + u * root, centroid[1] + v * root));
        Outline { cells, count: 1.0 / CELL.powi(2) }
    }

    /// The best of all shapes at all angles.
    pub(crate) fn fit(&self) -> Fit {
        let templates = templates();
        let mut best = (0.0, &templates[0]);
        for template in templates {
            let common: u32 = self.cells.iter().zip(&template.cells).map(|(a, b)| (a & b).count_ones()).sum();
            let common = common as f32;
            let overlap = common / (self.count + template.count - common);
            if overlap > best.0 {
                best = (overlap, template);
            }
        }
        let (overlap, Template { shape, angle, centre, radius, .. }) = best;
        Fit { shape: *shape, angle: *angle, overlap, centre: *centre, radius: *radius }
    }
}

struct Template {
    shape: Shape,
    angle: f32,
    centre: [f32; 2],
    radius: f32,
    cells: Cells,
    count: f32,
}

/// Width of a cell in roots of the area.
const CELL: f32 = 2.0 * REACH / SIDE as f32;

fn templates() -> &'static [Template] {
    static TEMPLATES: OnceLock<Vec<Template>> = OnceLock::new();
    TEMPLATES.get_or_init(|| {
        let mut all = Vec::new();
        for shape in Shape::ALL {
            let (area, middle) = moments(shape);
            let root = area.sqrt();
            let angles = ((shape.period() / STEP).round() as usize).max(1);
            for angle in (0..angles).map(|i| i as f32 * STEP) {
                let (sin, cos) = angle.sin_cos();
                // The centroid, turned with the shape around its centre.
                let x = middle[0] * cos - middle[1] * sin;
                let y = middle[0] * sin + middle[1] * cos;
                let cells = cells(|u, v| {
                    let (u, v) = (x + u * root, y + v * root);
                    shape.distance(u * cos + v * sin, v * cos - u * sin) < 0.0
                });
                let count = cells.iter().map(|row| row.count_ones()).sum::<u32>() as f32;
                // A triangle looks the same after a third of a turn around its centroid, which is not the centre it turns
                // around: where that lies cannot be seen.
                let centre = if shape == Shape::Triangle { [0.0; 2] } else { [-x / root, -y / root] };
                all.push(Template { shape, angle, centre, radius: 1.0 / root, cells, count });
            }
        }
        all
    })
}

/// Area and centroid of a shape of radius 1.
fn moments(shape: Shape) -> (f32, [f32; 2]) {
    const FINE: usize = 400;
    let place = |i: usize| (i as f32 + 0.5) / FINE as f32 * 2.4 - 1.2;
    let (mut count, mut sums) = (0.0, [0.0, 0.0]);
    for (x, y) in (0..FINE * FINE).map(|i| (place(i % FINE), place(i / FINE))) {
        if shape.distance(x, y) < 0.0 {
            count += 1.0;
            sums[0] += f64::from(x);
            sums[1] += f64::from(y);
        }
    }
    let area = count * (2.4 / FINE as f64).powi(2);
    (area as f32, sums.map(|sum| (sum / count) as f32))
}

fn cells(inside: impl Fn(f32, f32) -> bool) -> Cells {
    let place = |i: usize| (i as f32 + 0.5) * CELL - REACH;
    let mut cells = [0; SIDE];
    for (row, bits) in cells.iter_mut().enumerate() {
        for column in 0..SIDE {
            *bits |= u64::from(inside(place(column), place(row))) << column;
        }
    }
    cells
}
