//! What do a type's templates make of a notice that has no text of its own?
//!
//! They are filled once, when the notice is published, in every language that the type has; what people read is chosen when they look.
//! What may be done is counted for one notice and for a whole request, so nobody waits for somebody else's templates.

use super::definition::{BODY_BYTES, TITLE_BYTES, Texts};
use super::locale;
use super::set::{EventType, TypeSet, variables};
use super::template;
use crate::event::draft::{Data, Draft};
use crate::event::fault::member;
use crate::event::{Fault, FaultCode, Faults, Fill};
use carillon_protocol::notice::NoticeTexts;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Longest title that a template may make, in characters.
pub const TITLE_CHARS: usize = 256;
/// Longest body that a template may make, in characters.
pub const BODY_CHARS: usize = 4_096;
/// What the templates of one notice may do together, in all languages.
const OF_NOTICE: u64 = 20_000;
/// What the templates of one request may do together.
const OF_REQUEST: u64 = 400_000;

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

/// What templates may still do.
#[derive(Debug)]
pub struct Work {
    of_notice: u64,
    of_request: u64,
}

impl Default for Work {
    fn default() -> Self {
        Self { of_notice: OF_NOTICE, of_request: OF_REQUEST }
    }
}

impl Work {
    /// An equal part for one of so many tenants, at least that of one notice.
    pub fn of_one(tenants: usize) -> Self {
        Self { of_notice: OF_NOTICE, of_request: (OF_REQUEST / tenants.max(1) as u64).max(OF_NOTICE) }
    }

    fn next_notice(&mut self) {
        self.of_notice = OF_NOTICE;
    }

    fn is_done(&self) -> bool {
        self.of_notice == 0 || self.of_request == 0
    }

    /// Whether so little is left that a notice may fail for what others did before it.
    pub fn is_spent(&self) -> bool {
        self.of_request < OF_NOTICE
    }

    /// Takes what was done; whether that was there.
    fn take(&mut self, steps: u64) -> bool {
        let fits = steps <= self.of_notice && steps <= self.of_request;
        self.of_notice = self.of_notice.saturating_sub(steps);
        self.of_request = self.of_request.saturating_sub(steps);
        fits
    }
}

impl EventType {
    /// What a notice of this type says with these variables; `at` points to them. None where the type has no templates.
    pub fn render(
        &self,
        variables: &Value,
        at: &str,
        work: &mut Work,
        faults: &mut Faults,
    ) -> Option<Rendered> {
        let definition = self.definition()?;
        definition.texts.title.as_ref()?;
        work.next_notice();
        let mut fill = |texts: &Texts, language: &str| {
            let mut one = |source: &Option<String>, what: &str, most| {
                let source = source.as_deref()?;
                let made = match work.is_done() {
                    true => Ok(template::Made { text: String::new(), steps: 1 }),
                    false => template::render(source, variables, most),
                };
                let steps = made.as_ref().map_or(template::FUEL, |made| made.steps);
                let allowed = work.take(steps + template::reading(source));
                let fault = match made {
                    Ok(made) if allowed => match clean(&made.text, what == "title") {
                        Some(text) => return Some(text),
                        None => (None, "makes an empty text".to_owned()),
                    },
                    Ok(_) => (None, "and the others do more together than they may".to_owned()),
                    Err(fault) => (fault.variable, fault.detail),
                };
                let place = fault.0.as_deref().map(|name| template::pointer(at, name));
                let detail = format!("the {what} of the type's template{language} {}", fault.1);
                faults.add(Fault::at(place.unwrap_or_else(|| at.to_owned()), FaultCode::Template, detail));
                None
            };
            let title = one(&texts.title, "title", TITLE_CHARS);
            Texts { title, body: one(&texts.body, "body", BODY_CHARS) }
        };
        let texts = fill(&definition.texts, "");
        let locales = definition.locales.iter();
        let locales = locales.map(|(tag, texts)| (tag.clone(), fill(texts, &format!(" in {tag}")))).collect();
        Some(Rendered { texts, locales })
    }
}

/// A text as it would be taken if it had been written out: of a title control characters are spaces, of a body all but line feeds and
/// tabs are left out. None: nothing is left of it.
fn clean(text: &str, is_title: bool) -> Option<String> {
    let text: String = match is_title {
        true => text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
        false => text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect(),
    };
    (!text.trim().is_empty()).then_some(text)
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

/// Fills a notice that leaves its text to a type; `at` points to its event.
pub(super) fn fill(
    types: Option<&TypeSet>,
    draft: &mut Draft,
    at: &str,
    work: &mut Work,
    faults: &mut Faults,
) {
    let Some(notify) = &mut draft.notice else { return };
    let Some(Fill { template, vars, place }) = notify.fill.take() else { return };
    let place = format!("{at}{place}");
    let named = template.as_deref().unwrap_or(&draft.kind);
    let data: Option<Value> = match &draft.data {
        Some(Data::Json(json)) => serde_json::from_str(json).ok(),
        _ => None,
    };
    let variables_at = match vars {
        Some(_) => member(&place, "vars"),
        None => member(at, "data"),
    };
    let before = faults.len();
    let found = types.and_then(|types| types.get(named));
    let variables = variables(vars.as_ref(), data.as_ref());
    let rendered = found.and_then(|found| found.render(&variables, &variables_at, work, faults));
    let Some(Rendered { texts, locales }) = rendered else {
        let fault = match template {
            Some(name) => {
                let detail = format!("there is no event type {name} that has a title");
                Fault::at(member(&place, "template"), FaultCode::Template, detail)
            }
            None => {
                let detail = format!("is required: no event type {named} has one for its notices");
                Fault::at(member(&place, "title"), FaultCode::Required, detail)
            }
        };
        faults.add(fault);
        return;
    };
    if faults.len() > before {
        return;
    }
    let notice = &mut notify.notice;
    (notice.title, notice.body) = (texts.title.unwrap_or_default(), texts.body);
    let texts = |(tag, texts): (String, Texts)| (tag, NoticeTexts { title: texts.title, body: texts.body });
    notice.locales = locales.into_iter().map(texts).collect();
}

const _: () = assert!(TITLE_CHARS <= TITLE_BYTES && BODY_CHARS <= BODY_BYTES);
