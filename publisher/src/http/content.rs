//! What does a body hold, by its path and headers?

use super::prepare::invalid;
use super::problem::{Code, Problem};
use crate::event::binary::{Attributes, is_binary, is_utf8};
use crate::event::request::Form;
use http::{HeaderMap, header};

/// What a path takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Accepts {
    /// Whatever the headers say.
    EveryForm,
    /// This form, under its own content type or as `application/json`.
    Only(Form),
    /// A CloudEvent in structured or binary mode.
    CloudEvent,
    /// A CloudEvent in binary mode.
    Binary,
}

/// What a body holds.
#[derive(Debug)]
pub(super) enum Content {
    /// Events in a form.
    Events(Form),
    /// The data of one CloudEvent whose attributes are headers.
    Data(Attributes),
}

const JSON: &str = "application/json";
const CLOUDEVENT: &str = "application/cloudevents+json";
const CLOUDEVENT_BATCH: &str = "application/cloudevents-batch+json";
/// How every media type of structured mode begins, of formats that are not taken (Avro, Protobuf), too.
const STRUCTURED: &str = "application/cloudevents";

impl Accepts {
    /// What a body with these headers holds. A request with any `ce-` header is in binary mode, unless its content type is
    /// one of structured mode: so a path that does not take binary mode refuses it, and nothing is read half.
    pub(super) fn content(self, headers: &HeaderMap) -> Result<Content, Problem> {
        if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
            && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
        {
            return Err(unsupported("send the body without content-encoding"));
        }
        let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media = media.unwrap_or_default().to_ascii_lowercase();
        let (essence, utf8) = (media.split(';').next().unwrap_or_default().trim(), is_utf8(&media));
        let binary = matches!(self, Self::Binary) || is_binary(headers);
        let form = match (essence, self) {
            (CLOUDEVENT, Self::EveryForm | Self::CloudEvent) if utf8 => Form::CloudEvent,
            (CLOUDEVENT_BATCH, Self::EveryForm | Self::Only(Form::CloudEventBatch)) if utf8 => {
                Form::CloudEventBatch
            }
            (other, _) if other.starts_with(STRUCTURED) => return Err(self.refused()),
            (_, Self::Only(_)) if binary => return Err(self.refused()),
            _ if binary => return Attributes::of(headers).map(Content::Data).map_err(invalid),
            (JSON, Self::EveryForm) if utf8 => Form::Plain,
            (JSON, Self::CloudEvent) if utf8 => Form::CloudEvent,
            (JSON, Self::Only(form)) if utf8 => form,
            _ => return Err(self.refused()),
        };
        Ok(Content::Events(form))
    }

    fn refused(self) -> Problem {
        let binary = "or any, with a CloudEvent's attributes in ce- headers";
        unsupported(&match self {
            Self::EveryForm => {
                format!("content-type must be {JSON}, {CLOUDEVENT} or {CLOUDEVENT_BATCH}, in UTF-8; {binary}")
            }
            Self::CloudEvent => format!("content-type must be {CLOUDEVENT} or {JSON}, in UTF-8; {binary}"),
            Self::Only(Form::CloudEventBatch) => {
                format!("content-type must be {CLOUDEVENT_BATCH} or {JSON}, in UTF-8, without ce- headers")
            }
            Self::Only(_) => format!("content-type must be {JSON}, in UTF-8, without ce- headers"),
            Self::Binary => {
                "content-type is that of the data; structured mode goes to /v1/cloudevents".to_owned()
            }
        })
    }
}

fn unsupported(detail: &str) -> Problem {
    Problem::new(Code::UnsupportedMediaType, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[derive(Debug, PartialEq)]
    enum Taken {
        As(Form),
        Data,
        Not(Code),
    }

    fn taken(accepts: Accepts, media: Option<&'static str>, binary: bool) -> Taken {
        let mut headers = HeaderMap::new();
        media.map(|media| headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media)));
        if binary {
            headers.insert("ce-id", HeaderValue::from_static("1"));
        }
        match accepts.content(&headers) {
            Ok(Content::Events(form)) => Taken::As(form),
            Ok(Content::Data(_)) => Taken::Data,
            Err(problem) => Taken::Not(problem.code),
        }
    }

    const REFUSED: Taken = Taken::Not(Code::UnsupportedMediaType);

    #[test]
    fn three_media_types_are_taken_in_utf_8() {
        let form_of = |media| taken(Accepts::EveryForm, Some(media), false);
        assert_eq!(form_of("application/json"), Taken::As(Form::Plain));
        assert_eq!(form_of("Application/JSON; charset=UTF-8"), Taken::As(Form::Plain));
        assert_eq!(form_of("application/cloudevents+json;charset=\"utf-8\""), Taken::As(Form::CloudEvent));
        assert_eq!(form_of("application/cloudevents-batch+json"), Taken::As(Form::CloudEventBatch));
        for other in
            ["", "text/plain", "application/jsonx", "application/json; charset=latin1", "multipart/form-data"]
        {
            assert_eq!(form_of(other), REFUSED, "{other}");
        }
    }

    #[test]
    fn a_request_with_ce_headers_is_in_binary_mode_unless_its_type_says_structured() {
        for accepts in [Accepts::EveryForm, Accepts::CloudEvent, Accepts::Binary] {
            for media in [None, Some(JSON), Some("text/plain"), Some("application/octet-stream")] {
                assert_eq!(taken(accepts, media, true), Taken::Data, "{accepts:?} {media:?}");
            }
            for media in ["application/cloudevents+avro", "application/cloudevents+json; charset=latin1"] {
                assert_eq!(taken(accepts, Some(media), true), REFUSED, "{accepts:?} {media}");
            }
        }
        for (accepts, media, form) in [
            (Accepts::EveryForm, CLOUDEVENT, Form::CloudEvent),
            (Accepts::EveryForm, CLOUDEVENT_BATCH, Form::CloudEventBatch),
            (Accepts::CloudEvent, CLOUDEVENT, Form::CloudEvent),
            (Accepts::Only(Form::CloudEventBatch), CLOUDEVENT_BATCH, Form::CloudEventBatch),
        ] {
            assert_eq!(taken(accepts, Some(media), true), Taken::As(form), "{accepts:?} {media}");
        }
        for form in [Form::PlainBatch, Form::CloudEventBatch] {
            assert_eq!(taken(Accepts::Only(form), Some(JSON), true), REFUSED, "{form:?}");
        }
    }

    #[test]
    fn a_path_of_one_form_takes_its_own_media_type_and_plain_json() {
        for (accepts, form, own) in [
            (Accepts::Only(Form::PlainBatch), Form::PlainBatch, JSON),
            (Accepts::CloudEvent, Form::CloudEvent, CLOUDEVENT),
            (Accepts::Only(Form::CloudEventBatch), Form::CloudEventBatch, CLOUDEVENT_BATCH),
        ] {
            for media in [JSON, CLOUDEVENT, CLOUDEVENT_BATCH, "text/plain"] {
                let wanted = if media == JSON || media == own { Taken::As(form) } else { REFUSED };
                assert_eq!(taken(accepts, Some(media), false), wanted, "{form:?} {media}");
            }
        }
        for media in [CLOUDEVENT, CLOUDEVENT_BATCH] {
            assert_eq!(taken(Accepts::Binary, Some(media), false), REFUSED, "{media}");
        }
    }

    #[test]
    fn compressed_bodies_are_refused() {
        let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(JSON))]);
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("identity"));
        assert!(Accepts::EveryForm.content(&headers).is_ok());
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(Accepts::EveryForm.content(&headers).is_err());
    }
}
