//! Whether pictures and clips of the demo models show what their prompts say.
//!
//! ```
//! use ourvidz_demo_score::{Scene, Thing, draw, things};
//!
//! let circle = Thing { shape: "circle".parse()?, colour: "red".parse()?, x: -0.2, y: 0.1, radius: 0.4, angle: 0.0 };
//! let scene = Scene { background: ["white".to_owned(), "grey".to_owned()], things: vec![circle] };
//! let found = things(&draw(&scene, 256, 256)?);
//! assert_eq!((found[0].shape, found[0].colour), (circle.shape, circle.colour));
//! # Ok::<(), ourvidz_demo_score::Error>(())
//! ```
//!
//! Colours are the nearest of the palette in CIELAB, things are connected areas of one colour. An area is brought to one
//! place and size by its moments of order zero and one, and compared with every shape at every angle: the largest
//! overlap says the shape. The track of a thing over the frames says how it moves. The world is that of
//! `examples/demo-models/world.py`, whose formulas are here again.
#![forbid(unsafe_code)]

mod clip;
mod colour;
mod error;
mod judge;
mod lists;
mod outline;
mod picture;
mod render;
mod run;
mod segment;
mod shape;
mod text;

pub use clip::{Motion, Track, track};
pub use colour::Colour;
pub use error::{Error, Result};
pub use judge::{Verdict, judge_clip, judge_picture};
pub use lists::{ClipEntry, Ends, EnhanceEntry, ImageEntry, Kind, Lists, ReferenceEntry, Relation, Wanted};
pub use picture::Picture;
pub use render::{Scene, Thing, draw};
pub use run::{Held, Models, Score, Settings, folders};
pub use segment::{Found, things};
pub use shape::Shape;
pub use text::judge_text;
