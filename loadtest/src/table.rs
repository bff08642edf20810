//! How do figures look to people?

use std::fmt;

/// Names and values in two columns, under headings.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Line>);

#[derive(Debug)]
enum Line {
    Heading(String),
    Figure(String, String),
    Text(String),
}

impl Table {
    /// A heading over the figures that follow.
    pub(crate) fn heading(&mut self, text: impl Into<String>) {
        self.0.push(Line::Heading(text.into()));
    }

    /// A line as it is.
    pub(crate) fn text(&mut self, text: impl Into<String>) {
        self.0.push(Line::Text(text.into()));
    }

    /// One figure.
    pub(crate) fn figure(&mut self, name: impl Into<String>, value: impl fmt::Display) {
        self.0.push(Line::Figure(name.into(), value.to_string()));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|line| match line {
            Line::Heading(_) | Line::Text(_) => 0,
            Line::Figure(name, _) => name.chars().count(),
        });
        let width = names.max().unwrap_or(0);
        for (index, line) in self.0.iter().enumerate() {
            match line {
                Line::Heading(text) if index == 0 => writeln!(f, "{text}")?,
                Line::Heading(text) => writeln!(f, "\n{text}")?,
                Line::Text(text) => writeln!(f, "{text}")?,
                Line::Figure(name, value) => writeln!(f, "  {name:<width$}  {value}")?,
            }
        }
        Ok(())
    }
}

/// A whole number with a space every three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_line_up() {
        let mut table = Table::default();
        table.heading("fan-out");
        table.figure("p50", "1 ms");
        table.figure("deliveries", grouped(1_234_567));
        table.text("as it is");
        assert_eq!(table.to_string(), "fan-out\n  p50         1 ms\n  deliveries  1 234 567\nas it is\n");
        assert_eq!((grouped(0), grouped(999), grouped(1000)), ("0".into(), "999".into(), "1 000".into()));
    }
}
