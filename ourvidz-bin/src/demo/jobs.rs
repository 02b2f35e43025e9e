use ourvidz_core::job::JobType;
use serde_json::{Value, json};

/// Where the default layout keeps files.
pub(super) const BUCKET: &str = "workspace-temp";
const USER: &str = "00000000-0000-4000-8000-000000000001";

/// One of the demo's jobs.
pub(super) struct DemoJob {
    pub(super) id: String,
    pub(super) job_type: JobType,
    pub(super) prompt: String,
    pub(super) shows: Shows,
    /// What the prompt was enhanced to before it was queued.
    pub(super) enhanced: Option<String>,
    /// As a producer would queue it.
    pub(super) element: Value,
}

/// What a job is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shows {
    Picture,
    Clip,
    Enhanced,
}

/// The first one is the clip's first frame: cut to the clip's width, which enlarges what it shows.
const PICTURES: [&str; 6] = [
    "a small red circle on the left on a white background",
    "a large blue star on a grey background",
    "a small green triangle in the top right corner on beige",
    "a purple heart on a gradient from white to navy",
    "a cyan ring to the left of an orange square on a black background",
    "a yellow crescent above a pink cross on navy",
];
const CLIP: &str = "a red circle moving to the right on a white background";
pub(super) const ENHANCED: &str = "a yellow heart on navy";

pub(super) const SEED: u64 = 42;

/// Every job with an id of its own: the clip's only where this build writes MP4 files. With `enhanced`, the prompt that
/// is already enhanced, there is no job for WAN.
pub(super) fn all(enhanced: Option<&str>) -> Vec<DemoJob> {
    let pictures = PICTURES.into_iter().zip(SEED..);
    let mut jobs: Vec<DemoJob> = pictures
        .map(|(prompt, seed)| job(JobType::SdxlImageFast, prompt, Shows::Picture, json!({ "seed": seed })))
        .collect();
    let config = json!({ "seed": SEED });
    if let Some(enhanced) = enhanced {
        let job = job(JobType::SdxlImageFast, enhanced, Shows::Enhanced, config);
        jobs.push(DemoJob { prompt: ENHANCED.to_owned(), enhanced: Some(enhanced.to_owned()), ..job });
        return jobs;
    }
    if cfg!(feature = "video") {
        let first = jobs.first().map(|job| format!("{BUCKET}/{USER}/{}/0.png", job.id));
        let config = json!({ "seed": SEED, "size": "832*480", "frame_num": 17, "first_frame": first });
        jobs.push(job(JobType::VideoFast, CLIP, Shows::Clip, config));
    }
    jobs.push(job(JobType::Image7bFastEnhanced, ENHANCED, Shows::Enhanced, config));
    jobs
}

fn job(job_type: JobType, prompt: &str, shows: Shows, config: Value) -> DemoJob {
    let id = uuid::Uuid::new_v4().to_string();
    let element = json!({
        "id": id, "type": job_type.as_str(), "user_id": USER, "prompt": prompt, "config": config,
    });
    DemoJob { id, job_type, prompt: prompt.to_owned(), shows, enhanced: None, element }
}
