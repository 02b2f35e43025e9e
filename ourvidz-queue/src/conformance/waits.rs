//! What a worker without a job learns, and whose turn it is.

use super::*;
use crate::FairShare;

/// Longer than any backend takes to see a push.
const BOUND: Duration = Duration::from_secs(15);

/// Every function of this module.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// As [`super::all`].
pub async fn all(harness: &dyn Harness) -> Result<()> {
    hints_say_when_to_come_back(harness).await?;
    wait_ends_when_a_job_arrives(harness).await?;
    wait_ends_when_its_time_is_over(harness).await?;
    users_take_turns(harness).await?;
    user_served_alone_had_his_turn(harness).await
}

/// The answer to a claim that found nothing says when a lease runs out or a delayed job is due, the sooner.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When it says nothing, or a later time.
pub async fn hints_say_when_to_come_back(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(patient()).await?;
    let worker = WorkerId::new("w");
    assert_eq!(take_nothing(&*queue).await?, Empty::default());
    queue.push(&element("j1")).await?;
    let held = take(&*queue, &worker).await?;
    let next = take_nothing(&*queue).await?.next_job_in;
    assert!(next.is_some_and(|next| next <= LONG && next > LONG / 2), "a lease: {next:?}");
    queue.push(&element("j2")).await?;
    let delivery = take(&*queue, &worker).await?;
    settle(&*queue, &delivery, &retry(LONG / 4)).await?;
    let next = take_nothing(&*queue).await?.next_job_in;
    assert!(next.is_some_and(|next| next <= LONG / 4 && next > LONG / 8), "a delayed job: {next:?}");
    assert_eq!(queue.remove("j2").await?, 1);
    settle(&*queue, &held, &done(Some(callback("j1", "completed")))).await?;
    let empty = take_nothing(&*queue).await?;
    assert_eq!((empty.next_job_in, empty.callback_in), (None, Some(Duration::ZERO)));
    Ok(())
}

/// A wait is over soon after a job was pushed, and at once when one waits already.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When it lasts.
pub async fn wait_ends_when_a_job_arrives(harness: &dyn Harness) -> Result<()> {
    let [queue, other] = harness.pair(patient()).await?;
    let worker = WorkerId::new("w");
    let pushes = async {
        tokio::task::yield_now().await; // the wait is polled first
        queue.push(&element("j1")).await
    };
    let (waited, pushed) = tokio::join!(tokio::time::timeout(BOUND, queue.wait(LONG)), pushes);
    pushed?;
    assert!(waited.is_ok(), "a job was pushed, the wait goes on");
    let waited = tokio::time::timeout(BOUND, queue.wait(LONG)).await;
    assert!(waited.is_ok(), "a job is waiting, the wait goes on");

    let moves = async {
        let delivery = take(&*queue, &worker).await?;
        settle(&*queue, &delivery, &Settlement::Transfer { queue: other.name().to_owned() }).await
    };
    let (waited, moved) = tokio::join!(tokio::time::timeout(BOUND, other.wait(LONG)), moves);
    moved?;
    assert!(waited.is_ok(), "a job was transferred, the wait goes on");
    Ok(())
}

/// A wait on an empty queue is over when its time is.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When it lasts.
pub async fn wait_ends_when_its_time_is_over(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(patient()).await?;
    for at_most in [Duration::ZERO, Duration::from_millis(50)] {
        let waited = tokio::time::timeout(BOUND, queue.wait(at_most)).await;
        assert!(waited.is_ok(), "a wait of at most {at_most:?} lasts longer than {BOUND:?}");
    }
    take_nothing(&*queue).await?;
    Ok(())
}

/// With fair share the users take turns within the window; jobs of one user stay in order.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When one user is served twice while another waits.
pub async fn users_take_turns(harness: &dyn Harness) -> Result<()> {
    for pop_side in [crate::PopSide::Right, crate::PopSide::Left] {
        let fair_share = Some(FairShare { window: 7 });
        let queue = harness.queue(QueueOptions { fair_share, pop_side, ..patient() }).await?;
        // The last one lies outside the window until a job has left.
        let pushed = ["a1", "a2", "a3", "a4", "b1", "b2", "c1", "d1"];
        for id in pushed {
            queue.push(&of_user(id)).await?;
        }
        for expected in ["a1", "b1", "c1", "d1", "a2", "b2", "a3", "a4"] {
            finish(&*queue, &WorkerId::new("w"), &of_user(expected)).await?;
        }
        take_nothing(&*queue).await?;
    }
    Ok(())
}

/// Being served while nobody else waits is a turn too.
///
/// # Errors
/// As [`super::all`].
///
/// # Panics
/// When the user served last is served first.
pub async fn user_served_alone_had_his_turn(harness: &dyn Harness) -> Result<()> {
    let queue = harness.queue(QueueOptions { fair_share: Some(FairShare::default()), ..patient() }).await?;
    let worker = WorkerId::new("w");
    queue.push(&of_user("a1")).await?;
    finish(&*queue, &worker, &of_user("a1")).await?;
    for id in ["a2", "a3", "b1"] {
        queue.push(&of_user(id)).await?;
    }
    for expected in ["b1", "a2", "a3"] {
        finish(&*queue, &worker, &of_user(expected)).await?;
    }
    Ok(())
}

/// The id's first letter is the user.
fn of_user(id: &str) -> String {
    serde_json::json!({"id": id, "user_id": id.chars().take(1).collect::<String>()}).to_string()
}
