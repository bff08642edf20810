//! What does a template make of an event's variables, and if nothing, what is missing?
//!
//! Nobody trusts a template: it includes and loads nothing, the work that it may do is counted, and what it makes is bounded.
//! What it prints is text; nothing is escaped.

use crate::event::fault::member;
use minijinja::value::{Serde, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};
use std::sync::LazyLock;

/// What a template may do: one for each step, and one for each 64 bytes that it makes.
pub(super) const FUEL: u64 = 5_000;
/// Deepest nesting of what a template calls.
const RECURSION: usize = 20;

/// Why a template makes no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TemplateFault {
    /// The variable that is missing, as a path: `order.id`.
    pub variable: Option<String>,
    /// For people.
    pub detail: String,
}

static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| engine(UndefinedBehavior::Strict));
/// Goes on where a variable is missing, to find what no variable would mend.
static TRIAL: LazyLock<Environment<'static>> = LazyLock::new(|| engine(UndefinedBehavior::Chainable));

fn engine(undefined: UndefinedBehavior) -> Environment<'static> {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(undefined);
    engine.set_fuel(Some(FUEL));
    engine.set_recursion_limit(RECURSION);
    // It prints all variables, and the texts of errors would, too.
    engine.remove_global("debug");
    engine.set_debug(false);
    engine.set_auto_escape_callback(|_| AutoEscape::None);
    engine.add_filter("default", or_default);
    engine.add_filter("d", or_default);
    engine.set_formatter(move |out, _, value| {
        if value.is_undefined() && undefined == UndefinedBehavior::Chainable {
            return Ok(());
        }
        print(value, &mut |text| out.write_str(text).map_err(Error::from))
    });
    engine
}

/// What stands in for what is missing or null.
fn or_default(value: &Value, other: Option<Value>) -> Value {
    if value.is_undefined() || value.is_none() {
        other.unwrap_or_else(|| Value::from(""))
    } else {
        value.clone()
    }
}

/// Texts as they are, numbers and booleans as JSON has them (8 and not 8.0), null as nothing.
fn print(value: &Value, out: &mut dyn FnMut(&str) -> Result<(), Error>) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::None => Ok(()),
        ValueKind::String => out(value.as_str().unwrap_or_default()),
        ValueKind::Bool => out(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => match f64::try_from(value.clone()) {
            Ok(number) if number.fract() == 0.0 && number.abs() < 9e15 => out(&format!("{number:.0}")),
            _ => out(&value.to_string()),
        },
        _ => {
            let detail = "an object or a list is printed; print its parts";
            Err(Error::new(ErrorKind::InvalidOperation, detail))
        }
    }
}

/// Whether a text is a template, and of filters and functions that there are.
pub(super) fn check(source: &str) -> Result<(), TemplateFault> {
    let template = TRIAL.template_from_str(source).map_err(|error| fault(&error, source, None))?;
    match template.render(Value::from(Serde(serde_json::Map::new()))) {
        Err(error) if NEVER.contains(&error.kind()) => Err(fault(&error, source, None)),
        _ => Ok(()),
    }
}

/// What is wrong whatever the variables are.
const NEVER: [ErrorKind; 4] =
    [ErrorKind::UnknownFilter, ErrorKind::UnknownTest, ErrorKind::UnknownFunction, ErrorKind::OutOfFuel];

/// What a template made.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) text: String,
    /// What it did for it, in the units of [`FUEL`].
    pub(super) steps: u64,
}

/// What reading a template is worth, in the units of [`FUEL`].
pub(super) fn reading(source: &str) -> u64 {
    source.len() as u64 / 8
}

/// What a template makes of these variables, at most `most` characters.
pub(super) fn render(
    source: &str,
    variables: &serde_json::Value,
    most: usize,
) -> Result<Made, TemplateFault> {
    // Most titles have no variables.
    if !source.contains('{') {
        return fits(Made { text: source.to_owned(), steps: 0 }, most);
    }
    let template = ENGINE.template_from_str(source).map_err(|error| fault(&error, source, None))?;
    let made = template.render_captured(Value::from(Serde(variables)));
    let made = made.map_err(|error| fault(&error, source, Some(variables)))?;
    let steps = made.state().fuel_levels().map_or(FUEL, |(consumed, _)| consumed);
    fits(Made { text: made.into_output(), steps }, most)
}

fn fits(made: Made, most: usize) -> Result<Made, TemplateFault> {
    if made.text.chars().take(most + 1).count() > most {
        let detail = format!("makes a text of more than {most} characters");
        return Err(TemplateFault { variable: None, detail });
    }
    Ok(made)
}

/// The variable that a path of a template leads to is missing.
fn is_missing(path: &str, variables: &serde_json::Value) -> bool {
    let mut at = variables;
    for name in path.split('.') {
        match at.get(name) {
            Some(found) => at = found,
            None => return true,
        }
    }
    false
}

fn fault(error: &Error, source: &str, variables: Option<&serde_json::Value>) -> TemplateFault {
    let line = error.line().unwrap_or(1);
    let missing = variables.filter(|_| error.kind() == ErrorKind::UndefinedError).and_then(|variables| {
        let template = ENGINE.template_from_str(source).ok()?;
        let stopped = error.range().and_then(|range| source.get(range)).unwrap_or_default();
        let named = template.undeclared_variables(true).into_iter();
        let known = named.filter(|path| is_missing(path, variables));
        let first = known.min_by_key(|path| (!stopped.contains(path.as_str()), source.find(path.as_str())));
        // What a loop calls by a name of its own.
        let is_path = |c: char| c.is_ascii_alphanumeric() || "._".contains(c);
        let local = (stopped.contains('.') && stopped.chars().all(is_path)).then(|| stopped.to_owned());
        first.filter(|path| stopped.contains(path.as_str()) || local.is_none()).or(local)
    });
    let why = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "does more than a template may".to_owned(),
        (_, Some(detail)) => detail.chars().take(200).collect(),
        (kind, None) => kind.to_string(),
    };
    let detail = match &missing {
        Some(variable) => format!("needs the variable {variable}, which is missing (line {line})"),
        None => format!("cannot be filled: {why} (line {line})"),
    };
    TemplateFault { variable: missing, detail }
}

/// A pointer to a variable below what `at` points to.
pub(super) fn pointer(at: &str, variable: &str) -> String {
    variable.split('.').fold(at.to_owned(), |pointer, name| member(&pointer, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::{Duration, Instant};

    fn made(source: &str) -> Result<String, TemplateFault> {
        let variables = json!({
            "name": "Mila <b>&", "n": 7, "price": 4.5, "whole": 8.0, "big": 9_007_199_254_740_993_u64, "yes": true, "no": false,
            "nothing": null, "list": ["a", "b"], "order": {"id": "o-1"},
        });
        check(source)?;
        render(source, &variables, 1_000).map(|made| made.text)
    }

    #[test]
    fn values_are_printed_as_people_write_them() {
        for (source, expected) in [
            ("plain", "plain"),
            ("{{ name }}", "Mila <b>&"),
            (
                "{{ n }} {{ price }} {{ whole }} {{ 8 / 2 }} {{ big }} {{ -n }}",
                "7 4.5 8 4 9007199254740993 -7",
            ),
            ("{{ yes }} {{ no }}", "true false"),
            ("[{{ nothing }}]", "[]"),
            ("{{ nothing|default('none') }} {{ other|default('none') }}", "none none"),
            ("{% if nothing %}x{% else %}y{% endif %}", "y"),
            ("{% for one in list %}{{ one }};{% endfor %}{{ list|length }}", "a;b;2"),
            ("{{ order.id|upper }}", "O-1"),
            ("{{ list|join(', ') }}", "a, b"),
            ("{{ '{{ n }}' }}", "{{ n }}"),
        ] {
            assert_eq!(made(source).as_deref(), Ok(expected), "{source}");
        }
    }

    #[test]
    fn a_variable_that_is_missing_is_named() {
        for (source, variable) in [
            ("{{ order.total }}", "order.total"),
            ("{{ name }} {{ who }}", "who"),
            ("{% if whom %}x{% endif %}", "whom"),
            ("{% for one in lines %}{% endfor %}", "lines"),
            ("{{ customer.name }}", "customer.name"),
            ("{{ who|upper }}", "who"),
            ("{% for one in list %}{{ one.sku }}{% endfor %}", "one.sku"),
            ("{{ wh }} {{ who }}", "wh"),
        ] {
            let fault = made(source).unwrap_err();
            assert_eq!(fault.variable.as_deref(), Some(variable), "{source}: {fault:?}");
            assert!(fault.detail.contains(variable), "{fault:?}");
        }
        assert!(made("{{ order }}").unwrap_err().detail.contains("print its parts"));
    }

    #[test]
    fn what_is_no_template_is_refused_when_it_is_saved() {
        for source in [
            "{{ n",
            "{% if n %}",
            "{{ n|nosuch }}",
            "{{ a }} {{ b.c }} {{ n is nosuch }}",
            "{{ nosuch(1) }}",
            "{% include 'x' %}",
            "{% extends 'x' %}",
            "{% macro m() %}{% endmacro %}",
            "{% import 'x' as y %}",
            "{{ debug() }}",
            "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
        ] {
            assert!(check(source).is_err(), "{source}");
        }
        for source in
            ["{{ order.lines|length }} {{ a|upper }}", "{% for a in b %}{{ a.c }}{% endfor %}", "{{ a * 2 }}"]
        {
            assert_eq!(check(source), Ok(()), "{source}");
        }
    }

    #[test]
    fn no_template_takes_more_than_a_moment_or_makes_more_than_it_may() {
        for source in [
            "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
            "{{ 'x' * 100000000 }}",
            "{{ range(100000)|list|length }}",
            "{{ range(100000)|join('xxxxxxxx') }}",
            "{{ (range(100000)|list + range(100000)|list)|sort|join }}",
            "{{ 2 ** 1000000 }}",
            "{{ ('x' * 50000)|replace('x', 'x' * 1000) }}",
            "{{ 'a'|indent(100000000) }}",
            "{{ '%0100000000d'|format(1) }}",
            "{{ [1]|batch(100000000, 0)|list }}",
            "{{ range(100000)|map('string')|list|join }}",
            "{{ 'x'|center(100000000) }}",
        ] {
            // The shortest of some: whatever else the machine does makes each of them longer.
            let mut shortest = Duration::MAX;
            for _ in 0..5 {
                let begun = Instant::now();
                let result = render(source, &json!({}), 1_000);
                shortest = shortest.min(begun.elapsed());
                assert!(result.is_err(), "{source}: {result:?}");
            }
            assert!(shortest < Duration::from_millis(100), "{source}: {shortest:?}");
        }
        assert!(made(&"{{ name }}".repeat(2_000)).is_err());
    }
}
