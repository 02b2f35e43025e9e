//! The journal's files.

use std::time::Duration;

use crate::worker::journal::Journal;
use crate::*;

#[test]
fn what_was_written_is_read_back_until_it_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::new(folder.path().join("new"), "sdxl_queue");
    assert_eq!(journal.entries().unwrap(), []);
    let callback = PendingCallback {
        id: "j1:completed".into(),
        job_id: "j1".into(),
        body: "{\"a\":\"\\u00e9\"}".into(),
    };
    let mut written = vec![
        (ClaimId::new(), Settlement::Done { callback: Some(callback) }),
        (ClaimId::new(), Settlement::Retry { after: Duration::from_millis(1500), reason: "x".into() }),
        (ClaimId::new(), Settlement::GiveBack),
        (ClaimId::new(), Settlement::Transfer { queue: "wan_queue".into() }),
    ];
    for (claim, settlement) in &written {
        journal.write(claim, settlement).unwrap();
    }
    written.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(journal.entries().unwrap(), written);
    for (claim, _) in &written {
        journal.remove(claim).unwrap();
        journal.remove(claim).unwrap();
    }
    assert_eq!(journal.entries().unwrap(), []);
}

#[test]
fn a_second_settlement_of_a_claim_replaces_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::new(folder.path(), "sdxl_queue");
    let claim = ClaimId::new();
    journal.write(&claim, &Settlement::GiveBack).unwrap();
    journal.write(&claim, &Settlement::Done { callback: None }).unwrap();
    assert_eq!(journal.entries().unwrap(), [(claim, Settlement::Done { callback: None })]);
}

#[test]
fn half_written_files_are_not_entries() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::new(folder.path(), "sdxl_queue");
    std::fs::write(folder.path().join("a.tmp"), "{").unwrap();
    std::fs::write(folder.path().join("b.json"), "{").unwrap();
    std::fs::write(folder.path().join("c.json"), [0xff, 0xfe]).unwrap();
    assert_eq!(journal.entries().unwrap(), []);
    assert!(folder.path().join("b.corrupt").exists() && folder.path().join("c.corrupt").exists());
}

#[cfg(unix)]
#[test]
fn files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let claim = ClaimId::from_text("../c1");
    Journal::new(folder.path(), "q").write(&claim, &Settlement::GiveBack).unwrap();
    let file = folder.path().join("___c1.json");
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Journal::new(&file, "q").write(&ClaimId::from_text("c1"), &Settlement::GiveBack).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot write the journal {}", file.join("c1.json").display()));
}
