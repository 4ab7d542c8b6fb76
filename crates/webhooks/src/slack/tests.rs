use kos_model::{Outcome, WebhookType};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::fit::units;
use crate::sample::{RETRY, body, body_saying, check_classes, hostile_text, pretty, seed_event};
use crate::target::Target;

const URL: &str = "https://hooks.slack.com/services/T024BE7LH/B024BE7LJ/abcdefghijklmnopqrstuvwx";

fn target() -> SlackTarget {
    SlackTarget::from_url(&Url::parse(URL).unwrap(), None).unwrap()
}

fn check(url: &str, platforms: &Platforms) -> Result<Target, Violations> {
    TargetDraft { url: Some(url.to_owned()), ..TargetDraft::default() }.check(WebhookType::Slack, platforms)
}

#[test]
fn a_message_is_a_header_and_a_text() {
    insta::assert_snapshot!(pretty(&body(&target(), &seed_event(), Form::Rich)), @r#"
    {
      "blocks": [
        {
          "text": {
            "emoji": true,
            "text": "📚 Новое знание",
            "type": "plain_text"
          },
          "type": "header"
        },
        {
          "elements": [
            {
              "elements": [
                {
                  "text": "Новое знание создано\nPython async/await best practices\nID знания: uuid-123",
                  "type": "text"
                }
              ],
              "type": "rich_text_section"
            }
          ],
          "type": "rich_text"
        }
      ],
      "mrkdwn": false,
      "text": "📚 Новое знание\nНовое знание создано\nPython async/await best practices\nID знания: uuid-123",
      "unfurl_links": false,
      "unfurl_media": false
    }
    "#);
}

#[test]
fn the_plain_form_has_the_same_text_and_no_blocks() {
    let plain = body(&target(), &seed_event(), Form::Plain);
    assert_eq!(plain["text"], body(&target(), &seed_event(), Form::Rich)["text"]);
    assert!(plain.get("blocks").is_none());
}

/// What is shown of the text, and where its links lead; every element is a text or a link.
fn read(body: &Value) -> (String, Vec<String>) {
    let (mut shown, mut links) = (String::new(), Vec::new());
    for element in body["blocks"][1]["elements"][0]["elements"].as_array().unwrap() {
        let text = element["text"].as_str();
        match element["type"].as_str().unwrap() {
            "text" => shown.push_str(text.unwrap()),
            "link" => {
                let url = element["url"].as_str().unwrap();
                shown.push_str(text.unwrap_or(url));
                links.push(url.to_owned());
            }
            other => panic!("{other}"),
        }
        assert!(text.is_none_or(|text| !text.is_empty()));
    }
    (shown, links)
}

#[test]
fn event_text_is_shown_as_it_was_written() {
    for raw in [
        "a < b & c > d",
        "<!channel> <@U1>",
        "*bold* _it_ ~no~ `code` ```x```",
        "def __init__(self, *args, **kwargs)",
        "~/.config/a_b",
        "> quote\n  > more",
        "&amp;",
        ":tada: at 10:30:45",
    ] {
        let body = body_saying(&target(), raw);
        assert_eq!(read(&body), (raw.to_owned(), Vec::new()));
        let summary = raw.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        assert_eq!(body["text"], format!("🔔 any event\n{summary}"));
    }
}

#[test]
fn addresses_are_links_to_what_they_show() {
    let raw = "см. https://a.example/__x__*y*?a=1&b=2 и (https://ru.example/Кот), https://bank.example@evil.example";
    let (shown, links) = read(&body_saying(&target(), raw));
    assert_eq!(shown, raw);
    assert_eq!(links, ["https://a.example/__x__*y*?a=1&b=2", "https://ru.example/%D0%9A%D0%BE%D1%82"]);
}

#[test]
fn a_long_text_leaves_room_for_the_short_fields() {
    let payload = json!({"content": "слово & ".repeat(2000), "domain": "python", "knowledge_id": "uuid-123"});
    let body = body(&target(), &crate::sample::event("knowledge_created", payload), Form::Rich);
    let (shown, _) = read(&body);
    for text in [shown.as_str(), body["text"].as_str().unwrap()] {
        assert!(text.ends_with("…\nДомен: python\nID знания: uuid-123"), "{text}");
    }
}

#[test]
fn a_text_at_the_limit_of_the_worst_characters_is_shown_whole() {
    for worst in ["&", "<", "*", "😀", "e\u{301}", "https://a.example "] {
        let raw = worst.repeat(MAX_TEXT / units(worst));
        let body = body_saying(&target(), &raw);
        assert_eq!(read(&body).0, raw.trim());
        assert!(units(body["text"].as_str().unwrap()) <= 4000);
    }
}

#[test]
fn an_answer_that_broke_off_is_judged_by_its_status() {
    use Outcome::{Delivered, Gone};
    for (status, body, expected) in [
        (200, "o", Delivered),
        (404, "no_se", RETRY),
        (404, "no_service", Gone),
        (429, "rate", RETRY),
        (400, "invalid_", RETRY),
        (500, "", RETRY),
    ] {
        let answer = Answer { cut: true, ..crate::sample::answer(status, body) };
        assert_eq!(target().classify(&answer).outcome, expected, "{status} {body}");
    }
}

#[test]
fn urls_that_slack_gives_out_are_taken() {
    for url in [
        URL,
        "https://hooks.slack.com/services/YOUR/WEBHOOK/URL",
        "  https://HOOKS.slack.com:443/services/T1/B1/x  ",
        "https://hooks.slack-gov.com/services/T1/B1/x",
    ] {
        assert!(check(url, &Platforms::default()).is_ok(), "{url}");
    }
}

#[test]
fn other_urls_are_refused() {
    for url in [
        "",
        "hooks.slack.com/services/T1/B1/x",
        "http://hooks.slack.com/services/T1/B1/x",
        "https://hooks.slack.com:8443/services/T1/B1/x",
        "https://hooks.slack.com.evil.example/services/T1/B1/x",
        "https://evil.example/services/T1/B1/x",
        "https://hooks.slack.com@evil.example/services/T1/B1/x",
        "https://user@hooks.slack.com/services/T1/B1/x",
        "https://hooks.slack.com./services/T1/B1/x",
        "https://hooks.slack.com/services/T1/B1",
        "https://hooks.slack.com/services/T1/B1/x/y",
        "https://hooks.slack.com/services/T1/B1/",
        "https://hooks.slack.com/services/T1/../B1/x",
        "https://hooks.slack.com/services/t1/B1/x",
        "https://hooks.slack.com/services/T1/B1/x?y=1",
        "https://hooks.slack.com/services/T1/B1/x#y",
        "https://hooks.slack.com\\services\\T1\\B1\\x",
    ] {
        let faults = check(url, &Platforms::default()).unwrap_err();
        assert_eq!(faults.as_slice()[0].pointer, "/url", "{url}");
    }
}

#[test]
fn a_workflow_s_url_is_refused_with_a_way_out() {
    for path in ["workflows/T1/A1/1/x", "triggers/T1/1/x"] {
        let faults = check(&format!("https://hooks.slack.com/{path}"), &Platforms::default()).unwrap_err();
        assert!(faults.to_string().contains("webhook_type custom"), "{faults}");
    }
}

#[test]
fn a_server_of_one_s_own_replaces_slack_when_sending_but_not_in_what_is_stored() {
    let base = Url::parse("http://127.0.0.1:9000/mock/").unwrap();
    let platforms = Platforms { slack_api_url: Some(base), ..Platforms::default() };
    let local = check("http://127.0.0.1:9000/mock/services/T1/B1/x", &platforms).unwrap();
    assert_eq!(local.to_json()["url"], "https://hooks.slack.com/services/T1/B1/x");
    let request = |platforms: &Platforms| local.channel().url(platforms).unwrap();
    assert_eq!(request(&platforms).as_str(), "http://127.0.0.1:9000/mock/services/T1/B1/x");
    assert_eq!(request(&Platforms::default()).as_str(), "https://hooks.slack.com/services/T1/B1/x");
    assert!(check("http://127.0.0.1:9000/services/T1/B1/x", &platforms).is_err());
    assert!(check("http://127.0.0.1:9001/mock/services/T1/B1/x", &platforms).is_err());
}

#[test]
fn nothing_shown_gives_the_webhook_away() {
    let target = Target::Slack(target());
    assert_eq!(target.redacted(), "https://hooks.slack.com/…/****uvwx");
    assert!(!format!("{target:?}").contains("T024BE7LH"));
    assert_eq!(
        check("https://hooks.slack.com/services/T1/B1/short", &Platforms::default()).unwrap().redacted(),
        "https://hooks.slack.com/…/****"
    );
}

#[test]
fn every_documented_answer_has_its_class() {
    use Outcome::{Delivered, Gone, Rejected};
    check_classes(
        &target(),
        &[
            (200, "ok", Delivered),
            (200, "accepted", Delivered),
            (400, "invalid_payload", Rejected),
            (400, "invalid_blocks", Rejected),
            (400, "invalid_blocks_format", Rejected),
            (400, "invalid_attachments", Rejected),
            (400, "no_text", Rejected),
            (400, "missing_text_or_fallback_or_attachments", Rejected),
            (400, "too_many_attachments", Rejected),
            (400, "user_not_found", Gone),
            (404, "channel_not_found", Gone),
            (403, "action_prohibited", Gone),
            (403, "posting_to_general_channel_denied", Gone),
            (403, "invalid_token", Gone),
            (404, "no_service", Gone),
            (410, "no_service\n", Gone),
            (404, "no_service_id", Gone),
            (404, "no_active_hooks", Gone),
            (404, "no_team", Gone),
            (403, "team_disabled", Gone),
            (410, "channel_is_archived", Gone),
            (429, "rate_limited", RETRY),
            (429, "", RETRY),
            (500, "rollup_error", RETRY),
            (503, "<html>", RETRY),
            (599, "", RETRY),
            (408, "", RETRY),
            (425, "", RETRY),
            (302, "", RETRY),
            (400, "something_new", Rejected),
            (404, "<html>", Rejected),
            (418, "", Rejected),
        ],
    );
}

#[test]
fn only_a_complaint_about_blocks_is_answered_in_plain_text() {
    let answer = crate::sample::answer;
    assert!(target().wants_plain(&answer(400, "invalid_blocks")));
    assert!(target().wants_plain(&answer(400, "invalid_blocks_format")));
    assert!(!target().wants_plain(&answer(400, "invalid_payload")));
    assert!(!target().wants_plain(&answer(200, "ok")));
}

#[test]
fn an_error_says_what_happened_in_words() {
    let verdict = target().classify(&crate::sample::answer(404, "no_service"));
    let expected =
        "Slack answered 404 Not Found `no_service`: the webhook was removed or revoked; make a new one in Slack";
    assert_eq!(verdict.error.unwrap(), expected);
}

proptest! {
    #[test]
    fn whatever_the_text_slack_takes_it_and_nobody_is_called(raw in hostile_text()) {
        let event = crate::sample::event("any_event", json!({"message": raw}));
        let body: Value = body(&target(), &event, Form::Rich);
        let (shown, links) = read(&body);
        prop_assert!((1..=MAX_TEXT).contains(&units(&shown)), "{}", units(&shown));
        prop_assert!((1..=MAX_HEADER).contains(&units(body["blocks"][0]["text"]["text"].as_str().unwrap())));
        let whole = crate::sample::message(&event).text();
        let start = shown.strip_suffix('…').unwrap_or(&shown);
        prop_assert!(shown == whole || whole.starts_with(start), "{shown}");
        prop_assert!(links.iter().all(|link| link.starts_with("http")));
        let summary = body["text"].as_str().unwrap();
        prop_assert!(units(summary) <= 4000);
        let bare = summary.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
        prop_assert!(!bare.contains(['&', '<', '>']), "{summary}");
        prop_assert!(!shown.contains('\0'));
    }
}
