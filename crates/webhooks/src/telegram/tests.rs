use kos_model::{Outcome, WebhookType};
use proptest::prelude::*;

use super::*;
use crate::sample::{RETRY, body, body_saying, check_classes, hostile_text, pretty, retry, seed_event};

const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1";

fn draft(chat: &str) -> TargetDraft {
    TargetDraft { chat_id: Some(chat.to_owned()), bot_token: Some(TOKEN.to_owned()), ..TargetDraft::default() }
}

fn target() -> TelegramTarget {
    TelegramTarget::from_json(&json!({"chat_id": -100_123, "bot_token": TOKEN, "message_thread_id": 7})).unwrap()
}

#[test]
fn a_message_is_a_bold_title_and_the_text() {
    insta::assert_snapshot!(pretty(&body(&target(), &seed_event(), Form::Rich)), @r#"
    {
      "chat_id": -100123,
      "link_preview_options": {
        "is_disabled": true
      },
      "message_thread_id": 7,
      "parse_mode": "HTML",
      "text": "<b>📚 Новое знание</b>\n\nНовое знание создано\nPython async/await best practices\nID знания: uuid-123"
    }
    "#);
    let plain = body(&target(), &seed_event(), Form::Plain);
    assert!(plain.get("parse_mode").is_none());
    assert!(plain["text"].as_str().unwrap().starts_with("📚 Новое знание\n\nНовое"));
}

#[test]
fn names_call_nobody_and_addresses_stay_whole() {
    assert_eq!(uncalling("hi @bob, mail a@b.c or @!"), "hi @\u{200B}bob, mail a@b.c or @!");
    assert_eq!(uncalling("@@bob"), "@@\u{200B}bob");
    // A mark that Rust counts as alphabetic and Telegram may not.
    assert_eq!(uncalling("\u{345}@bob"), "\u{345}@\u{200B}bob");
}

#[test]
fn chats_are_numbers_or_public_names() {
    let platforms = Platforms::default();
    for (chat, shown) in [
        ("-1001234567890", "telegram chat -1001234567890"),
        (" 42 ", "telegram chat 42"),
        ("@durov", "telegram chat @durov"),
    ] {
        assert_eq!(draft(chat).check(WebhookType::Telegram, &platforms).unwrap().redacted(), shown);
    }
    for bad in ["", "0", "YOUR_CHAT_ID", "@ab", "@1abc", "@a-bcd", "1.5", "9007199254740993", "t.me/durov", "@"] {
        let faults = draft(bad).check(WebhookType::Telegram, &platforms).unwrap_err();
        assert_eq!(faults.as_slice()[0].pointer, "/chat_id", "{bad}");
    }
}

#[test]
fn every_fault_of_a_draft_is_told_at_once() {
    let draft = TargetDraft {
        url: Some("https://api.telegram.org".to_owned()),
        chat_id: None,
        bot_token: Some("bot110201543:AAH".to_owned()),
        message_thread_id: Some(0),
        secret: Some("x".to_owned()),
        headers: None,
    };
    let faults = draft.check(WebhookType::Telegram, &Platforms::default()).unwrap_err();
    let pointers: Vec<&str> = faults.as_slice().iter().map(|fault| fault.pointer.as_str()).collect();
    assert_eq!(pointers, ["/url", "/secret", "/chat_id", "/bot_token", "/message_thread_id"]);
}

#[test]
fn the_server_s_bot_and_chat_stand_in_for_what_a_draft_leaves_out() {
    let faults = TargetDraft::default().check(WebhookType::Telegram, &Platforms::default()).unwrap_err();
    assert_eq!(faults.as_slice().len(), 2);
    let platforms = Platforms {
        telegram_bot_token: Some(TOKEN.to_owned().into()),
        telegram_chat_id: Some("-5".to_owned()),
        ..Platforms::default()
    };
    let target = TargetDraft::default().check(WebhookType::Telegram, &platforms).unwrap();
    assert_eq!(target.to_json(), json!({"chat_id": -5, "bot_token": null, "message_thread_id": null}));
    let url = |platforms: &Platforms| target.channel().url(platforms);
    assert_eq!(url(&platforms).unwrap().as_str(), format!("https://api.telegram.org/bot{TOKEN}/sendMessage"));
    assert!(url(&Platforms::default()).is_err());
}

#[test]
fn a_moved_chat_keeps_its_bot() {
    let moved = Target::Telegram(target()).moved(-100_999);
    assert_eq!(moved.to_json(), json!({"chat_id": -100_999, "bot_token": TOKEN, "message_thread_id": 7}));
    assert!(!format!("{moved:?}{:?}", target()).contains("AAHdq"));
}

#[test]
fn what_is_stored_is_checked_when_it_is_read() {
    for bad in [
        json!(null),
        json!({}),
        json!({"chat_id": 1.5}),
        json!({"chat_id": 1, "bot_token": 5}),
        json!({"chat_id": 1, "message_thread_id": "x"}),
    ] {
        assert!(TelegramTarget::from_json(&bad).is_err(), "{bad}");
    }
}

fn said(code: u16, description: &str) -> String {
    json!({"ok": false, "error_code": code, "description": description}).to_string()
}

#[test]
fn every_documented_status_has_its_class() {
    use Outcome::{Delivered, Gone, Rejected, Unauthorized};
    check_classes(
        &target(),
        &[
            (200, r#"{"ok":true,"result":{"message_id":1}}"#, Delivered),
            (200, "<html>captive portal</html>", RETRY),
            (200, &said(403, "Forbidden: bot was blocked by the user"), Gone),
            (401, &said(401, "Unauthorized"), Unauthorized),
            (404, &said(404, "Not Found"), Unauthorized),
            (404, "<html>", Rejected),
            (421, &said(421, "Misdirected Request"), Unauthorized),
            (409, &said(409, "Conflict: terminated by other getUpdates request"), RETRY),
            (429, "", RETRY),
            (500, &said(500, "Internal Server Error: restart"), RETRY),
            (502, "<html>", RETRY),
            (408, "", RETRY),
            (301, "", RETRY),
            (400, &said(400, "Bad Request: USER_IS_BLOCKED"), Rejected),
            (403, &said(403, "Forbidden: SOMETHING_NEW"), Rejected),
            (413, "", Rejected),
        ],
    );
}

#[test]
fn every_documented_parameter_is_heeded() {
    let moved = json!({
        "ok": false, "error_code": 400, "description": "Bad Request: group chat was upgraded to a supergroup chat",
        "parameters": {"migrate_to_chat_id": -1_001_234_567_890_123_i64},
    });
    let wait = json!({
        "ok": false, "error_code": 429, "description": "Too Many Requests: retry after 35", "parameters": {"retry_after": 35},
    });
    check_classes(
        &target(),
        &[
            (400, &moved.to_string(), Outcome::Moved { chat_id: -1_001_234_567_890_123 }),
            (429, &wait.to_string(), retry(35.0)),
        ],
    );
}

#[test]
fn every_documented_sentence_has_its_class() {
    for gone in [
        "Bad Request: chat not found",
        "Bad Request: private chat not found",
        "Bad Request: chat_id is empty",
        "Bad Request: message thread not found",
        "Bad Request: TOPIC_CLOSED",
        "Bad Request: wrong direct messages topic identifier",
        "Bad Request: not enough rights to send text messages to the chat",
        "Bad Request: have no write access to the chat",
        "Forbidden: bot was blocked by the user",
        "Forbidden: user is deactivated",
        "Forbidden: bot was kicked from the group chat",
        "Forbidden: bot was kicked from the supergroup chat",
        "Forbidden: bot was kicked from the channel chat",
        "Forbidden: bot is not a member of the channel chat",
        "Forbidden: the group chat was deleted",
        "Forbidden: bot can't initiate conversation with a user",
        "Forbidden: the bot can't send messages to the bot",
    ] {
        let status = if gone.starts_with("Forbidden") { 403 } else { 400 };
        check_classes(&target(), &[(status, &said(status, gone), Outcome::Gone)]);
    }
    for rejected in [
        "Bad Request: can't parse entities: unsupported start tag",
        "Bad Request: message text is empty",
        "Bad Request: text must be non-empty",
        "Bad Request: message is too long",
        "Bad Request: text is too long",
        "Bad Request: unsupported parse_mode",
        "Bad Request: strings must be encoded in UTF-8",
    ] {
        check_classes(&target(), &[(400, &said(400, rejected), Outcome::Rejected)]);
    }
}

#[test]
fn only_a_complaint_about_markup_is_answered_in_plain_text() {
    let answer =
        |description: &str| crate::sample::answer(400, &json!({"ok": false, "description": description}).to_string());
    assert!(target().wants_plain(&answer("Bad Request: can't parse entities: Can't find end tag")));
    assert!(!target().wants_plain(&answer("Bad Request: message is too long")));
}

fn calls_somebody(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    let word = |c: Option<&char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || *c == '_');
    (0..chars.len()).any(|at| {
        let before = at.checked_sub(1).and_then(|before| chars.get(before));
        chars[at] == '@' && !word(before) && word(chars.get(at + 1))
    })
}

proptest! {
    #[test]
    fn whatever_the_text_telegram_takes_it_and_nobody_is_called(raw in hostile_text()) {
        let body = body_saying(&target(), &raw);
        let text = body["text"].as_str().unwrap();
        prop_assert!(text.len() <= 32_768);
        let inner = text.strip_prefix("<b>🔔 any event</b>\n\n").unwrap();
        let bare = inner.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
        prop_assert!(!bare.contains(['<', '>', '&']), "{inner}");
        let parsed = text.replace("<b>", "").replace("</b>", "").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        prop_assert!((1..=MAX_TEXT).contains(&units(&parsed)));
        prop_assert!(!calls_somebody(&parsed), "{parsed}");
    }
}
