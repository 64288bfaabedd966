//! What a collector is sent: spans that ended, as a request of OTLP (opentelemetry.io/docs/specs/otlp), in its protobuf form.
//! Pure.

use jiff::Timestamp;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;

const NAME: &str = env!("CARGO_PKG_NAME");
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A span that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub name: &'static str,
    pub trace: u128,
    pub id: u64,
    /// The span that it was in, if that is of the same trace.
    pub parent: Option<u64>,
    pub attributes: Vec<(&'static str, String)>,
    pub started: Timestamp,
    pub ended: Timestamp,
}

/// An id of these bits; 0 is none (OTLP: `span_id`).
pub fn span_id(bits: u128) -> u64 {
    u64::try_from(bits >> 64).unwrap_or_default().max(1)
}

/// The body of one request.
pub fn request(spans: &[Ended]) -> Vec<u8> {
    let scope = InstrumentationScope {
        name: NAME.to_owned(),
        version: VERSION.to_owned(),
        ..InstrumentationScope::default()
    };
    let resource = Resource {
        attributes: vec![text("service.name", NAME), text("service.version", VERSION)],
        ..Resource::default()
    };
    let all = ScopeSpans {
        scope: Some(scope),
        spans: spans.iter().map(span).collect(),
        ..ScopeSpans::default()
    };
    let all = ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![all],
        ..ResourceSpans::default()
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![all],
    };
    request.encode_to_vec()
}

fn span(ended: &Ended) -> Span {
    let parent = ended.parent.map(|parent| parent.to_be_bytes().to_vec());
    let attributes = ended.attributes.iter();
    Span {
        trace_id: ended.trace.to_be_bytes().to_vec(),
        span_id: ended.id.to_be_bytes().to_vec(),
        parent_span_id: parent.unwrap_or_default(),
        name: ended.name.to_owned(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: nanoseconds(ended.started),
        // A clock that was set back meanwhile makes no span that ends before it began.
        end_time_unix_nano: nanoseconds(ended.ended.max(ended.started)),
        attributes: attributes.map(|(key, value)| text(key, value)).collect(),
        ..Span::default()
    }
}

fn nanoseconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_nanosecond()).unwrap_or_default()
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanosecond: i128) -> Timestamp {
        Timestamp::from_nanosecond(nanosecond).unwrap()
    }

    #[test]
    fn a_span_as_a_collector_reads_it() {
        let ended = Ended {
            name: "delivery",
            trace: 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10,
            id: 0x1112_1314_1516_1718,
            parent: None,
            attributes: vec![("integration", "support".to_owned())],
            started: at(1_795_000_000_000_000_007),
            ended: at(1_795_000_000_000_000_009),
        };
        let inner = Ended {
            parent: Some(ended.id),
            id: 1,
            started: at(20),
            ended: at(10),
            ..ended.clone()
        };
        let bytes = request(&[ended, inner]);
        let read = ExportTraceServiceRequest::decode(bytes.as_slice()).unwrap();
        let [all] = read.resource_spans.as_slice() else {
            panic!("{read:?}");
        };
        let resource = all.resource.as_ref().unwrap();
        assert_eq!(resource.attributes[0], text("service.name", "tieline"));
        let [outer, inner] = all.scope_spans[0].spans.as_slice() else {
            panic!("{read:?}");
        };
        assert_eq!(outer.trace_id, (1..=16).collect::<Vec<u8>>());
        assert_eq!(outer.span_id, (17..=24).collect::<Vec<u8>>());
        assert_eq!(outer.parent_span_id, Vec::<u8>::new());
        assert_eq!(
            (outer.name.as_str(), outer.kind()),
            ("delivery", SpanKind::Internal)
        );
        assert_eq!(outer.start_time_unix_nano, 1_795_000_000_000_000_007);
        assert_eq!(outer.end_time_unix_nano, 1_795_000_000_000_000_009);
        assert_eq!(outer.attributes, [text("integration", "support")]);
        assert_eq!(inner.parent_span_id, outer.span_id);
        assert_eq!(
            (inner.start_time_unix_nano, inner.end_time_unix_nano),
            (20, 20)
        );
    }

    #[test]
    fn no_span_has_the_id_that_means_none() {
        let table = [(0, 1), (7 << 64, 7), (u128::MAX, u64::MAX)];
        for (bits, id) in table {
            assert_eq!(span_id(bits), id);
        }
    }
}
