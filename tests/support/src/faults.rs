//! What goes wrong on demand.

use std::fmt;
use std::time::Duration;

/// Which face of a mock server a fault concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// The Redis protocol.
    Resp,
    /// HTTP, as Upstash has it.
    Rest,
}

/// One thing that goes wrong: with every command, until it is narrowed.
///
/// A rule without [`Self::on`] concerns the commands of a client's handshake as well (`HELLO`, `CLIENT`).
pub struct Fault {
    effect: Effect,
    commands: Vec<String>,
    predicate: Option<Box<Predicate>>,
    face: Option<Face>,
    probability: f64,
    skipped: u64,
    left: Option<u64>,
}

type Predicate = dyn Fn(&[Vec<u8>]) -> bool + Send + Sync;

#[derive(Debug, Clone)]
enum Effect {
    LoseReply,
    DropBefore,
    Delay(Duration),
    Error(String),
    FlushScripts,
    HttpStatus(u16),
}

impl Fault {
    /// The command is executed, then the connection is closed without its reply.
    pub fn lose_reply() -> Self {
        Self::new(Effect::LoseReply)
    }

    /// The connection is closed and the command is not executed.
    pub fn drop_before() -> Self {
        Self::new(Effect::DropBefore)
    }

    /// The command is executed that much later, in real time.
    pub fn delay(by: Duration) -> Self {
        Self::new(Effect::Delay(by))
    }

    /// The command is not executed; the reply is this error, such as `LOADING Redis is loading`.
    pub fn error(text: impl Into<String>) -> Self {
        Self::new(Effect::Error(text.into()))
    }

    /// The server forgets all scripts just before the command.
    pub fn flush_scripts() -> Self {
        Self::new(Effect::FlushScripts)
    }

    /// Over REST the command is not executed and the answer has this status; over RESP nothing happens.
    pub fn http_status(status: u16) -> Self {
        Self::new(Effect::HttpStatus(status)).over(Face::Rest)
    }

    /// Only this command, in any case; called again it adds one.
    pub fn on(mut self, command: &str) -> Self {
        self.commands.push(command.to_uppercase());
        self
    }

    /// Only commands of which this is true; the name is the first word, as it was sent.
    pub fn matching(mut self, predicate: impl Fn(&[Vec<u8>]) -> bool + Send + Sync + 'static) -> Self {
        self.predicate = Some(Box::new(predicate));
        self
    }

    /// Only on one face.
    pub fn over(mut self, face: Face) -> Self {
        self.face = Some(face);
        self
    }

    /// Each time with a chance from 0 to 1, drawn from the server's seed.
    pub fn probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }

    /// Not the first `count` commands that it concerns.
    pub fn after(mut self, count: u64) -> Self {
        self.skipped = count;
        self
    }

    /// `count` times, then never again.
    pub fn times(mut self, count: u64) -> Self {
        self.left = Some(count);
        self
    }

    fn new(effect: Effect) -> Self {
        let (commands, predicate, face) = (Vec::new(), None, None);
        Self { effect, commands, predicate, face, probability: 1.0, skipped: 0, left: None }
    }

    fn concerns(&self, face: Face, words: &[Vec<u8>]) -> bool {
        let name = words.first().map(|name| String::from_utf8_lossy(name).to_uppercase()).unwrap_or_default();
        self.left != Some(0)
            && self.face.is_none_or(|own| own == face)
            && (self.commands.is_empty() || self.commands.contains(&name))
            && self.predicate.as_ref().is_none_or(|predicate| predicate(words))
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Fault");
        debug.field("effect", &self.effect).field("commands", &self.commands).field("face", &self.face);
        debug.field("probability", &self.probability).field("left", &self.left).finish_non_exhaustive()
    }
}

/// What is to happen to one command.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) lose_reply: bool,
    pub(crate) drop_before: bool,
    pub(crate) flush_scripts: bool,
    pub(crate) delay: Duration,
    pub(crate) error: Option<String>,
    pub(crate) status: Option<u16>,
}

#[derive(Debug)]
pub(crate) struct Faults {
    rules: Vec<Fault>,
    random: Random,
    pub(crate) fired: u64,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rules: Vec::new(), random: Random(seed), fired: 0 }
    }

    pub(crate) fn add(&mut self, fault: Fault) {
        self.rules.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(crate) fn judge(&mut self, face: Face, words: &[Vec<u8>]) -> Verdict {
        let mut verdict = Verdict::default();
        for rule in self.rules.iter_mut().filter(|rule| rule.concerns(face, words)) {
            if rule.skipped > 0 {
                rule.skipped -= 1;
                continue;
            }
            if rule.probability < 1.0 && self.random.unit() >= rule.probability {
                continue;
            }
            rule.left = rule.left.map(|left| left - 1);
            self.fired += 1;
            match &rule.effect {
                Effect::LoseReply => verdict.lose_reply = true,
                Effect::DropBefore => verdict.drop_before = true,
                Effect::Delay(by) => verdict.delay += *by,
                Effect::Error(text) => verdict.error = Some(text.clone()),
                Effect::FlushScripts => verdict.flush_scripts = true,
                Effect::HttpStatus(status) => verdict.status = Some(*status),
            }
        }
        verdict
    }
}

/// The SplitMix64 generator: faults need repeatable numbers, not good ones.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// From 0 up to, but not including, 1.
    pub(crate) fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Vec<u8>> {
        text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn rules_narrow_and_run_out() {
        let mut faults = Faults::new(1);
        faults.add(Fault::lose_reply().on("get").after(1).times(1));
        faults.add(Fault::error("BUSY").matching(|words| words.len() == 3).over(Face::Rest));
        let mut lost = || faults.judge(Face::Resp, &words("GET a")).lose_reply;
        assert_eq!([lost(), lost(), lost()], [false, true, false]);
        assert_eq!(faults.judge(Face::Resp, &words("SET a b")), Verdict::default());
        assert_eq!(faults.judge(Face::Rest, &words("SET a b")).error.as_deref(), Some("BUSY"));
        assert_eq!(faults.fired, 2);
    }

    #[test]
    fn a_seed_gives_the_same_faults() {
        let draw = |seed| {
            let mut faults = Faults::new(seed);
            faults.add(Fault::drop_before().probability(0.3));
            (0..200).map(|_| faults.judge(Face::Resp, &words("PING")).drop_before).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let count = draw(7).iter().filter(|hit| **hit).count();
        assert!((30..90).contains(&count), "{count} of 200");
    }
}
