use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Multiprocessors of an H100 or H200 SXM.
pub const DEFAULT_MULTIPROCESSORS: u32 = 132;

/// Resident threads per multiprocessor of the data centre cards (compute capability 7.0, 8.0, 9.0, 10.0).
pub const DEFAULT_THREADS_PER_MULTIPROCESSOR: u32 = 2048;

/// Whose `torch.randn` a [`Noise`](super::Noise) reproduces.
///
/// The numbers of the CPU and of CUDA differ. Those of CUDA also depend on the card, but only for tensors of
/// more elements than the card holds threads: 256 threads per block, at most
/// `multiprocessors * (threads_per_multiprocessor / 256)` blocks. On an H100 that is 270 336 elements; the
/// latents of one 1024x1024 SDXL image are 65 536, those of a WAN video about two million.
///
/// | card | multiprocessors | threads per multiprocessor |
/// |---|---|---|
/// | H100 SXM, H200 | 132 | 2048 |
/// | H100 PCIe | 114 | 2048 |
/// | A100 | 108 | 2048 |
/// | L40S, RTX 6000 Ada | 142 | 1536 |
/// | RTX 4090 | 128 | 1536 |
/// | RTX A6000 | 84 | 1536 |
/// | RTX 3090 | 82 | 1536 |
/// | T4 | 40 | 1024 |
///
/// As text: `torch-cpu`, `torch-cuda` (the default card), `torch-cuda:108` (2048 threads per multiprocessor),
/// `torch-cuda:142x1536`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum NoiseSource {
    /// `torch.randn(..., device="cuda")` on a card with 2048 threads per multiprocessor.
    TorchCuda {
        /// Number of multiprocessors, at least 1.
        multiprocessors: u32,
    },
    /// `torch.randn(..., device="cuda")` on any card.
    TorchCudaCard {
        /// Number of multiprocessors, at least 1.
        multiprocessors: u32,
        /// Resident threads per multiprocessor, at least 256.
        threads_per_multiprocessor: u32,
    },
    /// `torch.randn(...)` on the CPU.
    TorchCpu,
}

impl NoiseSource {
    /// Most blocks of 256 threads that torch launches at once; `None` for the CPU.
    pub(super) fn max_blocks(self) -> Option<u64> {
        let (multiprocessors, threads) = match self {
            Self::TorchCuda { multiprocessors } => (multiprocessors, DEFAULT_THREADS_PER_MULTIPROCESSOR),
            Self::TorchCudaCard { multiprocessors, threads_per_multiprocessor } => {
                (multiprocessors, threads_per_multiprocessor)
            }
            Self::TorchCpu => return None,
        };
        // A card that holds no block does not exist; 1 keeps the arithmetic defined.
        Some((u64::from(multiprocessors) * u64::from(threads / super::philox::BLOCK)).max(1))
    }
}

impl Default for NoiseSource {
    fn default() -> Self {
        Self::TorchCuda { multiprocessors: DEFAULT_MULTIPROCESSORS }
    }
}

impl fmt::Display for NoiseSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TorchCuda { multiprocessors: DEFAULT_MULTIPROCESSORS } => f.write_str("torch-cuda"),
            Self::TorchCuda { multiprocessors } => write!(f, "torch-cuda:{multiprocessors}"),
            Self::TorchCudaCard { multiprocessors, threads_per_multiprocessor } => {
                write!(f, "torch-cuda:{multiprocessors}x{threads_per_multiprocessor}")
            }
            Self::TorchCpu => f.write_str("torch-cpu"),
        }
    }
}

impl FromStr for NoiseSource {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse(text).ok_or_else(|| Error::Invalid {
            field: "noise_source".into(),
            rule: "must be torch-cpu, torch-cuda, torch-cuda:MULTIPROCESSORS or \
                   torch-cuda:MULTIPROCESSORSxTHREADS with 256 threads or more"
                .into(),
            value: text.chars().take(64).collect(),
        })
    }
}

impl TryFrom<String> for NoiseSource {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<NoiseSource> for String {
    fn from(source: NoiseSource) -> Self {
        source.to_string()
    }
}

fn parse(text: &str) -> Option<NoiseSource> {
    match text {
        "torch-cpu" => return Some(NoiseSource::TorchCpu),
        "torch-cuda" => return Some(NoiseSource::default()),
        _ => {}
    }
    let card = text.strip_prefix("torch-cuda:")?;
    let Some((multiprocessors, threads)) = card.split_once('x') else {
        let multiprocessors = card.parse().ok().filter(|&n| n > 0)?;
        return Some(NoiseSource::TorchCuda { multiprocessors });
    };
    Some(NoiseSource::TorchCudaCard {
        multiprocessors: multiprocessors.parse().ok().filter(|&n| n > 0)?,
        threads_per_multiprocessor: threads.parse().ok().filter(|&n| n >= super::philox::BLOCK)?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for (text, blocks) in [
            ("torch-cpu", None),
            ("torch-cuda", Some(132 * 8)),
            ("torch-cuda:108", Some(108 * 8)),
            ("torch-cuda:142x1536", Some(142 * 6)),
            ("torch-cuda:40x1024", Some(40 * 4)),
        ] {
            let source: NoiseSource = text.parse().unwrap();
            assert_eq!(source.to_string(), text);
            assert_eq!(source.max_blocks(), blocks, "{text}");
            let json = serde_json::to_string(&source).unwrap();
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<NoiseSource>(&json).unwrap(), source);
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "cuda", "torch-cuda:", "torch-cuda:0", "torch-cuda:132x255", "torch-cuda:x1536"] {
            assert!(text.parse::<NoiseSource>().is_err(), "{text}");
        }
    }
}
