//! Who lives in the demo?

use crate::client::dice::Dice;

const FIRST: [&str; 24] = [
    "Mila", "Jonas", "Amira", "Luka", "Sofia", "Emil", "Noor", "Tomas", "Lea", "Marko", "Zara", "Felix",
    "Ana", "Idris", "Clara", "Milan", "Aylin", "Oskar", "Nina", "Rafael", "Ivana", "Karim", "Greta",
    "Daniel",
];
const LAST: [&str; 20] = [
    "Kovač",
    "Berger",
    "Haddad",
    "Novak",
    "Moreau",
    "Lindqvist",
    "Rossi",
    "Weber",
    "Petrov",
    "Yılmaz",
    "Costa",
    "Meyer",
    "Horvat",
    "Silva",
    "Dubois",
    "Nowak",
    "Fischer",
    "Marin",
    "Olsen",
    "Tanaka",
];

/// A full name.
pub(super) fn name(dice: &mut Dice) -> String {
    format!("{} {}", dice.pick(&FIRST), dice.pick(&LAST))
}

/// A telephone number nobody has.
pub(super) fn phone(dice: &mut Dice) -> String {
    format!("+1 555 01{:02}", dice.below(100))
}
