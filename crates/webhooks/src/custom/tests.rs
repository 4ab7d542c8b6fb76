use kos_model::{Outcome, WebhookType};

use super::*;
use crate::sample::{RETRY, check_classes, message, seed_event};
use crate::signature::{Headers, verify};

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

#[test]
fn after_a_rotation_both_secrets_are_trusted_until_the_old_one_is_dropped() {
    let old = target();
    let both = old.clone().rotated(true);
    let only = old.clone().rotated(false);
    let stored = Target::from_json(WebhookType::Custom, &both.to_json()).unwrap();
    assert_eq!(stored.to_json(), both.to_json());
    assert_ne!(both.secret().unwrap().expose_secret(), SECRET);
    let event = seed_event();
    let trusted = |target: &Target, secret: &SecretString| {
        let message = message(&event);
        let sent = target.channel().headers(&message, b"{}").unwrap();
        let header = |name: &str| sent.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let secret: Secret = secret.expose_secret().parse().unwrap();
        verify(&[secret], &Headers::find(header).unwrap(), b"{}", message.sent_at).is_ok()
    };
    let (old, new) = (old.secret().unwrap(), stored.secret().unwrap());
    assert!(trusted(&stored, &old) && trusted(&stored, &new));
    assert!(!trusted(&only, &old) && trusted(&only, &only.secret().unwrap()));
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
