use super::*;

fn entry(status: &str, attempts: u32, last_error: Option<&str>) -> CallbackEntry {
    let callback = PendingCallback {
        id: PendingCallback::id_of("j1", status),
        job_id: "j1".to_owned(),
        body: "{}".to_owned(),
    };
    let last_error = last_error.map(str::to_owned);
    CallbackEntry { callback, attempts, created_ms: 0, due_ms: 0, last_error }
}

fn decide(entry: &CallbackEntry, outcome: &Outcome) -> Decision {
    Decision::of(&DeliverySchedule::default(), entry, outcome, 0.0)
}

fn failed(retry_after: Option<u64>) -> Outcome {
    let reason = "503 Service Unavailable".to_owned();
    Outcome::Failed { status: Some(503), retry_after: retry_after.map(Duration::from_secs), reason }
}

fn wait_of(decision: Decision) -> Option<u64> {
    match decision {
        Decision::Again { after, .. } => Some(after.as_secs()),
        _ => None,
    }
}

#[test]
fn what_the_receiver_asks_for_is_the_least_wait() {
    let waits = [None, Some(0), Some(4), Some(7), Some(86_400)]
        .map(|asked| wait_of(decide(&entry("completed", 1, None), &failed(asked))));
    assert_eq!(waits, [Some(5), Some(5), Some(5), Some(7), Some(86_400)]);
    let last = decide(&entry("completed", 10, None), &failed(Some(7)));
    assert_eq!(last, Decision::Bury { error: "503 Service Unavailable".to_owned() });
}

#[test]
fn three_refusals_in_a_row_are_the_end() {
    let mut last_error = None;
    let mut waits = Vec::new();
    for attempt in 1..=3 {
        let entry = entry("failed", attempt, last_error.as_deref());
        match decide(&entry, &Outcome::Refused { status: 400 + u16::try_from(attempt).unwrap_or(0) }) {
            Decision::Again { after, error } => {
                waits.push(after.as_secs());
                last_error = Some(error);
            }
            other => assert_eq!(other, Decision::Bury { error: "403: refused, in a row: 3".to_owned() }),
        }
    }
    assert_eq!(waits, [5, 300]);
}

#[test]
fn refusals_with_something_else_between_are_counted_anew() {
    let refused = Outcome::Refused { status: 404 };
    let after_failures = decide(&entry("completed", 6, Some("500 Internal Server Error")), &refused);
    let error = "404: refused, in a row: 1".to_owned();
    assert_eq!(after_failures, Decision::Again { after: Duration::from_secs(36_000), error });
    for text in ["", "404: refused, in a row: ", "404: refused, in a row: x", "refused 2"] {
        assert_eq!(refusals(Some(text)), 0, "{text:?}");
    }
    assert_eq!(refusals(Some(&refusal(422, 2))), 2);
}

#[test]
fn that_a_job_has_begun_is_tried_three_times_and_never_buried() {
    let processing = |attempts| decide(&entry("processing", attempts, None), &failed(None));
    assert_eq!([1, 2].map(|attempts| wait_of(processing(attempts))), [Some(5), Some(300)]);
    let dropped = Decision::Drop { error: "503 Service Unavailable".to_owned() };
    assert_eq!([3, 4, 99].map(processing), [dropped.clone(), dropped.clone(), dropped]);
    let refused = decide(&entry("processing", 3, Some(&refusal(400, 2))), &Outcome::Refused { status: 400 });
    assert!(matches!(refused, Decision::Drop { .. }), "{refused:?}");
}

#[test]
fn wrong_credentials_keep_the_schedule_and_410_stops_everything() {
    let unauthorized = Outcome::Unauthorized { status: 401 };
    let waits = [1, 4, 9, 10].map(|n| wait_of(decide(&entry("completed", n, None), &unauthorized)));
    assert_eq!(waits, [Some(5), Some(7200), Some(86_400), None]);
    for attempts in [1, 10, 50] {
        let gone = decide(&entry("completed", attempts, None), &Outcome::Gone);
        assert_eq!(gone, Decision::Disable { error: "410 Gone".to_owned() });
    }
    let invalid = Outcome::Invalid { reason: "no".to_owned() };
    assert_eq!(decide(&entry("failed", 1, None), &invalid), Decision::Bury { error: "no".to_owned() });
}
