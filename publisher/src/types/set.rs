//! What do a tenant's types say about this event?
//!
//! A tenant's own types decide, then those of the installation. Most events have neither: then nothing is done.

use super::definition::Definition;
use super::fill::{self, Work};
use super::schema::Schema;
use crate::event::draft::Data;
use crate::event::fault::member;
use crate::event::{Draft, Fault, FaultCode, Faults};
use carillon_backplane::log::StoredTypes;
use carillon_protocol::TenantId;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

/// A type as it is held.
#[derive(Debug)]
pub struct EventType {
    definition: Result<Definition, String>,
    /// Read when the first event of the type comes.
    schema: OnceLock<Result<Option<Schema>, String>>,
}

/// All types of one owner.
#[derive(Debug, Default)]
pub struct OwnTypes {
    types: HashMap<String, EventType>,
    bytes: usize,
}

/// All types that hold in one tenant.
#[derive(Debug, Clone, Default)]
pub struct TypeSet {
    own: Option<Arc<OwnTypes>>,
    defaults: Option<Arc<OwnTypes>>,
}

impl EventType {
    /// A type that is not stored, or not yet.
    pub fn of(definition: Definition) -> Self {
        Self { definition: Ok(definition), schema: OnceLock::new() }
    }

    fn stored(json: &str) -> Self {
        let definition = serde_json::from_str(json).map_err(|error| error.to_string());
        Self { definition, schema: OnceLock::new() }
    }

    /// What is said about it; none where this release cannot read it.
    pub fn definition(&self) -> Option<&Definition> {
        self.definition.as_ref().ok()
    }

    /// Adds what of an event's data breaks the type's schema; `at` points to the event.
    pub(crate) fn check(&self, data: Option<&Data>, at: &str, faults: &mut Faults) {
        let read = self.schema.get_or_init(|| {
            let definition = self.definition.as_ref().map_err(Clone::clone)?;
            let Some(schema) = &definition.schema else { return Ok(None) };
            let mut faults = Faults::default();
            let read = Schema::read(schema, "", &mut faults);
            match faults.into_vec().pop() {
                Some(fault) => Err(fault.detail),
                None => Ok(read),
            }
        });
        let schema = match read {
            Ok(None) => return,
            Ok(Some(schema)) => schema,
            Err(error) => {
                // A newer release may have stored it. Nothing is taken that nobody has checked.
                tracing::error!(error, "what is stored about an event type cannot be read");
                let detail = "this release cannot read what is stored about this type; set it again";
                faults.add(Fault::at(member(at, "type"), FaultCode::Schema, detail));
                return;
            }
        };
        let place = member(at, "data");
        match data {
            // It says that a latest value is gone.
            Some(Data::Null) => {}
            None => schema.check(&Value::Null, &place, faults),
            Some(Data::Json(json)) => match serde_json::from_str::<Value>(json) {
                Ok(data) => schema.check(&data, &place, faults),
                Err(error) => faults.add(Fault::at(place, FaultCode::Schema, error.to_string())),
            },
            Some(Data::Base64(_)) => {
                let detail = "the event's type has a schema, which bytes do not fit: send data";
                faults.add(Fault::at(member(at, "data_base64"), FaultCode::Schema, detail));
            }
        }
    }
}

/// What templates are filled with: the members of `data`, and of `vars` where both have one.
pub fn variables(vars: Option<&Value>, data: Option<&Value>) -> Value {
    let members = |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
    let mut variables = members(data);
    variables.extend(members(vars));
    Value::Object(variables)
}

impl OwnTypes {
    /// Those that are stored.
    pub fn stored(stored: &StoredTypes) -> Self {
        let bytes = stored.types.iter().map(|stored| stored.kind.len() + stored.definition.len()).sum();
        let types =
            stored.types.iter().map(|stored| (stored.kind.clone(), EventType::stored(&stored.definition)));
        Self { types: types.collect(), bytes }
    }

    /// How much they are as they are stored.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl TypeSet {
    /// A tenant's own, if it has any, and those of the installation, if it has any.
    pub fn new(own: Option<Arc<OwnTypes>>, defaults: Option<Arc<OwnTypes>>) -> Self {
        Self { own, defaults }
    }

    /// All types about which something is said, with what this release can read.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Definition)> {
        let own = self.own.iter().flat_map(|own| own.types.iter());
        let defaults = self.defaults.iter().flat_map(|defaults| defaults.types.iter());
        let is_own = |kind: &str| self.own.as_deref().is_some_and(|own| own.types.contains_key(kind));
        let all = own.chain(defaults.filter(move |(kind, _)| !is_own(kind)));
        all.filter_map(|(kind, says)| Some((kind.as_str(), says.definition()?)))
    }

    /// What is said about a type.
    pub fn get(&self, kind: &str) -> Option<&EventType> {
        let own = self.own.as_deref().and_then(|own| own.types.get(kind));
        own.or_else(|| self.defaults.as_deref().and_then(|defaults| defaults.types.get(kind)))
    }
}

/// Sends a notice that names nobody to the audience of its type: of the one whose templates it names, if it does.
fn send_to_audience(types: Option<&TypeSet>, draft: &mut Draft, at: &str, faults: &mut Faults) {
    let template = draft.notice.as_ref().and_then(|notify| notify.fill.as_ref()?.template.as_deref());
    let named = template.unwrap_or(&draft.kind);
    let definition = types.and_then(|types| types.get(named)?.definition());
    match definition.and_then(|definition| definition.audience.as_ref()) {
        Some(audience) => draft.channels = audience.to_channels(),
        None => {
            let detail = format!("{}, or give the type {named} an audience", draft.named.missing());
            faults.add(Fault::at(
                format!("{at}{}", draft.named.of_notice()),
                FaultCode::TargetRequired,
                detail,
            ));
        }
    }
}

/// The types of the tenants that a request publishes into.
#[derive(Debug, Default)]
pub struct TypesOf(BTreeMap<TenantId, TypeSet>);

impl TypesOf {
    /// Whether a tenant was looked up.
    pub fn has(&self, tenant: &TenantId) -> bool {
        self.0.contains_key(tenant)
    }

    /// The types of a tenant.
    pub fn add(&mut self, tenant: TenantId, types: TypeSet) {
        self.0.insert(tenant, types);
    }

    /// Checks an event by what its tenant says about its type, gives it what it left to that, be it whom it goes to, and fills its notice; `at`
    /// points to it.
    pub(crate) fn apply(
        &self,
        tenant: &TenantId,
        draft: &mut Draft,
        at: &str,
        work: &mut Work,
        faults: &mut Faults,
    ) {
        let types = self.0.get(tenant);
        if draft.channels.is_empty() {
            send_to_audience(types, draft, at, faults);
        }
        if let Some(found) = types.and_then(|types| types.get(&draft.kind)) {
            found.check(draft.data.as_ref(), at, faults);
            draft.priority = draft.priority.or(found.definition().and_then(|definition| definition.priority));
        }
        fill::fill(types, draft, at, work, faults);
    }
}
