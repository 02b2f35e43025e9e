use serde_json::{Map, Value};

use super::envelope;
use super::fields::{Fields, short};
use super::job_type::{Family, JobType};
use super::sdxl::SdxlJob;
use super::wan::WanJob;
use super::{Job, JobRequest};
use crate::{Error, Result};

/// Longest id, in characters.
pub const MAX_ID_LEN: usize = 128;

const ID: [&str; 3] = ["id", "job_id", "jobId"];
const TYPE: [&str; 3] = ["type", "job_type", "jobType"];
const USER_ID: [&str; 2] = ["user_id", "userId"];

/// An element of a queue that is not a job, with what could be read of it.
#[derive(Debug, thiserror::Error)]
#[error("job {} refused", job_id.as_deref().unwrap_or("without an id"))]
pub struct Rejected {
    /// The id as written, if there is one of at most 128 characters: where a `failed` callback goes. It has
    /// not been checked: do not make paths of it.
    pub job_id: Option<String>,
    /// The user as written, under the same conditions.
    pub user_id: Option<String>,
    /// The type as written, under the same conditions.
    pub job_type: Option<String>,
    /// Which field breaks which rule.
    #[source]
    pub error: Error,
}

/// Reads one element of a queue, in any of the envelopes producers have used: the job object, `{"data": ...}`
/// holding the object or its text, an array of one, a JSON string.
///
/// # Errors
/// [`Rejected`] when the text is not a job or a field breaks a rule that clamping cannot mend.
#[expect(clippy::result_large_err, reason = "the other variant, Job, is larger still")]
pub fn parse(raw: &str) -> Result<Job, Rejected> {
    let root = envelope::open(raw).map_err(|error| Rejected {
        job_id: None,
        user_id: None,
        job_type: None,
        error,
    })?;
    read(&root).map_err(|error| Rejected {
        job_id: as_written(&root, &ID),
        user_id: as_written(&root, &USER_ID),
        job_type: as_written(&root, &TYPE),
        error,
    })
}

fn read(root: &Map<String, Value>) -> Result<Job> {
    let mut fields = Fields::new(root)?;
    let id = read_id(&fields, &ID, "the job's id")?;
    let user_id = read_id(&fields, &USER_ID, "the id of the user the job belongs to")?;
    let job_type = read_type(&fields)?;
    let request = match job_type.family() {
        Family::Sdxl => JobRequest::Sdxl(SdxlJob::read(&mut fields, job_type)?),
        Family::Wan => JobRequest::Wan(WanJob::read(&mut fields, job_type)?),
    };
    Ok(Job { id, user_id, job_type, request, adjusted: fields.adjusted })
}

fn read_id<'a>(fields: &Fields<'a>, spellings: &[&'a str], what: &str) -> Result<String> {
    const RULE: &str = "must be 1 to 128 of letters, digits, '-', '_', '.', without '..' and not '.'";
    let name = spellings.first().copied().unwrap_or_default();
    let Some(found) = fields.find(spellings) else {
        return Err(Error::Missing { field: name.to_owned(), rule: what.to_owned() });
    };
    let id = found.text()?;
    let safe = id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if safe && !id.is_empty() && id.len() <= MAX_ID_LEN && !id.contains("..") && id != "." {
        return Ok(id.to_owned());
    }
    Err(found.breaks(RULE))
}

fn read_type(fields: &Fields<'_>) -> Result<JobType> {
    let Some(found) = fields.find(&TYPE) else {
        return Err(Error::Missing {
            field: "type".to_owned(),
            rule: "the job type, e.g. sdxl_image_fast".to_owned(),
        });
    };
    let name = found.text()?;
    JobType::from_name(name)
        .ok_or_else(|| Error::UnsupportedJobType { field: found.path.to_owned(), value: short(name) })
}

fn as_written(root: &Map<String, Value>, spellings: &[&str]) -> Option<String> {
    spellings
        .iter()
        .find_map(|&key| root.get(key)?.as_str())
        .filter(|text| !text.is_empty() && text.chars().count() <= MAX_ID_LEN)
        .map(str::to_owned)
}
