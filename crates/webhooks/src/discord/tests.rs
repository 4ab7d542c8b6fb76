use kos_model::{Outcome, WebhookType};
use proptest::prelude::*;

use super::*;
use crate::fit::units;
use crate::sample::{RETRY, body, body_saying, check_classes, hostile_text, message, pretty, retry, seed_event};
use crate::target::Target;

const URL: &str = "https://discord.com/api/webhooks/112233445566778899/abcdefghijklmnopqrstuvwxyz_-ABCDEFGHIJKLMNOPQRSTUVWXYZ012345678901";

fn check(url: &str) -> Result<Target, Violations> {
    check_at(url, &Platforms::default())
}

fn check_at(url: &str, platforms: &Platforms) -> Result<Target, Violations> {
    TargetDraft { url: Some(url.to_owned()), ..TargetDraft::default() }.check(WebhookType::Discord, platforms)
}

fn target() -> DiscordTarget {
    DiscordTarget::from_url(&Url::parse(URL).unwrap(), None).unwrap()
}

#[test]
fn a_message_is_an_embed_in_the_specification_s_colour() {
    insta::assert_snapshot!(pretty(&body(&target(), &seed_event(), Form::Rich)), @r#"
    {
      "allowed_mentions": {
        "parse": []
      },
      "embeds": [
        {
          "color": 5809919,
          "description": "Новое знание создано\nPython async/await best practices\nID знания\\: uuid\\-123",
          "timestamp": "2025-12-14T12:00:00.000Z",
          "title": "📚 Новое знание"
        }
      ]
    }
    "#);
}

#[test]
fn every_spelling_of_a_url_becomes_the_one_that_lasts() {
    let tail = "webhooks/112233445566778899/tok_en-1";
    for url in [
        "https://discord.com/api/",
        "https://discord.com/api/v10/",
        "https://discordapp.com/api/v6/",
        "https://ptb.discord.com/api/",
        "https://canary.discord.com/api/v9/",
    ] {
        let target = check(&format!("{url}{tail}")).unwrap();
        assert_eq!(
            target.to_json()["url"],
            "https://discord.com/api/v10/webhooks/112233445566778899/tok_en-1",
            "{url}"
        );
    }
    let thread = check(&format!("https://discord.com/api/{tail}?wait=false&thread_id=998877665544332211")).unwrap();
    let stored = thread.to_json();
    assert_eq!(
        stored["url"],
        "https://discord.com/api/v10/webhooks/112233445566778899/tok_en-1?thread_id=998877665544332211"
    );
    assert_eq!(Target::from_json(WebhookType::Discord, &stored).unwrap().to_json(), stored);
}

#[test]
fn other_urls_are_refused() {
    for url in [
        "https://discord.com/api/webhooks/YOUR/WEBHOOK/URL",
        "https://discord.com/api/webhooks/112233445566778899",
        "https://discord.com/api/webhooks/112233445566778899/",
        "https://discord.com/api/webhooks/112233445566778899/a.b",
        "https://discord.com/api/webhooks/1234/abc",
        "https://discord.com/api/webhooks/112233445566778899/abc/slack",
        "https://discord.com/api/webhooks/112233445566778899/abc/github",
        "https://discord.com/api/webhooks/112233445566778899/abc?with_components=true",
        "https://discord.com/api/webhooks/112233445566778899/abc?thread_id=1",
        "https://discord.com/webhooks/112233445566778899/abc",
        "http://discord.com/api/webhooks/112233445566778899/abc",
        "https://discord.com:8443/api/webhooks/112233445566778899/abc",
        "https://discord.com.evil.example/api/webhooks/112233445566778899/abc",
        "https://evil.example/api/webhooks/112233445566778899/abc",
    ] {
        assert_eq!(check(url).unwrap_err().as_slice()[0].pointer, "/url", "{url}");
    }
}

#[test]
fn requests_wait_for_the_verdict_and_name_their_agent() {
    let platforms =
        Platforms { discord_api_url: Some(Url::parse("http://127.0.0.1:9000").unwrap()), ..Platforms::default() };
    let url = "http://127.0.0.1:9000/api/webhooks/112233445566778899/abc?thread_id=998877665544332211";
    let target = check_at(url, &platforms).unwrap();
    let event = seed_event();
    let headers = target.channel().headers(&message(&event), b"").unwrap();
    let expected =
        "http://127.0.0.1:9000/api/v10/webhooks/112233445566778899/abc?wait=true&thread_id=998877665544332211";
    assert_eq!(target.channel().url(&platforms).unwrap().as_str(), expected);
    assert_eq!(headers[0].0, "user-agent");
    assert!(headers[0].1.starts_with("DiscordBot (https://"));
}

#[test]
fn nothing_shown_gives_the_webhook_away() {
    let target = Target::Discord(target());
    assert_eq!(target.redacted(), "https://discord.com/…/****8901");
    assert!(!format!("{target:?}{:?}", self::target()).contains("abcdefgh"));
}

#[test]
fn every_documented_answer_has_its_class() {
    use Outcome::{Delivered, Gone, Rejected, Unauthorized};
    check_classes(
        &target(),
        &[
            (204, "", Delivered),
            (200, r#"{"id":"1"}"#, Delivered),
            (404, r#"{"message":"Unknown Webhook","code":10015}"#, Gone),
            (404, r#"{"message":"Unknown Channel","code":10003}"#, Gone),
            (400, r#"{"code":220001}"#, Gone),
            (400, r#"{"code":220002}"#, Gone),
            (400, r#"{"code":220003}"#, Gone),
            (400, r#"{"code":220004}"#, Gone),
            (400, r#"{"code":50083}"#, Gone),
            (403, r#"{"code":160005}"#, Gone),
            (401, r#"{"message":"Invalid Webhook Token","code":50027}"#, Unauthorized),
            (401, r#"{"message":"401: Unauthorized","code":0}"#, Unauthorized),
            (403, r#"{"code":50001}"#, Unauthorized),
            (403, r#"{"code":50013}"#, Unauthorized),
            (
                400,
                r#"{"code":50035,"errors":{"embeds":{"0":{"description":{"_errors":[{"code":"X","message":"too long"}]}}}}}"#,
                Rejected,
            ),
            (400, r#"{"code":50006}"#, Rejected),
            (400, r#"{"code":200000}"#, Rejected),
            (400, r#"{"code":200001}"#, Rejected),
            (413, r#"{"code":40005}"#, Rejected),
            (413, "", Rejected),
            (429, r#"{"message":"You are being rate limited.","retry_after":2.5,"global":false}"#, retry(2.5)),
            (429, r#"{"retry_after":0.2,"global":true}"#, retry(1.0)),
            (429, r#"{"retry_after":1e9}"#, retry(86_400.0)),
            (429, "<html>Cloudflare</html>", retry(300.0)),
            (403, "<html>Cloudflare</html>", retry(300.0)),
            (403, r#"{"code":40333}"#, retry(300.0)),
            (500, "", RETRY),
            (502, "<html>", RETRY),
            (503, r#"{"code":0}"#, RETRY),
            (408, "", RETRY),
            (425, "", RETRY),
            (301, "", RETRY),
            (400, r#"{"code":99999}"#, Rejected),
            (403, r#"{"code":99999}"#, Rejected),
            (404, r#"{"message":"404: Not Found","code":0}"#, Rejected),
            (418, "[]", Rejected),
        ],
    );
}

#[test]
fn the_body_s_waiting_time_goes_before_the_header_s_which_is_rounded() {
    let mut answer = crate::sample::answer(429, r#"{"retry_after":1.25}"#);
    answer.retry_after = Some(Duration::from_secs(2));
    assert_eq!(target().classify(&answer).outcome, retry(1.25));
    answer.body.clear();
    assert_eq!(target().classify(&answer).outcome, retry(2.0));
}

#[test]
fn a_faulty_field_is_named_by_its_path() {
    let body = r#"{"code":50035,"errors":{"embeds":{"0":{"description":{"_errors":[{"code":"X","message":"Must be 4096 or fewer in length."}]}}}}}"#;
    let error = target().classify(&crate::sample::answer(400, body)).error.unwrap();
    assert!(error.ends_with("(embeds.0.description: Must be 4096 or fewer in length.)"), "{error}");
}

#[test]
fn an_answer_that_broke_off_is_judged_by_its_status() {
    use Outcome::{Delivered, Unauthorized};
    let judged = |status, body: &str| {
        let answer = Answer { cut: true, ..crate::sample::answer(status, body) };
        target().classify(&Answer { retry_after: Some(Duration::from_secs(7)), ..answer })
    };
    for (status, body, expected) in [
        (200, r#"{"id""#, Delivered),
        (401, r#"{"mess"#, Unauthorized),
        (403, r#"{"mess"#, retry(7.0)),
        (404, r#"{"message":"Unknown Webhook","co"#, retry(7.0)),
        (429, r#"{"mess"#, retry(7.0)),
        (502, "", retry(7.0)),
    ] {
        assert_eq!(judged(status, body).outcome, expected, "{status} {body}");
    }
    let scope = |body| judged(429, body).pause.unwrap().scope;
    assert_eq!((scope("{"), scope("<html>")), (kos_model::Scope::Webhook, kos_model::Scope::Account));
}

#[test]
fn addresses_are_links_to_what_they_show() {
    let raw = "см. https://a.example/__x__*y*?a=1&b=2 и [x](https://ru.example/Кот), https://a@evil.example";
    let expected =
        "см. <https://a.example/__x__*y*?a=1&b=2> и \\[x\\]\\(<https://ru.example/Кот>\\), https\\://a\\@evil.example";
    assert_eq!(markdown(raw), expected);
}

#[test]
fn a_long_text_leaves_room_for_the_short_fields() {
    let payload = json!({"content": "слово_слово ".repeat(2000), "domain": "python", "knowledge_id": "uuid-123"});
    let body = body(&target(), &crate::sample::event("knowledge_created", payload), Form::Rich);
    let text = body["embeds"][0]["description"].as_str().unwrap();
    assert!(text.ends_with("…\nДомен\\: python\nID знания\\: uuid\\-123"), "{text}");
}

#[test]
fn a_text_at_the_limit_of_the_worst_characters_is_taken_whole() {
    for (worst, sent) in [("&", 1), ("*", 2), ("<", 2), ("😀", 2), ("e\u{301}", 2), ("https://a.example/_", 25)] {
        let raw = worst.repeat(MAX_DESCRIPTION / sent);
        let body = body_saying(&target(), &raw);
        let text = body["embeds"][0]["description"].as_str().unwrap();
        assert!(!text.contains('…') && units(text) <= MAX_DESCRIPTION, "{worst} {}", units(text));
    }
}

/// What is shown: every character that could mean something stands behind a backslash or in an address
/// between `<` and `>`.
fn shown(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '\\' => {
                let literal = after.chars().next()?;
                out.push(literal);
                &after[literal.len_utf8()..]
            }
            '<' => {
                let (address, after) = after.split_once('>')?;
                let leads = Url::parse(address).is_ok_and(|url| url.username().is_empty());
                if !leads || !address.to_lowercase().starts_with("http") || address.contains(char::is_whitespace) {
                    return None;
                }
                out.push_str(address);
                after
            }
            mark if r"*_~`|>#-+[]():@".contains(mark) => return None,
            other => {
                out.push(other);
                after
            }
        };
    }
    Some(out)
}

proptest! {
    #[test]
    fn whatever_the_text_discord_takes_it_and_nobody_is_called(raw in hostile_text()) {
        let event = crate::sample::event("any_event", json!({"message": raw}));
        let body = body(&target(), &event, Form::Rich);
        let description = body["embeds"][0]["description"].as_str().unwrap();
        prop_assert!((1..=MAX_DESCRIPTION).contains(&units(description)));
        prop_assert!((1..=MAX_TITLE).contains(&units(body["embeds"][0]["title"].as_str().unwrap())));
        let whole = message(&event).text();
        let shown = shown(description);
        prop_assert!(shown.is_some(), "{description}");
        let shown = shown.unwrap();
        prop_assert!(shown == whole || whole.starts_with(shown.strip_suffix('…').unwrap_or(&shown)), "{shown}");
        prop_assert_eq!(&body["allowed_mentions"], &serde_json::json!({"parse": []}));
        prop_assert!(body.get("content").is_none());
    }
}
