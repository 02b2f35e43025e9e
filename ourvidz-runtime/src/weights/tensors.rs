use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use crate::{Error, Result, TensorView};

/// The tensors of one component of a checkpoint, and which of them a graph has read.
#[derive(Debug)]
pub struct TensorSet {
    component: String,
    tensors: BTreeMap<String, TensorView>,
    read: RefCell<BTreeSet<String>>,
}

impl TensorSet {
    /// `component` names the part in errors, e.g. `unet`.
    pub fn new(component: impl Into<String>, tensors: BTreeMap<String, TensorView>) -> TensorSet {
        TensorSet { component: component.into(), tensors, read: RefCell::default() }
    }

    /// The root of the names.
    pub fn root(&self) -> Weights<'_> {
        Weights { set: self, prefix: String::new() }
    }

    /// The component's name.
    pub fn component(&self) -> &str {
        &self.component
    }

    /// Every tensor with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TensorView)> {
        self.tensors.iter().map(|(name, view)| (name.as_str(), view))
    }

    /// Marks a tensor as not needed. For buffers that checkpoints carry and models do not use, by name.
    pub fn skip(&self, name: &str) {
        self.read.borrow_mut().insert(name.to_owned());
    }

    /// Checks that every tensor was read: an unread one means that the configuration is not the checkpoint's.
    ///
    /// # Errors
    /// [`Error::UnreadTensors`] with the first five names.
    pub fn finish(&self) -> Result<()> {
        let read = self.read.borrow();
        let unread: Vec<_> = self.tensors.iter().filter(|(name, _)| !read.contains(*name)).collect();
        if unread.is_empty() {
            return Ok(());
        }
        let first: Vec<_> =
            unread.iter().take(5).map(|(name, view)| format!("{name} {:?}", view.shape)).collect();
        Err(Error::UnreadTensors {
            component: self.component.clone(),
            count: unread.len(),
            first: first.join(", "),
        })
    }
}

/// A place in a checkpoint, walked like a folder: `w.at("down_blocks").at(0).at("resnets")`.
#[derive(Debug, Clone)]
pub struct Weights<'a> {
    set: &'a TensorSet,
    prefix: String,
}

impl Weights<'_> {
    /// One level down.
    #[must_use]
    pub fn at(&self, part: impl Display) -> Self {
        Weights { set: self.set, prefix: self.name(part) }
    }

    /// Reads a tensor and marks it as read.
    ///
    /// # Errors
    /// [`Error::MissingTensor`], [`Error::WrongShape`].
    pub fn tensor(&self, name: &str, expected: &[usize]) -> Result<TensorView> {
        let full = self.name(name);
        let component = self.set.component.clone();
        let Some(view) = self.set.tensors.get(&full) else {
            return Err(Error::MissingTensor { component, tensor: full, expected: format!("{expected:?}") });
        };
        if view.shape != expected {
            let (expected, found) = (format!("{expected:?}"), format!("{:?}", view.shape));
            return Err(Error::WrongShape { component, tensor: full, expected, found });
        }
        self.set.read.borrow_mut().insert(full);
        Ok(view.clone())
    }

    /// Shape of a tensor, without reading it.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.set.tensors.get(&self.name(name)).map(|view| view.shape.as_slice())
    }

    /// Full name of `part` at this place.
    pub fn name(&self, part: impl Display) -> String {
        if self.prefix.is_empty() { part.to_string() } else { format!("{}.{part}", self.prefix) }
    }
}
