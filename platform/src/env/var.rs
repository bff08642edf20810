//! What is a variable, and what is said about a wrong one?

use std::fmt;

/// A variable of the environment, declared once: the service reads it, the reference table documents it.
#[derive(Debug, Clone, Copy)]
pub struct Var<K> {
    /// Its name.
    pub name: &'static str,
    /// What holds when it is not set.
    pub absent: Absent,
    /// What a value may be, and what it becomes.
    pub kind: K,
    /// What it is for, as the reference table says it.
    pub what: &'static str,
}

/// What holds when a variable is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// This text, as if it had been set.
    Default(&'static str),
    /// The process does not start.
    Required,
    /// There is no value; the words say what that means, for example `no shared secret`.
    Optional(&'static str),
}

/// What the text of a variable may be, and the value it becomes.
pub trait Kind: Sync {
    /// What the text becomes.
    type Value;
    /// Whether the text must never be shown, and may come from a file named by `<NAME>_FILE`.
    const SECRET: bool = false;

    /// The value, or the fault as a predicate ("is \"x\", not a number"). Never repeats a secret.
    fn parse(&self, text: &str) -> Result<Self::Value, String>;

    /// What is allowed, in words.
    fn allowed(&self) -> String;
}

/// A [`Var`] of any kind, for lists of them.
pub trait Declared: Sync {
    /// See [`Var::name`].
    fn name(&self) -> &'static str;
    /// See [`Var::absent`].
    fn absent(&self) -> Absent;
    /// See [`Var::what`].
    fn what(&self) -> &'static str;
    /// See [`Kind::allowed`].
    fn allowed(&self) -> String;
    /// See [`Kind::SECRET`].
    fn is_secret(&self) -> bool;
    /// Whether this text would be accepted; the fault if not.
    fn check(&self, text: &str) -> Result<(), ConfigError>;

    /// The error that says this variable has this fault.
    fn error(&self, fault: &str) -> ConfigError {
        ConfigError::new(self.name(), fault, self.allowed())
    }
}

impl<K: Kind> Var<K> {
    /// The error that says this variable has this fault.
    pub fn error(&self, fault: impl AsRef<str>) -> ConfigError {
        Declared::error(self, fault.as_ref())
    }
}

impl<K: Kind> Declared for Var<K> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn absent(&self) -> Absent {
        self.absent
    }

    fn what(&self) -> &'static str {
        self.what
    }

    fn allowed(&self) -> String {
        self.kind.allowed()
    }

    fn is_secret(&self) -> bool {
        K::SECRET
    }

    fn check(&self, text: &str) -> Result<(), ConfigError> {
        self.kind.parse(text).map(drop).map_err(|fault| self.error(fault))
    }
}

/// A wrong or missing variable. Its text is one line and never holds a secret's value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} {fault}; allowed: {allowed}")]
pub struct ConfigError {
    /// The variable's name.
    pub variable: &'static str,
    /// What is wrong with it, as a predicate.
    pub fault: String,
    /// What is allowed, in words.
    pub allowed: String,
}

impl ConfigError {
    /// An error about `variable`; line breaks and other control characters in its texts are escaped.
    pub fn new(variable: &'static str, fault: impl AsRef<str>, allowed: impl AsRef<str>) -> Self {
        Self { variable, fault: one_line(fault.as_ref()), allowed: one_line(allowed.as_ref()) }
    }
}

fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

/// A text that must not be shown. Only [`Secret::expose`] gives it away.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it. Never log or format it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}
