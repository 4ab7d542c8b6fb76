//! Search: what is found, in what order, and how words are understood.

use std::time::Duration;

use kos_model::knowledge::KnowledgeDraft;
use kos_repository::{Found, Repository, Search, SearchFilter, SearchSort, Searched};
use kos_search::Query;
use kos_test_support::TestDb;
use tokio_postgres::Client;

use crate::builders::{free, repository};

async fn know(repository: &Repository, content: &str, domain: &str, confidence: f64) {
    let draft = KnowledgeDraft {
        content: content.to_owned(),
        domain: Some(domain.to_owned()),
        confidence_score: Some(confidence),
        ..KnowledgeDraft::default()
    };
    repository.knowledge_create(&draft.check().unwrap(), "api", &free()).await.unwrap();
}

fn search(query: &str) -> Search {
    Search::of(Query::parse(query).unwrap())
}

/// Counts every word that there is, as the server does in the background.
async fn count(repository: &Repository) {
    while repository.words_count(Duration::ZERO).await.unwrap() {}
    repository.words_refresh().await.unwrap();
}

/// How many texts are counted.
async fn counted(client: &Client) -> i64 {
    client.query_one("SELECT texts FROM search_corpus", &[]).await.unwrap().get(0)
}

async fn answer(repository: &Repository, search: Search) -> Found {
    repository.search(&search).await.unwrap()
}

async fn found(repository: &Repository, query: &str) -> Vec<String> {
    answer(repository, search(query)).await.hits.into_iter().map(|hit| hit.content).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn russian_and_english_words_are_found_in_their_other_forms() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    know(&repository, "Лучшие практики асинхронного программирования", "python", 0.9).await;
    know(&repository, "Best practices of running databases", "sql", 0.5).await;
    assert_eq!(found(&repository, "практика").await.len(), 1);
    assert_eq!(found(&repository, "practice").await.len(), 1);
    assert_eq!(found(&repository, "nothing database").await.len(), 1, "any word is enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn phrases_exclusions_and_filters_narrow_what_is_found() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    know(&repository, "the event loop blocks", "python", 0.9).await;
    know(&repository, "loop over every event", "python", 0.9).await;
    know(&repository, "the event loop of a browser", "web", 0.2).await;
    assert_eq!(found(&repository, r#""event loop""#).await.len(), 2);
    assert_eq!(found(&repository, r#""event loop" -browser"#).await, ["the event loop blocks"]);
    assert_eq!(found(&repository, r#""event loop" domain:web"#).await.len(), 1);
    assert_eq!(found(&repository, "loop domain:nobody").await.len(), 0);
    assert_eq!(found(&repository, "-browser").await.len(), 0, "what is left out asks for nothing");
    let filter = SearchFilter { min_confidence: Some(0.5), ..SearchFilter::default() };
    assert_eq!(answer(&repository, Search { filter, ..search("event loop") }).await.hits.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phrase_is_found_wherever_it_stands_in_a_long_text() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let long = format!("{} and at its end the Event\n Loop.", "an event of note, ".repeat(600));
    know(&repository, &long, "x", 1.0).await;
    know(&repository, &"an event without a loop, ".repeat(600), "x", 1.0).await;
    let vast = (0..17_000).map(|number| format!("word{number} ")).collect::<String>();
    know(&repository, &format!("{vast}event loop"), "x", 1.0).await;
    let starts = async |query: &str| {
        let mut found = found(&repository, query).await;
        found.sort();
        found.into_iter().map(|content| content.chars().take(8).collect::<String>()).collect::<Vec<_>>()
    };
    assert_eq!(starts(r#""event loop""#).await, ["an event", "word0 wo"]);
    assert_eq!(starts(r#"event -"event loop""#).await, ["an event"]);
    assert_eq!(starts(r#""event loop" -note"#).await, ["word0 wo"]);
    know(&repository, &format!("{} зелёная ёлка", "ёлка да дом ".repeat(600)), "x", 1.0).await;
    for query in [r#""зеленая елка""#, r#""Зелёная ёлка""#] {
        assert_eq!(starts(query).await, ["ёлка да "], "{query}");
    }
    assert_eq!(starts(r#""the and" event -"of the""#).await.len(), 3, "stop words ask for nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hardly_sure_at_all_spoils_no_search() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    know(&repository, "a sure thing", "x", 1.0).await;
    know(&repository, "an unsure thing", "x", 1e-323).await;
    let ages = "UPDATE domains SET half_life_days = 0.001; UPDATE knowledge SET confirmed_at = '2020-01-01'";
    assert_eq!(found(&repository, "thing").await.len(), 2);
    db.client().await.batch_execute(ages).await.unwrap();
    assert_eq!(found(&repository, "thing").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn rare_words_put_texts_in_front() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    for number in 0..20 {
        know(&repository, &format!("common words about a topic, number {number}"), "x", 1.0).await;
    }
    know(&repository, "a zebra among other common things", "x", 1.0).await;
    count(&repository).await;
    let hits = found(&repository, "common words about the zebra topic").await;
    assert_eq!(hits[0], "a zebra among other common things");
    assert_eq!(hits.len(), 10);
    let second = answer(&repository, Search { offset: 10, ..search("common words about the zebra topic") }).await;
    assert_eq!((second.hits.len(), second.total, second.is_exact), (10, 21, true));
    assert!(second.hits.iter().all(|hit| !hits.contains(&hit.content)), "a page repeats nothing of the one before");
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_with_a_rare_word_are_found_behind_thousands_with_a_common_one_and_pages_do_not_overlap() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let many = "INSERT INTO knowledge (content, content_hash)
                SELECT 'a stone, number ' || n, n::text::bytea FROM generate_series(1, 5100) AS n;
                INSERT INTO knowledge (content, content_hash)
                SELECT 'wolframite is a stone, number ' || n, ('w' || n)::bytea FROM generate_series(1, 25) AS n";
    db.client().await.batch_execute(many).await.unwrap();
    count(&repository).await;
    for (limit, pages, is_wide) in [(10, 3, false), (40, 2, true)] {
        let mut seen = Vec::new();
        let mut page = Search { limit, ..search("wolframite stone") };
        for _ in 0..pages {
            let found = answer(&repository, page.clone()).await;
            assert_eq!(found.is_wide, is_wide, "{limit}");
            seen.extend(found.hits.into_iter().map(|hit| hit.content));
            (page.offset, page.wide) = (page.offset + limit, Some(found.is_wide));
        }
        let rare = seen.iter().take_while(|content| content.starts_with("wolframite")).count();
        assert_eq!((rare, seen.len()), (25, if is_wide { 80 } else { 25 }), "{limit}");
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), if is_wide { 80 } else { 25 }, "{limit}: a text is on one page alone");
    }
}

/// So many texts that a word of every second one is sooner found on some pages than in the index; every second holds
/// `stone`, the second half `rock`. Those of a query are worth the same: the newest come first.
async fn stones_and_rocks(db: &TestDb, repository: &Repository) {
    let many = "INSERT INTO knowledge (content, content_hash)
                SELECT concat_ws(' ', 'number', n, CASE WHEN n % 2 = 0 THEN 'stone' ELSE 'sand' END, CASE WHEN n > 12000 THEN 'rock' ELSE 'soil' END),
                       n::text::bytea
                FROM generate_series(1, 24000) AS n";
    db.client().await.batch_execute(many).await.unwrap();
    count(repository).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_with_common_words_are_looked_for_all_over_the_table_and_pages_do_not_overlap() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    stones_and_rocks(&db, &repository).await;
    for (query, facets) in [("stone", false), ("rock", false), ("stone rock", false), ("stone", true)] {
        let mut numbers = Vec::new();
        for offset in (0..900).step_by(100) {
            let page = answer(&repository, Search { offset, limit: 100, facets, ..search(query) }).await;
            assert!(!page.is_exact && page.total > 900, "{query}: {}", page.total);
            let contents = page.hits.into_iter().map(|hit| hit.content);
            numbers.extend(contents.map(|content| content.split(' ').nth(1).unwrap().parse::<u32>().unwrap()));
        }
        let parts = [24_000, 22_000, 20_000].map(|end| end - 2_000..end);
        assert!(parts.iter().all(|part| numbers.iter().any(|number| part.contains(number))), "{query}: {numbers:?}");
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 900, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_have_become_rare_since_they_were_counted_are_all_found() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    stones_and_rocks(&db, &repository).await;
    let few = "UPDATE knowledge SET content = 'nothing left' WHERE content_hash NOT IN ('7', '12', '14000', '23998')";
    db.client().await.batch_execute(few).await.unwrap();
    for (query, finds) in [("stone", 3), ("rock", 2), ("stone rock", 3)] {
        let found = answer(&repository, search(query)).await;
        assert_eq!((found.total, found.hits.len()), (finds, usize::try_from(finds).unwrap()), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_of_thousands_with_a_common_word_come_first_where_that_is_asked_for() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let many = "INSERT INTO knowledge (content, content_hash, created_at)
                SELECT 'a stone, a rock, number ' || n, n::text::bytea, timestamptz '2020-01-01Z' + n * interval '1 minute'
                FROM generate_series(1, 2500) AS n";
    db.client().await.batch_execute(many).await.unwrap();
    count(&repository).await;
    for query in ["stone", "stone rock"] {
        let hits = answer(&repository, Search { sort: SearchSort::CreatedAt, ..search(query) }).await.hits;
        let newest: Vec<String> = (2491..=2500).rev().map(|n| format!("a stone, a rock, number {n}")).collect();
        assert_eq!(hits.into_iter().map(|hit| hit.content).collect::<Vec<_>>(), newest, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slips_layouts_and_starts_are_understood_once_the_words_are_counted() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    know(&repository, "Настройка поиска в базе знаний", "x", 1.0).await;
    know(&repository, "Asynchronous programming in Python", "x", 1.0).await;
    count(&repository).await;
    for (query, start, corrected) in [
        ("настойка", "Настройка", Some(("настойка", "настройка"))),
        ("gjbcr", "Настройка", Some(("gjbcr", "поиск"))),
        ("pyhton", "Asynchronous", Some(("pyhton", "python"))),
        ("зэыгрщт python", "Asynchronous", None),
        ("asynch*", "Asynchronous", None),
    ] {
        let answer = answer(&repository, search(query)).await;
        assert!(answer.hits[0].content.starts_with(start), "{query}: {answer:?}");
        if let Some((from, to)) = corrected {
            assert_eq!(answer.plan.corrected, [(from.to_owned(), to.to_owned())]);
        }
    }
    assert_eq!(answer(&repository, Search { complete_last: true, ..search("asyn") }).await.hits.len(), 1);
    let exact = answer(&repository, Search { typos: false, ..search("настойка") }).await;
    assert_eq!((exact.hits.len(), exact.plan.unknown), (0, vec!["настойка".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_newer_than_the_count_is_found_as_well() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    know(&repository, "the first text", "x", 1.0).await;
    count(&repository).await;
    know(&repository, "a brand new gyroscope", "x", 1.0).await;
    assert_eq!(found(&repository, "gyroscope").await, ["a brand new gyroscope"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn among_few_texts_what_was_stored_just_now_is_weighed_at_once() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    for number in 0..20 {
        know(&repository, &format!("Обычное слово номер{number}"), "x", 1.0).await;
    }
    count(&repository).await;
    know(&repository, "Обычное слово и барометр", "x", 1.0).await;
    let mended = answer(&repository, search("слово баромтер")).await;
    assert_eq!(mended.plan.corrected, [("баромтер".to_owned(), "барометр".to_owned())]);
    assert!(mended.hits[0].content.ends_with("барометр"), "{:?}", mended.hits[0]);
    assert_eq!(mended.plan.terms[0].alternatives[0].texts, 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_count_each_text_once() {
    let db = TestDb::new().await;
    let (one, two) = (repository(&db).await, repository(&db).await);
    for number in 0..30 {
        know(&one, &format!("counted number{number}"), "x", 1.0).await;
    }
    tokio::try_join!(one.words_count(Duration::ZERO), two.words_count(Duration::ZERO)).unwrap();
    count(&two).await;
    let texts = answer(&two, search("counted")).await.plan.terms[0].alternatives[0].texts;
    assert_eq!(texts, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_with_ids_from_elsewhere_are_counted_and_keep_nothing_from_being_counted_anew() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    know(&repository, "a stone", "x", 1.0).await;
    let client = db.client().await;
    let foreign = "INSERT INTO knowledge (id, content, content_hash)
                   SELECT ('f47ac10b-58cc-4372-a567-0e02b2c3d47' || n)::uuid, 'wolframite number ' || n, n::text::bytea
                   FROM generate_series(1, 3) AS n";
    client.batch_execute(foreign).await.unwrap();
    count(&repository).await;
    // What was stored after them is read at once all the same.
    know(&repository, "feldspar", "x", 1.0).await;
    assert_eq!(found(&repository, "feldsapr").await, ["feldspar"]);
    assert_eq!(found(&repository, "wolfarmite").await.len(), 3, "the word is known");
    count(&repository).await;
    client.batch_execute("UPDATE search_corpus SET texts = 9000, compared_at = '-infinity'").await.unwrap();
    count(&repository).await;
    assert_eq!(counted(&client).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_come_with_old_ids_are_counted_anew_with_all_others() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    know(&repository, "a stone", "x", 1.0).await;
    count(&repository).await;
    let client = db.client().await;
    let old = "INSERT INTO knowledge (id, content, content_hash) VALUES
               ('01900000-0000-7000-8000-000000000001', 'hornblende', 'h'),
               ('01900000-0000-7000-8000-000000000002', 'hornblende and mica', 'm')";
    client.batch_execute(old).await.unwrap();
    count(&repository).await;
    assert_eq!(counted(&client).await, 1, "they were compared a moment ago");
    client.batch_execute("UPDATE search_corpus SET compared_at = now() - interval '11 s'").await.unwrap();
    count(&repository).await;
    assert_eq!(counted(&client).await, 3);
    assert_eq!(found(&repository, "hornblnede").await.len(), 2, "the word is known");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_writes_all_the_time_keeps_nothing_from_being_counted() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let client = db.client().await;
    know(&repository, "a stone", "x", 1.0).await;
    count(&repository).await;
    // The least and the greatest id are counted by nobody, and nobody waits for them.
    let strange = "INSERT INTO knowledge (id, content, content_hash) VALUES
                   ('01900000-0000-7000-8000-000000000001', 'hornblende', 'h'),
                   ('f47ac10b-58cc-4372-a567-0e02b2c3d471', 'wolframite', 'w'),
                   ('00000000-0000-0000-0000-000000000000', 'least', 'l'),
                   ('ffffffff-ffff-ffff-ffff-ffffffffffff', 'greatest', 'g');
                   UPDATE search_corpus SET compared_at = '-infinity'";
    client.batch_execute(strange).await.unwrap();
    for number in 0..8 {
        know(&repository, &format!("number {number}"), "x", 1.0).await;
        assert!(repository.words_count(Duration::ZERO).await.unwrap());
    }
    assert_eq!(counted(&client).await, 11);
    client.batch_execute("UPDATE search_corpus SET compared_at = '-infinity'").await.unwrap();
    assert!(!repository.words_count(Duration::ZERO).await.unwrap(), "all is counted");
    repository.words_refresh().await.unwrap();
    assert_eq!(found(&repository, "hornblnede wolfarmite").await.len(), 2, "the words are known");
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_of_very_many_words_are_counted_a_few_at_a_time() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    for number in 0..5 {
        let words: Vec<String> = (0..30).map(|word| format!("word{number}x{word}")).collect();
        know(&repository, &words.join(" "), "x", 1.0).await;
    }
    let client = db.client().await;
    for (texts, words, expected) in [(10, 50_i64, 2), (2, 1_000, 2), (10, 1, 1), (10, 1, 0)] {
        let sql = "SELECT search_count($1, $2, 0)";
        let some: i32 = client.query_one(sql, &[&texts, &words]).await.unwrap().get(0);
        assert_eq!(some, expected);
    }
    assert_eq!(counted(&client).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_own_the_index_puts_texts_into_it_too() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    know(&repository, "a stone", "x", 1.0).await;
    let client = db.client().await;
    let other = "BEGIN; CREATE ROLE kos_test_owns_nothing; SET LOCAL ROLE kos_test_owns_nothing;
                 SELECT search_index_new(); ROLLBACK";
    client.batch_execute(other).await.unwrap();
    let left: i64 =
        client.query_one("SELECT gin_clean_pending_list('knowledge_search_idx')", &[]).await.unwrap().get(0);
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_newer_than_a_transaction_under_way_is_counted_after_it() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let slow = db.client().await;
    let begin = "SET application_name = 'knowledge-os'; BEGIN;
                 INSERT INTO knowledge (content, content_hash) VALUES ('wildebeest', 'w')";
    slow.batch_execute(begin).await.unwrap();
    know(&repository, "a zebra", "x", 1.0).await;
    count(&repository).await;
    slow.batch_execute("COMMIT").await.unwrap();
    count(&repository).await;
    assert_eq!(counted(&slow).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn facets_count_what_was_found() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    know(&repository, "red apples", "fruit", 1.0).await;
    know(&repository, "green apples", "fruit", 1.0).await;
    know(&repository, "apples of the earth", "roots", 1.0).await;
    know(&repository, "pears", "fruit", 1.0).await;
    let facets = answer(&repository, Search { facets: true, limit: 1, ..search("apple") }).await.facets;
    let domains: Vec<_> =
        facets.iter().filter(|facet| facet.kind == "domain").map(|facet| (&*facet.name, facet.count)).collect();
    assert_eq!(domains, [("fruit", 2), ("roots", 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_is_worth_the_same_whether_its_statement_is_kept_or_not() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    for number in 0..30 {
        let words = "alpha beta gamma delta epsilon zeta eta theta iota kappa";
        let some: Vec<&str> =
            words.split(' ').enumerate().filter(|(at, _)| number % (at + 2) != 0).map(|(_, word)| word).collect();
        know(&repository, &format!("{} kappas{number} kappal{number}", some.join(" ")), "x", 1.0).await;
    }
    count(&repository).await;
    let queries = [
        "beta",
        "alpha gamma",
        "alpha beta delta",
        "alpha beta gamma delta epsilon",
        "alpha kap",
        "kap",
        "alpha beta gamma delta epsilon zeta eta theta",
        "alpha beta gamma delta epsilon zeta eta theta iota kapp",
        "alpa betta gamma",
        "kappas1 kappal2 kappasl3",
    ];
    for query in queries {
        let asked = Search { complete_last: true, limit: 30, ..search(query) };
        // Statements that count by domain, language and tag are made anew each time.
        let (kept, unkept) =
            (answer(&repository, asked.clone()).await, answer(&repository, Search { facets: true, ..asked }).await);
        let worth =
            |found: &Found| found.hits.iter().map(|hit| (hit.id, format!("{:.9}", hit.score))).collect::<Vec<_>>();
        assert_eq!(worth(&kept), worth(&unkept), "{query}");
        assert!(!kept.hits.is_empty(), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_say_nothing_are_looked_for_as_they_are() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    know(&repository, "To be, or not to be", "x", 1.0).await;
    assert_eq!(found(&repository, "to be").await.len(), 1);
    assert!(found(&repository, "the").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn signs_that_mean_something_to_postgres_mean_nothing_here() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    know(&repository, "it's a <b>test</b> \\ of \"quotes\"", "x", 1.0).await;
    count(&repository).await;
    for odd in ["'", "\\", "''':*", "a & | !", "<->", "it's", "\"", "%", "test:*", "x\\'y", "-'", "tag:'", "domain:\\"]
    {
        found(&repository, odd).await;
        found(&repository, &format!("test \"{odd}\" -{odd}x {odd}*")).await;
    }
    let hits = answer(&repository, search("tests")).await.hits;
    assert!(hits[0].highlight.contains("\u{2}test\u{3}"), "{}", hits[0].highlight);
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_are_written_down_and_those_in_vain_by_their_words() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    for (query, finds) in [("Known", 3), ("Missing", 0), ("missing ", 0)] {
        repository.search_note(&Searched { query, finds, took: Duration::from_millis(5) });
    }
    repository.searches_record().await.unwrap();
    repository.searches_record().await.unwrap();
    let client = db.client().await;
    let day = client.query_one("SELECT searches, without_result FROM search_days", &[]).await.unwrap();
    assert_eq!((day.get::<_, i64>(0), day.get::<_, i64>(1)), (3, 2));
    let gap = client.query_one("SELECT query, times FROM search_gaps", &[]).await.unwrap();
    assert_eq!((gap.get::<_, String>(0).as_str(), gap.get::<_, i64>(1)), ("missing", 2));
}
