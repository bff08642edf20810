//! How does text get its colours, and when does it get none?

use std::io::IsTerminal;

use crate::environment;

/// Colours text, or leaves it as it is where nobody could see them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint(bool);

impl Paint {
    /// For stdout: colours only on a terminal whose user wants them.
    pub(super) fn for_stdout() -> Self {
        Self(std::io::stdout().is_terminal() && !environment::refuses_colour())
    }

    /// Never colours.
    #[cfg(test)]
    pub(super) fn plain() -> Self {
        Self(false)
    }

    /// A heading.
    pub(super) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// Something one may want to follow or copy.
    pub(super) fn link(self, text: &str) -> String {
        self.with("36", text)
    }

    /// Good.
    pub(super) fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    /// Bad.
    pub(super) fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    /// An explanation beside something more important.
    pub(super) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
