//! Channels: who listens, and what they are sent.

use tokio::sync::mpsc::UnboundedSender;

use super::store::Store;
use crate::Reply;

#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) connection: u64,
    pub(crate) channel: Vec<u8>,
    pub(crate) sender: UnboundedSender<Reply>,
}

impl Store {
    /// How many connections were sent the message.
    pub(crate) fn publish(&mut self, channel: &[u8], message: &[u8]) -> i64 {
        let heard = self.subscribers.iter().filter(|subscriber| subscriber.channel == channel);
        let push = || Reply::Push(vec![Reply::bulk("message"), Reply::bulk(channel), Reply::bulk(message)]);
        heard.filter(|subscriber| subscriber.sender.send(push()).is_ok()).count() as i64
    }

    pub(crate) fn subscribe(&mut self, subscriber: Subscriber) {
        self.unsubscribe(subscriber.connection, &subscriber.channel);
        self.subscribers.push(subscriber);
    }

    pub(crate) fn unsubscribe(&mut self, connection: u64, channel: &[u8]) {
        self.subscribers.retain(|other| other.connection != connection || other.channel != channel);
    }

    pub(crate) fn subscriptions(&self, connection: u64) -> Vec<Vec<u8>> {
        let own = self.subscribers.iter().filter(|other| other.connection == connection);
        own.map(|subscriber| subscriber.channel.clone()).collect()
    }

    pub(crate) fn forget_subscriber(&mut self, connection: u64) {
        self.subscribers.retain(|other| other.connection != connection);
    }
}
