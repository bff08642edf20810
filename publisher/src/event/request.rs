//! Which events does a request body hold?

use super::binary::Attributes;
use super::draft::Draft;
use super::fault::{Fault, FaultCode, Faults, element};
use super::fields::Fields;
use super::{cloudevent, notice, plain, strict};
use carillon_protocol::limits;
use serde_json::value::RawValue;

/// The form a body has, as its path and content type say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One plain event, or an array of them. One that has `specversion` is a CloudEvent.
    Plain,
    /// An array of plain events.
    PlainBatch,
    /// One CloudEvent.
    CloudEvent,
    /// An array of CloudEvents.
    CloudEventBatch,
    /// One notice.
    Notice,
}

/// The events of one request, in order.
#[derive(Debug)]
pub struct Publication {
    /// At least one.
    pub drafts: Vec<Draft>,
    /// Whether they came as an array: then the answer is one, and pointers begin with an index.
    pub array: bool,
}

impl Publication {
    /// The JSON pointer to the event `index`.
    pub fn pointer(&self, index: usize) -> String {
        if self.array { element("", index) } else { String::new() }
    }
}

/// Why a body is refused.
#[derive(Debug)]
pub enum Unreadable {
    /// It is not JSON; the message carries line and column.
    NotJson(String),
    /// It is JSON and has faults.
    Faulty(Vec<Fault>),
}

/// Reads the data of an event in binary mode.
pub fn read_binary(body: &[u8], attributes: &Attributes) -> Result<Publication, Unreadable> {
    let structured = attributes.with_data(body)?;
    read(structured.as_bytes(), Form::CloudEvent).map_err(|fault| match fault {
        Unreadable::Faulty(faults) => Unreadable::Faulty(faults.into_iter().map(Attributes::place).collect()),
        not_json => not_json,
    })
}

/// Reads a body that is no event: any JSON that has no member twice and is not nested too deeply.
pub fn value(body: &[u8]) -> Result<serde_json::Value, Unreadable> {
    let text = text(body)?;
    let mut faults = Faults::default();
    strict::check(text, limits::JSON_DEPTH, &mut faults).map_err(not_json)?;
    if !faults.is_empty() {
        return Err(Unreadable::Faulty(faults.into_vec()));
    }
    serde_json::from_str(text).map_err(not_json)
}

fn not_json(fault: serde_json::Error) -> Unreadable {
    Unreadable::NotJson(format!("the body is not JSON: {fault}"))
}

fn text(body: &[u8]) -> Result<&str, Unreadable> {
    std::str::from_utf8(body).map_err(|fault| {
        let before = &body[..fault.valid_up_to()];
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
        Unreadable::NotJson(format!("the body is not UTF-8 at line {line} column {column}"))
    })
}

/// Reads a body. All faults of all its events are told at once.
pub fn read(body: &[u8], form: Form) -> Result<Publication, Unreadable> {
    let text = text(body)?;
    let mut faults = Faults::default();
    strict::check(text, strict::allowed_depth(text), &mut faults).map_err(not_json)?;
    let whole: &RawValue = serde_json::from_str(text).map_err(not_json)?;
    let array = whole.get().starts_with('[');
    let publication = match (array, form) {
        (false, Form::PlainBatch) => {
            let detail = "must be an array; one event goes to /v1/events";
            faults.add(Fault::at("", FaultCode::WrongType, detail));
            None
        }
        (false, Form::CloudEventBatch) => {
            let detail = "must be an array; one CloudEvent has content-type application/cloudevents+json";
            faults.add(Fault::at("", FaultCode::WrongType, detail));
            None
        }
        (true, Form::Notice) => {
            faults.add(Fault::at("", FaultCode::WrongType, "must be an object: a notice"));
            None
        }
        (true, Form::CloudEvent) => {
            let detail = "must be an object; an array has content-type application/cloudevents-batch+json";
            faults.add(Fault::at("", FaultCode::WrongType, detail));
            None
        }
        (false, _) => {
            event(whole, "", form, &mut faults).map(|draft| Publication { drafts: vec![draft], array })
        }
        (true, _) => {
            let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(not_json)?;
            events(&elements, form, &mut faults).map(|drafts| Publication { drafts, array })
        }
    };
    match publication {
        Some(publication) if faults.is_empty() => Ok(publication),
        _ => Err(Unreadable::Faulty(faults.into_vec())),
    }
}

fn event(object: &RawValue, at: &str, form: Form, faults: &mut Faults) -> Option<Draft> {
    let fields = Fields::of(object, at, faults)?;
    Some(match form {
        Form::Plain | Form::PlainBatch if !fields.has("specversion") => plain::read(fields, faults),
        Form::Notice => notice::read(fields, faults),
        _ => cloudevent::read(fields, faults),
    })
}

fn events(elements: &[&RawValue], form: Form, faults: &mut Faults) -> Option<Vec<Draft>> {
    if elements.is_empty() {
        faults.add(Fault::at("", FaultCode::Empty, "the array holds no event"));
        return None;
    }
    if elements.len() > limits::EVENTS_PER_REQUEST {
        let detail = format!(
            "{} events; at most {} are allowed in one request",
            elements.len(),
            limits::EVENTS_PER_REQUEST
        );
        faults.add(Fault::at("", FaultCode::TooMany, detail));
        return None;
    }
    let mut drafts = Vec::with_capacity(elements.len());
    for (index, object) in elements.iter().enumerate() {
        let at = element("", index);
        drafts.extend(event(object, &at, form, faults));
    }
    Some(drafts)
}
