#![allow(clippy::unwrap_used)]
use super::*;
use ourvidz_core::job::callback::CallbackFormat;
use ourvidz_queue::PopSide;
use ourvidz_storage::Layout;

fn environment(variables: &[(&str, &str)]) -> Environment {
    Environment::of(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

fn resolve(variables: &[(&str, &str)], file: &str) -> Result<Settings> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("ourvidz.toml");
    std::fs::write(&path, file)?;
    let options = ServiceOptions { config: Some(path), ..ServiceOptions::default() };
    Settings::resolve(&options, &environment(variables))
}

fn refused(variables: &[(&str, &str)], file: &str) -> String {
    format!("{:#}", resolve(variables, file).unwrap_err())
}

#[test]
fn without_configuration_everything_is_local_and_nobody_is_called() {
    let settings = resolve(&[], "").unwrap();
    assert_eq!(settings.queue.value.describe(), "embedded, ourvidz-data/queue.sqlite");
    assert_eq!(settings.storage.described, "folder ourvidz-data");
    assert!(settings.callback.is_none());
    assert_eq!(settings.queue_options, QueueOptions::default());
    assert_eq!(settings.queue.from, Source::Default);
}

#[test]
fn the_seeds_variables_choose_upstash_and_supabase() {
    let settings = resolve(
        &[
            ("UPSTASH_REDIS_REST_URL", "https://eu1-x.upstash.io"),
            ("UPSTASH_REDIS_REST_TOKEN", "hush-token"),
            ("SUPABASE_URL", "https://abc.supabase.co/"),
            ("SUPABASE_SERVICE_ROLE_KEY", "hush-key"),
            ("JOB_CALLBACK_SECRET", "hush-secret"),
        ],
        "",
    )
    .unwrap();
    assert_eq!(settings.queue.value.describe(), "Upstash REST at https://eu1-x.upstash.io/");
    assert_eq!(settings.storage.described, "Supabase Storage at https://abc.supabase.co/");
    let callback = settings.callback.clone().unwrap();
    assert_eq!(callback.url.value, "https://abc.supabase.co/functions/v1/job-callback");
    assert_eq!(callback.bearer.as_ref().unwrap().value.expose(), "hush-key");
    assert!(callback.processing.value && callback.format.value == CallbackFormat::Assets);
    assert!(!format!("{settings:?}").contains("hush"), "{settings:?}");
}

#[test]
fn one_server_by_two_protocols_is_spoken_to_in_resp_and_two_servers_are_a_question() {
    let both = [
        ("UPSTASH_REDIS_REST_URL", "https://x.upstash.io"),
        ("UPSTASH_REDIS_REST_TOKEN", "t"),
        ("REDIS_URL", "rediss://default:hush@x.upstash.io:6379"),
    ];
    let settings = resolve(&both, "").unwrap();
    assert_eq!(settings.queue.value.describe(), "Redis at rediss://***@x.upstash.io:6379");
    let mut two = both;
    two[2].1 = "redis://localhost";
    let error = refused(&two, "");
    assert!(error.contains("REDIS_URL") && error.contains("OURVIDZ_QUEUE_URL"), "{error}");
    let settings = resolve(&two, "queue.url = \"sqlite:here.db\"").unwrap();
    assert_eq!(settings.queue.value.describe(), "embedded, here.db");
    assert_eq!(settings.queue.from, Source::File("queue.url"));
}

#[test]
fn a_flag_wins_over_a_variable_and_a_variable_over_the_file() {
    let file = "data_dir = \"from-file\"\n[queue]\nurl = \"sqlite:file.db\"";
    let variables = [("OURVIDZ_QUEUE_URL", "sqlite:env.db"), ("OURVIDZ_DATA_DIR", " ")];
    let settings = resolve(&variables, file).unwrap();
    assert_eq!(settings.queue.value.describe(), "embedded, env.db");
    assert_eq!(settings.data_dir.value, PathBuf::from("from-file"));
    let options = ServiceOptions { queue_url: Some("redis://localhost".into()), ..ServiceOptions::default() };
    let settings = Settings::resolve(&options, &environment(&variables)).unwrap();
    assert_eq!(settings.queue.value.describe(), "Redis at redis://localhost");
}

#[test]
fn every_key_of_the_file_is_taken() {
    let file = r#"
        [queue]
        pop_side = "left"
        lease_seconds = 45
        max_attempts = 5
        fair_share = true
        fair_share_window = 50
        [storage]
        url = "s3://bucket?region=auto"
        layout = "per-type"
        report_bucket = true
        [callback]
        url = "https://receiver.example/hook"
        format = "urls"
        processing = false
        webhook_secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
        [reference]
        on_error = "fail"
        allow_hosts = ["files.internal"]
        [worker]
        grace_seconds = 5
        stall_seconds = 60
        sdxl_deadline_seconds = 90
    "#;
    let settings = resolve(&[("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "hush")], file).unwrap();
    let options = &settings.queue_options;
    assert_eq!((options.pop_side, options.max_attempts), (PopSide::Left, 5));
    assert_eq!(options.lease, Duration::from_secs(45));
    assert_eq!(options.fair_share.map(|fair| fair.window), Some(50));
    assert_eq!(settings.storage.layout.value, Layout::PerType);
    assert!(settings.storage.report_bucket.value);
    let callback = settings.callback.as_ref().unwrap();
    assert!(callback.bearer.is_none() && callback.secret.is_none() && callback.webhook_secret.is_some());
    assert_eq!((callback.format.value, callback.processing.value), (CallbackFormat::Urls, false));
    assert_eq!(settings.reference.on_error.value, OnReferenceError::Fail);
    assert_eq!(settings.reference.allow_hosts, ["files.internal".parse().unwrap()]);
    assert_eq!(settings.worker.grace.value, Duration::from_secs(5));
    assert_eq!(settings.worker.stall.value, Duration::from_secs(60));
    assert_eq!(settings.worker.deadlines.sdxl, Duration::from_secs(90));
}

#[test]
fn what_is_wrong_is_named_with_its_rule() {
    type Case = (&'static [(&'static str, &'static str)], &'static str, &'static str);
    let cases: [Case; 11] = [
        (&[("OURVIDZ_QUEUE_URL", "amqp://x")], "", "OURVIDZ_QUEUE_URL: must begin with"),
        (&[("UPSTASH_REDIS_REST_URL", "https://x")], "", "UPSTASH_REDIS_REST_TOKEN"),
        (&[("SUPABASE_URL", "https://x")], "", "SUPABASE_SERVICE_KEY or SUPABASE_SERVICE_ROLE_KEY"),
        (&[("SUPABASE_SERVICE_KEY", "k")], "", "not SUPABASE_URL"),
        (&[("SUPABASE_URL", "abc"), ("SUPABASE_SERVICE_KEY", "k")], "", "https://abc.supabase.co"),
        (&[], "queue.pop_side = \"up\"", "queue.pop_side: must be \"right\" or \"left\", got \"up\""),
        (&[], "queue.max_attempts = 0", "max_attempts: must be at least 1, got 0"),
        (&[], "queue.lease_seconds = -1", "queue.lease_seconds: must be 0 to 604800 seconds, got -1"),
        (&[], "reference.allow_hosts = [\"a b\"]", "reference.allow_hosts"),
        (
            &[],
            "callback.url = \"ftp://x\"",
            "callback.url in the configuration file: must be an https address",
        ),
        (&[("OURVIDZ_WEBHOOK_SECRET", "hush")], "", "OURVIDZ_WEBHOOK_SECRET: webhook secret: must be"),
    ];
    for (variables, file, expected) in cases {
        let error = refused(variables, file);
        assert!(error.contains(expected) && !error.contains("hush"), "{error}");
    }
}

#[test]
fn deadlines_and_the_rate_of_wan_jobs() {
    let settings = resolve(&[], "").unwrap();
    assert_eq!(settings.wan.default_fps.value, 16);
    assert_eq!(settings.worker.deadlines, ourvidz_queue::worker::Deadlines::default());
    let file = "[wan]\ndefault_fps = 24\n[worker]\nwan_video_deadline_seconds = 90\n";
    let settings = resolve(&[], file).unwrap();
    assert_eq!(settings.wan.default_fps.value, 24);
    assert_eq!(settings.worker.deadlines.wan_video, Duration::from_secs(90));
    assert_eq!(settings.worker.deadlines.wan_image, Duration::from_secs(900));
    let text = refused(&[], "[wan]\ndefault_fps = 30\n");
    assert!(text.contains("wan.default_fps") && text.contains("8 to 24") && text.contains("30"), "{text}");
}
