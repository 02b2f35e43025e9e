//! `ourvidz demo`: pictures, a clip with a first frame and an enhanced prompt, each a job that goes through the queue, a
//! worker, the storage and a signed callback.

mod jobs;
mod receiver;
mod sheet;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use ourvidz_core::job::Family;
use ourvidz_queue::QueueName;
use ourvidz_queue::worker::Shutdown;
use ourvidz_qwen::{EnhancePrompt, EnhancementSource, QwenPipeline};
use serde_json::{Value, json};

use crate::cli::{
    DemoOptions, EnhancerOptions, ModelOptions, ServiceOptions, WanOptions, WanWorkerOptions, WorkerFamily,
    WorkerOptions,
};
use crate::config::Settings;
use crate::config::env_vars::{CALLBACK_SECRET, CALLBACK_URL, Environment};
use crate::demo_model::DemoModel;
use crate::failure::Failure;
use crate::{output, service};
use jobs::{DemoJob, Shows};
use receiver::Receiver;
use sheet::Tile;

/// What `ourvidz.toml` in the demo's folder says.
const CONFIGURATION: &str =
    "# ourvidz demo keeps its queue and files in this folder; callbacks go to the program itself.\n";

/// `ourvidz demo`
pub(crate) fn demo(options: &DemoOptions, json: bool) -> Result<(), Failure> {
    let started = Instant::now();
    std::fs::create_dir_all(&options.out).with_context(|| options.out.display().to_string())?;
    let out = std::fs::canonicalize(&options.out).with_context(|| options.out.display().to_string())?;
    let (sdxl, qwen) = (DemoModel::Sdxl.unpacked()?, DemoModel::Qwen.unpacked()?);
    let (wan, enhanced) = match DemoModel::Wan.is_held() {
        true => (Some(DemoModel::Wan.unpacked()?), None),
        false => {
            output::error(
                "this build does not hold tiny-wan: no clip is made, and the prompt is enhanced before its job",
            );
            (None, Some(enhance(&qwen)?))
        }
    };
    let (sdxl, wan) = workers(sdxl, wan, qwen);
    let secret = uuid::Uuid::new_v4().to_string();
    let mut receiver = Receiver::start(&secret)?;
    let settings = Arc::new(settings(&out, &receiver.address, &secret)?);
    let jobs = jobs::all(enhanced.as_deref());
    let made = service::block_on(async {
        for job in &jobs {
            let queue = QueueName::for_job_type(job.job_type);
            service::push(&settings, queue, &job.id, &job.element.to_string()).await?;
        }
        // One after the other: the clip begins with a picture.
        let mut made = make(&settings, &sdxl, &jobs, Family::Sdxl, &mut receiver, json).await?;
        if let Some(wan) = &wan {
            made.extend(make(&settings, wan, &jobs, Family::Wan, &mut receiver, json).await?);
        }
        Ok(made)
    })?;
    let sheet = out.join("contact-sheet.png");
    let tiles: Result<Vec<Tile>> = made.iter().map(|made| made.tile(&out)).collect();
    sheet::draw(&tiles?)?.save(&sheet).with_context(|| sheet.display().to_string())?;
    let seconds = started.elapsed().as_secs_f64();
    if json {
        let jobs: Vec<Value> = made.iter().map(|made| made.report(&out)).collect();
        output::json(&json!({ "contact_sheet": sheet, "jobs": jobs, "seconds": seconds }));
        return Ok(());
    }
    output::line(&format!("contact sheet: {}", sheet.display()));
    for made in &made {
        match made.job.shows {
            Shows::Picture => {}
            Shows::Clip => output::line(&format!("clip: {}", made.file(&out).display())),
            Shows::Enhanced => {
                let became = match made.enhanced() {
                    Some(prompt) => format!("was enhanced to {prompt:?}"),
                    None => format!("was not enhanced: {}", made.callback["metadata"]["enhancement_error"]),
                };
                output::line(&format!("{:?} {became}", made.job.prompt));
            }
        }
    }
    output::line(&format!("{} jobs in {seconds:.1} s; every callback's signature was right", made.len()));
    Ok(())
}

/// A job that is done, and what was called back.
struct Made<'a> {
    job: &'a DemoJob,
    callback: Value,
}

impl Made<'_> {
    /// Where the finished file lies.
    fn file(&self, out: &Path) -> PathBuf {
        self.stored(out, "url")
    }

    fn stored(&self, out: &Path, name: &str) -> PathBuf {
        out.join(jobs::BUCKET).join(self.callback["assets"][0][name].as_str().unwrap_or_default())
    }

    fn enhanced(&self) -> Option<&str> {
        self.callback["enhancedPrompt"].as_str().or(self.job.enhanced.as_deref())
    }

    fn seconds(&self) -> f64 {
        self.callback["metadata"]["generation_time"].as_f64().unwrap_or_default()
    }

    fn tile(&self, out: &Path) -> Result<Tile> {
        // The thumbnail of a clip is its middle frame.
        let path = self.stored(out, if self.job.shows == Shows::Clip { "thumbnail_url" } else { "url" });
        let picture = image::open(&path).with_context(|| path.display().to_string())?.into_rgb8();
        let prompt = self.callback["metadata"]["final_prompt"].as_str().unwrap_or(&self.job.prompt);
        let caption = match self.job.shows {
            Shows::Picture => prompt.to_owned(),
            Shows::Clip => format!("{prompt} (a clip that starts with the first picture)"),
            Shows::Enhanced => format!("{:?} enhanced: {prompt}", self.job.prompt),
        };
        Ok(Tile { picture, caption })
    }

    fn report(&self, out: &Path) -> Value {
        json!({
            "id": self.job.id, "type": self.job.job_type.as_str(), "prompt": self.job.prompt,
            "enhanced_prompt": self.enhanced(), "file": self.file(out), "seconds": self.seconds(),
            "seed": self.callback["metadata"]["seed"],
        })
    }
}

/// Runs a worker until every job of a family has been called back.
async fn make<'a>(
    settings: &Arc<Settings>,
    worker: &WorkerFamily,
    jobs: &'a [DemoJob],
    family: Family,
    receiver: &mut Receiver,
    json: bool,
) -> Result<Vec<Made<'a>>> {
    let shutdown = Shutdown::new();
    let work = service::work(settings, worker, &shutdown);
    let listen = async {
        let mut made = Vec::new();
        for job in jobs.iter().filter(|job| job.job_type.family() == family) {
            let callback = receiver.ended(&job.id).await?;
            let made_one = Made { job, callback };
            if made_one.callback["status"] != "completed" {
                bail!("{:?} failed: {}", job.prompt, made_one.callback["error_message"]);
            }
            if !json {
                let (path, seconds) = (made_one.file(&settings.data_dir.value), made_one.seconds());
                output::line(&format!("{:?} in {seconds:.1} s: {}", job.prompt, path.display()));
            }
            made.push(made_one);
        }
        anyhow::Ok(made)
    };
    let listen = async {
        let made = listen.await;
        shutdown.drain();
        made
    };
    // A worker that cannot begin ends before anything is called back.
    let (made, worked) = {
        tokio::pin!(work);
        tokio::pin!(listen);
        tokio::select! {
            made = &mut listen => (made, work.await),
            worked = &mut work => {
                worked?;
                bail!("the worker ended before its jobs did");
            }
        }
    };
    worked?;
    made
}

/// The embedded queue, files and callbacks to this program: nothing of the user's environment.
fn settings(out: &Path, address: &str, secret: &str) -> Result<Settings> {
    let file = out.join("ourvidz.toml");
    std::fs::write(&file, CONFIGURATION).with_context(|| file.display().to_string())?;
    let options =
        ServiceOptions { config: Some(file), data_dir: Some(out.to_owned()), ..ServiceOptions::default() };
    let variables = [(CALLBACK_URL, format!("{address}/callback")), (CALLBACK_SECRET, secret.to_owned())];
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    Settings::resolve(&options, &Environment::of(variables))
}

/// The prompt to be enhanced, by the language model alone.
fn enhance(qwen: &Path) -> Result<String> {
    let request = EnhancePrompt { seed: Some(jobs::SEED), ..EnhancePrompt::new(jobs::ENHANCED) };
    let enhanced = QwenPipeline::builder(qwen).load()?.enhance_prompt(&request)?;
    if enhanced.source == EnhancementSource::Original {
        bail!("{:?} was not enhanced: {}", jobs::ENHANCED, enhanced.failure.unwrap_or_default());
    }
    Ok(enhanced.prompt)
}

/// Workers on the processor with these models.
fn workers(sdxl: PathBuf, wan: Option<PathBuf>, qwen: PathBuf) -> (WorkerFamily, Option<WorkerFamily>) {
    let with = |model: PathBuf| WorkerOptions {
        once: false,
        name: None,
        service: ServiceOptions::default(),
        model: ModelOptions {
            model: Some(model),
            device: ourvidz_sdxl::Device::Cpu,
            precision: None,
            variant: None,
            scheduler: None,
            cache_dir: None,
        },
        rng: ourvidz_sdxl::NoiseSource::default(),
    };
    let wan = wan.map(|wan| WanWorkerOptions {
        worker: with(wan),
        wan: WanOptions::default(),
        enhancer: EnhancerOptions { qwen_model: Some(qwen), qwen_weights: None },
    });
    (WorkerFamily::Sdxl(Box::new(with(sdxl))), wan.map(|wan| WorkerFamily::Wan(Box::new(wan))))
}
