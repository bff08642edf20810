//! What does the environment say, and is every value allowed?
//!
//! The only file of the project that reads the process environment. Services declare each variable once as a
//! [`Var`] constant and read it with [`Env::get`] or [`Env::optional`]; the same declarations render the reference
//! table ([`fn@reference`]) and the effective values ([`Env::effective`]).

mod cidr;
mod kinds;
mod table;
mod var;

pub use cidr::Cidr;
pub use kinds::{
    Bytes, Checked, Cidrs, Count, Ip, List, Millis, ON_OFF, OneOf, Path, SecretText, SecretUrl,
    SecretUrlOfServers, Socket, TEXT, Url,
};
pub use table::reference;
pub use var::{Absent, ConfigError, Declared, Kind, Secret, Var};

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;

/// Variables of this project begin so; others with this beginning are looked at for misspellings.
const PREFIX: &str = "CARILLON_";
/// A secret's variable with this ending names a file that holds the secret.
const FILE_SUFFIX: &str = "_FILE";
/// Largest secret file, in bytes. Keys and URLs are far smaller; a wrong path must not fill the memory.
const SECRET_FILE_BYTES: u64 = 64 * 1024;

/// A snapshot of an environment. It holds secrets, so it has no `Debug`.
pub struct Env {
    vars: BTreeMap<String, OsString>,
}

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Environment,
    File,
    Default,
}

impl Env {
    /// The environment of this process, as it is now.
    pub fn process() -> Self {
        let utf8 = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value));
        Self { vars: std::env::vars_os().filter_map(utf8).collect() }
    }

    /// An environment made of the given pairs, for tests and tools.
    pub fn of<N: Into<String>, V: Into<OsString>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        Self { vars: pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }

    /// The variable's value, or its default. An error when it is wrong, or absent without a default.
    pub fn get<K: Kind>(&self, var: &Var<K>) -> Result<K::Value, ConfigError> {
        self.optional(var)?.ok_or_else(|| var.error("is not set"))
    }

    /// The variable's value or default, `None` when it is absent and may be. An error when the value is wrong.
    pub fn optional<K: Kind>(&self, var: &Var<K>) -> Result<Option<K::Value>, ConfigError> {
        match self.text(var)? {
            Some((text, _)) => var.kind.parse(&text).map(Some).map_err(|fault| var.error(fault)),
            None => Ok(None),
        }
    }

    /// One warning for each `CARILLON_*` variable that no declaration in `known` reads but that looks like a
    /// misspelling of one. Variables that resemble none are left alone: the environment may be shared with the
    /// other service, and Kubernetes adds variables of its own (`CARILLON_GATEWAY_SERVICE_HOST`).
    pub fn unknown(&self, known: &[&dyn Declared]) -> Vec<String> {
        let ours = self.vars.keys().filter(|name| name.starts_with(PREFIX));
        ours.filter_map(|name| table::suspicion(name, known)).collect()
    }

    /// The text of a declared variable and where it came from. Set but empty is a fault: an empty value in a
    /// compose file or chart is a mistake, and must not silently switch a check off.
    fn text(&self, var: &dyn Declared) -> Result<Option<(String, Origin)>, ConfigError> {
        let set = self.vars.get(var.name());
        let file = match var.is_secret() {
            true => self.vars.get(&format!("{}{FILE_SUFFIX}", var.name())),
            false => None,
        };
        let (text, origin) = match (set, file) {
            (Some(_), Some(_)) => {
                return Err(var.error(&format!("is set twice: also by {}_FILE", var.name())));
            }
            (Some(value), None) => {
                let text = value.to_str().ok_or_else(|| var.error("is not valid UTF-8"))?;
                (text.to_owned(), Origin::Environment)
            }
            (None, Some(path)) => (read_secret(var, path)?, Origin::File),
            (None, None) => {
                return match var.absent() {
                    Absent::Default(text) => Ok(Some((text.to_owned(), Origin::Default))),
                    Absent::Required => Err(var.error("is not set")),
                    Absent::Optional(_) => Ok(None),
                };
            }
        };
        if text.is_empty() { Err(var.error("is empty")) } else { Ok(Some((text, origin))) }
    }
}

/// Reads the file that `<NAME>_FILE` names. The path is never shown: someone may have put the secret itself there.
fn read_secret(var: &dyn Declared, path: &OsString) -> Result<String, ConfigError> {
    let fault =
        |what: &str| var.error(&format!("cannot be taken from the file {}_FILE names: {what}", var.name()));
    let mut content = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(SECRET_FILE_BYTES + 1).read_to_end(&mut content))
        .map_err(|error| fault(&error.kind().to_string()))?;
    if content.len() as u64 > SECRET_FILE_BYTES {
        return Err(fault("it is larger than 64 KiB"));
    }
    let content = String::from_utf8(content).map_err(|_| fault("it is not valid UTF-8"))?;
    let secret = content.trim_end_matches(['\r', '\n']);
    if secret.is_empty() { Err(fault("it is empty")) } else { Ok(secret.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const HEARTBEAT: Var<Millis> = Var {
        name: "CARILLON_HEARTBEAT_MS",
        absent: Absent::Default("25000"),
        kind: Millis { min: 1_000, max: 300_000 },
        what: "time between heartbeats",
    };
    const SECRET: Var<SecretText> = Var {
        name: "CARILLON_JWT_SECRET",
        absent: Absent::Optional("no shared secret"),
        kind: SecretText { min: 16 },
        what: "shared secret",
    };
    const KNOWN: &[&dyn Declared] = &[&HEARTBEAT, &SECRET];
    const GOOD: &str = "correct horse battery staple";

    fn file_with(content: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        file
    }

    fn secret_from_file(content: &[u8]) -> Result<Option<Secret>, ConfigError> {
        let file = file_with(content);
        Env::of([("CARILLON_JWT_SECRET_FILE", file.path())]).optional(&SECRET)
    }

    #[test]
    fn absent_takes_the_default_and_present_replaces_it() {
        let none: [(&str, &str); 0] = [];
        assert_eq!(Env::of(none).get(&HEARTBEAT).unwrap().as_millis(), 25_000);
        let set = Env::of([("CARILLON_HEARTBEAT_MS", "5000")]);
        assert_eq!(set.get(&HEARTBEAT).unwrap().as_millis(), 5_000);
    }

    #[test]
    fn a_wrong_value_names_the_variable_the_fault_and_what_is_allowed_in_one_line() {
        let error = Env::of([("CARILLON_HEARTBEAT_MS", "5s\nx")]).get(&HEARTBEAT).err().unwrap();
        assert_eq!(
            error.to_string(),
            "CARILLON_HEARTBEAT_MS is \"5s\\nx\", not a whole number; allowed: milliseconds, 1000 to 300000"
        );
        assert_eq!(error.variable, "CARILLON_HEARTBEAT_MS");
    }

    #[test]
    fn an_empty_value_is_a_fault_and_not_the_default() {
        let error = Env::of([("CARILLON_HEARTBEAT_MS", "")]).get(&HEARTBEAT).err().unwrap();
        assert!(error.to_string().contains("is empty"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_not_utf8_is_a_fault() {
        use std::os::unix::ffi::OsStringExt;
        let env = Env::of([("CARILLON_HEARTBEAT_MS", OsString::from_vec(vec![0xff]))]);
        assert!(env.get(&HEARTBEAT).err().unwrap().to_string().contains("UTF-8"));
    }

    #[test]
    fn a_secret_is_read_from_its_file_without_the_trailing_newline() {
        let secret = secret_from_file(format!("{GOOD}\r\n").as_bytes()).unwrap().unwrap();
        assert_eq!(secret.expose(), GOOD);
    }

    #[test]
    fn a_secret_set_twice_or_in_a_bad_file_is_a_fault() {
        let file = file_with(GOOD.as_bytes());
        let twice = Env::of([
            ("CARILLON_JWT_SECRET", OsString::from(GOOD)),
            ("CARILLON_JWT_SECRET_FILE", file.path().into()),
        ]);
        assert!(twice.optional(&SECRET).err().unwrap().to_string().contains("set twice"));
        let missing =
            Env::of([("CARILLON_JWT_SECRET_FILE", "/nonexistent/hunter2")]).optional(&SECRET).err().unwrap();
        assert!(missing.to_string().contains("entity not found"), "{missing}");
        assert!(!missing.to_string().contains("hunter2"), "the path may be the secret itself: {missing}");
        assert!(secret_from_file(b"\n").err().unwrap().to_string().contains("it is empty"));
        assert!(secret_from_file(b"\xff\xfe").err().unwrap().to_string().contains("UTF-8"));
        let large = vec![b'a'; SECRET_FILE_BYTES as usize + 1];
        assert!(secret_from_file(&large).err().unwrap().to_string().contains("larger than 64 KiB"));
    }

    #[test]
    fn a_secret_never_appears_in_an_error_or_in_debug() {
        let error = Env::of([("CARILLON_JWT_SECRET", "hunter2")]).optional(&SECRET).err().unwrap();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        assert!(!format!("{:?}", Secret::new("hunter2")).contains("hunter2"));
    }

    #[test]
    fn only_misspellings_are_reported_as_unknown() {
        let env = Env::of([
            ("CARILLON_HEARTBEAT", "1"),
            ("CARILLON_HEARTBEAT_SM", "1"),
            ("CARILLON_HEARTBEAT_MS_FILE", "/x"),
            ("CARILLON_JWT_SECRET_FILE", "/x"),
            ("CARILLON_GATEWAY_SERVICE_HOST", "10.0.0.1"),
            ("PATH", "/bin"),
        ]);
        let warnings = env.unknown(KNOWN);
        assert_eq!(
            warnings,
            [
                "CARILLON_HEARTBEAT is not read; is CARILLON_HEARTBEAT_MS meant?",
                "CARILLON_HEARTBEAT_MS_FILE is not read; CARILLON_HEARTBEAT_MS is not a secret and takes no file",
                "CARILLON_HEARTBEAT_SM is not read; is CARILLON_HEARTBEAT_MS meant?",
            ]
        );
    }

    #[test]
    fn the_process_environment_is_readable() {
        assert!(Env::process().vars.contains_key("PATH"));
    }
}
