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

/// What a reader copies, and what of it stands outside of every entity.
fn read(html: &str) -> (String, String) {
    let (mut copied, mut bare, mut depth) = (String::new(), String::new(), 0);
    let mut rest = html;
    while let Some(c) = rest.chars().next() {
        if let Some((tag, after)) = rest.strip_prefix('<').and_then(|tag| tag.split_once('>')) {
            let known = matches!(tag, "b" | "/b" | "code" | "/code" | "/a")
                || tag
                    .strip_prefix("a href=\"http")
                    .and_then(|tag| tag.strip_suffix('"'))
                    .is_some_and(|it| !it.contains(['"', '<']));
            assert!(known, "{tag}");
            depth += if tag.starts_with('/') { -1 } else { 1 };
            assert!((0..=1).contains(&depth), "{html}");
            bare.push('\0');
            rest = after;
            continue;
        }
        assert!(!matches!(c, '<' | '>'), "{html}");
        let (shown, taken) = match rest {
            _ if rest.starts_with("&amp;") => ('&', 5),
            _ if rest.starts_with("&lt;") => ('<', 4),
            _ if rest.starts_with("&gt;") => ('>', 4),
            _ => (c, c.len_utf8()),
        };
        assert!(c != '&' || taken > 1, "{html}");
        copied.push(shown);
        if depth == 0 {
            bare.push(shown);
        }
        rest = &rest[taken..];
    }
    assert_eq!(depth, 0, "{html}");
    (copied, bare)
}

/// A name of two characters or more at the start of a word, and not in an address.
fn calls_somebody(text: &str) -> bool {
    let word = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    text.split_whitespace().filter(|word| !word.contains("://")).any(|part| {
        let chars: Vec<char> = part.chars().collect();
        (0..chars.len()).any(|at| {
            let starts = at.checked_sub(1).is_none_or(|before| !word(&chars[before]));
            chars[at] == '@' && starts && chars[at + 1..].iter().take_while(|c| word(c)).count() > 1
        })
    })
}

/// The end of the text, or all of it, may be cut; nothing else differs.
fn is_start_of(shown: &str, raw: &str) -> bool {
    let event = crate::sample::event("any_event", json!({"message": raw}));
    let whole = crate::sample::message(&event).text();
    shown == whole || shown.strip_suffix('…').is_some_and(|start| whole.starts_with(start))
}

#[test]
fn a_text_at_the_limit_of_the_worst_characters_is_taken_whole() {
    let left = MAX_TEXT - units("🔔 any event\n\n");
    for worst in
        ["&", "<", "😀", "e\u{301}", "@ab ", "https://a.example/@ab ", "https://a.example/@ab?&&&&&&&&&& ", "字"]
    {
        let raw = worst.repeat(left / units(worst));
        let body = body_saying(&target(), &raw);
        let text = body["text"].as_str().unwrap();
        assert!(text.len() <= 32_768, "{worst} {}", text.len());
        let (copied, bare) = read(text);
        assert_eq!(copied, format!("🔔 any event\n\n{}", raw.trim()));
        assert!(!calls_somebody(&bare), "{worst}");
    }
    let long = format!("https://a.example/@ab{}", "字".repeat(200));
    assert!(body_saying(&target(), &format!("{long} ").repeat(18))["text"].as_str().unwrap().len() <= 32_768);
}

#[test]
fn a_long_text_leaves_room_for_the_short_fields() {
    let payload = json!({"content": "слово ".repeat(2000), "domain": "python", "knowledge_id": "uuid-123"});
    for form in [Form::Rich, Form::Plain] {
        let body = body(&target(), &crate::sample::event("knowledge_created", payload.clone()), form);
        let text = body["text"].as_str().unwrap();
        assert!(text.ends_with("слово…\nДомен: python\nID знания: uuid-123"), "{text}");
    }
}

#[test]
fn a_move_to_nowhere_else_is_tried_again_later() {
    for there in [-100_123_i64, 0] {
        let parameters = json!({"migrate_to_chat_id": there});
        let moved = json!({"ok": false, "error_code": 400, "description": "x", "parameters": parameters});
        check_classes(&target(), &[(400, &moved.to_string(), RETRY)]);
    }
}

#[test]
fn an_answer_that_broke_off_is_judged_by_its_status() {
    use Outcome::{Delivered, Rejected, Unauthorized};
    let waiting = |answer: Answer| Answer { retry_after: Some(std::time::Duration::from_secs(7)), ..answer };
    for (status, body, expected) in [
        (200, "", Delivered),
        (200, r#"{"ok":true,"resu"#, Delivered),
        (200, r#"{"ok":false,"err"#, retry(7.0)),
        (200, "<html>captive", retry(7.0)),
        (202, "", retry(7.0)),
        (400, r#"{"ok":false,"#, retry(7.0)),
        (401, "", Unauthorized),
        (404, r#"{"ok":false,"#, retry(7.0)),
        (429, r#"{"ok":false,"#, retry(7.0)),
        (502, "<ht", retry(7.0)),
        (400, &said(400, "Bad Request: message is too long"), Rejected),
    ] {
        let answer = waiting(Answer { cut: true, ..crate::sample::answer(status, body) });
        assert_eq!(target().classify(&answer).outcome, expected, "{status} {body}");
    }
    assert_eq!(target().classify(&crate::sample::answer(200, "")).outcome, RETRY, "whole, it must say that it is ok");
}

proptest! {
    #[test]
    fn whatever_the_text_telegram_takes_it_and_nobody_is_called(raw in hostile_text()) {
        let body = body_saying(&target(), &raw);
        let text = body["text"].as_str().unwrap();
        prop_assert!(text.len() <= 32_768);
        let (copied, bare) = read(text);
        prop_assert!((1..=MAX_TEXT).contains(&units(&copied)));
        prop_assert!(!calls_somebody(&bare), "{bare}");
        prop_assert!(text.matches("<code>").count() + text.matches("<a ").count() < 100);
        let shown = copied.strip_prefix("🔔 any event\n\n").unwrap();
        prop_assert!(is_start_of(shown, &raw), "{shown}");
        let event = crate::sample::event("any_event", json!({"message": raw}));
        let plain = crate::sample::body(&target(), &event, Form::Plain);
        prop_assert!((1..=MAX_TEXT).contains(&units(plain["text"].as_str().unwrap())));
        prop_assert!(!calls_somebody(plain["text"].as_str().unwrap()));
    }
}
