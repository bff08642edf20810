//! What does a team's backend do with the publish API?
//!
//! One event at a time mostly, sometimes a batch, sometimes the same request again as after a lost answer, and now and
//! then a look into the log. Receipts of one publisher have to ascend: it waits for each before it sends the next.

use std::sync::Arc;
use std::time::Instant;

use goose::goose::GooseResponse;
use goose::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use crate::ledger::{Happening, LEDGER};
use crate::settings::Settings;
use crate::team::{Team, sent_elsewhere};
use crate::token::{Claims, mint};

const EVENTS: &str = "/v1/events";
/// Events in a batch.
const BATCH: usize = 20;

/// What a publishing user knows.
#[derive(Clone)]
struct Desk {
    team: &'static Team,
    tenant: String,
    token: String,
    /// The number of its last receipt.
    last: u64,
    sent: u64,
    /// Every fifth event goes where nobody listens.
    elsewhere: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Receipt {
    id: String,
    seq: u64,
    epoch: String,
}

/// One event is answered with one receipt, a batch with a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Receipts {
    One(Receipt),
    Many(Vec<Receipt>),
}

/// The tenant of a team in this run.
pub(crate) fn tenant(team: &Team, settings: &Settings) -> String {
    format!("goose-{}-{}", settings.run, team.name)
}

/// The backend of a team.
pub(crate) fn scenario(team: &'static Team, settings: &Settings) -> Result<Scenario, GooseError> {
    let Settings { pause, .. } = settings;
    let settings = settings.clone();
    let open: TransactionFunction = Arc::new(move |user| {
        let desk = Desk::of(team, &settings);
        Box::pin(async move {
            user.set_session_data(desk.map_err(failed)?);
            Ok(())
        })
    });
    Ok(Scenario::new(&format!("{} publishes", team.name))
        // Two of three users publish.
        .set_weight(2)?
        .set_wait_time(*pause / 2, *pause)?
        .register_transaction(Transaction::new(open).set_on_start())
        .register_transaction(transaction!(one).set_name("one event").set_weight(20)?)
        .register_transaction(transaction!(batch).set_name("a batch").set_weight(2)?)
        .register_transaction(transaction!(again).set_name("the same again").set_weight(2)?)
        .register_transaction(transaction!(look).set_name("the log").set_weight(1)?))
}

impl Desk {
    fn of(team: &'static Team, settings: &Settings) -> Result<Self, jsonwebtoken::errors::Error> {
        let tenant = tenant(team, settings);
        let caps = &["publish", "admin"];
        let claims = Claims { sub: "backend", tenant: &tenant, roles: &[], channels: &[], caps };
        let token = mint(&claims, &settings.secret)?;
        Ok(Self { team, tenant, token, last: 0, sent: 0, elsewhere: settings.elsewhere })
    }

    fn event(&mut self) -> Value {
        self.sent += 1;
        let event = self.team.event();
        if self.elsewhere && self.sent.is_multiple_of(5) { sent_elsewhere(event) } else { event }
    }

    /// Notes receipts; false when a number is not above the one before.
    fn take(&mut self, receipts: &[Receipt]) -> bool {
        let mut ascend = true;
        for receipt in receipts {
            ascend &= receipt.seq > self.last;
            self.last = receipt.seq;
        }
        LEDGER.acknowledge(&self.tenant, receipts.len() as u64, self.last);
        ascend
    }
}

fn desk(user: &mut GooseUser) -> &mut Desk {
    user.get_session_data_unchecked_mut::<Desk>()
}

fn failed(error: impl ToString) -> Box<TransactionError> {
    Box::new(TransactionError::Custom(error.to_string()))
}

async fn one(user: &mut GooseUser) -> TransactionResult {
    let event = desk(user).event();
    let begun = Instant::now();
    if let Some(receipts) = post(user, "one event", &event, None).await? {
        LEDGER.time("acknowledge", begun.elapsed().as_millis() as u64);
        note(user, &receipts);
    }
    Ok(())
}

async fn batch(user: &mut GooseUser) -> TransactionResult {
    let desk = desk(user);
    let events = Value::Array((0..BATCH).map(|_| desk.event()).collect());
    if let Some(receipts) = post(user, "a batch", &events, None).await? {
        if receipts.len() != BATCH {
            LEDGER.count(Happening::Disordered);
        }
        note(user, &receipts);
    }
    Ok(())
}

async fn again(user: &mut GooseUser) -> TransactionResult {
    let event = desk(user).event();
    let key = format!("{:032x}", fastrand::u128(..));
    let first = post(user, "one event", &event, Some(&key)).await?;
    let second = post(user, "the same again", &event, Some(&key)).await?;
    if let (Some(first), Some(second)) = (first, second) {
        if first != second {
            LEDGER.count(Happening::Disordered);
        }
        note(user, &first);
    }
    Ok(())
}

async fn look(user: &mut GooseUser) -> TransactionResult {
    let token = desk(user).token.clone();
    let request = user.get_request_builder(&GooseMethod::Get, "/v1/events?limit=20")?.bearer_auth(token);
    let request = GooseRequest::builder()
        .path(EVENTS)
        .name("the log")
        .expect_status_code(200)
        .set_request_builder(request)
        .build();
    // A failure is in goose's own count.
    user.request(request).await?;
    Ok(())
}

fn note(user: &mut GooseUser, receipts: &[Receipt]) {
    if !desk(user).take(receipts) {
        LEDGER.count(Happening::Disordered);
    }
}

/// Posts; nothing when the answer is not 201, which goose has counted as a failure then.
async fn post(
    user: &mut GooseUser,
    name: &str,
    body: &Value,
    key: Option<&str>,
) -> Result<Option<Vec<Receipt>>, Box<TransactionError>> {
    let token = desk(user).token.clone();
    let mut request = user.get_request_builder(&GooseMethod::Post, EVENTS)?.bearer_auth(token).json(body);
    if let Some(key) = key {
        request = request.header("Idempotency-Key", key);
    }
    let request = GooseRequest::builder()
        .method(GooseMethod::Post)
        .path(EVENTS)
        .name(name)
        .expect_status_code(201)
        .set_request_builder(request)
        .build();
    let GooseResponse { response, .. } = user.request(request).await?;
    let Some(response) = response.ok().filter(|response| response.status().as_u16() == 201) else {
        return Ok(None);
    };
    let receipts = response.json().await.map_err(failed)?;
    Ok(Some(match receipts {
        Receipts::One(receipt) => vec![receipt],
        Receipts::Many(receipts) => receipts,
    }))
}
