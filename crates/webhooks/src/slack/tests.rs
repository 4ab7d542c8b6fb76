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
fn a_message_is_a_header_and_a_section() {
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
          "text": {
            "text": "Новое знание создано\nPython async/await best practices\nID знания: uuid-123",
            "type": "mrkdwn",
            "verbatim": true
          },
          "type": "section"
        }
      ],
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

#[test]
fn event_text_is_shown_as_it_was_written() {
    for (raw, sent) in [
        ("a < b & c > d", "a &lt; b &amp; c &gt; d"),
        ("<!channel> <@U1>", "&lt;!channel&gt; &lt;@U1&gt;"),
        ("*bold* _it_ ~no~ `code`", "∗bold* ˍit_ ∼no~ ˋcodeˋ"),
        ("snake_case 2*3*4 a~b", "snake_case 2*3*4 a~b"),
        ("> quote\n  > more", "› quote\n  › more"),
        ("&amp;", "&amp;amp;"),
        (":tada: at 10:30:45", ":\u{200B}tada: at 10:30:45"),
    ] {
        assert_eq!(literal(raw), sent);
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

/// No mention, no entity but the three, and no mark where one could open.
fn is_dead(text: &str) -> bool {
    let bare = text.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
    let opens = |(before, c): (char, char)| matches!(c, '*' | '_' | '~') && !before.is_alphanumeric();
    let quote = text.lines().any(|line| line.trim_start().starts_with("&gt;"));
    let pairs = std::iter::once('\n').chain(text.chars()).zip(text.chars());
    !bare.contains(['&', '<', '>', '`']) && !quote && !pairs.into_iter().any(opens)
}

proptest! {
    #[test]
    fn whatever_the_text_slack_takes_it_and_nobody_is_called(raw in hostile_text()) {
        let body: Value = body_saying(&target(), &raw);
        let section = body["blocks"][1]["text"]["text"].as_str().unwrap();
        prop_assert!((1..=MAX_SECTION).contains(&units(section)), "{}", units(section));
        prop_assert!((1..=MAX_HEADER).contains(&units(body["blocks"][0]["text"]["text"].as_str().unwrap())));
        let summary = body["text"].as_str().unwrap();
        prop_assert!(units(summary) <= 4000);
        prop_assert!(is_dead(section) && is_dead(summary), "{section}");
        prop_assert!(!section.contains('\0'));
    }
}
