//! Which request comes next.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use super::SUBJECTS;
use super::client::Client;
use crate::journal::Request;

/// Percent of the requests that repeat a key.
const REPLAYS: u32 = 10;
/// Percent of the requests that are sent twice at once.
const DOUBLES: u32 = 1;
/// Percent of the requests that use the key of another subject.
const FOREIGN_KEYS: u32 = 1;
/// Percent of the requests that read or cancel the order of another subject.
const FOREIGN_ORDERS: u32 = 2;
/// Percent of the requests that read an order of the subject.
const READS: u32 = 3;

/// An order that was sent.
#[derive(Clone, Debug)]
struct Sent {
    subject: &'static str,
    key: String,
    body: String,
    order: Option<Uuid>,
}

/// Draws the requests from a seed.
#[derive(Debug)]
pub struct Mixture {
    dice: StdRng,
    /// Percent of the orders that are cancelled.
    cancels: u32,
    /// Number of clients that cancel an order at the same time.
    cancelling: usize,
    number: u64,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Mixture {
    /// The usual mixture: 3 % of the orders are cancelled, by one client.
    pub fn new(seed: u64) -> Self {
        let dice = StdRng::seed_from_u64(seed);
        Self { dice, cancels: 3, cancelling: 1, number: 0, sent: Arc::default() }
    }

    /// Cancels this percentage of the orders, each with two clients at once.
    #[must_use]
    pub fn with_cancels(self, percent: u32) -> Self {
        Self { cancels: percent, cancelling: 2, ..self }
    }

    /// Sends the next request, and what follows from it.
    pub fn send_next(&mut self, client: &Client, requests: &mut JoinSet<()>) {
        let kind = self.dice.random_range(0..100);
        let subject = SUBJECTS[self.dice.random_range(0..SUBJECTS.len())];
        let before = self.draw_sent();
        let client = client.clone();
        let mut bound = REPLAYS;
        if let Some(sent) = before.clone().filter(|_| kind < bound) {
            requests.spawn(async move { drop(client.send(sent.subject, sent.create()).await) });
            return;
        }
        bound += FOREIGN_KEYS;
        if let Some(sent) = before.clone().filter(|_| kind < bound) {
            return self.create(other_than(sent.subject), sent.key, 1, client, requests);
        }
        bound += FOREIGN_ORDERS;
        if let Some((sent, order)) = before.clone().and_then(Sent::known).filter(|_| kind < bound) {
            let other = other_than(sent.subject);
            let foreign =
                if self.dice.random() { Request::Read(order) } else { Request::Cancel(order) };
            requests.spawn(async move { drop(client.send(other, foreign).await) });
            return;
        }
        bound += READS;
        if let Some((sent, order)) = before.and_then(Sent::known).filter(|_| kind < bound) {
            requests
                .spawn(async move { drop(client.send(sent.subject, Request::Read(order)).await) });
            return;
        }
        self.number += 1;
        let key = format!("key-{}", self.number);
        let copies = if (bound..bound + DOUBLES).contains(&kind) { 2 } else { 1 };
        self.create(subject, key, copies, client, requests);
    }

    /// Creates an order with this number of requests at once, and perhaps cancels it.
    fn create(
        &mut self,
        subject: &'static str,
        key: String,
        copies: usize,
        client: Client,
        requests: &mut JoinSet<()>,
    ) {
        let quantity = self.dice.random_range(1..10);
        let item = json!({ "productId": "widget", "quantity": quantity, "price": 9.99 });
        let body = json!({ "customerId": format!("customer-{subject}"), "items": [item] });
        let sent = Sent { subject, key, body: body.to_string(), order: None };
        let cancels = self.dice.random_range(0..100) < self.cancels;
        let delay = Duration::from_millis(self.dice.random_range(0..800));
        let cancelling = self.cancelling;
        let index = {
            let mut all = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
            all.push(sent.clone());
            all.len() - 1
        };
        let all = Arc::clone(&self.sent);
        requests.spawn(async move {
            let creates = (0..copies).map(|_| client.send(subject, sent.create()));
            let answers = futures::future::join_all(creates).await;
            let Some(order) = answers[0].order() else { return };
            all.lock().unwrap_or_else(PoisonError::into_inner)[index].order = Some(order);
            if cancels {
                sleep(delay).await;
                let cancel = |_| client.send(subject, Request::Cancel(order));
                futures::future::join_all((0..cancelling).map(cancel)).await;
            }
        });
    }

    /// One of the orders that were sent before, if there are any.
    fn draw_sent(&mut self) -> Option<Sent> {
        let all = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if all.is_empty() { None } else { Some(all[self.dice.random_range(0..all.len())].clone()) }
    }
}

impl Sent {
    fn create(&self) -> Request {
        Request::Create { key: self.key.clone(), body: self.body.clone() }
    }

    fn known(self) -> Option<(Self, Uuid)> {
        let order = self.order?;
        Some((self, order))
    }
}

fn other_than(subject: &str) -> &'static str {
    if subject == SUBJECTS[0] { SUBJECTS[1] } else { SUBJECTS[0] }
}
