/// One random thing done to a queue: what, to which of the candidates, how, how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub(super) action: Action,
    pub(super) which: usize,
    pub(super) how: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Push,
    PushOnce,
    Claim,
    ClaimAgain,
    Beat,
    Settle,
    Announce,
    Advance,
    TakeDue,
    Delivered,
    Postpone,
    Bury,
    RetryCallback,
    RetryDead,
    Remove,
    Cancel,
    ReleaseWorker,
    PauseOrResume,
    DisableOrEnable,
}

/// In a hundred steps.
const SHARES: [(Action, u16); 19] = [
    (Action::Push, 17),
    (Action::PushOnce, 3),
    (Action::Claim, 21),
    (Action::ClaimAgain, 5),
    (Action::Beat, 5),
    (Action::Settle, 20),
    (Action::Announce, 3),
    (Action::Advance, 8),
    (Action::TakeDue, 4),
    (Action::Delivered, 3),
    (Action::Postpone, 1),
    (Action::Bury, 1),
    (Action::RetryCallback, 1),
    (Action::RetryDead, 2),
    (Action::Remove, 1),
    (Action::Cancel, 1),
    (Action::ReleaseWorker, 1),
    (Action::PauseOrResume, 2),
    (Action::DisableOrEnable, 1),
];

impl Step {
    /// The step that three random numbers stand for; any numbers are a step.
    pub fn from_numbers([what, which, how]: [u16; 3]) -> Self {
        let mut place = what % 100;
        let mut action = Action::Push;
        for (candidate, share) in SHARES {
            if place < share {
                action = candidate;
                break;
            }
            place -= share;
        }
        Self { action, which: which.into(), how: how.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percent() {
        assert_eq!(SHARES.iter().map(|(_, share)| share).sum::<u16>(), 100);
        assert_eq!(Step::from_numbers([99, 0, 0]).action, Action::DisableOrEnable);
    }
}
