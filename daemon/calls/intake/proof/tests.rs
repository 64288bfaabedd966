//! Each proof takes what is right and nothing else.

use super::*;
use axum::http::HeaderName;

fn headers(name: &str, value: &str) -> HeaderMap {
    let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
    HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
}

#[test]
fn basic_and_bearer_take_the_right_secret_alone() {
    let basic = Proof::Basic {
        user: "fs".to_owned(),
        password: "a:b ü".into(),
    };
    let right = format!("bAsIc {}", BASE64.encode("fs:a:b ü"));
    assert_eq!(
        basic.check_head(&headers("authorization", &right), Some("uuid=1")),
        Ok(Some("uuid=1".to_owned()))
    );
    for wrong in [
        "Basic",
        "Basic ???",
        "Bearer x",
        &format!("Basic {}", BASE64.encode("fs:a:b")),
    ] {
        assert_eq!(
            basic.check_head(&headers("authorization", wrong), None),
            Err(BASIC),
            "{wrong}"
        );
    }
    let bearer = Proof::Bearer("t0ken".into());
    assert_eq!(
        bearer.check_head(&headers("authorization", "Bearer t0ken"), None),
        Ok(None)
    );
    for wrong in [
        "Bearer t0ke",
        "Bearer t0kenn",
        "Bearer",
        "t0ken",
        "Basic t0ken",
    ] {
        assert_eq!(
            bearer.check_head(&headers("authorization", wrong), None),
            Err(BEARER),
            "{wrong}"
        );
    }
    assert_eq!(bearer.check_head(&HeaderMap::new(), None), Err(BEARER));
}

#[test]
fn the_query_secret_is_taken_out_and_a_second_question_mark_separates() {
    let query = Proof::Query {
        name: "token".to_owned(),
        token: "a&b?".into(),
    };
    for (given, kept) in [
        ("token=a%26b%3F", None),
        ("token=a%26b%3F?uuid=a_1", Some("uuid=a_1")),
        ("x=1&token=a%26b%3F&y", Some("x=1&y")),
    ] {
        assert_eq!(
            query.check_head(&HeaderMap::new(), Some(given)),
            Ok(kept.map(str::to_owned)),
            "{given}"
        );
    }
    for wrong in [
        "",
        "token",
        "token=",
        "token=a",
        "Token=a%26b%3F",
        "uuid=token=a%26b%3F",
    ] {
        assert_eq!(
            query.check_head(&HeaderMap::new(), Some(wrong)),
            Err(QUERY),
            "{wrong}"
        );
    }
}

#[test]
fn an_hmac_is_taken_as_hex_or_base64_with_or_without_its_name() {
    // RFC 4231, test case 2, and RFC 2202, test case 2.
    let body = b"what do ya want for nothing?";
    let sha256 = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let sha1 = "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79";
    for (algorithm, prefix, hex) in [
        (HmacAlgorithm::Sha256, "sha256=", sha256),
        (HmacAlgorithm::Sha1, "sha1=", sha1),
    ] {
        let proof = Proof::Hmac {
            secret: "Jefe".into(),
            header: "x-signature".to_owned(),
            algorithm,
        };
        let base64 = BASE64.encode(from_hex(hex).unwrap());
        for right in [
            hex.to_owned(),
            hex.to_uppercase(),
            format!("{prefix}{hex}"),
            base64,
        ] {
            assert_eq!(
                proof.check_body(&headers("X-Signature", &right), None, body),
                Ok(()),
                "{right}"
            );
            assert_eq!(
                proof.check_body(&headers("X-Signature", &right), None, b"other"),
                Err(HMAC),
                "{right}"
            );
        }
        for wrong in ["", "00", hex.get(2..).unwrap(), "sha512=ab"] {
            assert_eq!(
                proof.check_body(&headers("X-Signature", wrong), None, body),
                Err(HMAC),
                "{wrong}"
            );
        }
        assert_eq!(proof.check_head(&HeaderMap::new(), None), Err(HMAC));
    }
}

#[test]
fn a_secret_file_is_read_without_its_line_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    std::fs::write(&path, "s3cret\r\n").unwrap();
    assert_eq!(read_secret(&path).unwrap().expose_secret(), "s3cret");
    std::fs::write(&path, "\n").unwrap();
    assert!(matches!(read_secret(&path), Err(ProofFault::Empty { .. })));
    std::fs::write(&path, "x".repeat(5000)).unwrap();
    assert!(matches!(
        read_secret(&path),
        Err(ProofFault::TooLarge { .. })
    ));
    assert!(matches!(
        read_secret(&dir.path().join("none")),
        Err(ProofFault::Unreadable { .. })
    ));
}
