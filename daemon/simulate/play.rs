//! Posts over HTTP at a chosen rate, on a few kept connections, and counts the answers. A 503 is tried again after the wait
//! that it asks for, as a phone system would.

use super::post::Post;
use super::proof::{Proof, Unsignable};
use crate::clock;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Interval, interval, sleep, timeout};

/// Connections at once: enough for a daemon that syncs each group of posts, and few beside its limit of 1,024.
const LANES: usize = 8;

/// An answer is small; more is no answer of tieline's.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Nobody waits longer for one answer: a daemon answers within a sync of its disk.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// A post that is answered 503 is tried again for so long.
pub const RETRY_TIME_MAX: Duration = Duration::from_secs(60);

/// The longest wait between two tries, whatever the answer asks for.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(10);

/// Where the posts go.
#[derive(Debug)]
pub struct Target {
    /// `127.0.0.1:8480`
    pub address: String,
    /// `/v1/pbx/hq/events`
    pub path: String,
    pub proof: Proof,
}

#[derive(Debug, thiserror::Error)]
pub enum PlayFault {
    #[error("no daemon answers at {address}: {why}")]
    Unreachable { address: String, why: String },
    #[error(transparent)]
    Unsignable(#[from] Unsignable),
    #[error("the post can't be a request: {0}")]
    NoRequest(String),
}

/// One answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// The event's id, where the dialect's answer has it.
    pub event: Option<String>,
    pub repeat: bool,
    /// A problem's own words.
    pub detail: String,
    retry_after: Option<Duration>,
}

/// What became of many posts.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub posts: usize,
    pub accepted: usize,
    /// Of those accepted, the ones that were held already, where the answer says so.
    pub repeats: usize,
    pub retried: usize,
    /// Status and detail, how often.
    pub refused: BTreeMap<(u16, String), usize>,
    /// The first event of each call that has an id.
    pub events: BTreeMap<usize, String>,
    pub took: Duration,
}

impl Tally {
    pub fn refusals(&self) -> usize {
        self.refused.values().sum()
    }

    /// Both together.
    pub fn add(&mut self, more: Self) {
        self.posts += more.posts;
        self.accepted += more.accepted;
        self.repeats += more.repeats;
        self.retried += more.retried;
        self.took += more.took;
        for (refusal, count) in more.refused {
            *self.refused.entry(refusal).or_default() += count;
        }
        for (call, event) in more.events {
            self.events.entry(call).or_insert(event);
        }
    }

    fn count(&mut self, call: usize, answer: Answer) {
        self.posts += 1;
        if (200..300).contains(&answer.status) {
            self.accepted += 1;
            self.repeats += usize::from(answer.repeat);
            if let Some(event) = answer.event {
                self.events.entry(call).or_insert(event);
            }
            return;
        }
        *self
            .refused
            .entry((answer.status, answer.detail))
            .or_default() += 1;
    }
}

/// Sends every post, each with the number of its call; those of one call in their order if `in_order`.
///
/// # Errors
/// The first post that gets no answer at all ends it.
pub async fn play(
    target: &Arc<Target>,
    posts: Vec<(usize, Post)>,
    rate: f64,
    in_order: bool,
) -> Result<Tally, PlayFault> {
    let began = clock::monotonic();
    let pace = Arc::new(Mutex::new(interval(Duration::from_secs_f64(1.0 / rate))));
    let mut lanes: Vec<Vec<(usize, Post)>> = vec![Vec::new(); LANES];
    for (index, (call, post)) in posts.into_iter().enumerate() {
        let lane = if in_order { call } else { index } % LANES;
        lanes
            .get_mut(lane)
            .into_iter()
            .for_each(|lane| lane.push((call, post.clone())));
    }
    let mut tasks = JoinSet::new();
    for lane in lanes {
        tasks.spawn(walk(Arc::clone(target), lane, Arc::clone(&pace)));
    }
    let mut all = Tally::default();
    while let Some(walked) = tasks.join_next().await {
        match walked {
            Ok(tally) => all.add(tally?),
            Err(panic) => {
                let (address, why) = (target.address.clone(), panic.to_string());
                return Err(PlayFault::Unreachable { address, why });
            }
        }
    }
    all.took = clock::monotonic().duration_since(began);
    Ok(all)
}

async fn walk(
    target: Arc<Target>,
    posts: Vec<(usize, Post)>,
    pace: Arc<Mutex<Interval>>,
) -> Result<Tally, PlayFault> {
    let mut tally = Tally::default();
    let mut sender = Sender::new(&target);
    for (call, post) in posts {
        pace.lock().await.tick().await;
        let (answer, retried) = sender.patient(post).await?;
        tally.retried += retried;
        tally.count(call, answer);
    }
    Ok(tally)
}

/// One connection, opened when it is needed.
pub struct Sender<'a> {
    target: &'a Target,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl<'a> Sender<'a> {
    pub fn new(target: &'a Target) -> Self {
        Self {
            target,
            connection: None,
        }
    }

    /// The answer that isn't 503 any more, or the last one, and how often it was tried again.
    async fn patient(&mut self, post: Post) -> Result<(Answer, usize), PlayFault> {
        let (mut waited, mut retried) = (Duration::ZERO, 0);
        loop {
            let answer = self.send(post.clone()).await?;
            let wait = answer.retry_after.unwrap_or(Duration::from_secs(1));
            let wait = wait.min(RETRY_WAIT_MAX);
            if answer.status != 503 || waited + wait > RETRY_TIME_MAX {
                return Ok((answer, retried));
            }
            sleep(wait).await;
            waited += wait;
            retried += 1;
        }
    }

    /// Signs and sends once; on a connection that the daemon closed meanwhile, once more on a new one: a post that came
    /// twice is one event.
    ///
    /// # Errors
    /// No answer, or a post that can't be signed.
    pub async fn send(&mut self, post: Post) -> Result<Answer, PlayFault> {
        let post = self.target.proof.sign(post)?;
        let kept = self.connection.is_some();
        match self.exchange(&post).await {
            Err(PlayFault::Unreachable { .. }) if kept => self.exchange(&post).await,
            answer => answer,
        }
    }

    async fn exchange(&mut self, post: &Post) -> Result<Answer, PlayFault> {
        let request = request(self.target, post)?;
        let address = &self.target.address;
        let unreachable = |why: String| PlayFault::Unreachable {
            address: address.clone(),
            why,
        };
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(address).await.map_err(unreachable)?,
        };
        let exchanged = async {
            connection.ready().await?;
            let response = connection.send_request(request).await?;
            Ok::<_, hyper::Error>(response)
        };
        let response = match timeout(ANSWER_TIME_MAX, exchanged).await {
            Ok(response) => response.map_err(|error| unreachable(error.to_string()))?,
            Err(_) => return Err(unreachable(format!("no answer within {ANSWER_TIME_MAX:?}"))),
        };
        let answer = read(response).await.map_err(unreachable)?;
        self.connection = Some(connection);
        Ok(answer)
    }
}

async fn connect(address: &str) -> Result<SendRequest<Full<Bytes>>, String> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| error.to_string())?;
    // One small post after another, each waited for.
    stream
        .set_nodelay(true)
        .map_err(|error| error.to_string())?;
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (connection, driver) = handshake.map_err(|error| error.to_string())?;
    tokio::spawn(driver);
    Ok(connection)
}

fn request(target: &Target, post: &Post) -> Result<Request<Full<Bytes>>, PlayFault> {
    let query = post
        .query
        .as_ref()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    let method = if post.get { Method::GET } else { Method::POST };
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{}{query}", target.path))
        .header("host", &target.address);
    if let Some(kind) = post.content_type.as_ref().filter(|_| !post.get) {
        request = request.header("content-type", kind);
    }
    for (name, value) in &post.headers {
        request = request.header(name, value);
    }
    request
        .body(Full::new(Bytes::from(post.body.clone())))
        .map_err(|error| PlayFault::NoRequest(error.to_string()))
}

async fn read<B>(response: Response<B>) -> Result<Answer, String>
where
    B: hyper::body::Body<Data = Bytes, Error = hyper::Error>,
{
    let status = response.status().as_u16();
    let header = |name: &str| response.headers().get(name)?.to_str().ok();
    let retry_after = header("retry-after").and_then(|wait| wait.parse().ok());
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
    let body = body.collect().await.map_err(|error| error.to_string())?;
    // Gateways and Twilio are answered in words of their own.
    let said: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    let text = |name: &str| said.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(Answer {
        status,
        event: text("id"),
        repeat: said.get("repeat").and_then(Value::as_bool).unwrap_or(false),
        detail: text("detail").or_else(|| text("title")).unwrap_or_default(),
        retry_after: retry_after.map(Duration::from_secs),
    })
}
