//! What an operation answers: a reply, or a refusal in the error shape recorded from Kustomer.
//! Every operation returns one of the two; `server.rs` turns them into HTTP.

use serde_json::{Map, Value, json};

/// A successful answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: Option<Value>,
    /// When a bulk job that this request started has to be run, in ms since the start.
    pub due_ms: Option<u64>,
}

impl Reply {
    /// `data` in the envelope.
    pub fn data(status: u16, data: Value) -> Reply {
        let envelope = Map::from_iter([("data".to_owned(), data)]);
        Reply::whole(status, Value::Object(envelope))
    }

    /// A body that already is an envelope.
    pub fn whole(status: u16, body: Value) -> Reply {
        Reply {
            status,
            body: Some(body),
            due_ms: None,
        }
    }

    /// 204.
    pub fn empty() -> Reply {
        Reply {
            status: 204,
            body: None,
            due_ms: None,
        }
    }
}

/// A refused request.
#[derive(Debug, Clone)]
pub struct Refusal {
    pub status: u16,
    code: &'static str,
    title: String,
    parameter: Option<String>,
    detail: Option<String>,
    /// Ms since the start at which a 429 ends.
    pub reset_ms: Option<u64>,
}

impl Refusal {
    fn new(status: u16, code: &'static str, title: impl Into<String>) -> Refusal {
        Refusal {
            status,
            code,
            title: title.into(),
            parameter: None,
            detail: None,
            reset_ms: None,
        }
    }

    /// 400 `badparam`: `parameter` is the field, `detail` the rule of the schema that it breaks.
    pub fn bad(
        parameter: impl Into<String>,
        title: impl Into<String>,
        detail: impl Into<String>,
    ) -> Refusal {
        Refusal {
            parameter: Some(parameter.into()),
            detail: Some(detail.into()),
            ..Refusal::new(400, "badparam", title)
        }
    }

    /// 400 for a body that is not the JSON it should be.
    pub fn bad_body(title: impl Into<String>) -> Refusal {
        Refusal::new(400, "bad_request", title)
    }

    pub fn unauthorized() -> Refusal {
        Refusal::new(401, "unauthorized", "Unauthorized")
    }

    /// 403 that names the roles of which one would do.
    pub fn missing_role(roles: &[&str]) -> Refusal {
        Refusal {
            detail: Some(format!("the key needs one of: {}", roles.join(", "))),
            ..Refusal::new(403, "forbidden", "Forbidden")
        }
    }

    pub fn not_found(parameter: impl Into<String>) -> Refusal {
        Refusal {
            parameter: Some(parameter.into()),
            ..Refusal::new(404, "notfound", "Not Found")
        }
    }

    /// A value that is taken already; the status is an option, the real one is not documented.
    pub fn duplicate(status: u16, parameter: impl Into<String>) -> Refusal {
        let code = if status == 400 {
            "badparam"
        } else {
            "conflict"
        };
        Refusal {
            parameter: Some(parameter.into()),
            ..Refusal::new(status, code, "duplicate detected")
        }
    }

    /// 409: the `rev` sent is not the current one.
    pub fn stale() -> Refusal {
        Refusal {
            parameter: Some("rev".to_owned()),
            ..Refusal::new(409, "conflict", "Conflict")
        }
    }

    pub fn too_large() -> Refusal {
        Refusal::new(413, "toolarge", "Request Entity Too Large")
    }

    pub fn too_many(reset_ms: u64) -> Refusal {
        Refusal {
            reset_ms: Some(reset_ms),
            ..Refusal::new(429, "ratelimit", "Too Many Requests")
        }
    }

    /// The sandbox holds as much as it may.
    pub fn full() -> Refusal {
        Refusal::new(507, "full", "the sandbox holds no more records")
    }

    pub fn title(&self) -> &str {
        &self.title
    }

    /// One line for people: title, field and rule.
    pub fn line(&self) -> String {
        let parameter = self.parameter.as_deref().unwrap_or("-");
        let detail = self.detail.as_deref().unwrap_or("");
        format!("{} {parameter}: {} {detail}", self.status, self.title)
    }

    /// The recorded error body.
    pub fn body(&self) -> Value {
        let mut error = Map::new();
        error.insert("status".to_owned(), json!(self.status));
        if let Some(parameter) = &self.parameter {
            error.insert("source".to_owned(), json!({ "parameter": parameter }));
        }
        error.insert("code".to_owned(), json!(self.code));
        error.insert("title".to_owned(), json!(self.title));
        if let Some(detail) = &self.detail {
            error.insert("detail".to_owned(), json!(detail));
        }
        json!({ "errors": [error] })
    }
}
