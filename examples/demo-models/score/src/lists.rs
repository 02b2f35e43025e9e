use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Colour, Error, Motion, Result, Scene, Shape, Thing};

/// A thing that a prompt asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Wanted {
    /// What it is.
    pub shape: Shape,
    /// Its colour.
    pub colour: Colour,
}

/// How the first of two things stands to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// The prompt does not say.
    #[default]
    Any,
    /// To the left of it.
    Left,
    /// Above it.
    Above,
}

/// A picture to be drawn.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ImageEntry {
    /// What is asked for.
    pub prompt: String,
    /// Seed of the noise.
    pub seed: u64,
    /// Whether training never had a thing of this shape and colour.
    pub held_out: bool,
    /// What the picture must show.
    pub things: Vec<Wanted>,
    /// How they stand to one another.
    #[serde(default)]
    pub relation: Relation,
}

/// A clip to be drawn.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ClipEntry {
    /// What is asked for.
    pub prompt: String,
    /// Seed of the noise.
    pub seed: u64,
    /// Whether training never had a thing of this shape and colour.
    pub held_out: bool,
    /// What the clip must show.
    pub thing: Wanted,
    /// What the thing must do.
    pub motion: Motion,
}

/// Which ends of a clip are given as pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ends {
    /// The first frame.
    Start,
    /// The last frame.
    End,
    /// Both.
    Both,
}

/// A clip with given frames.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ReferenceEntry {
    /// What is asked for.
    pub prompt: String,
    /// Seed of the noise.
    pub seed: u64,
    /// Whether training never had a thing of this shape and colour.
    pub held_out: bool,
    /// Which ends are given.
    pub ends: Ends,
    /// What the clip must show.
    pub thing: Wanted,
    /// What the thing does.
    pub motion: Motion,
    background: [String; 2],
    start: Place,
    end: Place,
}

/// Where a thing is, as [`Thing`] has it.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
struct Place {
    x: f32,
    y: f32,
    radius: f32,
    angle: f32,
}

impl ReferenceEntry {
    /// The first frame.
    pub fn first(&self) -> Scene {
        self.scene(self.start)
    }

    /// The last frame.
    pub fn last(&self) -> Scene {
        self.scene(self.end)
    }

    fn scene(&self, Place { x, y, radius, angle }: Place) -> Scene {
        let Wanted { shape, colour } = self.thing;
        let things = vec![Thing { shape, colour, x, y, radius, angle }];
        Scene { background: self.background.clone(), things }
    }
}

/// What an enhanced prompt is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A picture.
    Image,
    /// A clip.
    Video,
}

/// A prompt to be enhanced.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct EnhanceEntry {
    /// As a user writes it.
    pub prompt: String,
    /// Seed of the answer.
    pub seed: u64,
    /// Whether training never had a thing of this shape and colour.
    pub held_out: bool,
    /// What it is for.
    pub target: Kind,
    /// What the answer must name, and no other shape.
    pub things: Vec<Wanted>,
    /// What the answer must say of the motion.
    pub motion: Motion,
}

/// The lists that are scored.
#[derive(Debug, Clone)]
pub struct Lists {
    /// `images.json`
    pub images: Vec<ImageEntry>,
    /// `clips.json`
    pub clips: Vec<ClipEntry>,
    /// `references.json`
    pub references: Vec<ReferenceEntry>,
    /// `enhance.json`
    pub enhance: Vec<EnhanceEntry>,
}

impl Lists {
    /// Reads the four lists of a folder.
    ///
    /// # Errors
    /// A file that is not there or is no list.
    pub fn read(folder: &Path) -> Result<Lists> {
        Ok(Lists {
            images: list(folder, "images.json")?,
            clips: list(folder, "clips.json")?,
            references: list(folder, "references.json")?,
            enhance: list(folder, "enhance.json")?,
        })
    }
}

fn list<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<Vec<T>> {
    let path = folder.join(name);
    let text = fs::read_to_string(&path).map_err(|source| Error::File { path: path.clone(), source })?;
    serde_json::from_str(&text).map_err(|source| Error::List { path, source })
}

/// Words of the world are read by their names.
macro_rules! by_name {
    ($($word:ty),*) => {$(
        impl<'de> Deserialize<'de> for $word {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

by_name!(Colour, Motion, Shape);
