//! What do the query parameters say?
//!
//! Strict: an unknown or repeated parameter is an error that names it. A misspelt filter that is silently ignored
//! shows people events they did not ask for.

use super::problem::{Code, Problem};
use crate::event::{Fault, FaultCode};
use carillon_protocol::ident::InvalidName;
use http::Uri;

/// The parameters of one request, each at most once.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the parameters and refuses any that `known` does not list.
    pub(super) fn read(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|_| {
            Problem::new(Code::InvalidParameter, "the query is not application/x-www-form-urlencoded")
        })?;
        let mut faults = Vec::new();
        for (index, (name, value)) in pairs.0.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let detail = format!("is not known here; known are {}", known.join(", "));
                faults.push(Fault::in_parameter(shown(name), FaultCode::UnknownParameter, detail));
            } else if pairs.0[..index].iter().any(|(earlier, _)| earlier == name) {
                faults.push(Fault::in_parameter(
                    name,
                    FaultCode::RepeatedParameter,
                    "is given more than once",
                ));
            } else if value.chars().any(char::is_control) {
                faults.push(Fault::in_parameter(
                    name,
                    FaultCode::Invalid,
                    "must not hold control characters",
                ));
            }
        }
        if let Some(first) = faults.first() {
            let detail = match &first.place {
                crate::event::Place::Parameter(name) => format!("the parameter {name} {}", first.detail),
                _ => first.detail.clone(),
            };
            faults.truncate(crate::event::fault::LISTED_FAULTS);
            return Err(Problem::new(Code::InvalidParameter, detail).at(faults));
        }
        Ok(Self(pairs.0))
    }

    /// A parameter's text.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let index = self.0.iter().position(|(have, _)| have == name)?;
        Some(self.0.swap_remove(index).1)
    }

    /// A parameter that `read` understands; `allowed` says in words what it may be.
    pub(super) fn parsed<T>(
        &mut self,
        name: &str,
        allowed: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.take(name) else { return Ok(None) };
        read(&text).map(Some).ok_or_else(|| invalid(name, allowed))
    }

    /// A parameter that a name's grammar takes.
    pub(super) fn named<T>(
        &mut self,
        name: &str,
        new: impl FnOnce(&str) -> Result<T, InvalidName>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.take(name) else { return Ok(None) };
        new(&text).map(Some).map_err(|fault| invalid(name, fault.allowed))
    }
}

/// The 400 for a parameter that breaks a rule of its own; `why` goes on after its name.
pub(super) fn invalid_because(name: &str, why: &str) -> Problem {
    let fault = Fault::in_parameter(name, FaultCode::Invalid, why);
    Problem::new(Code::InvalidParameter, format!("the parameter {name}: {why}")).at(vec![fault])
}

/// The fault of a parameter that is missing.
pub(super) fn required(name: &'static str) -> Fault {
    Fault::in_parameter(name, FaultCode::Required, "is required")
}

/// The 400 for a parameter whose value is not allowed.
pub(super) fn invalid(name: &str, allowed: &str) -> Problem {
    let fault = Fault::in_parameter(name, FaultCode::Invalid, format!("must be {allowed}"));
    Problem::new(Code::InvalidParameter, format!("the parameter {name} must be {allowed}")).at(vec![fault])
}

/// A name somebody else chose, short and without control characters.
fn shown(name: &str) -> String {
    name.chars().take(64).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Query, Problem> {
        Query::read(&format!("/v1/events?{query}").parse().unwrap(), &["type", "limit"])
    }

    fn fault(query: &str) -> (String, FaultCode) {
        let problem = read(query).unwrap_err();
        assert_eq!(problem.code, Code::InvalidParameter);
        match &problem.errors[0].place {
            crate::event::Place::Parameter(name) => (name.clone(), problem.errors[0].code),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn unknown_repeated_and_garbled_parameters_are_named() {
        assert_eq!(fault("typ=x"), ("typ".into(), FaultCode::UnknownParameter));
        assert_eq!(fault("type=x&type=y"), ("type".into(), FaultCode::RepeatedParameter));
        assert_eq!(fault("type=a%00b"), ("type".into(), FaultCode::Invalid));
        let mut query = read("type=appointment.*&limit=5").unwrap();
        assert_eq!(query.take("type").as_deref(), Some("appointment.*"));
        assert_eq!(query.parsed("limit", "a number", |text| text.parse::<u8>().ok()).unwrap(), Some(5));
        assert!(read("").is_ok());
    }
}
