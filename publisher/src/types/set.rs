//! What do a tenant's types say about this event?
//!
//! A tenant's own types decide, then those of the installation. Most events have neither: then nothing is done.

use super::definition::{BODY_BYTES, Definition, TITLE_BYTES, Texts};
use super::locale;
use super::schema::Schema;
use super::template;
use crate::event::draft::Data;
use crate::event::fault::member;
use crate::event::{Draft, Fault, FaultCode, Faults};
use carillon_backplane::log::StoredTypes;
use carillon_protocol::TenantId;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

/// Longest title that a template may make, in characters.
pub const TITLE_CHARS: usize = 256;
/// Longest body that a template may make, in characters.
pub const BODY_CHARS: usize = 4_096;

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

/// What a notice says, in each language that its type has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rendered {
    /// Where a person's language is not among `locales`.
    #[serde(flatten)]
    pub texts: Texts,
    /// By language.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub locales: BTreeMap<String, Texts>,
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

    /// What a notice of this type says with these variables; `at` points to them. None where the type has no templates.
    pub fn render(&self, variables: &Value, at: &str, faults: &mut Faults) -> Option<Rendered> {
        let definition = self.definition.as_ref().ok()?;
        definition.texts.title.as_ref()?;
        let mut fill = |texts: &Texts, language: &str| {
            let mut one = |source: &Option<String>, what: &str, most| {
                let made = template::render(source.as_deref()?, variables, most);
                made.map_err(|fault| {
                    let place = fault.variable.as_deref().map(|name| template::pointer(at, name));
                    let detail = format!("the {what} of the type's template{language} {}", fault.detail);
                    faults.add(Fault::at(
                        place.unwrap_or_else(|| at.to_owned()),
                        FaultCode::Template,
                        detail,
                    ));
                })
                .ok()
            };
            Texts {
                title: one(&texts.title, "title", TITLE_CHARS),
                body: one(&texts.body, "body", BODY_CHARS),
            }
        };
        let texts = fill(&definition.texts, "");
        let locales = definition.locales.iter();
        let locales = locales.map(|(tag, texts)| (tag.clone(), fill(texts, &format!(" in {tag}")))).collect();
        Some(Rendered { texts, locales })
    }
}

impl Rendered {
    /// What somebody gets who reads this language, and which of the type's languages that is.
    pub fn texts_for(&self, wanted: Option<&str>) -> (Option<String>, Texts) {
        let found = wanted.and_then(|wanted| locale::pick(&self.locales, wanted));
        let Some((tag, own)) = found else { return (None, self.texts.clone()) };
        let title = own.title.clone().or_else(|| self.texts.title.clone());
        let body = own.body.clone().or_else(|| self.texts.body.clone());
        (Some(tag.to_owned()), Texts { title, body })
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

    /// Checks an event by what its tenant says about its type, and gives it what it left to that; `at` points to it.
    pub(crate) fn apply(&self, tenant: &TenantId, draft: &mut Draft, at: &str, faults: &mut Faults) {
        let Some(found) = self.0.get(tenant).and_then(|types| types.get(&draft.kind)) else { return };
        found.check(draft.data.as_ref(), at, faults);
        draft.priority = draft.priority.or(found.definition().and_then(|definition| definition.priority));
    }
}

const _: () = assert!(TITLE_CHARS <= TITLE_BYTES && BODY_CHARS <= BODY_BYTES);
