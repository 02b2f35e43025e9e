//! A worker of your own on OurVidz's queue: takes jobs, makes them, and survives being killed.
//!
//! ```sh
//! cargo run --example queue_worker -- redis://localhost   # or without an argument: a file here
//! ```
use std::sync::Arc;

use ourvidz_core::job::Job;
use ourvidz_core::job::callback::{Callback, CallbackFormat, SdxlMetadata};
use ourvidz_queue::worker::{JobControl, JobFailure, JobHandler, Shutdown, Worker, WorkerOptions};
use ourvidz_queue::{Backend, QueueOptions, RedisQueue, SqliteQueue, WorkerId};

/// Makes nothing, in ten steps.
struct Pretend;

impl JobHandler for Pretend {
    fn handle(&mut self, job: &Job, control: &JobControl) -> Result<Callback, JobFailure> {
        for step in 1..=10 {
            std::thread::sleep(std::time::Duration::from_millis(50));
            control.step(step, 10)?; // says when to stop: cancelled, lease lost, deadline, draining
        }
        let ourvidz_core::job::JobRequest::Sdxl(request) = &job.request else {
            return Err(JobFailure::permanent(
                ourvidz_core::job::callback::ErrorCode::UnsupportedJobType,
                "this worker pretends to make SDXL jobs only",
            ));
        };
        Ok(Callback::completed(job, Vec::new(), SdxlMetadata::new(job, request, request.seed.unwrap_or(0))))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = QueueOptions::default();
    let queue: Arc<dyn Backend> = match std::env::args().nth(1) {
        Some(url) => Arc::new(RedisQueue::connect(&url, "sdxl_queue", options.clone()).await?),
        None => Arc::new(SqliteQueue::open("queue.sqlite", "sdxl_queue", options.clone())?),
    };
    queue
        .push(r#"{"id": "j1", "type": "sdxl_image_fast", "user_id": "u1", "prompt": "a red fox", "config": {"seed": 7}}"#)
        .await?;
    let worker = Worker::builder(queue.clone(), WorkerId::new("pretend"))
        .options(WorkerOptions { callbacks: Some(CallbackFormat::Assets), ..WorkerOptions::default() });
    // The heartbeat has a thread and a runtime of its own, and so needs a connection of its own.
    let worker = match std::env::args().nth(1) {
        Some(url) => worker.heartbeat_queue(move || {
            let (url, options) = (url.clone(), options.clone());
            async move {
                Ok(Arc::new(RedisQueue::connect(&url, "sdxl_queue", options).await?) as Arc<dyn Backend>)
            }
        }),
        None => worker,
    };
    let handled = worker.start(|| Ok::<_, std::io::Error>(Pretend))?.run_once(&Shutdown::new()).await?;
    println!("{handled:?}");
    for entry in queue.waiting_callbacks(10).await? {
        println!("to be delivered: {}", entry.callback.id);
    }
    Ok(())
}
