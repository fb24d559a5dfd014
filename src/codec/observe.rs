//! Documents → shapes: which types stand where, without decoding.

use super::parse::{Bad, Json, Token};
use crate::schema::{DocumentShape, Kind, Shape};

/// Notes the shapes of one document's fields. Names that begin with `_` are Convex's own.
pub(super) fn observe_document(mut json: Json<'_>, shape: &mut DocumentShape) -> Result<(), Bad> {
    let Token::Object = json.token()? else { return json.bad("a document is an object") };
    let mut first = true;
    while let Some(key) = json.key(&mut first)? {
        match if key.starts_with('_') { None } else { shape.field(&key) } {
            Some(field) => observe(&mut json, field)?,
            None => json.skip()?,
        }
    }
    Ok(())
}

fn observe(json: &mut Json<'_>, shape: &mut Shape) -> Result<(), Bad> {
    if json.at_string() {
        // The hint, merged in before, may know it as an Id.
        shape.string = true;
        return json.skip();
    }
    match json.token()? {
        Token::Null => {}
        Token::Boolean(_) => shape.boolean = true,
        Token::Int64(_) => shape.int64 = true,
        Token::Float64(_) => shape.float64 = true,
        Token::String(_) => shape.string = true,
        Token::Bytes(_) => shape.bytes = true,
        Token::Array => {
            let items = shape.items();
            let mut first = true;
            while json.item(&mut first)? {
                observe(json, items)?;
            }
        }
        Token::Object => {
            let object = shape.object();
            let mut first = true;
            while let Some(key) = json.key(&mut first)? {
                match object.field(&key) {
                    Some(field) => observe(json, field)?,
                    None => json.skip()?,
                }
            }
        }
    }
    Ok(())
}

/// The kind of the next value; `None` where it says nothing: null, and arrays of nothing else.
pub(super) fn kind_of(json: &mut Json<'_>) -> Result<Option<Kind>, Bad> {
    let start = *json;
    Ok(match json.token()? {
        Token::Null => None,
        Token::Boolean(_) => Some(Kind::Boolean),
        Token::Int64(_) => Some(Kind::Int64),
        Token::Float64(_) => Some(Kind::Float64),
        Token::String(_) => Some(Kind::String),
        Token::Bytes(_) => Some(Kind::Bytes),
        Token::Object => {
            *json = start;
            json.skip()?;
            Some(Kind::Object)
        }
        Token::Array => {
            let mut item = None;
            let mut first = true;
            while json.item(&mut first)? {
                match (kind_of(json)?, &item) {
                    (None, _) => {}
                    (Some(kind), None) => item = Some(kind),
                    (Some(kind), Some(other)) if kind == *other => {}
                    (Some(_), Some(_)) => item = Some(Kind::Json),
                }
            }
            item.map(Kind::array_of)
        }
    })
}
