//! The scorer by itself: right for what world.py draws, also when it is soft and its colours are off, and wrong for
//! everything else.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use image::{RgbImage, imageops};
use ourvidz_demo_score::{
    Colour, Motion, Picture, Relation, Scene, Shape, Thing, Wanted, draw, judge_picture, things, track,
};
use serde_json::Value;

const SIDE: u32 = 128;

/// Scenes and their pictures by world.py.
fn fixtures() -> Vec<(Scene, Picture)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let scenes: Vec<Value> =
        serde_json::from_str(&std::fs::read_to_string(folder.join("scenes.json")).unwrap()).unwrap();
    let sheet = image::open(folder.join("scenes.png")).unwrap().into_rgb8();
    let columns = sheet.width() / SIDE;
    let cut =
        |i: u32| imageops::crop_imm(&sheet, i % columns * SIDE, i / columns * SIDE, SIDE, SIDE).to_image();
    scenes.iter().zip(0..).map(|(value, i)| (scene(value), picture(cut(i)))).collect()
}

fn scene(value: &Value) -> Scene {
    let background = |i: usize| value["background"][i].as_str().unwrap().to_owned();
    let thing = |value: &Value| {
        let number = |name: &str| value[name].as_f64().unwrap() as f32;
        Thing {
            shape: value["shape"].as_str().unwrap().parse().unwrap(),
            colour: value["colour"].as_str().unwrap().parse().unwrap(),
            x: number("x"),
            y: number("y"),
            radius: number("radius"),
            angle: number("angle"),
        }
    };
    let things = value["things"].as_array().unwrap().iter().map(thing).collect();
    Scene { background: [background(0), background(1)], things }
}

fn picture(image: RgbImage) -> Picture {
    let (width, height) = (image.width() as usize, image.height() as usize);
    Picture::new(width, height, image.into_raw()).unwrap()
}

fn image_of(picture: &Picture) -> RgbImage {
    RgbImage::from_raw(picture.width() as u32, picture.height() as u32, picture.rgb().to_vec()).unwrap()
}

fn wanted(scene: &Scene) -> Vec<Wanted> {
    scene.things.iter().map(|thing| Wanted { shape: thing.shape, colour: thing.colour }).collect()
}

/// Numbers from 0 to 1 that look random.
fn random(seed: u32) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32
    }
}

/// What a small VAE does: blur, colours that are off by up to 12, and some noise.
fn soft(picture: &Picture, seed: u32) -> Picture {
    let mut random = random(seed + 1);
    let off = [random(), random(), random()].map(|x| 24.0 * x - 12.0);
    let mut blurred = imageops::blur(&image_of(picture), picture.width() as f32 / 140.0);
    for pixel in blurred.pixels_mut() {
        for (value, off) in pixel.0.iter_mut().zip(off) {
            *value = (f32::from(*value) + off + 12.0 * random() - 6.0).clamp(0.0, 255.0) as u8;
        }
    }
    self::picture(blurred)
}

/// Of the pixels that a thing changes.
fn centroid(scene: &Scene, thing: &Thing) -> (f32, f32) {
    let of = |things| draw(&Scene { things, ..scene.clone() }, 256, 256).unwrap();
    let (with, without) = (of(vec![*thing]), of(vec![]));
    let pixels = with.rgb().chunks(3).zip(without.rgb().chunks(3)).enumerate();
    let changed: Vec<usize> = pixels.filter(|(_, (a, b))| a != b).map(|(i, _)| i).collect();
    let mean = |of: fn(usize) -> usize| {
        let sum: usize = changed.iter().map(|&i| of(i)).sum();
        (sum as f32 / changed.len() as f32 + 0.5) / 128.0 - 1.0
    };
    (mean(|i| i % 256), mean(|i| i / 256))
}

fn one(shape: Shape, colour: Colour, background: &str) -> Scene {
    let thing = Thing { shape, colour, x: 0.1, y: -0.1, radius: 0.38, angle: 0.07 };
    Scene { background: [background.to_owned(), background.to_owned()], things: vec![thing] }
}

fn right(picture: &Picture, wanted: &[Wanted]) -> bool {
    judge_picture(picture, wanted, Relation::Any).right
}

#[test]
fn the_formulas_are_those_of_world_py() {
    for (i, (scene, expected)) in fixtures().iter().enumerate() {
        let drawn = draw(scene, SIDE as usize, SIDE as usize).unwrap();
        let most = drawn.rgb().iter().zip(expected.rgb()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(most <= Some(1), "scene {i}: differs by {most:?} of 255");
    }
}

#[test]
fn what_world_py_draws_is_right_and_measured() {
    for (i, (scene, picture)) in fixtures().iter().enumerate() {
        let found = things(picture);
        assert_eq!(found.len(), scene.things.len(), "scene {i}: {found:?}");
        assert!(right(picture, &wanted(scene)), "scene {i}: {found:?}");
        for thing in &scene.things {
            let found = found.iter().find(|found| (found.shape, found.colour) == (thing.shape, thing.colour));
            let found = found.unwrap();
            let triangle = thing.shape == Shape::Triangle;
            let (x, y) = if triangle { centroid(scene, thing) } else { (thing.x, thing.y) };
            let away = (found.x - x).hypot(found.y - y);
            assert!(away < 0.02, "scene {i}: {found:?} is not at {x} {y}");
            assert!((found.radius / thing.radius - 1.0).abs() < 0.06, "scene {i}: {found:?}, {thing:?}");
        }
    }
}

/// Every shape in every colour, on every background by turns, at the size that models draw and soft as their VAEs are.
#[test]
fn soft_pictures_are_right() {
    let mut seed = 0;
    for shape in Shape::ALL {
        for colour in Colour::all() {
            for _ in 0..2 {
                seed += 1;
                let background = ["white", "grey", "black", "beige", "navy"][seed as usize % 5];
                let scene = one(shape, colour, background);
                let picture = soft(&draw(&scene, 256, 256).unwrap(), seed);
                assert!(right(&picture, &wanted(&scene)), "{scene:?}: {:?}", things(&picture));
            }
        }
    }
    for (i, (scene, _)) in fixtures().iter().enumerate() {
        let picture = soft(&draw(scene, 256, 256).unwrap(), i as u32);
        assert!(right(&picture, &wanted(scene)), "scene {i}: {:?}", things(&picture));
    }
}

#[test]
fn another_shape_or_colour_is_wrong() {
    let colours: Vec<Colour> = Colour::all().collect();
    for shape in Shape::ALL {
        for (i, &colour) in colours.iter().enumerate() {
            let background = ["white", "grey", "black", "beige", "navy"][i % 5];
            let picture = soft(&draw(&one(shape, colour, background), 256, 256).unwrap(), i as u32);
            for other in Shape::ALL.into_iter().filter(|other| *other != shape) {
                assert!(!right(&picture, &[Wanted { shape: other, colour }]), "{shape:?} for {other:?}");
            }
            for &other in colours.iter().filter(|other| **other != colour) {
                assert!(!right(&picture, &[Wanted { shape, colour: other }]), "{colour:?} for {other:?}");
            }
        }
    }
}

#[test]
fn one_thing_more_or_less_is_wrong() {
    for (scene, picture) in fixtures().iter().filter(|(scene, _)| scene.things.len() == 2) {
        let both = wanted(scene);
        assert!(right(picture, &both) && right(picture, &[both[1], both[0]]));
        assert!(!right(picture, &both[..1]) && !right(picture, &both[1..]), "one of two");
        assert!(!right(picture, &[both[0], both[0]]), "one thing twice");
        let swapped = |a: usize, b: usize| Wanted { shape: both[a].shape, colour: both[b].colour };
        if both[0].shape != both[1].shape && both[0].colour != both[1].colour {
            assert!(!right(picture, &[swapped(0, 1), swapped(1, 0)]), "colours swapped");
        }
        let relation = |first: usize, second: usize, relation| {
            judge_picture(picture, &[both[first], both[second]], relation).right
        };
        let beside = (scene.things[0].x - scene.things[1].x).abs() > 0.5;
        assert_eq!(relation(0, 1, Relation::Left), beside);
        assert_eq!(relation(0, 1, Relation::Above), !beside);
        assert!(!relation(1, 0, Relation::Left) && !relation(1, 0, Relation::Above), "the other way round");
    }
}

#[test]
fn empty_pictures_noise_and_blots_are_wrong() {
    let mut pictures = Vec::new();
    for background in ["white", "grey", "black", "beige", "navy"] {
        let scene = Scene { background: [background.to_owned(), "white".to_owned()], things: vec![] };
        pictures.push(soft(&draw(&scene, 256, 256).unwrap(), 5));
        let nothing = judge_picture(pictures.last().unwrap(), &[], Relation::Any);
        assert_eq!(nothing.seen, "nothing");
    }
    for coarse in [1, 4, 16, 48] {
        let mut random = random(coarse);
        let small = RgbImage::from_fn(256 / coarse, 256 / coarse, |_, _| {
            image::Rgb([(); 3].map(|()| (255.0 * random()) as u8))
        });
        pictures.push(picture(imageops::resize(&small, 256, 256, imageops::FilterType::CatmullRom)));
    }
    // A blot that is none of the shapes, in each colour.
    for colour in Colour::all() {
        pictures.push(picture(RgbImage::from_fn(256, 256, |x, y| {
            let (x, y) = (x as f32 / 128.0 - 1.0, y as f32 / 128.0 - 1.0);
            let blot = (y / 0.12).abs() < 1.0 && x.abs() < 0.7 || (x - 0.5).abs() < 0.1 && y.abs() < 0.7;
            image::Rgb(if blot { colour.rgb() } else { [240, 240, 236] })
        })));
    }
    // One colour from edge to edge.
    pictures.push(picture(RgbImage::from_pixel(256, 256, image::Rgb([220, 40, 40]))));
    for (i, picture) in pictures.iter().enumerate() {
        for shape in Shape::ALL {
            for colour in Colour::all() {
                assert!(
                    !right(picture, &[Wanted { shape, colour }]),
                    "picture {i} is no {colour:?} {shape:?}"
                );
            }
        }
    }
}

/// Frames of one thing that moves by `path` (dx, dy, growth of the radius, turn) over the whole clip.
fn clip(shape: Shape, path: [f32; 4], size: (usize, usize)) -> Vec<Picture> {
    const FRAMES: u32 = 9;
    let colour: Colour = "orange".parse().unwrap();
    let frame = |index: u32| {
        let time = index as f32 / (FRAMES - 1) as f32;
        let [dx, dy, grow, turn] = path;
        let thing = Thing {
            shape,
            colour,
            x: dx * (time - 0.5),
            y: dy * (time - 0.5),
            radius: if grow > 0.0 { 0.25 } else { 0.36 } + grow * time,
            angle: 0.1 + turn * time,
        };
        let background = ["navy".to_owned(), "grey".to_owned()];
        soft(&draw(&Scene { background, things: vec![thing] }, size.0, size.1).unwrap(), index)
    };
    (0..FRAMES).map(frame).collect()
}

const PATHS: [(Motion, [f32; 4]); 7] = [
    (Motion::Still, [0.0; 4]),
    (Motion::Left, [-0.85, 0.0, 0.0, 0.0]),
    (Motion::Right, [0.75, 0.0, 0.0, 0.0]),
    (Motion::Up, [0.0, -0.95, 0.0, 0.0]),
    (Motion::Down, [0.0, 0.8, 0.0, 0.0]),
    (Motion::Growing, [0.0, 0.0, 0.33, 0.0]),
    (Motion::Turning, [0.0, 0.0, 0.0, 1.9]),
];

#[test]
fn every_motion_is_told() {
    for shape in Shape::ALL {
        for (motion, path) in PATHS {
            if motion == Motion::Turning && shape.period() == 0.0 {
                continue;
            }
            let track = track(&clip(shape, path, (256, 256)));
            assert_eq!(track.motion(), Some(motion), "{shape:?}: {track:?}");
            assert_eq!((track.shape, track.share_of_shape(shape)), (Some(shape), 1.0), "{track:?}");
            assert!(track.colour.is_some_and(|colour| track.share_of_colour(colour) == 1.0));
        }
    }
    for size in [(240, 416), (832, 480)] {
        for (motion, path) in PATHS {
            let track = track(&clip(Shape::Star, path, size));
            assert_eq!(track.motion(), Some(motion), "{size:?}: {track:?}");
        }
    }
}

#[test]
fn what_is_no_motion_of_the_world_is_none() {
    let motion = |path| track(&clip(Shape::Square, path, (256, 256))).motion();
    assert_eq!(motion([0.7, 0.7, 0.0, 0.0]), None, "aslant");
    assert_eq!(motion([0.3, 0.0, 0.0, 0.0]), None, "not far enough");
    assert_eq!(motion([0.8, 0.0, 0.33, 0.0]), None, "growing on the way");
    assert_eq!(motion([0.0, 0.0, 0.33, 1.9]), Some(Motion::Growing));
    assert_eq!(track(&[]).motion(), None);
    let mut jumps = clip(Shape::Square, [-0.9, 0.0, 0.0, 0.0], (256, 256));
    jumps.rotate_left(4);
    assert_eq!(track(&jumps).motion(), None, "a jump");
    let backwards: Vec<Picture> = {
        let mut clip = clip(Shape::Square, [-0.9, 0.0, 0.0, 0.0], (256, 256));
        clip.reverse();
        clip
    };
    assert_eq!(track(&backwards).motion(), Some(Motion::Right), "the other way");
}
