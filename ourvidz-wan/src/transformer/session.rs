use ourvidz_runtime::{Bound, LoadProgress, Model, Session, SessionOptions, Tensor, WeightCache};

use crate::{Error, Result, RotaryTables, WanTransformerConfig};

/// A transformer that is ready to run. One thread owns it: runs take `&mut self`.
#[derive(Debug)]
pub struct Transformer {
    conditioning: Session,
    step: Session,
    config: WanTransformerConfig,
}

/// What one prompt gives to a prediction.
#[derive(Debug, Clone, Copy)]
pub struct ConditioningInputs<'a> {
    /// States of the text encoder: [B, S, D_text].
    pub prompt_embeds: &'a Tensor,
    /// States of the image encoder, for checkpoints with `image_dim`: [B, S_image, D_image], or [2 B, S_image, D_image]
    /// with a first and a last frame.
    pub image_embeds: Option<&'a Tensor>,
    /// What a VACE checkpoint takes.
    pub control: Option<Control<'a>>,
    /// Frames, rows and columns of the latents.
    pub latents: [usize; 3],
}

/// Control latents of a VACE checkpoint.
#[derive(Debug, Clone, Copy)]
pub struct Control<'a> {
    /// [B, C_control, F, H, W]: latents of what stays and of what changes, and the mask's.
    pub hidden_states: &'a Tensor,
    /// Strength of the hint, one for each of `vace_layers`.
    pub scale: &'a [f32],
}

/// What a prompt and a size give, on the device: keys, values, rotary tables. Belongs to the transformer that made it;
/// several may live at once, such as one for the prompt and one for the negative prompt.
#[derive(Debug)]
pub struct Conditioning {
    bound: Bound,
    shape: [usize; 5],
}

impl Transformer {
    /// Loads the two graphs of [`build`](super::build).
    ///
    /// # Errors
    /// The library or the device is not there; ONNX Runtime refuses a graph; files cannot be read or written.
    pub fn load(
        (conditioning, step): (&Model, &Model),
        config: WanTransformerConfig,
        options: &SessionOptions,
        cache: &WeightCache,
        progress: &mut dyn FnMut(LoadProgress<'_>),
    ) -> Result<Transformer> {
        let conditioning = Session::load(conditioning, options, cache, progress)?;
        let step = Session::load(step, options, cache, progress)?;
        Ok(Transformer { conditioning, step, config })
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &WanTransformerConfig {
        &self.config
    }

    /// Computes once what all predictions of a prompt at one size share.
    ///
    /// # Errors
    /// [`Error::Input`] for a tensor that the model does not take, or takes in another shape; [`Error::TooLong`];
    /// ONNX Runtime fails.
    pub fn condition(&mut self, inputs: &ConditioningInputs<'_>) -> Result<Conditioning> {
        let shape = self.check(inputs)?;
        let [_, _, frames, height, width] = shape;
        let [p_f, p_h, p_w] = self.config.patch_size;
        let tables = RotaryTables::new(&self.config, [frames / p_f, height / p_h, width / p_w])?;
        let half = self.config.attention_head_dim / 2;
        // Each angle stands twice in the tables.
        let table = |values: Vec<f32>| {
            let every_second: Vec<f32> = values.into_iter().step_by(2).collect();
            Tensor::f32(&[every_second.len() / half, half], every_second)
        };
        let (cos, sin) = (table(tables.cos)?, table(tables.sin)?);
        let mut bound = self.step.bound(&[("cos", &cos), ("sin", &sin)], &["sample"])?;

        let mut texts = vec![("encoder_hidden_states", inputs.prompt_embeds)];
        texts.extend(inputs.image_embeds.map(|image| ("encoder_hidden_states_image", image)));
        let names: Vec<String> = super::blocks(&self.config)
            .flat_map(|block| {
                super::conditioned(&self.config).iter().map(move |name| format!("{block}.{name}"))
            })
            .collect();
        let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
        let computed = self.conditioning.run_on_device(&texts, &[], &wanted)?;
        for (name, tensor) in wanted.iter().zip(&computed) {
            self.step.set_on_device(&mut bound, name, tensor)?;
        }
        if let Some(control) = inputs.control {
            let scale = Tensor::f32(&[control.scale.len()], control.scale.to_vec())?;
            self.step.set(&mut bound, "control_hidden_states", control.hidden_states)?;
            self.step.set(&mut bound, "control_hidden_states_scale", &scale)?;
        }
        Ok(Conditioning { bound, shape })
    }

    /// One prediction: latents [B, C, F, H, W], timestep 0 to 1000 -> [B, C_out, F, H, W].
    ///
    /// # Errors
    /// [`Error::Input`] for latents of another shape than the conditioning is for; ONNX Runtime fails.
    pub fn predict(
        &mut self,
        conditioning: &mut Conditioning,
        latents: &Tensor,
        timestep: f32,
    ) -> Result<Tensor> {
        if latents.shape() != conditioning.shape {
            return refuse("latents", format!("{:?}", conditioning.shape), latents.shape());
        }
        let timestep = Tensor::f32(&[1], vec![timestep])?;
        let changed = [("hidden_states", latents), ("timestep", &timestep)];
        Ok(self.step.run_bound(&mut conditioning.bound, &changed)?.remove(0))
    }

    /// Whether predictions from now on give the device's memory back that they worked with
    /// ([`Session::release_after_runs`]).
    ///
    /// # Errors
    /// ONNX Runtime refuses.
    pub fn release_after_runs(&mut self, release: bool) -> Result<()> {
        Ok(self.step.release_after_runs(release)?)
    }

    /// Shape of the latents.
    fn check(&self, inputs: &ConditioningInputs<'_>) -> Result<[usize; 5]> {
        let c = &self.config;
        let text = inputs.prompt_embeds.shape();
        let &[batch, _, _] = text else {
            return refuse("prompt_embeds", format!("[B, S, {}]", c.text_dim), text);
        };
        if text[2] != c.text_dim || text.contains(&0) {
            return refuse("prompt_embeds", format!("[B, S, {}]", c.text_dim), text);
        }
        let [frames, height, width] = inputs.latents;
        if inputs.latents.iter().zip(c.patch_size).any(|(n, p)| *n == 0 || n % p != 0) {
            return refuse("latents", format!("multiples of {:?}", c.patch_size), &inputs.latents);
        }
        let rows = if c.pos_embed_seq_len.is_some() { 2 * batch } else { batch };
        match (c.image_dim, inputs.image_embeds.map(Tensor::shape)) {
            (None, None) => {}
            (Some(d), Some(&[b, s, w])) if (b, w) == (rows, d) && self.fits_positions(s) => {}
            (d, found) => {
                let rule = d.map_or("absent".to_owned(), |d| format!("[{rows}, S, {d}]"));
                return refuse("image_embeds", rule, found.unwrap_or_default());
            }
        }
        let control = [batch, c.vace_in_channels, frames, height, width];
        match (&c.vace_layers, inputs.control) {
            (None, None) => {}
            (Some(layers), Some(given)) => {
                if given.hidden_states.shape() != control {
                    return refuse(
                        "control_hidden_states",
                        format!("{control:?}"),
                        given.hidden_states.shape(),
                    );
                }
                if given.scale.len() != layers.len() {
                    let rule = format!("{} numbers", layers.len());
                    return refuse("control_hidden_states_scale", rule, &[given.scale.len()]);
                }
            }
            (layers, _) => {
                let rule = if layers.is_some() { "given to a VACE model" } else { "absent" };
                let value = if layers.is_some() { "nothing" } else { "control" };
                return Err(Error::Input { input: "control", rule: rule.into(), value: value.into() });
            }
        }
        Ok([batch, c.in_channels, frames, height, width])
    }

    fn fits_positions(&self, tokens: usize) -> bool {
        tokens > 0 && self.config.pos_embed_seq_len.is_none_or(|length| length == 2 * tokens)
    }
}

fn refuse<T>(input: &'static str, rule: String, found: &[usize]) -> Result<T> {
    let value = if found.is_empty() { "nothing".to_owned() } else { format!("{found:?}") };
    Err(Error::Input { input, rule, value })
}
