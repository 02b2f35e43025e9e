//! One RESP connection's own state, and the commands about it.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::blocking::{Waiter, timeout_us};
use super::commands::{integer, upper};
use super::pubsub::Subscriber;
use super::shared::State;
use super::table::{self, Class, wrong_count};
use crate::Reply;

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: u64,
    pub(crate) resp3: bool,
    pub(crate) push: UnboundedSender<Reply>,
    authorised: bool,
    name: Vec<u8>,
    queued: Option<Vec<Vec<Vec<u8>>>>,
    spoiled: bool,
}

/// What the connection does next.
#[derive(Debug)]
pub(crate) enum Step {
    Answer(Vec<Reply>),
    /// A blocking command waits; the duration is real time, `None` without end or with a manual clock.
    Wait(u64, oneshot::Receiver<Reply>, Option<Duration>),
    Close(Reply),
}

impl Session {
    pub(crate) fn new(id: u64, authorised: bool, push: UnboundedSender<Reply>) -> Self {
        Self { id, resp3: false, push, authorised, name: Vec::new(), queued: None, spoiled: false }
    }

    pub(crate) fn handle(&mut self, state: &mut State, words: &[Vec<u8>]) -> Step {
        let name = upper(&words[0]);
        if !self.authorised && !["AUTH", "HELLO", "QUIT", "RESET"].contains(&name.as_str()) {
            return one(error("NOAUTH Authentication required."));
        }
        let spec = match table::find(&state.store, words) {
            Ok(spec) => spec,
            Err(text) => {
                self.spoiled |= self.queued.is_some();
                return one(Reply::Error(text));
            }
        };
        let at_once = ["EXEC", "DISCARD", "MULTI", "QUIT", "RESET"].contains(&name.as_str());
        if let Some(queued) = self.queued.as_mut().filter(|_| !at_once) {
            queued.push(words.to_vec());
            return one(Reply::Status("QUEUED".into()));
        }
        match spec.class {
            Class::Session => self.about_connection(state, &name, words),
            Class::Blocking => self.blocking(state, words),
            _ => one(state.run(words, false)),
        }
    }

    fn blocking(&mut self, state: &mut State, words: &[Vec<u8>]) -> Step {
        let reply = state.run(words, false);
        if !reply.is_nil() {
            return one(reply);
        }
        let (sender, receiver) = oneshot::channel();
        let timeout = timeout_us(words).ok().flatten();
        let id = state.new_id();
        let deadline_us = timeout.map(|us| state.store.now_us() + us);
        state.store.waiters.push(Waiter { id, words: words.to_vec(), deadline_us, sender });
        let real = timeout.filter(|_| !state.store.clock.is_manual());
        Step::Wait(id, receiver, real.map(|us| Duration::from_micros(us as u64)))
    }

    fn about_connection(&mut self, state: &mut State, name: &str, words: &[Vec<u8>]) -> Step {
        match name {
            "HELLO" => one(self.hello(state, words)),
            "AUTH" => one(self.auth(state, &words[1..])),
            "CLIENT" => one(self.client(words)),
            "SELECT" => one(match integer(&words[1]) {
                Ok(0) => Reply::ok(),
                Ok(_) => error("ERR DB index is out of range"),
                Err(text) => Reply::Error(text),
            }),
            "MULTI" if self.queued.is_some() => one(error("ERR MULTI calls can not be nested")),
            "MULTI" => {
                (self.queued, self.spoiled) = (Some(Vec::new()), false);
                one(Reply::ok())
            }
            "DISCARD" => match self.queued.take() {
                Some(_) => one(Reply::ok()),
                None => one(error("ERR DISCARD without MULTI")),
            },
            "EXEC" => one(self.exec(state)),
            "SUBSCRIBE" => {
                let replies = words[1..].iter().map(|channel| {
                    let sender = self.push.clone();
                    state.store.subscribe(Subscriber {
                        connection: self.id,
                        channel: channel.clone(),
                        sender,
                    });
                    self.subscription(state, "subscribe", Some(channel))
                });
                Step::Answer(replies.collect())
            }
            "UNSUBSCRIBE" => {
                let all = state.store.subscriptions(self.id);
                let channels = if words.len() > 1 { words[1..].to_vec() } else { all };
                if channels.is_empty() {
                    return one(self.subscription(state, "unsubscribe", None));
                }
                let replies = channels.iter().map(|channel| {
                    state.store.unsubscribe(self.id, channel);
                    self.subscription(state, "unsubscribe", Some(channel))
                });
                Step::Answer(replies.collect())
            }
            "RESET" => {
                state.store.forget_subscriber(self.id);
                *self = Self::new(self.id, state.store.setup.password.is_none(), self.push.clone());
                one(Reply::Status("RESET".into()))
            }
            _ => Step::Close(Reply::ok()),
        }
    }

    fn exec(&mut self, state: &mut State) -> Reply {
        let Some(queued) = self.queued.take() else { return error("ERR EXEC without MULTI") };
        if self.spoiled {
            return error("EXECABORT Transaction discarded because of previous errors.");
        }
        let run = |words: &Vec<Vec<u8>>| match table::find(&state.store, words).map(|spec| spec.class) {
            Ok(Class::Session) => match self.about_connection(state, &upper(&words[0]), words) {
                Step::Answer(replies) => replies.into_iter().next().unwrap_or(Reply::Nil),
                _ => Reply::ok(),
            },
            _ => state.run(words, false),
        };
        Reply::Array(queued.iter().map(run).collect())
    }

    fn subscription(&self, state: &State, kind: &str, channel: Option<&Vec<u8>>) -> Reply {
        let count = state.store.subscriptions(self.id).len() as i64;
        let channel = channel.map_or(Reply::Nil, |channel| Reply::bulk(channel.clone()));
        Reply::Push(vec![Reply::bulk(kind), channel, Reply::Int(count)])
    }

    /// `HELLO [version [AUTH user password] [SETNAME name]]`.
    fn hello(&mut self, state: &State, words: &[Vec<u8>]) -> Reply {
        let version = match words.get(1).map(|word| integer(word)) {
            None => {
                if self.resp3 {
                    3
                } else {
                    2
                }
            }
            Some(Ok(version @ (2 | 3))) => version,
            Some(Ok(_)) => return error("NOPROTO unsupported protocol version"),
            Some(Err(_)) => return error("ERR Protocol version is not an integer or out of range"),
        };
        let mut rest = words.get(2..).unwrap_or_default();
        while let Some(option) = rest.first() {
            match (upper(option).as_str(), rest.len()) {
                ("AUTH", 3..) => {
                    let reply = self.auth(state, &rest[1..3]);
                    if reply.is_error() {
                        return reply;
                    }
                    rest = &rest[3..];
                }
                ("SETNAME", 2..) => {
                    self.name = rest[1].clone();
                    rest = &rest[2..];
                }
                _ => {
                    return error(&format!(
                        "ERR Syntax error in HELLO option '{}'",
                        String::from_utf8_lossy(option)
                    ));
                }
            }
        }
        if !self.authorised {
            return error(
                "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
                 HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and \
                 select the RESP protocol version at the same time",
            );
        }
        self.resp3 = version == 3;
        let text = |text: &str| Reply::bulk(text);
        Reply::Map(vec![
            (text("server"), text("redis")),
            (text("version"), text(&state.store.setup.version)),
            (text("proto"), Reply::Int(version)),
            (text("id"), Reply::Int(self.id as i64)),
            (text("mode"), text("standalone")),
            (text("role"), text("master")),
            (text("modules"), Reply::Array(Vec::new())),
        ])
    }

    /// `password` or `user password`, of which the user is `default`.
    fn auth(&mut self, state: &State, words: &[Vec<u8>]) -> Reply {
        let (user, given) = match words {
            [given] => (b"default".as_slice(), given),
            [user, given] => (user.as_slice(), given),
            _ => return error("ERR syntax error"),
        };
        match &state.store.setup.password {
            None if words.len() == 1 => error(
                "ERR AUTH <password> called without any password configured for the default user. \
                 Are you sure your configuration is correct?",
            ),
            None => Reply::ok(),
            Some(password) if user == b"default" && password.as_bytes() == given.as_slice() => {
                self.authorised = true;
                Reply::ok()
            }
            Some(_) => error("WRONGPASS invalid username-password pair or user is disabled."),
        }
    }

    fn client(&mut self, words: &[Vec<u8>]) -> Reply {
        let name = upper(&words[1]);
        match (name.as_str(), &words[2..]) {
            ("ID", []) => Reply::Int(self.id as i64),
            ("SETNAME", [name]) => {
                self.name = name.clone();
                Reply::ok()
            }
            ("GETNAME", []) if self.name.is_empty() => Reply::Nil,
            ("GETNAME", []) => Reply::bulk(self.name.clone()),
            ("SETINFO", [_, _]) | ("NO-EVICT" | "NO-TOUCH", [_]) => Reply::ok(),
            ("ID" | "SETNAME" | "GETNAME" | "SETINFO" | "NO-EVICT" | "NO-TOUCH", _) => {
                Reply::Error(wrong_count(&format!("client|{}", name.to_lowercase())))
            }
            _ => error(&format!(
                "ERR unknown subcommand '{}'. Try CLIENT HELP.",
                String::from_utf8_lossy(&words[1])
            )),
        }
    }
}

fn one(reply: Reply) -> Step {
    Step::Answer(vec![reply])
}

fn error(text: &str) -> Reply {
    Reply::Error(text.into())
}
