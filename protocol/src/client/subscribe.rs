//! Which past and which types of events does a `subscribe` ask for?

use super::{Fields, History};
use crate::ident::{Epoch, Seq};
use crate::limits;
use crate::types::TypeFilter;
use std::borrow::Cow;

/// The past that a frame asks for, if it asks for any.
pub(super) fn history(fields: &Fields<'_>) -> Result<Option<History>, String> {
    if fields.latest == Some(true) {
        let alone = fields.history.is_none() && fields.since.is_none();
        return if alone {
            Ok(Some(History::Latest))
        } else {
            Err("latest excludes history and since".into())
        };
    }
    match (fields.history, fields.since) {
        (Some(_), Some(_)) => Err("history and since exclude each other".into()),
        (Some(n), None) if n > limits::HISTORY_EVENTS => {
            Err(format!("history must be at most {}", limits::HISTORY_EVENTS))
        }
        (Some(n), None) => Ok(Some(History::Last(n))),
        (None, Some(seq)) => {
            let epoch = fields.epoch.as_deref().map(Epoch::new).transpose().map_err(|e| e.to_string())?;
            Ok(Some(History::Since { seq: Seq(seq), epoch }))
        }
        (None, None) => Ok(None),
    }
}

/// The filter that a frame asks for, if it asks for one.
pub(super) fn types(patterns: Option<&[Cow<'_, str>]>) -> Result<Option<TypeFilter>, String> {
    let filter = patterns.map(|patterns| TypeFilter::new(patterns.iter().map(Cow::as_ref)));
    filter.transpose().map_err(|why| format!("types: {why}"))
}
