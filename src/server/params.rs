//! The arguments of a request, from a query string or a JSON body. Unknown names are ignored, as by Convex.

use serde_json::{Map, Value as Json};
use url::form_urlencoded;

use super::{
    era::{Components, Posts, TableParameter},
    options::RouterOptions,
    refusal::Refusal,
    selection::{RequestedSelection, select},
};
use crate::document::Encoding;

/// Arguments by name. From a query string every value is a string; `duplicates` remembers the names given twice.
#[derive(Debug, Default)]
pub(crate) struct Params {
    values: Map<String, Json>,
    duplicates: Vec<String>,
    from_query: bool,
}

impl Params {
    pub(crate) fn from_query(query: &str) -> Self {
        let mut params = Self { from_query: true, ..Self::default() };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if params.values.insert(name.to_string(), Json::String(value.into_owned())).is_some() {
                params.duplicates.push(name.into_owned());
            }
        }
        params
    }

    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Refusal> {
        match serde_json::from_slice(body) {
            Ok(values) => Ok(Self { values, ..Self::default() }),
            Err(error) => {
                Err(Refusal::bad_request("BadJsonBody", format!("Failed to parse the request body: {error}")))
            }
        }
    }

    fn bad(&self, problem: impl std::fmt::Display) -> Refusal {
        if self.from_query {
            Refusal::bad_request("BadQueryArgs", format!("Failed to deserialize query string: {problem}"))
        } else {
            Refusal::bad_request("BadJsonBody", format!("Failed to deserialize the JSON body: {problem}"))
        }
    }

    fn once(&self, name: &str) -> Result<Option<&Json>, Refusal> {
        if self.duplicates.iter().any(|d| d == name) {
            return Err(self.bad(format!("duplicate field `{name}`")));
        }
        Ok(self.values.get(name).filter(|value| !value.is_null()))
    }

    /// A string.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        match self.once(name)? {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.bad(format!("{name}: invalid type, expected a string"))),
        }
    }

    /// A moment in nanoseconds. A negative one is a 500 in Convex: it fails where no code is attached any more.
    pub(crate) fn moment(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let number = match self.once(name)? {
            None => return Ok(None),
            Some(Json::String(text)) if self.from_query => {
                text.parse::<i64>().map_err(|e| self.bad(format!("{name}: {e}")))?
            }
            Some(value) => value.as_i64().ok_or_else(|| self.bad(format!("{name}: invalid type, expected i64")))?,
        };
        if number < 0 { Err(Refusal::internal()) } else { Ok(Some(number)) }
    }

    /// A whole number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let number = self.text(name)?.map(|text| text.parse().map_err(|e| self.bad(format!("{name}: {e}"))));
        number.transpose()
    }

    /// A whole number that must not be absent.
    pub(crate) fn required_number(&self, name: &str) -> Result<i64, Refusal> {
        self.number(name)?.ok_or_else(|| self.bad(format!("missing field `{name}`")))
    }

    /// `true` or `false`; everything else is refused.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.text(name)? {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(self.bad(format!("{name}: provided string was not `true` or `false`"))),
        }
    }

    /// `format`, one of `known`; `json` where it is absent. Convex looks at it after the page was read, so callers do the same.
    pub(crate) fn encoding(&self, known: &[Encoding]) -> Result<Encoding, Refusal> {
        let Some(format) = self.text("format")? else { return Ok(Encoding::Json) };
        let encoding = format.parse().ok().filter(|encoding| known.contains(encoding));
        encoding.ok_or_else(|| {
            Refusal::bad_request("BadFormat", format!("format param must be one of [`json`]. Got {format}"))
        })
    }

    /// Which tables and columns are asked for, as a server with these options understands it.
    pub(crate) fn selection(&self, options: &RouterOptions) -> Result<RequestedSelection, Refusal> {
        let mut values = self.values.clone();
        match options.table_parameter {
            TableParameter::Both => {}
            TableParameter::Snake => drop(values.remove("tableName")),
            TableParameter::Camel => drop(values.remove("table_name")),
        }
        if options.posts != Posts::Select {
            values.remove("selection");
        }
        if options.components == Components::Unknown {
            values.remove("component");
        }
        select(&values, &self.duplicates)
    }
}
