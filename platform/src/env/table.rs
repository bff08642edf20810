//! How are the variables shown to people: the reference, the values in effect, and a hint about a misspelling?

use super::{Absent, Declared, Env, FILE_SUFFIX, Origin};
use std::fmt::Write;

/// Most edits between a misspelling and the name it is reported as. Three would call unrelated short names alike.
const EDITS: usize = 2;

/// The variables as a Markdown table, in the order given: the text of docs/CONFIGURATION.md.
pub fn reference(vars: &[&dyn Declared]) -> String {
    let mut table = String::from("| variable | default | allowed | meaning |\n|---|---|---|---|\n");
    for var in vars {
        let absent = match var.absent() {
            Absent::Default(text) => format!("`{text}`"),
            Absent::Required => "required".to_owned(),
            Absent::Optional(meaning) => meaning.to_owned(),
        };
        let file =
            if var.is_secret() { format!(" (or `{}{FILE_SUFFIX}`)", var.name()) } else { String::new() };
        let cells = [format!("`{}`{file}", var.name()), absent, var.allowed(), var.what().to_owned()];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        // Writing to a String cannot fail.
        let _ = writeln!(table, "| {} |", cells.join(" | "));
    }
    table
}

impl Env {
    /// One line for each variable: its value in effect and where it came from. Secrets appear as `(set)` or
    /// `(not set)`; a value that would be refused is followed by its fault.
    pub fn effective(&self, vars: &[&dyn Declared]) -> String {
        let width = vars.iter().map(|var| var.name().len()).max().unwrap_or(0);
        let mut lines = String::new();
        for var in vars {
            let _ = writeln!(lines, "{:width$} = {}", var.name(), self.in_effect(*var));
        }
        lines
    }

    fn in_effect(&self, var: &dyn Declared) -> String {
        let (text, origin) = match self.text(var) {
            Ok(Some(found)) => found,
            Ok(None) => return "(not set)".to_owned(),
            Err(error) => return format!("(not set) fault: {}", error.fault),
        };
        let value = match var.is_secret() {
            true => "(set)".to_owned(),
            false => text
                .chars()
                .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.into() })
                .collect(),
        };
        let origin = match origin {
            Origin::Environment => "",
            Origin::File => " (from file)",
            Origin::Default => " (default)",
        };
        match var.check(&text) {
            Ok(()) => format!("{value}{origin}"),
            Err(error) => format!("{value}{origin} fault: {}", error.fault),
        }
    }
}

/// A sentence about a name of ours that nothing reads, if it looks like one that is read.
pub(super) fn suspicion(name: &str, known: &[&dyn Declared]) -> Option<String> {
    let read = |var: &&dyn Declared| {
        name == var.name() || (var.is_secret() && name.strip_suffix(FILE_SUFFIX) == Some(var.name()))
    };
    if known.iter().any(read) {
        return None;
    }
    if let Some(var) = known.iter().find(|var| name.strip_suffix(FILE_SUFFIX) == Some(var.name())) {
        return Some(format!("{name} is not read; {} is not a secret and takes no file", var.name()));
    }
    let close = |var: &&&dyn Declared| var.name().starts_with(name) || edits(name, var.name()) <= EDITS;
    let nearest = known.iter().filter(close).min_by_key(|var| edits(name, var.name()))?;
    Some(format!("{name} is not read; is {} meant?", nearest.name()))
}

/// The fewest single-character insertions, removals and replacements between two names (Levenshtein).
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::super::{Count, SecretUrl, Var};
    use super::*;

    const PORTS: Var<Count> = Var {
        name: "CARILLON_PORTS",
        absent: Absent::Default("2"),
        kind: Count { min: 1, max: 9 },
        what: "a|b",
    };
    const DATABASE: Var<SecretUrl> = Var {
        name: "DATABASE_URL",
        absent: Absent::Required,
        kind: SecretUrl(&["postgres"]),
        what: "the log",
    };
    const VARS: &[&dyn Declared] = &[&PORTS, &DATABASE];

    #[test]
    fn the_reference_is_a_table_whose_cells_hold_no_bar() {
        assert_eq!(
            reference(VARS),
            "| variable | default | allowed | meaning |\n|---|---|---|---|\n\
             | `CARILLON_PORTS` | `2` | a whole number, 1 to 9 | a\\|b |\n\
             | `DATABASE_URL` (or `DATABASE_URL_FILE`) | required | a URL that begins with postgres:// | the log |\n"
        );
    }

    #[test]
    fn effective_values_hide_secrets_and_show_faults() {
        let env = Env::of([("CARILLON_PORTS", "77\n"), ("DATABASE_URL", "postgres://u:hunter2@h/db")]);
        assert_eq!(
            env.effective(VARS),
            "CARILLON_PORTS = 77\\n fault: is \"77\\n\", not a whole number\nDATABASE_URL   = (set)\n"
        );
        let none: [(&str, &str); 0] = [];
        assert_eq!(
            Env::of(none).effective(VARS),
            "CARILLON_PORTS = 2 (default)\nDATABASE_URL   = (not set) fault: is not set\n"
        );
    }

    #[test]
    fn edits_count_single_changes() {
        for (a, b, n) in [("", "abc", 3), ("abc", "abc", 0), ("abc", "acb", 2), ("kitten", "sitting", 3)] {
            assert_eq!(edits(a, b), n, "{a} {b}");
            assert_eq!(edits(b, a), n, "{b} {a}");
        }
    }
}
