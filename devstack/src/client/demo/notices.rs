//! Which notices, preferences, event types and webhooks does the demo set up?
//!
//! Beside the events of the story: descriptions of types with templates, what people want to get, a webhook, and notices that they read,
//! put away or take note of. What is set already stays as it is, but for the webhook, whose address is another one each time.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::receiver::{Receiver, Taken};
use super::visitors::tell;
use super::visits::people_of;
use crate::client::dice::Dice;
use crate::info::StackInfo;
use crate::token::{Claims, now};

/// Pause before what did not succeed is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// Longest time for one request.
const REQUEST: Duration = Duration::from_secs(10);
/// Pause between two notices that are sent or read, of all businesses together.
const PACE: Duration = Duration::from_secs(4);
/// Notices of the day before that each business begins with.
const YESTERDAY: u32 = 12;
const DAY_MINUTES: u32 = 24 * 60;
/// The name of the webhook, and of the source of notices.
const WEBHOOK: &str = "demo";
const HOUR_S: u64 = 3_600;

/// What a notice of the demo is about: its type, and what its templates ask for.
const TYPES: [(&str, &str); 3] = [
    (
        "office.shift",
        "{\"title\":\"Shift on {{ day }} moved\",\"body\":\"{{ who }} takes over from {{ from }}.\",\"locales\":{\"de\":{\"title\":\"Schicht am {{ day }} verlegt\",\"body\":\"{{ who }} übernimmt ab {{ from }}.\"}},\"priority\":\"high\"}",
    ),
    (
        "office.delivery",
        "{\"title\":\"Delivery {{ number }} has come\",\"body\":\"It stands at the back door.\",\"defaults\":{\"desktop\":false}}",
    ),
    (
        "office.drill",
        "{\"title\":\"Fire drill at {{ from }}\",\"body\":\"Please take note.\",\"priority\":\"urgent\",\"mandatory\":true}",
    ),
];
const DAYS: [&str; 5] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"];

/// The notices of some businesses, with the types, preferences and webhooks that they need.
pub(super) struct DemoNotices<'a> {
    info: &'a StackInfo,
    http: reqwest::Client,
    receiver: Arc<Receiver>,
    dice: Dice,
    tenants: Vec<&'static str>,
    number: u32,
}

impl<'a> DemoNotices<'a> {
    pub(super) async fn new(
        info: &'a StackInfo,
        seed: u64,
        tenants: Vec<&'static str>,
    ) -> std::io::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(REQUEST).build();
        let (http, receiver) = (http.map_err(std::io::Error::other)?, Arc::new(Receiver::listen().await?));
        // Other choices than the story's.
        let dice = Dice::seeded(seed.wrapping_add(2));
        Ok(Self { info, http, receiver, dice, tenants, number: 0 })
    }

    /// Goes on for ever. Whatever fails is tried again later: the story does not depend on it.
    pub(super) async fn run(&mut self) -> std::io::Result<()> {
        let (url, receiver) = (self.receiver.url()?, self.receiver.clone());
        let told = |Taken { tenant, seq, kind }: Taken| {
            // Whoever reads the lines may have gone.
            let _ = tell(&tenant, &format!("webhook delivered #{seq} {kind}"));
        };
        tokio::select! {
            ended = receiver.run(told) => ended,
            ended = self.work(&url) => ended,
        }
    }

    async fn work(&mut self, url: &str) -> std::io::Result<()> {
        for tenant in self.tenants.clone() {
            while let Err(error) = self.set_up(tenant, url).await {
                tell(tenant, &format!("notices could not be set up: {error}"))?;
                sleep(RETRY).await;
            }
            tell(tenant, "notices are set up: event types, preferences, a webhook")?;
        }
        loop {
            sleep(PACE).await;
            let tenant = self.tenants[self.dice.below(self.tenants.len())];
            let done = match self.dice.chance(30) {
                true => self.notify(tenant, Timestamp::now()).await.map(|()| "notice sent".to_owned()),
                false => self.read_one(tenant).await,
            };
            match done {
                Ok(what) if what.is_empty() => {}
                Ok(what) => tell(tenant, &what)?,
                Err(error) => tell(tenant, &format!("no notice was sent or read: {error}"))?,
            }
        }
    }

    /// Sets what is not set, and sends the notices of a day to inboxes that nobody has opened before.
    async fn set_up(&mut self, tenant: &str, url: &str) -> Result<(), reqwest::Error> {
        for (kind, says) in TYPES {
            let says: Value = serde_json::from_str(says).unwrap_or_default();
            self.set_if_missing(&format!("/v1/event-types/{kind}?tenant={tenant}"), says).await?;
        }
        let hook =
            json!({"url": url, "types": ["office.*", "staff.status", "appointment.*"], "ordered": false});
        self.ask(Method::PUT, &format!("/v1/webhooks/{WEBHOOK}?tenant={tenant}"), None, Some(hook)).await?;
        let people = people_of(tenant);
        let nights = json!({"zone": "Europe/Berlin", "ranges": [{"days": ["mon", "tue", "wed", "thu", "fri"], "from": "20:00", "to": "07:00"}]});
        let wishes = [
            json!({"types": {"office.delivery": {"inbox": true, "toast": false}}, "locale": "de"}),
            json!({"quiet_hours": nights}),
        ];
        for (user, wish) in people.iter().zip(wishes) {
            let path = format!("/v1/preferences?tenant={tenant}&user={user}");
            let known = self.ask(Method::GET, &path, None, None).await?;
            if ["types", "quiet_hours", "locale"]
                .iter()
                .all(|name| known[name].is_null() || known[name] == json!({}))
            {
                self.ask(Method::PUT, &path, None, Some(wish)).await?;
            }
        }
        let first = self
            .ask(
                Method::GET,
                "/v1/inbox?filter=all&type=office.*&limit=1",
                people.first().map(|user| (tenant, *user)),
                None,
            )
            .await?;
        for user in people.iter().skip(1) {
            self.ask(Method::GET, "/v1/inbox?filter=all&type=office.*&limit=1", Some((tenant, *user)), None)
                .await?;
        }
        if !first["items"].as_array().is_some_and(Vec::is_empty) {
            return Ok(());
        }
        for n in 0..YESTERDAY {
            let ago = DAY_MINUTES * (YESTERDAY - n) / YESTERDAY;
            let then = Timestamp::now() - SignedDuration::from_mins(i64::from(ago));
            self.notify(tenant, then).await?;
        }
        Ok(())
    }

    /// A notice, to everybody or to one of them; of drills people take note, and who does not is told to the webhook.
    async fn notify(&mut self, tenant: &str, time: Timestamp) -> Result<(), reqwest::Error> {
        self.number += 1;
        let (dice, people) = (&mut self.dice, people_of(tenant));
        let which = dice.below(TYPES.len());
        let (kind, _) = TYPES[which];
        let from = format!("{:02}:00", dice.between(8, 17));
        let who = people[dice.below(people.len())];
        let vars =
            json!({"day": dice.pick(&DAYS), "from": from, "who": who, "number": self.number.to_string()});
        let mut notice = json!({"tenant": tenant, "type": kind, "source": "office", "time": time.to_string(), "vars": vars,
            "group": format!("{kind}-{}", dice.pick(&DAYS).to_lowercase()), "audience": {"users": [who]}});
        if kind == "office.drill" {
            notice["audience"] = json!({"tenant": true});
            notice["requires_ack"] = json!(true);
            notice["escalate"] = json!([{"after": "2m", "to": format!("webhook:{WEBHOOK}")}]);
        }
        self.ask(Method::POST, "/v1/notices", None, Some(notice)).await.map(drop)
    }

    /// Somebody looks into their inbox, and does something about its newest notice; what they did.
    async fn read_one(&mut self, tenant: &str) -> Result<String, reqwest::Error> {
        let people = people_of(tenant);
        let user = people[self.dice.below(people.len())];
        let who = Some((tenant, user));
        let inbox = self.ask(Method::GET, "/v1/inbox?filter=unread&limit=1", who, None).await?;
        let Some(item) = inbox["items"].as_array().and_then(|items| items.first()) else {
            return Ok(String::new());
        };
        let asks = item["requires_ack"] == true;
        let deed = if asks { "ack" } else { self.dice.pick(&["read", "read", "archive"]) };
        let seq = item["seq"].as_u64().unwrap_or_default();
        self.ask(Method::POST, &format!("/v1/inbox/{seq}/{deed}"), who, None).await?;
        let title = item["title"].as_str().unwrap_or_default();
        let what = match deed {
            "ack" => "acknowledges",
            "archive" => "archives",
            _ => "reads",
        };
        Ok(format!("{user} {what}: {title}"))
    }

    async fn set_if_missing(&self, path: &str, body: Value) -> Result<(), reqwest::Error> {
        let url = format!("{}{path}", self.info.lb);
        let known = self.http.get(&url).bearer_auth(&self.info.api_key).send().await?;
        if known.status() != StatusCode::NOT_FOUND {
            return known.error_for_status().map(drop);
        }
        self.ask(Method::PUT, path, None, Some(body)).await.map(drop)
    }

    /// A request as one of the people, or as whoever runs the installation.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        who: Option<(&str, &str)>,
        body: Option<Value>,
    ) -> Result<Value, reqwest::Error> {
        let token = who.and_then(|(tenant, user)| {
            let claims = Claims::new(tenant, user, now(), HOUR_S).roles(["staff"]);
            claims.sign(&self.info.jwt_secret).ok()
        });
        let bearer = token.as_deref().unwrap_or(&self.info.api_key);
        let request = self.http.request(method, format!("{}{path}", self.info.lb)).bearer_auth(bearer);
        let request = body.iter().fold(request, |request, body| request.json(body));
        let answer = request.send().await?.error_for_status()?;
        Ok(answer.json().await.unwrap_or_default())
    }
}
