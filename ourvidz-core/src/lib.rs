//! The mathematics of diffusion, requests and jobs: pure code, no I/O, no ONNX Runtime.
//!
//! ```
//! use std::ops::ControlFlow;
//! use ourvidz_core::{denoise::denoise, noise::{Noise, NoiseSource}, scheduler::SchedulerConfig};
//!
//! let mut scheduler = SchedulerConfig::sdxl_base().build(25)?;
//! let mut noise = Noise::new(42, NoiseSource::default());
//! let mut latents = noise.normal(4 * 128 * 128); // [C, H, W] of a 1024x1024 image
//! latents.iter_mut().for_each(|x| *x *= scheduler.init_noise_sigma());
//! let model = |x: &[f32], timestep: f32| Ok(x.iter().map(|x| x * timestep / (timestep + 1.0)).collect());
//! denoise(&mut *scheduler, &mut latents, &mut noise, model, |_| ControlFlow::Continue(()))?;
//! # assert!(latents.iter().all(|x| x.is_finite()));
//! # Ok::<(), ourvidz_core::Error>(())
//! ```
//!
//! - [`denoise`]: the denoising loop, with the model as a closure; from a later step, and holding known latents
//! - [`guidance`]: classifier-free guidance
//! - [`job`]: queue payloads, every spelling of every field, to one typed request; callbacks out
//! - [`noise`]: seeded noise, number for number that of torch
//! - [`policy`]: what is never made, decided from the prompt
//! - [`request`]: what a caller asks of a pipeline
//! - [`scheduler`]: Euler and Euler ancestral, and for flow matching UniPC, DPM-Solver++ and Euler, from a checkpoint's
//!   `scheduler_config.json`
#![forbid(unsafe_code)]

pub mod denoise;
mod error;
pub mod guidance;
pub mod job;
pub mod noise;
pub mod policy;
pub mod request;
pub mod scheduler;

pub use error::{Error, Result};
