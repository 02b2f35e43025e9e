use std::sync::Arc;

use anyhow::Result;
use ourvidz_core::job::callback::ErrorCode;
use ourvidz_core::job::{Job, Media, ReferenceMode, WanFrames, WanJob};
use ourvidz_queue::worker::{JobControl, JobFailure};
use ourvidz_storage::{HostRule, ReferenceFetcher, ReferenceRules, Storage};
use ourvidz_wan::{Reference, ReferenceFrames, RgbImage};

use crate::config::OnReferenceError;
use crate::store::Store;

/// Fetches the pictures that jobs name.
#[derive(Debug)]
pub(crate) struct References {
    fetcher: ReferenceFetcher,
    on_error: OnReferenceError,
}

/// What became of a job's references.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    /// The pictures, where all of them were fetched.
    pub(super) reference: Option<Reference>,
    /// The mode they amount to.
    pub(super) mode: ReferenceMode,
    /// Why there are none although the job names some.
    pub(super) error: Option<String>,
}

impl References {
    /// Hosts of `allow_hosts` may have private addresses.
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        allow_hosts: &[HostRule],
        on_error: OnReferenceError,
    ) -> Result<Self> {
        let rules = ReferenceRules { private: allow_hosts.to_vec(), ..ReferenceRules::default() };
        let fetcher = ReferenceFetcher::builder().rules(rules).storage(storage).build()?;
        Ok(Self { fetcher, on_error })
    }

    /// All pictures of a job, or none: half of a reference is another request than the job's.
    pub(super) fn fetch(
        &self,
        job: &Job,
        wan_job: &WanJob,
        store: &Store,
        control: &JobControl,
    ) -> Result<Fetched, JobFailure> {
        let Some(asked) = &wan_job.reference else { return Ok(Fetched::default()) };
        let one = |name: &String| self.picture(name, &job.user_id, store, control);
        let frames = (|| {
            // A picture has no first and last frame: it begins from the one that is given.
            let still = job.job_type.media() == Media::Image;
            Ok(match &asked.frames {
                WanFrames::Single(name) => ReferenceFrames::Single(one(name)?),
                WanFrames::Start(name) | WanFrames::End(name) | WanFrames::Both { start: name, .. }
                    if still =>
                {
                    ReferenceFrames::Single(one(name)?)
                }
                WanFrames::Start(name) => ReferenceFrames::Start(one(name)?),
                WanFrames::End(name) => ReferenceFrames::End(one(name)?),
                WanFrames::Both { start, end } => {
                    ReferenceFrames::Both { start: one(start)?, end: one(end)? }
                }
            })
        })();
        match frames {
            Ok(frames) => {
                let mode = match &frames {
                    ReferenceFrames::Single(_) => ReferenceMode::Single,
                    ReferenceFrames::Start(_) => ReferenceMode::Start,
                    ReferenceFrames::End(_) => ReferenceMode::End,
                    ReferenceFrames::Both { .. } => ReferenceMode::Both,
                };
                let reference = Reference { frames, denoise_strength: asked.denoise_strength };
                Ok(Fetched { reference: Some(reference), mode, error: None })
            }
            Err(Problem::Stopped(stopped)) => Err(stopped),
            Err(Problem::Reference { message, retryable }) => match self.on_error {
                OnReferenceError::Degrade => Ok(Fetched { error: Some(message), ..Fetched::default() }),
                OnReferenceError::Fail if retryable => Err(JobFailure::retry(ErrorCode::Reference, message)),
                OnReferenceError::Fail => Err(JobFailure::permanent(ErrorCode::Reference, message)),
            },
        }
    }

    fn picture(
        &self,
        name: &str,
        user_id: &str,
        store: &Store,
        control: &JobControl,
    ) -> Result<RgbImage, Problem> {
        if !is_url(name) && !belongs_to(name, user_id) {
            let message = "the reference is not a file of the job's user".to_owned();
            return Err(Problem::Reference { message, retryable: false });
        }
        let picture = async {
            let reference = self.fetcher.fetch(name).await?;
            reference.decode(self.fetcher.limits()).await
        };
        let picture = store.transfer(control, picture).map_err(Problem::Stopped)?;
        picture
            .map_err(|error| Problem::Reference { retryable: error.retryable(), message: error.to_string() })
    }
}

enum Problem {
    Stopped(JobFailure),
    Reference { message: String, retryable: bool },
}

fn is_url(reference: &str) -> bool {
    reference.contains("://")
}

/// Whether a path in storage, `bucket/user/...`, is of this user.
fn belongs_to(path: &str, user_id: &str) -> bool {
    path.trim_start_matches('/').split('/').nth(1) == Some(user_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_other_users_are_theirs() {
        assert!(belongs_to("user-library/u1/fox.png", "u1"));
        assert!(belongs_to("/workspace-temp/u1/j1/0.png", "u1"));
        for path in ["user-library/u2/u1/fox.png", "u1/fox.png", "user-library", "", "a/../u1/x.png"] {
            assert!(!belongs_to(path, "u1"), "{path}");
        }
    }
}
