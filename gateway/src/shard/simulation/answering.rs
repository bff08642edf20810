//! What becomes of the shard's requests?

use super::client::Client;
use super::outside::{history, stored};
use super::rules::Reading;
use super::run::Run;
use super::scenario::{Outcome, Types};
use crate::authorize::{Authorized, Bearer, Refusal, Resume};
use crate::shard::messages::{Attached, Attaching, ConnectionId, Request, ToShard};
use crate::stream::backlog::BacklogPage;
use crate::verdicts::Verdicts;
use carillon_backplane::log::LogError;
use carillon_platform::ask::{Granted, Verdict};
use carillon_platform::auth::AuthError;
use carillon_protocol::server::ResetReason;
use carillon_protocol::{Channel, CloseCode, Epoch, Seq, SettingsVersion, TypeFilter};
use std::sync::Arc;
use std::time::Duration;

/// What somebody comes into a tenant with.
struct Coming {
    tenant: usize,
    cursor: Option<(String, u64)>,
    /// The cursor is refused, whatever it is.
    refused: bool,
    channels: Vec<Channel>,
    types: Option<Arc<TypeFilter>>,
}

fn filter(types: Types) -> Option<Arc<TypeFilter>> {
    types.map(|types| Arc::new(TypeFilter::new(types).unwrap()))
}

impl Run {
    /// What the authenticator makes of a client that connects, with the cursor it has now.
    pub(super) fn connecting(
        &self,
        number: usize,
        bearer: &Arc<Bearer>,
        refused: bool,
        url: Vec<String>,
    ) -> Result<Authorized, Refusal> {
        let client: &Client = &self.clients[number];
        let (tenant, cursor, types) = (client.home, client.cursor.clone(), filter(client.chosen()));
        let channels = url.into_iter().map(|name| Channel::new(name).unwrap()).collect();
        let coming = Coming { tenant, cursor, refused, channels, types };
        let bearer = Some(bearer.clone());
        self.authorized(bearer.as_deref().unwrap(), coming).map(|it| Authorized { bearer, ..it })
    }

    /// The same for one that comes into a further tenant.
    fn attaching(
        &mut self,
        connection: ConnectionId,
        bearer: &Bearer,
        attaching: &Attaching,
    ) -> Result<Authorized, Refusal> {
        let tenant = self.tenants.iter().position(|own| own.name == attaching.tenant).unwrap();
        let request = attaching.frame.as_deref().and_then(|id| id.parse().ok());
        if let Some(number) = self.whose(connection.key).filter(|_| self.shard.tables.has(connection)) {
            self.note_admission(number, tenant, request);
        }
        let wanted = &attaching.wanted;
        let cursor = wanted.since.map(|seq| (wanted.epoch.as_ref().unwrap().to_string(), seq.0));
        let (channels, types) = (wanted.channels.clone(), wanted.types.clone().map(Arc::new));
        self.authorized(bearer, Coming { tenant, cursor, refused: false, channels, types })
    }

    fn authorized(&self, bearer: &Bearer, coming: Coming) -> Result<Authorized, Refusal> {
        let Coming { tenant: number, cursor, refused, channels, types } = coming;
        let tenant = &self.tenants[number];
        let (_, head) = tenant.stream.position();
        let resume = match &cursor {
            None => Resume::Fresh,
            Some(_) if refused => Resume::Reset(ResetReason::EpochChanged),
            Some((epoch, seq)) if !tenant.honours(epoch, *seq) => Resume::Reset(ResetReason::EpochChanged),
            Some((_, seq)) if *seq < tenant.dropped && Seq(*seq) < head => Resume::Reset(ResetReason::TooOld),
            Some((epoch, seq)) => Resume::From { epoch: Epoch::new(epoch).unwrap(), seq: Seq(*seq) },
        };
        let identity = self.identity(bearer, number)?;
        let (version, rules) = (tenant.version(), tenant.rules_at(tenant.version()));
        let by_rule: Vec<&Channel> = channels.iter().filter(|channel| !identity.may_read(channel)).collect();
        let all = |reading| by_rule.iter().all(|channel| rules.allow(reading, channel.as_str()));
        if !all(Reading::Present) {
            return Err(Refusal::new("forbidden", "", 403, CloseCode::Forbidden));
        }
        let resume = match resume {
            // What was missed is past.
            Resume::From { seq, .. } if !all(Reading::Past) && seq < head => {
                Resume::Reset(ResetReason::HistoryForbidden)
            }
            resume => resume,
        };
        let rules = (!by_rule.is_empty()).then_some(SettingsVersion { tenant: version, defaults: 0 });
        let plain = Authorized::plain(identity, tenant.stream.clone(), channels, resume);
        Ok(Authorized { rules, types, ..plain })
    }

    pub(super) fn answer(&mut self, request: usize, outcome: Outcome) {
        let count = self.world.requests.borrow().len();
        if count == 0 {
            return;
        }
        let request = self.world.requests.borrow_mut().remove(request % count);
        let failed = || LogError::Busy("it is away".into());
        let message = match request {
            Request::Enter { connection, token, .. } => {
                let mut words = token.split(' ');
                let number: usize = words.next().unwrap().parse().unwrap();
                let (refused, expires_s) =
                    (words.next() == Some("true"), words.next().unwrap().parse().unwrap());
                if self.shard.tables.has(connection) {
                    self.note_admission(number, self.clients[number].home, None);
                }
                let bearer = Arc::new(self.bearer(number, false, 7, expires_s));
                let url = words.filter(|word| !word.is_empty()).map(str::to_owned).collect();
                let result = match outcome {
                    Outcome::Good => self.connecting(number, &bearer, refused, url).map(Box::new),
                    _ => Err(Refusal::from(AuthError::Missing)),
                };
                ToShard::Entered(connection, result)
            }
            Request::Refresh { connection, frame, token, .. } => {
                let mut words = token.split(' ');
                let number: usize = words.next().unwrap().parse().unwrap();
                let narrow = words.next() == Some("true");
                let names: u8 = words.next().unwrap().parse().unwrap();
                let result = match outcome {
                    Outcome::Good => Ok(self.bearer(number, narrow, names, 50_000)),
                    Outcome::Other => Ok(self.person("somebody-else", number, narrow, names, 50_000)),
                    Outcome::Failed => Err(Refusal::from(AuthError::Missing)),
                };
                ToShard::Refreshed(connection, frame, result.map(Box::new))
            }
            Request::Attach { connection, bearer, attaching } => {
                let result = match outcome {
                    Outcome::Good => self.attaching(connection, &bearer, &attaching),
                    Outcome::Other => Err(Refusal::from(AuthError::TenantForbidden)),
                    Outcome::Failed => Err(Refusal::unavailable("it is away")),
                };
                let attached = Attached { attaching: *attaching, bearer, result };
                ToShard::Attached(connection, Box::new(attached))
            }
            Request::Page { connection, ticket, reader, life, cursor, head } => {
                let tenant = self.tenants.iter().find(|own| own.name == reader.group).unwrap();
                // A page holds a few; the connection asks again for the rest.
                let upto = if outcome == Outcome::Other { head.0.min(cursor.0 + 3) } else { head.0 };
                let events = tenant.read(life as u32 as usize - 1, cursor.0, upto);
                let page = BacklogPage::of(events.iter().map(|event| tenant.entry(event)).collect(), head);
                let failed = (outcome == Outcome::Failed).then(failed);
                ToShard::Page(connection, ticket, failed.map_or(Ok(Arc::new(page)), Err))
            }
            Request::Publish { connection, frame, relayed, .. } => {
                stored(connection, frame, *relayed, outcome)
            }
            Request::History { connection, ticket, reader, selection, from, upto } => {
                let tenant = self.tenants.iter().find(|own| own.name == reader.group).unwrap();
                let page = history(tenant, &selection, from, upto, outcome == Outcome::Other);
                let failed = (outcome == Outcome::Failed).then(failed);
                ToShard::History(connection, ticket, failed.map_or(Ok(page), Err))
            }
            Request::Keep { connection, number, .. } => {
                ToShard::Kept(connection, number, outcome == Outcome::Good)
            }
            Request::Ask { connection, tenant, ticket, endpoint, questions } => {
                let granted = |number| {
                    let lasts = Duration::from_secs(30);
                    Verdict::Allowed(Granted { number: number + 1, lasts, left: lasts })
                };
                let said = questions.into_iter().map(|(question, number)| {
                    let verdict = match outcome {
                        Outcome::Good => granted(number),
                        Outcome::Other => Verdict::Refused,
                        Outcome::Failed => Verdict::Unavailable,
                    };
                    (question, verdict)
                });
                let verdicts = Verdicts::new(endpoint.generation(), said.collect());
                ToShard::Asked(connection, tenant, ticket, Box::new(verdicts))
            }
        };
        self.messages.push_back(message);
    }
}
