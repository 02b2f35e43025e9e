use std::fmt;

use ourvidz_core::job::{Family, JobType};

/// The two queues of the wire. Only producers route by them: a worker takes a job by its type, whatever queue
/// it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueueName {
    /// `sdxl_queue`.
    Sdxl,
    /// `wan_queue`.
    Wan,
}

impl QueueName {
    /// Both, SDXL first.
    pub const ALL: [QueueName; 2] = [QueueName::Sdxl, QueueName::Wan];

    /// Where a producer puts jobs of this type.
    pub fn for_job_type(job_type: JobType) -> Self {
        match job_type.family() {
            Family::Sdxl => QueueName::Sdxl,
            Family::Wan => QueueName::Wan,
        }
    }

    /// The queue of a name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|queue| queue.as_str() == name)
    }

    /// The list's key.
    pub fn as_str(self) -> &'static str {
        match self {
            QueueName::Sdxl => "sdxl_queue",
            QueueName::Wan => "wan_queue",
        }
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_its_queue() {
        for job_type in JobType::ALL {
            let expected = if job_type.as_str().starts_with("sdxl") { "sdxl_queue" } else { "wan_queue" };
            assert_eq!(QueueName::for_job_type(job_type).to_string(), expected, "{job_type}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for queue in QueueName::ALL {
            assert_eq!(QueueName::from_name(queue.as_str()), Some(queue));
        }
        assert_eq!(QueueName::from_name("chat_queue"), None);
    }
}
