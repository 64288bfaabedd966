//! The request schemas as tables: field, shape, whether needed (Kustomer: Core Resources OpenAPI, hand-copied).
//! Conversations, notes, messages and merges here, customers in `customer_schema.rs`. Read by `rules.rs`, picked by
//! `routes.rs` and `bulk.rs`.

/// One property of an object.
#[derive(Debug)]
pub struct Field(pub &'static str, pub Shape, pub Presence);

/// Whether a property has to be there and may be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Required,
    Optional,
    Nullable,
}

/// What a value has to look like. Lengths count Unicode characters.
#[derive(Debug)]
pub enum Shape {
    Text(usize, usize),
    OneOf(&'static [&'static str]),
    Id,
    Time,
    Uri,
    Phone,
    Email,
    Tag,
    Whole(i64, i64),
    Number(f64, f64),
    Bool,
    /// At most so many items, all different.
    List(&'static Shape, usize),
    Object(&'static [Field]),
    /// An object with at least one of its properties.
    SomeOf(&'static [Field]),
    /// Any object.
    Free,
    /// The organisation's own attributes; checked against the metadata by the state.
    Custom,
    Either(&'static Shape, &'static Shape),
}

use Presence::{Nullable, Optional, Required};
use Shape::{
    Bool, Custom, Either, Free, Id, List, Number, Object, OneOf, SomeOf, Tag, Text, Time, Whole,
};

/// Stands for "no limit in the schema"; the body limit holds all the same.
pub(super) const ANY: usize = usize::MAX;
pub(super) const FLOAT: Shape = Number(f64::MIN, f64::MAX);
const LANG: Field = Field("lang", Text(0, 100), Nullable);
pub(super) const DEFAULT_LANG: Field = Field("defaultLang", Text(0, 100), Nullable);
pub(super) const SENTIMENT: Shape = Object(&[
    Field("polarity", Whole(-1, 1), Required),
    Field("confidence", Number(-1.0, 1.0), Required),
]);
const QUEUE: Shape = SomeOf(&[
    Field("id", Text(0, ANY), Nullable),
    Field("external", OneOf(&["amazon-connect"]), Nullable),
]);
pub(super) const TAGS: Shape = List(&Tag, 20);
const IDS: Shape = List(&Id, 10);
const ATTACHMENT: Shape = Object(&[
    Field("_id", Id, Required),
    Field("name", Text(0, ANY), Required),
    Field("contentType", Text(0, ANY), Required),
    Field("contentLength", FLOAT, Required),
    Field("sourceId", Id, Optional),
]);

const CHANNELS: &[&str] = &[
    "email",
    "sms",
    "chat",
    "facebook",
    "twitter-dm",
    "twitter-tweet",
    "voice",
    "instagram",
    "whatsapp",
];
/// What both ways to create a conversation take.
pub const CONVERSATION: &[Field] = &[
    Field("id", Id, Optional),
    Field("externalId", Text(0, 256), Optional),
    Field("name", Text(0, 256), Optional),
    Field("status", OneOf(&["open", "done"]), Optional),
    Field("priority", Whole(1, 5), Optional),
    Field("createdAt", Time, Optional),
    Field("importedAt", Time, Optional),
    Field("direction", OneOf(&["in", "out"]), Optional),
    Field("replyChannel", Text(0, 256), Nullable),
    Field("tags", TAGS, Optional),
    Field("assignedUsers", IDS, Optional),
    Field("assignedTeams", IDS, Optional),
    Field("custom", Custom, Optional),
    DEFAULT_LANG,
    Field("queue", QUEUE, Optional),
];
/// `POST /v1/conversations` besides.
pub const CONVERSATION_CUSTOMER: &[Field] = &[Field("customer", Id, Required)];
/// `POST /v1/customers/{id}/conversations` besides.
pub const CONVERSATION_CAMPAIGN: &[Field] = &[Field("campaign", Id, Optional)];

/// The first of the two exclusive shapes of a conversation's update; the second is `CONVERSATION_CUSTOMER` alone.
pub const CONVERSATION_UPDATE: &[Field] = &[
    Field("externalId", Text(0, 256), Nullable),
    Field("name", Text(0, 256), Nullable),
    Field("direction", OneOf(&["in", "out"]), Optional),
    Field("priority", Whole(1, 5), Optional),
    Field("satisfaction", Number(-1.0, 1.0), Nullable),
    Field("satisfactionLevel", Free, Optional),
    Field("suggestedShortcuts", List(&Free, ANY), Optional),
    Field("status", OneOf(&["open", "snoozed", "done"]), Optional),
    Field("replyChannel", Text(0, 256), Nullable),
    Field("subStatus", Id, Optional),
    Field(
        "snooze",
        Object(&[
            Field("time", Time, Optional),
            Field(
                "status",
                OneOf(&["scheduled", "canceled", "elapsed"]),
                Required,
            ),
        ]),
        Optional,
    ),
    Field("tags", TAGS, Optional),
    Field("suggestedTags", List(&Free, 20), Optional),
    Field("sentiment", SENTIMENT, Optional),
    Field("assignedUsers", IDS, Optional),
    Field("assignedTeams", IDS, Optional),
    Field("custom", Custom, Optional),
    Field("deleted", Bool, Nullable),
    Field("ended", Bool, Optional),
    Field("endedAt", Time, Optional),
    Field("endedReason", Text(0, 128), Optional),
    Field("endedBy", Id, Optional),
    Field("endedByType", OneOf(&["user", "customer"]), Optional),
    Field("locked", Bool, Optional),
    Field("rev", FLOAT, Optional),
    DEFAULT_LANG,
    Field("queue", QUEUE, Optional),
];

/// The body of `POST` and `DELETE /v1/conversations/{id}/tags`.
pub const TAG_LIST: Shape = TAGS;

const MENTIONS: Shape = List(&Free, 20);
const BACKDATED: &[Field] = &[
    Field("createdAt", Time, Optional),
    Field("modifiedAt", Time, Optional),
    Field("createdBy", Id, Optional),
    Field("modifiedBy", Id, Nullable),
];

/// A new note; `NOTE_CONVERSATION` besides when the path does not name the conversation.
pub const NOTE: &[&[Field]] = &[
    &[
        Field("id", Text(0, ANY), Optional),
        Field("externalId", Text(0, 256), Optional),
        Field("body", Text(1, 10_240), Required),
        Field("userMentions", MENTIONS, Optional),
        Field("attachments", List(&ATTACHMENT, ANY), Optional),
        Field("importedAt", Time, Optional),
        LANG,
    ],
    BACKDATED,
];
/// Required in bulk and on `POST /v1/notes`.
pub const NOTE_CONVERSATION: &[Field] = &[Field("conversation", Text(0, ANY), Required)];
/// Allowed where the path names the conversation already.
pub const NOTE_CONVERSATION_AGAIN: &[Field] = &[Field("conversation", Text(0, ANY), Optional)];

/// PUT and PATCH of a note.
pub const NOTE_UPDATE: &[&[Field]] = &[
    &[
        Field("conversation", Text(0, ANY), Optional),
        Field("externalId", Text(0, 256), Nullable),
        Field("body", Text(1, 10_240), Optional),
        Field("userMentions", MENTIONS, Optional),
        Field("deleted", Bool, Nullable),
        Field("attachments", List(&ATTACHMENT, ANY), Optional),
        Field("updatedAt", Time, Optional),
        LANG,
    ],
    BACKDATED,
];

const MESSAGE_ERROR: Shape = Object(&[
    Field("status", FLOAT, Optional),
    Field("code", Text(0, ANY), Optional),
    Field("title", Text(0, ANY), Optional),
    Field("detail", Text(0, ANY), Optional),
    Field("source", Free, Optional),
    Field("meta", Free, Optional),
    Field("links", Free, Optional),
]);
const MESSAGE_STATUS: Shape = OneOf(&["sent", "received", "error"]);

/// What every way to create a message takes.
pub const MESSAGE: &[&[Field]] = &[
    &[
        Field("id", Id, Optional),
        Field("externalId", Text(0, 256), Optional),
        Field("conversation", Id, Optional),
        Field(
            "reference",
            Object(&[
                Field("message", Id, Required),
                Field("type", OneOf(&["reply", "replyAll", "forward"]), Required),
            ]),
            Optional,
        ),
        Field("channel", OneOf(CHANNELS), Required),
        Field("preview", Text(0, 10_240), Optional),
        Field("subject", Text(0, 256), Optional),
        Field("app", Text(0, ANY), Required),
        Field("size", FLOAT, Optional),
        Field("related", Text(0, ANY), Optional),
        Field("status", MESSAGE_STATUS, Optional),
        Field("error", MESSAGE_ERROR, Optional),
        Field("errorAt", Time, Optional),
        Field("auto", Bool, Optional),
        Field("sentAt", Time, Optional),
        Field("source", OneOf(&["bulk", "satisfaction"]), Optional),
        Field("shortcuts", List(&Id, ANY), Optional),
        Field("kbArticles", List(&Id, ANY), Optional),
        Field(
            "attachments",
            List(&Either(&ATTACHMENT, &Id), ANY),
            Optional,
        ),
        Field("location", Free, Optional),
        Field("meta", Free, Optional),
        Field("custom", Custom, Optional),
        Field("sentiment", SENTIMENT, Optional),
        Field("importedAt", Time, Optional),
        LANG,
        Field("queue", QUEUE, Optional),
    ],
    BACKDATED,
];
/// `POST /v1/messages` and bulk besides.
pub const MESSAGE_ROOT: &[Field] = &[
    Field("customer", Id, Optional),
    Field("direction", OneOf(&["in", "out"]), Required),
];
/// `POST /v1/conversations/{id}/messages` besides.
pub const MESSAGE_IN_CONVERSATION: &[Field] = &[
    Field("customer", Id, Optional),
    Field("direction", OneOf(&["in", "out"]), Optional),
];
/// `POST /v1/customers/{id}/messages` besides.
pub const MESSAGE_OF_CUSTOMER: &[Field] = &[Field("direction", OneOf(&["in", "out"]), Optional)];

/// PUT and PATCH of a message.
pub const MESSAGE_UPDATE: &[&[Field]] = &[
    &[
        Field("conversation", Text(0, ANY), Optional),
        Field("externalId", Text(0, 256), Nullable),
        Field("preview", Text(0, 10_240), Nullable),
        Field("subject", Text(0, 256), Nullable),
        Field("status", MESSAGE_STATUS, Optional),
        Field("error", MESSAGE_ERROR, Optional),
        Field("errorAt", Time, Optional),
        Field("sentAt", Time, Nullable),
        Field("size", FLOAT, Optional),
        Field("attachments", List(&ATTACHMENT, ANY), Optional),
        Field("meta", Free, Optional),
        Field("custom", Custom, Optional),
        Field("related", Text(0, ANY), Optional),
        Field("sentiment", SENTIMENT, Optional),
        Field("updatedAt", Time, Optional),
        Field("spam", Bool, Optional),
        LANG,
        Field("reactions", List(&Free, 100), Optional),
    ],
    BACKDATED,
];

/// `POST /v1/customers/merges`.
pub const MERGE: &[Field] = &[Field("source", Id, Required), Field("target", Id, Required)];
