use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;
use kos_model::{Outcome, WebhookType};
use secrecy::ExposeSecret;

use super::*;
use crate::sample::{RETRY, check_classes, message, noon, seed_event};
use crate::signature::{Headers, verify};
use crate::target::Target;

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn check(url: &str, secret: Option<&str>) -> Result<Target, Violations> {
    let draft = TargetDraft { url: Some(url.to_owned()), secret: secret.map(str::to_owned), ..TargetDraft::default() };
    draft.check(WebhookType::Custom, &Platforms::default())
}

fn target() -> Target {
    check("https://your-api.com/webhook?key=abcdef", Some(SECRET)).unwrap()
}

#[test]
fn the_body_is_the_specification_s_to_the_byte() {
    let event = crate::sample::event("knowledge_created", json!({"message": "Привет <b>", "n": 0.95}));
    let body = target().channel().body(&message(&event), Form::Rich).unwrap();
    assert_eq!(
        String::from_utf8(body).unwrap(),
        r#"{"event_type":"knowledge_created","timestamp":"2025-12-14T12:00:00.000Z","payload":{"message":"Привет <b>","n":0.95}}"#
    );
}

#[test]
fn the_headers_are_those_of_standard_webhooks_and_any_verifier_trusts_them() {
    let (target, event) = (target(), seed_event());
    let message = message(&event);
    let body = target.channel().body(&message, Form::Rich).unwrap();
    let sent = target.channel().headers(&message, &body).unwrap();
    let header = |name: &str| sent.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let headers = Headers::find(header).unwrap();
    assert_eq!((headers.id, headers.timestamp), ("msg_1", "1765713603"));
    assert_eq!(verify(&[SECRET.parse().unwrap()], &headers, &body, message.sent_at), Ok(()));
}

fn rotation(version: KeyVersion, overlap: u64) -> Rotation {
    Rotation { version, key: None, overlap: Duration::from_secs(overlap) }
}

/// Whether a holder of this key trusts what the target sends at that time.
fn trusted(target: &Target, key: &str, sent_at: DateTime<Utc>) -> bool {
    let event = seed_event();
    let message = Message { sent_at, ..message(&event) };
    let sent = target.channel().headers(&message, b"{}").unwrap();
    let header = |name: &str| sent.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    verify(&[key.parse().unwrap()], &Headers::find(header).unwrap(), b"{}", sent_at).is_ok()
}

#[test]
fn every_message_is_signed_in_both_versions() {
    let target = target();
    assert!(trusted(&target, SECRET, noon()));
    assert!(trusted(&target, &target.public_key().unwrap(), noon()));
    let stored = Target::from_json(WebhookType::Custom, &target.to_json()).unwrap();
    assert_eq!(stored.to_json(), target.to_json());
}

#[test]
fn after_a_rotation_old_and_new_keys_sign_until_the_overlap_ends() {
    let old = target();
    let day = 24 * 60 * 60;
    let new = old.rotated(rotation(KeyVersion::V1, day), noon()).unwrap();
    let stored = Target::from_json(WebhookType::Custom, &new.to_json()).unwrap();
    let secret = stored.secret().unwrap();
    let secret = secret.expose_secret();
    assert_ne!(secret, SECRET);
    let (before, after) = (noon() + TimeDelta::seconds(86_399), noon() + TimeDelta::seconds(86_400));
    assert!(trusted(&stored, SECRET, before) && trusted(&stored, secret, before));
    assert!(!trusted(&stored, SECRET, after) && trusted(&stored, secret, after));
    let public = old.public_key().unwrap();
    assert!(trusted(&stored, &public, after), "the other version's key stays as it was");

    let pair = stored.rotated(rotation(KeyVersion::V1a, 0), noon()).unwrap();
    assert!(!trusted(&pair, &public, noon()) && trusted(&pair, &pair.public_key().unwrap(), noon()));
    assert!(trusted(&pair, SECRET, before), "an overlap of the other version goes on");
}

#[test]
fn an_emergency_ends_every_old_key_at_once_and_five_may_live_together() {
    let mut target = target();
    for _ in 1..MAX_KEYS {
        target = target.rotated(rotation(KeyVersion::V1, 60), noon()).unwrap();
    }
    let full = target.rotated(rotation(KeyVersion::V1, 60), noon()).unwrap_err();
    assert_eq!((full.pointer.as_str(), full.code), ("/overlap_seconds", "too_many_keys"));
    assert!(
        target.rotated(rotation(KeyVersion::V1, 60), noon() + TimeDelta::seconds(60)).is_ok(),
        "expired ones do not count"
    );
    let revoked = target.rotated(rotation(KeyVersion::V1, 0), noon()).unwrap();
    assert!(!trusted(&revoked, SECRET, noon()));
    assert_eq!(revoked.to_json()["keys"].as_array().unwrap().len(), 2, "one of each version");
}

#[test]
fn a_given_key_must_be_one_of_the_version_that_is_rotated() {
    let given = |version, key: &str| {
        let rotation = Rotation { key: Some(key.to_owned()), ..rotation(version, 0) };
        target().rotated(rotation, noon())
    };
    let made = signature::Secret::generate().reveal();
    let rotated = given(KeyVersion::V1, made.expose_secret()).unwrap();
    assert_eq!(rotated.secret().unwrap().expose_secret(), made.expose_secret());
    for (version, key) in
        [(KeyVersion::V1a, made.expose_secret()), (KeyVersion::V1, "whsec_c2hvcnQ="), (KeyVersion::V1, "x")]
    {
        assert_eq!(given(version, key).unwrap_err().pointer, "/key");
    }
    let long = target().rotated(rotation(KeyVersion::V1, 604_801), noon()).unwrap_err();
    assert_eq!(long.pointer, "/overlap_seconds");
}

#[test]
fn a_change_keeps_the_keys_and_headers_it_says_nothing_of() {
    let headers = BTreeMap::from([("Authorization".to_owned(), "Bearer t0ken-of-ours".to_owned())]);
    let draft =
        TargetDraft { url: Some("https://a.example/".to_owned()), headers: Some(headers), ..TargetDraft::default() };
    let before = draft.check(WebhookType::Custom, &Platforms::default()).unwrap();
    let change = |draft: TargetDraft| draft.check_over(&before, &Platforms::default()).unwrap();
    let moved = change(TargetDraft { url: Some("https://b.example/".to_owned()), ..TargetDraft::default() });
    assert_eq!(moved.to_json()["keys"], before.to_json()["keys"]);
    assert_eq!(moved.details()["headers"], json!(["authorization"]));
    let replaced = change(TargetDraft {
        secret: Some(SECRET.to_owned()),
        headers: Some(BTreeMap::new()),
        ..TargetDraft::default()
    });
    assert!(trusted(&replaced, SECRET, noon()));
    assert!(!trusted(&replaced, before.secret().unwrap().expose_secret(), noon()));
    assert_eq!(replaced.details()["headers"], json!([]));
}

#[test]
fn headers_of_ours_and_broken_ones_are_refused_by_name_and_values_are_shown_nowhere() {
    let with = |name: &str, value: &str| {
        let headers = Some(BTreeMap::from([(name.to_owned(), value.to_owned())]));
        let draft = TargetDraft { url: Some("https://a.example/".to_owned()), headers, ..TargetDraft::default() };
        draft.check(WebhookType::Custom, &Platforms::default())
    };
    for (name, value) in [
        ("Host", "x"),
        ("webhook-id", "x"),
        ("Content-Length", "0"),
        ("Transfer-Encoding", "chunked"),
        ("X-Amz-Date", "x"),
        ("a b", "x"),
        ("X-Token", "a\r\nHost: b"),
        ("X-Token", "\u{0}"),
        ("X-Token", "ключ"),
        ("X-Token", &"x".repeat(4097)),
    ] {
        let faults = with(name, value).unwrap_err();
        assert_eq!(faults.as_slice()[0].pointer, format!("/headers/{name}"));
    }
    let target = with("X-Token", "s3cr3t-value").unwrap();
    let shown = format!("{target:?} {} {:?}", target.redacted(), target.details());
    assert!(!shown.contains("s3cr3t"), "{shown}");
    assert!(target.channel().secrets(&Platforms::default()).contains(&"s3cr3t-value".to_owned()));
}

#[test]
fn a_secret_is_made_when_none_is_given_and_is_shown_nowhere_else() {
    let made = check("https://your-api.com/webhook", None).unwrap();
    let secret = made.secret().unwrap();
    assert!(secret.expose_secret().starts_with("whsec_"));
    assert_ne!(
        secret.expose_secret(),
        check("https://your-api.com/webhook", None).unwrap().secret().unwrap().expose_secret()
    );
    let shown = format!("{made:?} {}", made.redacted());
    assert!(!shown.contains(secret.expose_secret()));
    assert_eq!(target().redacted(), "https://your-api.com/…");
    assert!(!format!("{:?}", target()).contains("abcdef"));
}

#[test]
fn every_fault_of_a_draft_is_told_at_once() {
    let draft = TargetDraft {
        url: Some("ftp://example.com".to_owned()),
        chat_id: Some("1".to_owned()),
        bot_token: Some("1:a".to_owned()),
        message_thread_id: Some(1),
        secret: Some("whsec_c2hvcnQ=".to_owned()),
        headers: None,
    };
    let faults = draft.check(WebhookType::Custom, &Platforms::default()).unwrap_err();
    let pointers: Vec<&str> = faults.as_slice().iter().map(|fault| fault.pointer.as_str()).collect();
    assert_eq!(pointers, ["/chat_id", "/bot_token", "/message_thread_id", "/url", "/secret"]);
}

#[test]
fn only_410_is_final() {
    let target = target();
    let mut table = vec![
        (200, "", Outcome::Delivered),
        (202, "", Outcome::Delivered),
        (299, "", Outcome::Delivered),
        (410, "", Outcome::Gone),
    ];
    for status in
        [300, 301, 302, 307, 308, 400, 401, 403, 404, 408, 409, 413, 418, 422, 425, 429, 500, 501, 502, 503, 504, 599]
    {
        table.push((status, "", RETRY));
    }
    check_classes(target.channel(), &table);
}

#[test]
fn an_id_that_would_break_the_signature_is_a_fault_of_ours() {
    let event = seed_event();
    for id in ["", "a.b", "a b", "a\r\nx: y", "ы"] {
        let message = Message { id, ..message(&event) };
        assert!(target().channel().headers(&message, b"").is_err(), "{id}");
    }
}
