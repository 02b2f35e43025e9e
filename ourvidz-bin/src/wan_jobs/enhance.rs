use std::ops::ControlFlow;
use std::time::Instant;

use ourvidz_core::job::callback::WanMetadata;
use ourvidz_core::job::{Job, Media, WanJob};
use ourvidz_core::policy;
use ourvidz_queue::worker::{JobControl, JobFailure, Stage};
use ourvidz_qwen::{EnhancePrompt, Enhanced, EnhancementSource, PromptTarget, QwenPipeline};

use crate::cli::{ModelOptions, QwenModelOptions};
use crate::config::env_vars;
use crate::demo_model::DemoModel;
use crate::failure::Failure;
use crate::load::loaded;
use crate::load_qwen::{configured, load_enhancer};

/// Rewrites prompts, where a language model is configured or the video model is the demo's.
#[derive(Debug)]
pub(crate) struct Enhancer {
    model: Option<QwenModelOptions>,
    pipeline: Option<QwenPipeline>,
}

impl Enhancer {
    /// Loads nothing yet. Without a language model in the options or the environment, prompts for the demo model
    /// (`wan` names none) are rewritten by the demo language model, and prompts for another stay: the demo language
    /// model knows nothing but shapes.
    ///
    /// # Errors
    /// A path where nothing is.
    pub(crate) fn new(options: QwenModelOptions, wan: &ModelOptions) -> Result<Self, Failure> {
        let unnamed = wan.path(env_vars::WAN_MODEL)?.is_none();
        let demo = unnamed && DemoModel::Wan.is_held() && DemoModel::Qwen.is_held();
        let model = match configured(&options, false)? {
            None if !demo => None,
            _ => Some(options),
        };
        Ok(Self { model, pipeline: None })
    }

    /// Loads the model, if there is one and it is not.
    pub(crate) fn load(&mut self) -> Result<Option<&mut QwenPipeline>, Failure> {
        let Some(options) = &self.model else { return Ok(None) };
        loaded(&mut self.pipeline, |progress| load_enhancer(options, progress)).map(Some)
    }

    /// The prompt to generate from. What became of the job's own is written into `metadata`.
    ///
    /// # Errors
    /// The job has to stop. That no better prompt came of it is no error, whatever the reason.
    pub(super) fn enhance(
        &mut self,
        job: &Job,
        wan_job: &WanJob,
        metadata: &mut WanMetadata,
        control: &JobControl,
    ) -> Result<String, JobFailure> {
        let original = wan_job.prompt.clone();
        if !wan_job.enhance_prompt || original.trim().is_empty() {
            return Ok(original);
        }
        control.stage(Stage::Loading)?;
        let started = Instant::now();
        let qwen = match self.load() {
            Ok(Some(qwen)) => qwen,
            Ok(None) => {
                metadata.enhancement_error = Some("no language model is configured".to_owned());
                return Ok(original);
            }
            Err(failure) => {
                tracing::warn!("the language model cannot be loaded: {:#}", failure.into_error());
                kept(metadata, "the language model cannot be loaded");
                return Ok(original);
            }
        };
        control.stage(Stage::Enhancing)?;
        let target = match job.job_type.media() {
            Media::Image => PromptTarget::Image,
            Media::Video => PromptTarget::Video,
        };
        let request = EnhancePrompt { target, seed: Some(metadata.seed), ..EnhancePrompt::new(&original) };
        let enhanced = qwen.enhance_prompt_with(&request, |_| match control.stage(Stage::Enhancing) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        });
        if let Some(stop) = control.stop_reason() {
            return Err(stop.into());
        }
        metadata.enhancement_seconds = Some((started.elapsed().as_secs_f64() * 1e3).round() / 1e3);
        Ok(match enhanced {
            Ok(enhanced) => accepted(enhanced, original, metadata),
            Err(error) => {
                tracing::warn!("the prompt was not enhanced: {:#}", anyhow::Error::from(error));
                kept(metadata, "the language model failed");
                original
            }
        })
    }
}

/// A rewritten prompt has to pass the gate as well.
fn accepted(enhanced: Enhanced, original: String, metadata: &mut WanMetadata) -> String {
    metadata.enhancement_source = enhanced.source.as_str().to_owned();
    // An attempt that failed before another gave the prompt is no reason for anything.
    metadata.enhancement_error = enhanced.failure.filter(|_| enhanced.source == EnhancementSource::Original);
    metadata.enhancement_cut = enhanced.cut.map(|cut| cut.to_string());
    if enhanced.source != EnhancementSource::Original && policy::check(&enhanced.prompt).is_err() {
        kept(metadata, "the rewritten prompt was refused by the content policy");
        return original;
    }
    enhanced.prompt
}

/// The original prompt stays, for that reason.
fn kept(metadata: &mut WanMetadata, why: &str) {
    metadata.enhancement_source = EnhancementSource::Original.as_str().to_owned();
    metadata.enhancement_error = Some(why.to_owned());
}
