//! Pages and list envelopes (Kustomer: Pagination). Used by every list, search included.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::reply::{Refusal, Reply};
use super::requests::Ask;

/// Largest page of most lists.
pub const PAGE_SIZE_MAX: usize = 100;
/// Largest page of users, teams and search.
pub const PAGE_SIZE_MAX_LONG: usize = 500;
const PAGE_SIZE_DEFAULT: usize = 100;

/// Which part of a list is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// From 1.
    pub number: usize,
    pub size: usize,
}

impl Page {
    /// Reads `page` and `pageSize`; refuses what is not a number or too large.
    pub fn of(ask: &Ask, size_max: usize) -> Result<Page, Refusal> {
        let read = |name: &str, default: usize, max: usize| match ask.query(name) {
            None => Ok(default),
            Some(text) => match text.parse::<usize>() {
                Ok(number) if (1..=max).contains(&number) => Ok(number),
                _ => Err(Refusal::bad(
                    name,
                    format!("{name} must be a number from 1 to {max}"),
                    format!("/query/{name}"),
                )),
            },
        };
        Ok(Page {
            number: read("page", 1, usize::MAX)?,
            size: read("pageSize", PAGE_SIZE_DEFAULT, size_max)?,
        })
    }

    /// The rows of this page and whether more follow.
    pub fn cut<T>(self, rows: impl Iterator<Item = T>) -> (Vec<T>, bool) {
        let skipped = self.number.saturating_sub(1).saturating_mul(self.size);
        let mut rows = rows.skip(skipped);
        let page: Vec<T> = rows.by_ref().take(self.size).collect();
        let more = rows.next().is_some();
        (page, more)
    }

    /// The list envelope; `total` only where the API gives it.
    pub fn reply(self, ask: &Ask, data: Vec<Value>, more: bool, total: Option<usize>) -> Reply {
        let link = |number: usize| json!(self.link(ask, number));
        let mut meta = Map::new();
        meta.insert("page".to_owned(), json!(self.number));
        meta.insert("pageSize".to_owned(), json!(self.size));
        let mut links = Map::new();
        links.insert("self".to_owned(), link(self.number));
        links.insert("first".to_owned(), link(1));
        let prev = match self.number {
            1 => Value::Null,
            number => link(number.saturating_sub(1)),
        };
        links.insert("prev".to_owned(), prev);
        let next = if more {
            link(self.number.saturating_add(1))
        } else {
            Value::Null
        };
        links.insert("next".to_owned(), next);
        if let Some(total) = total {
            let pages = total.div_ceil(self.size).max(1);
            meta.insert("total".to_owned(), json!(total));
            meta.insert("totalPages".to_owned(), json!(pages));
            links.insert("last".to_owned(), link(pages));
        }
        let envelope = Map::from_iter([
            ("meta".to_owned(), Value::Object(meta)),
            ("data".to_owned(), Value::Array(data)),
            ("links".to_owned(), Value::Object(links)),
        ]);
        Reply::whole(200, Value::Object(envelope))
    }

    fn link(self, ask: &Ask, number: usize) -> String {
        let mut link = format!("{}?", ask.path);
        for (name, value) in &ask.query {
            if name != "page" && name != "pageSize" {
                let name = utf8_percent_encode(name, QUERY);
                let value = utf8_percent_encode(value, QUERY);
                link.push_str(&format!("{name}={value}&"));
            }
        }
        format!("{link}page={number}&pageSize={}", self.size)
    }
}

/// What is escaped in a link's query.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'[')
    .remove(b']');
