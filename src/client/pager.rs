//! Paging through a list of the server: the params of the next page, and the end of a list whose
//! cursors repeat.

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
};

use serde_json::{Map, Value};

use crate::error::Error;

/// The position in one list.
///
/// The pager remembers every used cursor by its hash. A server that repeats a cursor, at once or
/// after any number of pages, ends the list with an error and does not keep a program busy forever.
#[derive(Debug)]
pub struct Pager {
    method: &'static str,
    params: Map<String, Value>,
    used: HashSet<u64>,
    hasher: RandomState,
}

impl Pager {
    /// Begins at the `cursor` in the params, or at the first page if there is none.
    #[must_use]
    pub fn new(method: &'static str, params: Map<String, Value>) -> Self {
        let mut this = Self {
            method,
            params,
            used: HashSet::new(),
            hasher: RandomState::new(),
        };
        if let Some(cursor) = this.params.get("cursor").cloned() {
            this.is_new(&cursor);
        }
        this
    }

    /// The params of the next page.
    #[must_use]
    pub fn params(&self) -> &Map<String, Value> {
        &self.params
    }

    /// Moves on to the page at this cursor, which the previous page named. Returns `false` if there
    /// is no further page.
    ///
    /// # Errors
    /// If the cursor was used before.
    pub fn turn(&mut self, next_cursor: Value) -> Result<bool, Error> {
        if next_cursor.is_null() {
            return Ok(false);
        }
        if !self.is_new(&next_cursor) {
            return Err(Error::Invalid(format!(
                "{} gave the cursor {next_cursor} a second time: its pages have no end",
                self.method
            )));
        }
        self.params.insert("cursor".to_owned(), next_cursor);
        Ok(true)
    }

    fn is_new(&mut self, cursor: &Value) -> bool {
        self.used.insert(self.hasher.hash_one(cursor.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cursor_that_was_used_before_ends_the_list_whichever_it_was() {
        let first = Map::from_iter([("cursor".to_owned(), json!("start"))]);
        for repeated in ["start", "0", "57", "999"] {
            let mut pager = Pager::new("thread/list", first.clone());
            for n in 0..1_000 {
                assert!(pager.turn(json!(n.to_string())).unwrap());
                assert_eq!(pager.params()["cursor"], json!(n.to_string()));
            }
            let error = pager.turn(json!(repeated)).unwrap_err().to_string();
            assert!(
                error.contains("thread/list") && error.contains(repeated),
                "{error}"
            );
        }
    }

    #[test]
    fn a_list_ends_where_there_is_no_cursor() {
        let mut pager = Pager::new("thread/list", Map::new());
        assert!(pager.params().is_empty());
        assert!(!pager.turn(Value::Null).unwrap());
    }
}
