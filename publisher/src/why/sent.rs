//! Has each webhook sent the event?

use crate::webhooks::wants;
use carillon_backplane::log::{FailedAt, LoggedEvent, TracedEvent, TracedWebhook};
use carillon_protocol::{Epoch, Epochs, Seq};

/// What became of an event at a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Its endpoint has taken it.
    Delivered,
    /// It failed, and is tried again or waits for somebody.
    Failed(FailedAt),
    /// Its turn has not come.
    Waiting,
    /// The webhook is disabled, for this reason.
    Disabled(String),
}

/// A webhook that sends the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Its name.
    pub webhook: String,
    /// What became of the event.
    pub state: State,
}

impl State {
    /// The word in JSON.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed(failed) if failed.parked => "parked",
            Self::Failed(_) => "retrying",
            Self::Waiting => "waiting",
            Self::Disabled(_) => "disabled",
        }
    }

    /// Whether its endpoint does not take it.
    pub fn fails(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Disabled(_))
    }
}

/// The webhooks that send this event. One that was made after it has begun behind it.
pub fn sent(event: &TracedEvent, epochs: &Epochs, webhooks: Vec<TracedWebhook>) -> Vec<Sent> {
    let logged = LoggedEvent { seq: event.seq, channels: event.channels.clone(), body: event.body.clone() };
    let state = |webhook: &TracedWebhook| {
        let good = Epoch::new(webhook.epoch.as_str()).ok().and_then(|epoch| epochs.good_up_to(&epoch));
        let is_past = webhook.seq.min(good.unwrap_or(Seq::ZERO)) >= event.seq;
        match (&webhook.failed, &webhook.disabled) {
            (Some(failed), _) => Some(State::Failed(failed.clone())),
            (None, _) if is_past => (webhook.created_at <= event.at).then_some(State::Delivered),
            (None, Some(reason)) => Some(State::Disabled(reason.clone())),
            (None, None) => Some(State::Waiting),
        }
    };
    let wanted = webhooks.into_iter().filter(|webhook| {
        webhook.failed.is_some() || wants(&webhook.id, &webhook.types, &webhook.channels, &logged)
    });
    wanted.filter_map(|webhook| Some(Sent { state: state(&webhook)?, webhook: webhook.id })).collect()
}
