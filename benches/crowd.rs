//! A Kustomer with a million customers, for the contact bench. The sandbox holds each customer as JSON, some 8 kB, and
//! looks at all of them for each search; here a customer is made from its number when a page has it, in the form in which
//! the sandbox gives one. Knows the searches that an import sends and nothing else; counts, and times itself.

use super::people;
use axum::http::{Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tieline::sandbox::{Sandbox, SandboxOptions};
use tokio::net::TcpListener;

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Customers with one time of update, as a load from another system leaves them.
const OF_ONE_TIME: u64 = 2;
/// The oldest one, and how much is between the times: both within what search has.
const OLDEST: SignedDuration = SignedDuration::from_hours(300 * 24);
const SPAN: SignedDuration = SignedDuration::from_hours(299 * 24);

/// A prime: multiples of it, modulo how many there are, are all of them in no order.
const SCATTER: u64 = 2_147_483_647;

/// What stands in the sandbox's customer where each one's own goes.
const NAME: &str = "Crowd Name";
const NUMBER: &str = "+4921150000000";
const EMAIL: &str = "crowd@example.org";
const TIME: &str = "2026-01-02T03:04:05.678Z";

struct Crowd {
    customers: u64,
    /// Milliseconds since 1970 of the first time, and between two.
    first: i64,
    step: i64,
    template: String,
    id: String,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    searches: u64,
    rows: u64,
    /// Anything else.
    others: u64,
    /// Making answers.
    busy: Duration,
    /// Of the last second.
    recent: VecDeque<Instant>,
    most_in_a_second: usize,
}

/// Serves until the process is killed; prints the address.
pub async fn serve(customers: u64) -> Result<(), Fault> {
    let (template, id) = template().await?;
    let times = i64::try_from(customers / OF_ONE_TIME)?.max(1);
    let crowd = Arc::new(Crowd {
        customers,
        first: (Timestamp::now() - OLDEST).as_millisecond(),
        step: (SPAN.as_millis() as i64 / times).max(1),
        template,
        id,
        counts: Mutex::default(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut out = std::io::stdout();
    writeln!(out, "http://{}", listener.local_addr()?)?;
    out.flush()?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let crowd = Arc::clone(&crowd);
        let service = hyper::service::service_fn(move |request| {
            let crowd = Arc::clone(&crowd);
            async move { crowd.answer(request).await }
        });
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}

/// A customer as the sandbox gives one, and the id that it has there.
async fn template() -> Result<(String, String), Fault> {
    let sandbox = Sandbox::start(SandboxOptions::empty()).await?;
    let id = sandbox.seed_customer(json!({
        "name": NAME,
        "phones": [{"type": "work", "phone": NUMBER}],
        "emails": [{"type": "work", "email": EMAIL}],
        "company": "Muster GmbH",
        "updatedAt": TIME,
    }))?;
    let mut customer = sandbox.customers().pop().ok_or("no customer")?;
    for time in ["createdAt", "updatedAt", "modifiedAt"] {
        customer["attributes"][time] = json!(TIME);
    }
    Ok((customer.to_string(), id))
}

impl Crowd {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Fault> {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let body = request.into_body().collect().await?.to_bytes();
        let began = Instant::now();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let archive = path == "/v1/customers/archive/search";
        let (status, answer) = if path == "/bench" {
            let counts = json!({
                "searches": counts.searches, "rows": counts.rows, "others": counts.others,
                "busy": counts.busy.as_secs_f64(), "most_in_a_second": counts.most_in_a_second,
            });
            (StatusCode::OK, counts.to_string())
        } else if archive || path == "/v1/customers/search" {
            let (rows, answer) = self.search(&query, &serde_json::from_slice(&body)?, archive)?;
            counts.searches += 1;
            counts.rows += rows;
            counts.recent.push_back(began);
            while counts
                .recent
                .front()
                .is_some_and(|at| at.elapsed() >= Duration::from_secs(1))
            {
                counts.recent.pop_front();
            }
            counts.most_in_a_second = counts.most_in_a_second.max(counts.recent.len());
            (StatusCode::OK, answer)
        } else {
            counts.others += 1;
            let fault =
                json!({"errors": [{"status": 404, "code": "not_found", "title": "not found"}]});
            (StatusCode::NOT_FOUND, fault.to_string())
        };
        if path != "/bench" {
            counts.busy += began.elapsed();
        }
        let response = Response::builder().status(status);
        let response = response.header("content-type", "application/json");
        Ok(response.body(Full::new(Bytes::from(answer)))?)
    }

    /// One page: how many rows, and the answer.
    fn search(&self, query: &str, asked: &Value, archive: bool) -> Result<(u64, String), Fault> {
        let parameter = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find_map(|(key, value)| (key == name).then(|| value.parse::<u64>()))
        };
        let page = parameter("page").ok_or("no page")??;
        let size = parameter("pageSize").ok_or("no pageSize")??;
        if !(1..=100).contains(&page) || !(1..=500).contains(&size) {
            return Err("a page that isn't".into());
        }
        if asked["sort"] != json!([{"customer_updated_at": "asc"}]) {
            return Err(format!("an order that the crowd doesn't know: {asked}").into());
        }
        let (mut first, mut end) = (0, if archive { 0 } else { self.customers });
        for criterion in asked["and"].as_array().into_iter().flatten() {
            let bounds = criterion["customer_updated_at"].as_object();
            for (operator, time) in bounds.ok_or("a criterion that the crowd doesn't know")? {
                let time: Timestamp = time.as_str().ok_or("no time")?.parse()?;
                match operator.as_str() {
                    "gte" => first = first.max(self.from(time)),
                    "gt" => first = first.max(self.behind(time)),
                    "lt" => end = end.min(self.from(time)),
                    "lte" => end = end.min(self.behind(time)),
                    other => return Err(format!("{other}?").into()),
                }
            }
        }
        let total = end.saturating_sub(first);
        let from = first + (page - 1) * size;
        let rows: Vec<u64> = (from..end.min(from + size)).collect();
        let data: Vec<String> = rows.iter().map(|row| self.customer(*row)).collect();
        let meta = json!({"page": page, "pageSize": size, "total": total, "totalPages": total.div_ceil(size).max(1)});
        let next = if end > from + size {
            json!(format!(
                "/v1/customers/search?page={}&pageSize={size}",
                page + 1
            ))
        } else {
            Value::Null
        };
        let links = json!({"next": next});
        let answer = format!(
            "{{\"meta\":{meta},\"data\":[{}],\"links\":{links}}}",
            data.join(",")
        );
        Ok((u64::try_from(rows.len())?, answer))
    }

    /// The first customer that isn't older.
    fn from(&self, time: Timestamp) -> u64 {
        let since = time.as_millisecond().saturating_sub(self.first);
        let times =
            u64::try_from(since).map_or(0, |since| since.div_ceil(self.step.unsigned_abs()));
        self.customers.min(times.saturating_mul(OF_ONE_TIME))
    }

    /// The first customer that is newer.
    fn behind(&self, time: Timestamp) -> u64 {
        self.from(time + SignedDuration::from_millis(1))
    }

    fn customer(&self, number: u64) -> String {
        let at = self.first + (number / OF_ONE_TIME) as i64 * self.step;
        let at = Timestamp::from_millisecond(at).unwrap_or_default();
        // Ids as the sandbox and Kustomer make them, in the order of creation; who it is comes in none.
        let id = format!(
            "{:08x}{number:08x}{:08x}",
            at.as_second(),
            number.wrapping_mul(SCATTER) & 0xffff_ffff
        );
        let person = number.wrapping_mul(SCATTER) % self.customers;
        self.template
            .replace(&self.id, &id)
            .replace(NAME, &people::name(person))
            .replace(NUMBER, &people::number(person))
            .replace(EMAIL, &people::email(person))
            .replace(TIME, &format!("{at:.3}"))
    }
}
