//! Where is a tenant's application asked, and how does it know that it is us?

use crate::outbound::SigningSecret;

/// A tenant's application, as it is set.
#[derive(Clone)]
pub struct Endpoint {
    url: Box<str>,
    secret: SigningSecret,
    /// The one before, which signs, too, until this time (seconds since 1970).
    before: Option<(SigningSecret, u64)>,
    generation: u64,
}

/// Without the URL: it may hold a secret of the tenant's.
impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// An application at `url`, as it is stored: with a secret, and during a rotation the one before and until when. `generation`
    /// counts the changes of this setting: verdicts of an earlier one hold no longer. None if the secret cannot be read.
    pub fn stored(url: &str, secret: &str, before: Option<(&str, u64)>, generation: u64) -> Option<Self> {
        let before = before.and_then(|(text, until)| Some((SigningSecret::read(text)?, until)));
        Some(Self { url: url.into(), secret: SigningSecret::read(secret)?, before, generation })
    }

    /// Where it is asked. Judged each time: what an installation allows may have changed since it was set.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// What questions are signed with at this time (seconds since 1970).
    pub(super) fn secrets(&self, now: u64) -> Vec<SigningSecret> {
        let before = self.before.iter().filter(|(_, until)| now < *until).map(|(secret, _)| secret);
        std::iter::once(&self.secret).chain(before).cloned().collect()
    }

    /// Of which change of the setting it is.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_before_signs_until_its_time_is_over() {
        let (one, two) = (SigningSecret::fresh(), SigningSecret::fresh());
        let url = "https://app.example/";
        let rotated = Endpoint::stored(url, two.expose(), Some((one.expose(), 1_000)), 1).unwrap();
        assert_eq!((rotated.secrets(999).len(), rotated.secrets(1_000).len()), (2, 1));
        assert!(Endpoint::stored(url, "whsec_", None, 1).is_none());
    }

    #[test]
    fn what_logs_may_show_of_it_is_no_secret() {
        let secret = SigningSecret::fresh();
        let endpoint = Endpoint::stored("https://app.example/?key=k-1", secret.expose(), None, 3).unwrap();
        let shown = format!("{endpoint:?}");
        assert!(shown.contains('3') && !shown.contains("k-1") && !shown.contains(secret.expose()), "{shown}");
    }
}
