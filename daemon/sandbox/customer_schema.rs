//! A customer's request schema (Kustomer: Core Resources OpenAPI, hand-copied), in the terms of `schemas.rs`.
//! Read by `rules.rs`, picked by `routes.rs`, `bulk.rs` and the seeding.

use super::schemas::Presence::{Nullable, Optional, Required};
use super::schemas::Shape::{Bool, Custom, Email, List, Object, OneOf, Phone, Text, Time, Uri};
use super::schemas::{ANY, DEFAULT_LANG, FLOAT, Field, SENTIMENT, Shape, TAGS};

const CONTACT_TYPES: &[&str] = &["home", "work", "other"];
const VERIFIED: Field = Field("verified", Bool, Optional);

const EXTERNAL_IDS: Shape = List(
    &Object(&[Field("externalId", Text(1, 255), Required), VERIFIED]),
    10,
);
const EMAILS: Shape = List(
    &Object(&[
        Field("type", OneOf(CONTACT_TYPES), Optional),
        Field("email", Email, Required),
        VERIFIED,
    ]),
    10,
);
const PHONES: Shape = List(
    &Object(&[
        Field(
            "type",
            OneOf(&["mobile", "home", "work", "fax", "other"]),
            Optional,
        ),
        Field("phone", Phone, Required),
        VERIFIED,
    ]),
    10,
);
const WHATSAPPS: Shape = List(
    &Object(&[
        Field("type", OneOf(&["mobile"]), Optional),
        Field("phone", Phone, Required),
        VERIFIED,
    ]),
    10,
);
const SOCIALS: Shape = List(
    &Object(&[
        Field(
            "type",
            OneOf(&["twitter", "facebook", "instagram", "linkedin", "pinterest"]),
            Required,
        ),
        Field("userid", Text(0, 256), Optional),
        Field("username", Text(1, 256), Required),
        Field("url", Uri, Optional),
        VERIFIED,
    ]),
    10,
);
const LOCATION: Shape = Object(&[
    Field("type", OneOf(CONTACT_TYPES), Nullable),
    Field("name", Text(0, ANY), Nullable),
    Field("address", Text(0, 256), Nullable),
    Field("address2", Text(0, 256), Nullable),
    Field("address3", Text(0, 256), Nullable),
    Field("latitude", FLOAT, Nullable),
    Field("longitude", FLOAT, Nullable),
    Field("countryCode", Text(2, 2), Nullable),
    Field("countryName", Text(0, 64), Nullable),
    Field("regionCode", Text(0, 2), Nullable),
    Field("regionName", Text(0, 128), Nullable),
    Field("cityName", Text(0, 128), Nullable),
    Field("zipCode", Text(0, 30), Nullable),
    Field("areaCode", Text(0, 30), Nullable),
]);

/// Create, PUT and PATCH of a customer take the same.
pub const CUSTOMER: &[Field] = &[
    Field("name", Text(0, 256), Nullable),
    Field("company", Text(0, ANY), Nullable),
    Field("externalId", Text(1, 256), Nullable),
    Field("username", Text(0, 256), Nullable),
    Field("signedUpAt", Time, Nullable),
    Field("lastActivityAt", Time, Nullable),
    Field("lastCustomerActivityAt", Time, Nullable),
    Field("lastSeenAt", Time, Nullable),
    Field("avatarUrl", Uri, Nullable),
    Field("externalIds", EXTERNAL_IDS, Optional),
    Field("sharedExternalIds", EXTERNAL_IDS, Optional),
    Field("emails", EMAILS, Optional),
    Field("sharedEmails", EMAILS, Optional),
    Field("phones", PHONES, Optional),
    Field("sharedPhones", PHONES, Optional),
    Field("whatsapps", WHATSAPPS, Optional),
    Field(
        "facebookIds",
        List(
            &Object(&[
                Field("pageId", Text(0, 255), Required),
                Field("userId", Text(0, 255), Required),
                Field("name", Text(0, 255), Optional),
            ]),
            10,
        ),
        Optional,
    ),
    Field(
        "instagramIds",
        List(
            &Object(&[
                Field("pageId", Text(0, 255), Required),
                Field("threadId", Text(0, 255), Required),
                Field("username", Text(0, 255), Required),
                Field("instagramId", Text(0, 255), Optional),
            ]),
            10,
        ),
        Optional,
    ),
    Field("socials", SOCIALS, Optional),
    Field("sharedSocials", SOCIALS, Optional),
    Field(
        "urls",
        List(
            &Object(&[
                Field("type", OneOf(&["website", "blog", "other"]), Optional),
                Field("url", Uri, Required),
            ]),
            10,
        ),
        Optional,
    ),
    Field("locations", List(&LOCATION, 10), Optional),
    Field("locale", Text(0, 16), Nullable),
    Field("timeZone", Text(0, 64), Nullable),
    Field("tags", TAGS, Optional),
    Field("sentiment", SENTIMENT, Optional),
    Field("custom", Custom, Optional),
    Field("birthdayAt", Time, Nullable),
    Field("gender", OneOf(&["m", "f"]), Nullable),
    Field("createdAt", Time, Optional),
    Field("importedAt", Time, Optional),
    Field("rev", FLOAT, Optional),
    DEFAULT_LANG,
];
