//! What goes to the log when this caller publishes these events?
//!
//! Pure: whose log, in whose name, under which idempotency key. Everything that is not allowed or does not fit is
//! told at once, with the place.

use super::no_entry;
use super::permit::{Permit, RulesOf};
use super::problem::{Code, Problem};
use crate::access::{Caller, Scope, TenantFault};
use crate::event::draft::array_fingerprint;
use crate::event::request::Publication;
use crate::event::{Draft, Fault, FaultCode, Faults};
use crate::rates::{Lane, Use};
use crate::types::{TypesOf, Work};
use carillon_backplane::log::{Append, IdempotencyKey};
use carillon_protocol::{ConnectionName, EventId, Except, TenantId, UserId};
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};

/// Said to whoever may publish nothing at all.
pub(super) const NEEDS_SCOPE: &str = "publishing needs the scope publish of an API key, the capability publish of a user token, or a channel rule";

/// What the request says beside its body.
#[derive(Debug, Clone, Default)]
pub(super) struct Context {
    /// The tenant of events that name none (`?tenant=`).
    pub(super) tenant: Option<TenantId>,
    /// The header `Idempotency-Key`.
    pub(super) key: Option<String>,
    /// The header `traceparent`, when it is well formed.
    pub(super) traceparent: Option<String>,
    /// Which connection gets none of the events that do not name one themselves: the header `X-Carillon-Connection`.
    pub(super) except: Option<ConnectionName>,
    /// Whether nothing is stored.
    pub(super) is_dry_run: bool,
}

/// What a request comes to.
pub(super) struct Prepared {
    /// Its events as they are appended.
    pub(super) appends: Vec<Append>,
    /// What it uses of channels' rates.
    pub(super) uses: HashMap<Lane, Use>,
}

/// The events as they are appended, or why they are not.
pub(super) fn prepare(
    publication: Publication,
    caller: &Caller,
    context: &Context,
    (rules, types): (&RulesOf, &TypesOf),
    now: Timestamp,
    fresh_id: impl Fn() -> EventId,
) -> Result<Prepared, Problem> {
    let mut denials = Denials::default();
    let pointers: Vec<String> =
        (0..publication.drafts.len()).map(|index| publication.pointer(index)).collect();
    let array = publication.array;
    let mut drafts = publication.drafts;
    let mut tenants = Vec::with_capacity(drafts.len());
    for (draft, pointer) in drafts.iter_mut().zip(&pointers) {
        tenants.extend(authorise(draft, pointer, caller, context, rules, &mut denials));
    }
    let uses = denials.into_result()?;

    let whole = array.then(|| array_fingerprint(&drafts));
    let (mut faults, mut work) = (Faults::default(), Work::default());
    let mut appends = Vec::with_capacity(drafts.len());
    let mut ids = HashSet::new();
    for (index, (mut draft, Whose { tenant, user, by_rule })) in drafts.into_iter().zip(tenants).enumerate() {
        // Only now is each event's tenant known, and an id is unique within its tenant.
        if let Some(id) = &draft.id
            && !ids.insert((tenant.clone(), id.clone()))
        {
            let detail = "an earlier event of this array has the same id";
            faults.add(Fault::at(format!("{}/id", pointers[index]), FaultCode::DuplicateId, detail));
        }
        let own = user.as_ref().filter(|_| by_rule);
        let key = idempotency_key(&draft, context.key.as_deref(), whole.map(|hash| (index, hash)), own);
        // After the key: what the type says is not what the publisher sent.
        types.apply(&tenant, &mut draft, &pointers[index], &mut work, &mut faults);
        let except = draft.except.take().or_else(|| context.except.clone());
        let except = except.map(|connection| Box::new(Except { connection, of: user }));
        match draft.seal(now, &fresh_id, context.traceparent.clone()) {
            Ok(event) => appends.push(Append { tenant, request: 0, event, key, except }),
            Err(large) => {
                faults.add(Fault::at(pointers[index].clone(), FaultCode::TooLarge, large.to_string()));
            }
        }
    }
    if faults.is_empty() { Ok(Prepared { appends, uses }) } else { Err(invalid(faults.into_vec())) }
}

/// The 422 for these faults.
pub(super) fn invalid(faults: Vec<Fault>) -> Problem {
    let detail = match faults.len() {
        1 => "1 fault; nothing was stored".to_owned(),
        n => format!("{n} faults; nothing was stored"),
    };
    let is_template = |fault: &Fault| matches!(fault.code, FaultCode::Template | FaultCode::More);
    let only_templates = !faults.is_empty() && faults.iter().all(is_template);
    let code = if only_templates { Code::Template } else { Code::Validation };
    Problem::new(code, detail).at(faults)
}

/// Whose an event is.
struct Whose {
    tenant: TenantId,
    /// The person who publishes it, if it is one.
    user: Option<UserId>,
    /// Whether they may because a rule lets them.
    by_rule: bool,
}

/// Finds the event's tenant, and whose it is if it is a person's; puts its actor right.
fn authorise(
    draft: &mut Draft,
    pointer: &str,
    caller: &Caller,
    context: &Context,
    rules: &RulesOf,
    denials: &mut Denials,
) -> Option<Whose> {
    let asked = draft.tenant.as_ref().or(context.tenant.as_ref());
    let entry = match caller.enter(asked) {
        Ok(entry) => entry,
        Err(fault) => {
            denials.tenant(fault, format!("{pointer}/tenant"));
            return None;
        }
    };
    // The installation alone tells of itself there.
    if entry.tenant.is_operator() {
        denials.tenant(TenantFault::Forbidden, format!("{pointer}/tenant"));
        return None;
    }
    match (entry.by_rule(), rules.get(&entry.tenant)) {
        _ if entry.may(Scope::Publish) => {}
        (Some(person), Some(of_tenant)) if !of_tenant.is_empty() => {
            denials.permit.judge(draft, pointer, person, rules)
        }
        _ => denials.scope(),
    }
    let by_rule = !entry.may(Scope::Publish);
    if let Some(user) = &entry.user {
        match &draft.actor {
            None => draft.actor = Some(user.clone()),
            Some(actor) if actor != user && (!entry.admin || by_rule) => {
                denials.actor(format!("{pointer}/actor"))
            }
            Some(_) => {}
        }
    }
    // Naming the tenant the credentials imply makes no other request of it.
    draft.tenant = Some(entry.tenant.clone());
    Some(Whose { tenant: entry.tenant, user: entry.user, by_rule })
}

/// The name and digest that make a repeat recognisable. `whole` is given for an event of an array: its index and
/// the digest of all events.
///
/// A space cannot be in an `Idempotency-Key`, so the key of an array's event is never that of a single one. Whoever publishes
/// by a rule (`own`) has keys of their own: no page can take an id that a service is about to use.
fn idempotency_key(
    draft: &Draft,
    key: Option<&str>,
    whole: Option<(usize, [u8; 32])>,
    own: Option<&UserId>,
) -> Option<IdempotencyKey> {
    let of = own.map_or(String::new(), |user| format!("u{}:{user}:", user.as_str().len()));
    match (key, whole, &draft.id) {
        (Some(key), Some((index, hash)), _) => {
            Some(IdempotencyKey { name: format!("{of}k:{key} {index}"), hash })
        }
        (Some(key), None, _) => {
            Some(IdempotencyKey { name: format!("{of}k:{key}"), hash: draft.fingerprint() })
        }
        (None, _, Some(id)) => {
            Some(IdempotencyKey { name: format!("{of}i:{id}"), hash: draft.fingerprint() })
        }
        (None, _, None) => None,
    }
}

/// What the caller may not do, and where.
#[derive(Default)]
struct Denials {
    /// In one of the tenants the token is refused.
    revoked: bool,
    scope: bool,
    permit: Permit,
    tenants: Faults,
    actors: Faults,
    unnamed: Faults,
}

impl Denials {
    fn scope(&mut self) {
        self.scope = true;
    }

    fn tenant(&mut self, fault: TenantFault, pointer: String) {
        match fault {
            TenantFault::Required => {
                let detail = "the credentials are for several tenants: name the event's";
                self.unnamed.add(Fault::at(pointer, FaultCode::TenantRequired, detail));
            }
            TenantFault::Revoked => self.revoked = true,
            TenantFault::Forbidden => {
                let detail = "the credentials are not for this tenant";
                self.tenants.add(Fault::at(pointer, FaultCode::TenantForbidden, detail));
            }
        }
    }

    fn actor(&mut self, pointer: String) {
        let detail = "must be the token's own user; only an administrator names another";
        self.actors.add(Fault::at(pointer, FaultCode::ActorForbidden, detail));
    }

    fn into_result(self) -> Result<HashMap<Lane, Use>, Problem> {
        if self.revoked {
            return Err(no_entry(TenantFault::Revoked));
        }
        if self.scope {
            return Err(Problem::new(Code::MissingScope, NEEDS_SCOPE));
        }
        if !self.tenants.is_empty() {
            let detail = "the credentials are not for a tenant the request names";
            return Err(Problem::new(Code::TenantForbidden, detail).at(self.tenants.into_vec()));
        }
        if !self.actors.is_empty() {
            let detail = "only an administrator publishes in another person's name";
            return Err(Problem::new(Code::ActorForbidden, detail).at(self.actors.into_vec()));
        }
        let uses = self.permit.into_result()?;
        if self.unnamed.is_empty() { Ok(uses) } else { Err(invalid(self.unnamed.into_vec())) }
    }
}
