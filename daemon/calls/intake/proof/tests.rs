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

#[test]
fn twilio_signs_address_query_and_form() {
    // The example that the tests of Twilio's own libraries have.
    let proof = Proof::Twilio {
        token: "12345".into(),
        url: "https://mycompany.com/myapp.php".to_owned(),
    };
    let right = headers("X-Twilio-Signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8=");
    let query = Some("foo=1&bar=2");
    let body = b"CallSid=CA1234567890ABCDE&Digits=1234&From=%2B14158675309&To=%2B18005551212&Caller=%2B14158675309";
    assert_eq!(
        proof.check_head(&right, query),
        Ok(query.map(str::to_owned))
    );
    assert_eq!(proof.check_body(&right, query, body), Ok(()));
    assert_eq!(proof.check_body(&right, Some("foo=1"), body), Err(TWILIO));
    assert_eq!(proof.check_body(&right, None, body), Err(TWILIO));
    assert_eq!(proof.check_body(&right, query, b"x=1"), Err(TWILIO));
    assert_eq!(proof.check_head(&HeaderMap::new(), query), Err(TWILIO));
    for wrong in ["", "AAAA", "RSOYDt4T1cUTdK1PDd93/VVr8B9=", "!"] {
        let wrong = headers("X-Twilio-Signature", wrong);
        assert_eq!(proof.check_body(&wrong, query, body), Err(TWILIO));
    }
}

#[test]
fn a_token_is_taken_with_hs256_alone() {
    // The example of jwt.io.
    let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c";
    let proof = Proof::Jwt("your-256-bit-secret".into());
    let check = |body: &str| proof.check_body(&HeaderMap::new(), None, body.as_bytes());
    assert_eq!(check(token), Ok(()));
    assert_eq!(check(&format!(" {token}\n")), Ok(()));
    let payload = token.split('.').nth(1).unwrap();
    for wrong in [
        String::new(),
        "{}".to_owned(),
        token.replace("SflK", "SflL"),
        token.replace("eyJzdWIi", "eyJzdWIj"),
        format!("{token}.x"),
        // {"alg":"none"}
        format!("eyJhbGciOiJub25lIn0.{payload}."),
    ] {
        assert_eq!(check(&wrong), Err(JWT), "{wrong}");
    }
    let other = Proof::Jwt("another".into());
    let body = token.as_bytes();
    assert_eq!(other.check_body(&HeaderMap::new(), None, body), Err(JWT));
}

#[test]
fn a_token_in_the_body_becomes_stars() {
    let proof = Proof::Body {
        field: "token".to_owned(),
        token: "t0ken".into(),
    };
    let check = |body: &str| proof.check_body(&HeaderMap::new(), None, body.as_bytes());
    let right = r#"{"token":"t0ken","data":{"note":"t0kent0ken, t0ke"}}"#;
    assert_eq!(check(right), Ok(()));
    let clean = proof.without_secret(Bytes::from_static(right.as_bytes()));
    let stars = r#"{"token":"*****","data":{"note":"**********, t0ke"}}"#;
    assert_eq!(clean, stars.as_bytes());
    for wrong in [
        "",
        "{}",
        "token=t0ken",
        r#"{"token":"t0ke"}"#,
        r#"{"token":["t0ken"]}"#,
        r#"{"data":{"token":"t0ken"}}"#,
    ] {
        assert_eq!(check(wrong), Err(BODY), "{wrong}");
    }
}

#[test]
fn a_header_of_its_own_is_compared_whole() {
    let proof = Proof::Header {
        name: "Verification-Token".to_owned(),
        token: "t0ken".into(),
    };
    let right = headers("verification-token", "t0ken");
    assert_eq!(
        proof.check_head(&right, Some("a=1")),
        Ok(Some("a=1".to_owned()))
    );
    for wrong in ["", "t0ke", "T0ken", "Bearer t0ken"] {
        let wrong = headers("verification-token", wrong);
        assert_eq!(proof.check_head(&wrong, None), Err(HEADER));
        assert!(!proof.may_ask(&wrong, None));
    }
    assert_eq!(proof.check_head(&HeaderMap::new(), None), Err(HEADER));
    assert!(proof.may_ask(&right, None) && proof.may_ask(&HeaderMap::new(), None));
}

#[test]
fn twilio_s_repeated_parameters_and_hashed_bodies() {
    // As above.
    let proof = Proof::Twilio {
        token: "12345".into(),
        url: "https://mycompany.com/myapp.php".to_owned(),
    };
    let repeated = headers("X-Twilio-Signature", "IK+Dwps556ElfBT0I3Rgjkr1wJU=");
    let body = b"Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234";
    let query = Some("foo=1&bar=2");
    assert_eq!(proof.check_body(&repeated, query, body), Ok(()));
    let hashed = headers("X-Twilio-Signature", "a9nBmqA0ju/hNViExpshrM61xv4=");
    let hash = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
    let query = format!("foo=1&bar=2&bodySHA256={hash}");
    let check = |body: &[u8]| proof.check_body(&hashed, Some(&query), body);
    assert_eq!(check(br#"{"property": "value", "boolean": true}"#), Ok(()));
    assert_eq!(
        check(br#"{"property": "value", "boolean": false}"#),
        Err(TWILIO)
    );
    assert_eq!(check(b""), Err(TWILIO));
}
