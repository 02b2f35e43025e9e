use ourvidz_runtime::Tensor;

use crate::Result;
use crate::graphs::VaeDecoder;

/// The frames that a held last latent frame stands for, decoded behind nothing but their own picture: [3, N, H, W].
///
/// The VAE decodes the latent frame of a video after all that comes before it, and may show some of that in it. So the
/// video's last N frames pass into these, evenly, and the very last one is the picture as near as the VAE brings it.
#[derive(Debug)]
pub(crate) struct Ending {
    frames: Vec<f32>,
    count: usize,
}

impl Ending {
    /// `still`: latents [1, C, F, h, w] of the picture standing still.
    pub(crate) fn decode(decoder: &mut VaeDecoder, still: &Tensor) -> Result<Ending> {
        let video = decoder.decode(still)?;
        let frames = video.shape().get(2).copied().unwrap_or_default();
        let count = decoder.frames_of_latent().min(frames);
        let planes = video.shape().get(3..).map_or(0, |sizes| sizes.iter().product());
        let video = video.into_f32();
        let last = video.chunks_exact((frames * planes).max(1)).flat_map(|c| &c[(frames - count) * planes..]);
        Ok(Ending { frames: last.copied().collect(), count })
    }

    /// Lets frames [3, F, H, W], behind which `behind` follow, pass into the ending.
    pub(crate) fn pass_into(&self, values: &mut [f32], frames: usize, behind: usize) {
        let area = values.len() / (3 * frames).max(1);
        for channel in 0..3 {
            for frame in 0..frames {
                // Frames of the video from this one on.
                let left = behind + frames - frame;
                let Some(index) = self.count.checked_sub(left) else { continue };
                let weight = (index + 1) as f32 / self.count as f32;
                let to = &self.frames[(channel * self.count + index) * area..][..area];
                let from = &mut values[(channel * frames + frame) * area..][..area];
                from.iter_mut().zip(to).for_each(|(x, y)| *x = (1.0 - weight) * *x + weight * y);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five frames in two parts: what is early stays, and the last frame is the ending's.
    #[test]
    fn the_last_frames_pass_into_the_ending() {
        let ending = Ending { frames: vec![8.0; 3 * 4 * 2], count: 4 };
        let (mut first, mut second) = (vec![0.0; 3 * 3 * 2], vec![0.0; 3 * 2 * 2]);
        ending.pass_into(&mut first, 3, 2);
        ending.pass_into(&mut second, 2, 0);
        for channel in 0..3 {
            assert_eq!(first[channel * 6..][..6], [0.0, 0.0, 2.0, 2.0, 4.0, 4.0]);
            assert_eq!(second[channel * 4..][..4], [6.0, 6.0, 8.0, 8.0]);
        }
        let mut early = vec![1.0; 3 * 2];
        ending.pass_into(&mut early, 1, 4);
        assert_eq!(early, [1.0; 6]);
    }
}
