use crate::{Error, Result, WanTransformerConfig};

/// Channels of the VAE's latents.
pub const LATENT_CHANNELS: usize = 16;
/// Pixels per latent row and column.
pub const SPATIAL_COMPRESSION: usize = 8;
/// Frames per latent frame; the first latent frame holds one frame only.
pub const TEMPORAL_COMPRESSION: usize = 4;

/// Sizes of one video: in pixels, in latents and in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoGeometry {
    num_frames: usize,
    height: usize,
    width: usize,
    patch_size: [usize; 3],
}

impl VideoGeometry {
    /// The VAE makes 4n + 1 frames; another `num_frames` is rounded down to the next such number. With a
    /// patch of more than one latent frame, it is rounded down to whole patches too. `height` and `width`
    /// are never rounded: multiples of the VAE's compression times the patch (16 for published models).
    pub fn new(
        num_frames: usize,
        height: usize,
        width: usize,
        config: &WanTransformerConfig,
    ) -> Result<Self> {
        let patch_size = config.patch_size;
        let sides = [("height", height, patch_size[1]), ("width", width, patch_size[2])];
        for (side, value, patch) in sides {
            let multiple = SPATIAL_COMPRESSION * patch;
            if value == 0 || !value.is_multiple_of(multiple) {
                return Err(Error::Size { side, multiple, value });
            }
        }
        let last = num_frames.checked_sub(1).ok_or(Error::NoFrames)?;
        let latent_frames = last / TEMPORAL_COMPRESSION + 1;
        let num_frames = (latent_frames - 1) * TEMPORAL_COMPRESSION + 1;
        Ok(Self { num_frames, height, width, patch_size })
    }

    /// Frames of the decoded video.
    pub fn num_frames(&self) -> usize {
        self.num_frames
    }

    /// Rows of a frame.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns of a frame.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Shape of the latents of one video: [C, F, H, W].
    pub fn latents_shape(&self) -> [usize; 4] {
        let frames = (self.num_frames - 1) / TEMPORAL_COMPRESSION + 1;
        [LATENT_CHANNELS, frames, self.height / SPATIAL_COMPRESSION, self.width / SPATIAL_COMPRESSION]
    }

    /// Tokens along frames, rows and columns. Latents that do not fill a patch get no token.
    pub fn grid(&self) -> [usize; 3] {
        let [_, frames, height, width] = self.latents_shape();
        let [p_f, p_h, p_w] = self.patch_size;
        [frames / p_f, height / p_h, width / p_w]
    }

    /// Tokens of one forward pass.
    pub fn tokens(&self) -> usize {
        self.grid().iter().product()
    }
}
