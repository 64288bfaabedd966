//! `POST /v1/customers/search` and `…/archive/search` (Kustomer: Search): criteria over what the index has seen, sorted
//! and paged.
//! Called by `routes.rs`; reads the state only.

use std::cmp::Ordering;
use std::sync::Arc;

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde_json::{Map, Value};

use super::attributes::{Attribute, attribute, values};
use super::paging::{PAGE_SIZE_MAX_LONG, Page};
use super::record::{Kind, Record};
use super::reply::{Refusal, Reply};
use super::requests::Ask;
use super::state::State;

/// Pages that one query may be asked for.
const PAGES_MAX: usize = 100;
/// Criteria in each of `and`, `or`, `not`.
const CRITERIA_MAX: usize = 20;
const SORTS_MAX: usize = 5;
/// Search knows what was updated in the last two years.
const HORIZON_HOURS: i64 = 2 * 365 * 24;

struct Query {
    kind: Kind,
    and: Vec<Criterion>,
    or: Vec<Criterion>,
    not: Vec<Criterion>,
    sort: Vec<(Attribute, bool)>,
    zone: TimeZone,
    include_deleted: bool,
}

struct Criterion {
    attribute: Attribute,
    operator: String,
    operand: Value,
}

/// What an archive search of customers knows of them.
const ARCHIVE_CUSTOMER: &[&str] = &[
    "customer_id",
    "customer_created_at",
    "customer_updated_at",
    "customer_companyId",
    "customer_deleted",
];

/// Which of the two searches: what was updated in the last two years, or what wasn't.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Age {
    Live,
    Archived,
}

/// Runs one search.
pub fn search(state: &State, ask: &Ask, age: Age) -> Result<Reply, Refusal> {
    let body = ask.object()?;
    if age == Age::Archived {
        check_archived(&body)?;
    }
    let query = read(state, body)?;
    let page = Page::of(ask, PAGE_SIZE_MAX_LONG)?;
    if page.number > PAGES_MAX {
        return Err(Refusal::bad(
            "page",
            "a search has at most 100 pages",
            "/query/page",
        ));
    }
    let oldest = state
        .clock
        .wall_at(state.clock.elapsed_ms())
        .checked_sub(jiff::SignedDuration::from_hours(HORIZON_HOURS))
        .unwrap_or(Timestamp::MIN);
    let mut rows: Vec<&Arc<Record>> = state
        .indexed(query.kind)
        .filter(|row| query.include_deleted || !row.deleted)
        .filter(|row| {
            row.text("updatedAt")
                .parse::<Timestamp>()
                .is_ok_and(|at| (at >= oldest) == (age == Age::Live))
        })
        .filter(|row| query.holds(state, row))
        .collect();
    rows.sort_by(|left, right| query.order(state, left, right));
    let total = state.options.search_totals.then_some(rows.len());
    let (rows, more) = page.cut(rows.into_iter());
    let ids_only = ask.query("idsOnly") == Some("true");
    let data = rows
        .into_iter()
        .map(|row| {
            if ids_only {
                Value::from(row.id.clone())
            } else {
                row.json()
            }
        })
        .collect();
    Ok(page.reply(ask, data, more, total))
}

/// The archive knows fewer fields, and of customers fewer attributes.
fn check_archived(body: &Map<String, Value>) -> Result<(), Refusal> {
    for absent in ["searchHash", "aggs", "fields"] {
        if body.contains_key(absent) {
            let detail = "/additionalProperties";
            return Err(Refusal::bad(
                absent,
                "Additional properties not allowed",
                detail,
            ));
        }
    }
    for (name, max) in [
        ("and", CRITERIA_MAX),
        ("or", CRITERIA_MAX),
        ("not", CRITERIA_MAX),
        ("sort", SORTS_MAX),
    ] {
        for (attribute, _) in pairs(name, body.get(name).cloned(), max)? {
            if attribute.starts_with("customer_") && !ARCHIVE_CUSTOMER.contains(&attribute.as_str())
            {
                return Err(Refusal::bad(
                    attribute,
                    "no such attribute in the archive",
                    "/search/attribute",
                ));
            }
        }
    }
    Ok(())
}

impl Query {
    fn holds(&self, state: &State, row: &Record) -> bool {
        let holds = |criterion: &Criterion| {
            self.criterion_holds(criterion, &values(state, &criterion.attribute, row))
        };
        self.and.iter().all(holds)
            && (self.or.is_empty() || self.or.iter().any(holds))
            && !self.not.iter().any(holds)
    }

    fn criterion_holds(&self, criterion: &Criterion, held: &[Value]) -> bool {
        let compare = |value: &Value| self.compare(value, &criterion.operand);
        match criterion.operator.as_str() {
            "equals" => held
                .iter()
                .any(|value| compare(value) == Some(Ordering::Equal)),
            "in" => criterion
                .operand
                .as_array()
                .into_iter()
                .flatten()
                .any(|one| {
                    held.iter()
                        .any(|value| self.compare(value, one) == Some(Ordering::Equal))
                }),
            "contains" => held.iter().any(|value| {
                let part = criterion.operand.as_str().unwrap_or("").to_lowercase();
                value
                    .as_str()
                    .is_some_and(|text| text.to_lowercase().contains(&part))
            }),
            "gt" => held
                .iter()
                .any(|value| compare(value) == Some(Ordering::Greater)),
            "gte" => held
                .iter()
                .any(|value| compare(value).is_some_and(Ordering::is_ge)),
            "lt" => held
                .iter()
                .any(|value| compare(value) == Some(Ordering::Less)),
            "lte" => held
                .iter()
                .any(|value| compare(value).is_some_and(Ordering::is_le)),
            // The only one left: read() has refused the others.
            _ => held.is_empty(),
        }
    }

    /// Times by time (a date alone is midnight in the query's zone), numbers by number, texts without case.
    fn compare(&self, held: &Value, asked: &Value) -> Option<Ordering> {
        match (held, asked) {
            (Value::Number(held), Value::Number(asked)) => {
                held.as_f64()?.partial_cmp(&asked.as_f64()?)
            }
            (Value::Bool(held), Value::Bool(asked)) => Some(held.cmp(asked)),
            (Value::String(held), Value::String(asked)) => {
                match (held.parse::<Timestamp>(), self.time(asked)) {
                    (Ok(held), Some(asked)) => Some(held.cmp(&asked)),
                    _ => Some(held.to_lowercase().cmp(&asked.to_lowercase())),
                }
            }
            _ => None,
        }
    }

    fn time(&self, text: &str) -> Option<Timestamp> {
        text.parse::<Timestamp>().ok().or_else(|| {
            let date: Date = text.parse().ok()?;
            date.to_zoned(self.zone.clone())
                .ok()
                .map(|midnight| midnight.timestamp())
        })
    }

    fn order(&self, state: &State, left: &Record, right: &Record) -> Ordering {
        for (attribute, descending) in &self.sort {
            let first = |row: &Record| values(state, attribute, row).into_iter().next();
            let order = match (first(left), first(right)) {
                (Some(left), Some(right)) => self.compare(&left, &right).unwrap_or(Ordering::Equal),
                (left, right) => left.is_none().cmp(&right.is_none()),
            };
            let order = if *descending { order.reverse() } else { order };
            if order != Ordering::Equal {
                return order;
            }
        }
        left.id.cmp(&right.id)
    }
}

fn read(state: &State, mut body: Map<String, Value>) -> Result<Query, Refusal> {
    let context = body.remove("queryContext");
    let kind = match context.as_ref().and_then(Value::as_str) {
        Some("customer") => Kind::Customer,
        Some("conversation") => Kind::Conversation,
        Some("note") => Kind::Note,
        Some("message") => Kind::Message,
        _ => {
            return Err(Refusal::bad(
                "queryContext",
                "the sandbox searches customer, conversation, note and message",
                "/properties/queryContext/pattern",
            ));
        }
    };
    let mut criteria = |name: &str| read_criteria(state, kind, name, body.remove(name));
    let (and, or, not) = (criteria("and")?, criteria("or")?, criteria("not")?);
    let sort = read_sort(state, kind, body.remove("sort"))?;
    let zone = match body.remove("timeZone") {
        None => TimeZone::UTC,
        Some(Value::String(name)) if name == "GMT" => TimeZone::UTC,
        Some(name) => TimeZone::get(name.as_str().unwrap_or(""))
            .map_err(|_| Refusal::bad("timeZone", "unknown time zone", "/properties/timeZone"))?,
    };
    let include_deleted = body.remove("includeDeleted") == Some(Value::Bool(true));
    for accepted in ["searchHash", "aggs", "fields"] {
        body.remove(accepted);
    }
    if let Some(unknown) = body.keys().next() {
        return Err(Refusal::bad(
            unknown,
            "Additional properties not allowed",
            "/additionalProperties",
        ));
    }
    Ok(Query {
        kind,
        and,
        or,
        not,
        sort,
        zone,
        include_deleted,
    })
}

/// An object or a list of objects, as pairs.
fn pairs(name: &str, sent: Option<Value>, max: usize) -> Result<Vec<(String, Value)>, Refusal> {
    let objects = match sent {
        None => Vec::new(),
        Some(Value::Array(items)) if items.len() <= max => items,
        Some(one @ Value::Object(_)) => vec![one],
        Some(_) => {
            return Err(Refusal::bad(
                name,
                format!("must be an object or at most {max}"),
                format!("/properties/{name}/anyOf"),
            ));
        }
    };
    let mut pairs = Vec::new();
    for object in objects {
        let Value::Object(object) = object else {
            return Err(Refusal::bad(
                name,
                "Invalid type (expected object)",
                format!("/properties/{name}/items/type"),
            ));
        };
        pairs.extend(object);
    }
    Ok(pairs)
}

fn read_criteria(
    state: &State,
    kind: Kind,
    name: &str,
    sent: Option<Value>,
) -> Result<Vec<Criterion>, Refusal> {
    let mut criteria = Vec::new();
    for (attribute_name, test) in pairs(name, sent, CRITERIA_MAX)? {
        let attribute = attribute(state, kind, &attribute_name)?;
        let Value::Object(test) = test else {
            return Err(Refusal::bad(
                attribute_name,
                "expected {operator: value}",
                format!("/properties/{name}"),
            ));
        };
        for (operator, operand) in test {
            let fits = match operator.as_str() {
                "equals" | "gt" | "gte" | "lt" | "lte" => {
                    operand.is_string() || operand.is_number() || operand.is_boolean()
                }
                "in" => operand.is_array(),
                "contains" => operand.is_string(),
                "not_set" => operand == "" || operand == true,
                _ => false,
            };
            if !fits {
                return Err(Refusal::bad(
                    &attribute_name,
                    format!("unknown operator or value: {operator}"),
                    format!("/properties/{name}"),
                ));
            }
            criteria.push(Criterion {
                attribute: attribute.clone(),
                operator,
                operand,
            });
        }
    }
    Ok(criteria)
}

fn read_sort(
    state: &State,
    kind: Kind,
    sent: Option<Value>,
) -> Result<Vec<(Attribute, bool)>, Refusal> {
    pairs("sort", sent, SORTS_MAX)?
        .into_iter()
        .map(|(name, direction)| {
            let descending = match direction.as_str() {
                Some("asc") => false,
                Some("desc") => true,
                _ => {
                    return Err(Refusal::bad(
                        name,
                        "sort is asc or desc",
                        "/properties/sort",
                    ));
                }
            };
            Ok((attribute(state, kind, &name)?, descending))
        })
        .collect()
}
