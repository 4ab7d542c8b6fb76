//! The queue, over a real Postgres and a server of embeddings on a real socket.
#![cfg(test)]

use std::collections::HashSet;

use kos_embedding_queue::Queue;
use kos_embeddings::{Degraded, Provider, Settings};
use kos_model::KnowledgeId;
use kos_model::knowledge::{KnowledgeDraft, KnowledgeEditDraft};
use kos_repository::{ACTOR_API, ChangeTerms, KeyRing, LeaseTerms, Repository, Search, VectorProgress};
use kos_search::Query;
use kos_test_support::embedder::{BREAKING, HOLLOW, Mood, UNSPEAKABLE};
use kos_test_support::{Embedder, TestDb};

const MODEL: &str = "test-model";

struct Bench {
    db: TestDb,
    repository: Repository,
    embedder: Embedder,
}

impl Bench {
    async fn new() -> Self {
        let db = TestDb::new().await;
        let repository = repository(&db).await;
        Self { db, repository, embedder: Embedder::start().await }
    }

    fn provider(&self, model: &str) -> Provider {
        provider(&self.embedder, model)
    }

    fn queue(&self) -> Queue {
        Queue::new(self.repository.clone(), self.provider(MODEL))
    }

    async fn know(&self, content: &str) -> KnowledgeId {
        let draft = KnowledgeDraft { content: content.to_owned(), ..KnowledgeDraft::default() };
        let created = self.repository.knowledge_create(&draft.check().unwrap(), ACTOR_API, &lease()).await.unwrap();
        created.record.id
    }

    /// What is found by meaning, the nearest first.
    async fn near(&self, query: &str) -> Vec<KnowledgeId> {
        near(&self.repository, &self.provider(MODEL), query).await
    }

    async fn progress(&self, model: &str) -> (i64, i64, i64) {
        let VectorProgress { embedded, waiting, refused } = self.repository.vectors_progress(model).await.unwrap();
        (embedded, waiting, refused)
    }
}

async fn repository(db: &TestDb) -> Repository {
    Repository::new(db.url(), 8, KeyRing::new(&[vec![1; 32]]).unwrap()).await.unwrap()
}

fn provider(embedder: &Embedder, model: &str) -> Provider {
    let settings = Settings {
        url: embedder.url().parse().unwrap(),
        model: model.to_owned(),
        api_key: None,
        query_prefix: String::new(),
        passage_prefix: String::new(),
        input_type: false,
    };
    Provider::new(settings).unwrap()
}

fn lease() -> LeaseTerms {
    LeaseTerms::default()
}

fn terms(lease: &LeaseTerms) -> ChangeTerms<'_> {
    ChangeTerms { version: None, actor: ACTOR_API, lease }
}

async fn near(repository: &Repository, provider: &Provider, query: &str) -> Vec<KnowledgeId> {
    let vector = Some(provider.query(query).await.unwrap());
    let search = Search { vector, ..Search::of(Query::parse(query).unwrap()) };
    let mut hits = repository.search(&search).await.unwrap().hits;
    hits.retain(|hit| hit.places.is_some_and(|places| places.by_meaning.is_some()));
    hits.sort_by_key(|hit| hit.places.and_then(|places| places.by_meaning));
    hits.into_iter().map(|hit| hit.id).collect()
}

async fn drain(queue: &mut Queue) -> usize {
    queue.run_until_idle().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_text_gets_its_vector_once_and_is_found_across_languages() {
    let bench = Bench::new().await;
    let bread = bench.know("How to bake bread at home").await;
    bench.know("Tuning a bicycle").await;
    let mut queue = bench.queue();
    assert_eq!(drain(&mut queue).await, 2);
    assert_eq!(drain(&mut queue).await, 0, "what is done is done");
    assert_eq!(bench.embedder.texts().len(), 2);
    assert_eq!(bench.progress(MODEL).await, (2, 0, 0));
    assert_eq!(bench.near("свежий хлеб").await[0], bread);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_share_the_work_and_know_each_others_vectors() {
    let bench = Bench::new().await;
    for number in 0..60 {
        bench.know(&format!("a text about cats, number {number}")).await;
    }
    let other = repository(&bench.db).await;
    let (mut one, mut two) = (bench.queue(), Queue::new(other.clone(), bench.provider(MODEL)));
    let (first, second) = tokio::join!(one.run_until_idle(), two.run_until_idle());
    assert_eq!(first.unwrap() + second.unwrap(), 60);
    let texts = bench.embedder.texts();
    assert_eq!((texts.len(), texts.iter().collect::<HashSet<_>>().len()), (60, 60), "no text twice");
    // The one that was done first may not have seen the last texts of the other.
    drain(&mut one).await;
    drain(&mut two).await;
    for repository in [&bench.repository, &other] {
        assert_eq!(near(repository, &bench.provider(MODEL), "кошки").await.len(), 10);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_text_gets_a_new_vector_and_one_whose_tags_changed_does_not() {
    let bench = Bench::new().await;
    let text = bench.know("All about bread").await;
    let mut queue = bench.queue();
    drain(&mut queue).await;
    let lease = lease();
    let tags = KnowledgeEditDraft { tags: Some(Some(vec!["new".to_owned()])), ..KnowledgeEditDraft::default() };
    bench.repository.knowledge_update(text, &tags.check().unwrap(), terms(&lease)).await.unwrap().unwrap();
    assert_eq!(bench.progress(MODEL).await, (0, 1, 0));
    assert_eq!(drain(&mut queue).await, 0);
    assert_eq!((bench.progress(MODEL).await, bench.embedder.texts().len()), ((1, 0, 0), 1), "the words are the same");
    let other = bench.know("All about gardens").await;
    let content =
        KnowledgeEditDraft { content: Some(Some("All about music".to_owned())), ..KnowledgeEditDraft::default() };
    bench.repository.knowledge_update(text, &content.check().unwrap(), terms(&lease)).await.unwrap().unwrap();
    assert_eq!(drain(&mut queue).await, 2);
    assert_eq!(bench.near("музыка").await[0], text);
    assert_eq!(bench.near("сады").await[0], other);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_model_has_every_text_embedded_anew_and_is_never_mixed_with_the_one_before() {
    let bench = Bench::new().await;
    let bread = bench.know("All about bread").await;
    bench.know("All about gardens").await;
    drain(&mut bench.queue()).await;
    let next = bench.provider("next-model");
    let mut queue = Queue::new(bench.repository.clone(), next.clone());
    assert_eq!((bench.progress(MODEL).await, bench.progress("next-model").await), ((2, 0, 0), (0, 2, 0)));
    bench.repository.vectors_refresh("next-model").await.unwrap();
    assert!(near(&bench.repository, &next, "хлеб").await.is_empty(), "the vectors of the old model are not looked at");
    assert_eq!(drain(&mut queue).await, 2);
    assert_eq!(bench.progress("next-model").await, (2, 0, 0));
    assert_eq!(near(&bench.repository, &next, "хлеб").await[0], bread);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_was_swapped_behind_its_name_is_noticed_by_the_length_of_its_vectors() {
    let bench = Bench::new().await;
    let bread = bench.know("All about bread").await;
    let mut queue = bench.queue();
    drain(&mut queue).await;
    bench.embedder.lengthen(8);
    let garden = bench.know("All about gardens").await;
    assert_eq!(drain(&mut queue).await, 2, "the one of the old length is made anew at once");
    assert_eq!(bench.progress(MODEL).await, (2, 0, 0));
    assert_eq!((bench.near("хлеб").await[0], bench.near("сад").await[0]), (bread, garden));
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_texts_are_forgotten_and_restored_ones_known_again_without_asking() {
    let bench = Bench::new().await;
    let text = bench.know("All about bread").await;
    let purged = bench.know("Bread, and more bread").await;
    let mut queue = bench.queue();
    drain(&mut queue).await;
    let lease = lease();
    bench.repository.knowledge_delete(text, terms(&lease)).await.unwrap().unwrap();
    bench.repository.knowledge_purge(purged, terms(&lease)).await.unwrap().unwrap();
    assert!(bench.near("хлеб").await.is_empty(), "even before the memory is up to date");
    drain(&mut queue).await;
    assert!(bench.near("хлеб").await.is_empty());
    assert_eq!(bench.progress(MODEL).await, (0, 0, 0));
    bench.repository.knowledge_restore(text, terms(&lease)).await.unwrap().unwrap();
    assert_eq!(drain(&mut queue).await, 0);
    assert_eq!(bench.near("хлеб").await, [text]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_given_back_and_done_when_the_provider_answers_again() {
    let bench = Bench::new().await;
    bench.know("All about bread").await;
    let mut queue = bench.queue();
    for mood in [
        Mood::Failing(503),
        Mood::Failing(429),
        Mood::Failing(401),
        Mood::Failing(400),
        Mood::Confused,
        Mood::Elsewhere,
    ] {
        bench.embedder.be(mood);
        let error = queue.run_until_idle().await.unwrap_err().to_string();
        assert!(error.contains("provider"), "{mood:?}: {error}");
        assert_eq!(bench.progress(MODEL).await, (0, 1, 0), "{mood:?}: a provider that takes nothing refuses no text");
        assert_eq!(bench.provider(MODEL).query("x").await.unwrap_err(), Degraded::Unavailable, "{mood:?}");
    }
    bench.embedder.be(Mood::Willing);
    assert_eq!(drain(&mut queue).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_refused_holds_up_no_other_and_is_not_sent_again_until_it_changes() {
    let bench = Bench::new().await;
    bench.know("All about bread").await;
    let bad = bench.know(UNSPEAKABLE).await;
    bench.know("All about gardens").await;
    let mut queue = bench.queue();
    assert_eq!(drain(&mut queue).await, 2);
    assert_eq!(bench.progress(MODEL).await, (2, 0, 1));
    bench.embedder.drain();
    assert_eq!((drain(&mut queue).await, bench.embedder.texts().len()), (0, 0));
    let edit = KnowledgeEditDraft { content: Some(Some("speakable".to_owned())), ..KnowledgeEditDraft::default() };
    bench.repository.knowledge_update(bad, &edit.check().unwrap(), terms(&lease())).await.unwrap().unwrap();
    assert_eq!((drain(&mut queue).await, bench.progress(MODEL).await), (1, (3, 0, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_breaks_the_provider_holds_up_no_other() {
    let bench = Bench::new().await;
    for text in ["All about bread", BREAKING, "All about gardens", HOLLOW, "All about music"] {
        bench.know(text).await;
    }
    let mut queue = bench.queue();
    assert_eq!(drain(&mut queue).await, 3);
    assert_eq!(bench.progress(MODEL).await, (3, 0, 2));
    assert_eq!(drain(&mut queue).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_at_once_comes_in_smaller_batches() {
    let bench = Bench::new().await;
    for number in 0..8 {
        bench.know(&format!("a text about cats, number {number}")).await;
    }
    bench.embedder.be(Mood::Verbose);
    let mut queue = bench.queue();
    for size in [8, 4, 2] {
        assert!(queue.run_until_idle().await.unwrap_err().to_string().contains("16 MiB"));
        assert_eq!(bench.embedder.texts().len(), size);
    }
    bench.embedder.be(Mood::Willing);
    assert_eq!((drain(&mut queue).await, bench.embedder.drain()[0].input.len()), (8, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_stopped_leaves_its_texts_to_the_next() {
    let bench = Bench::new().await;
    bench.know("All about bread").await;
    bench.embedder.be(Mood::Silent);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let queue = tokio::spawn(bench.queue().run(async move { drop(stopped.await) }));
    while bench.embedder.texts().is_empty() {
        tokio::task::yield_now().await;
    }
    drop(stop);
    queue.await.unwrap();
    bench.embedder.be(Mood::Willing);
    assert_eq!(drain(&mut bench.queue()).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_few_texts_of_a_domain_are_found_however_many_others_are_nearer() {
    let bench = Bench::new().await;
    let mut few = Vec::new();
    for content in ["A cat in the garden", "Music for a cat in the garden"] {
        let domain = Some("few".to_owned());
        let draft = KnowledgeDraft { content: content.to_owned(), domain, ..KnowledgeDraft::default() };
        let created = bench.repository.knowledge_create(&draft.check().unwrap(), ACTOR_API, &lease()).await.unwrap();
        few.push(created.record.id);
    }
    let others = "INSERT INTO knowledge (content, content_hash)
                  SELECT 'cat ' || n, n::text::bytea FROM generate_series(1, 2100) AS n";
    bench.db.client().await.batch_execute(others).await.unwrap();
    assert_eq!(drain(&mut bench.queue()).await, 2_102);
    assert_eq!(bench.near("кошка domain:few").await, few);
    assert_eq!(bench.near("кошка").await.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_the_roles_and_the_prefixes_reach_the_provider_as_they_are_set() {
    let bench = Bench::new().await;
    let settings = Settings {
        url: bench.embedder.url().parse().unwrap(),
        model: MODEL.to_owned(),
        api_key: Some("the-key-of-the-provider".into()),
        query_prefix: "query: ".to_owned(),
        passage_prefix: "passage: ".to_owned(),
        input_type: true,
    };
    assert!(!format!("{settings:?}").contains("the-key-of"), "a key is shown nowhere");
    let provider = Provider::new(settings).unwrap();
    provider.query("bread").await.unwrap();
    provider.query("bread").await.unwrap();
    provider.passages(&["garden".to_owned()]).await.unwrap();
    let asked = bench.embedder.drain();
    assert_eq!(asked.len(), 2, "the same query is asked once");
    let said = |place: usize| (asked[place].input[0].clone(), asked[place].body["input_type"].clone());
    assert_eq!(said(0), ("query: bread".to_owned(), "query".into()));
    assert_eq!(said(1), ("passage: garden".to_owned(), "passage".into()));
    assert!(asked.iter().all(|asked| asked.authorization.as_deref() == Some("Bearer the-key-of-the-provider")));
    assert_eq!(bench.provider(MODEL).space(), MODEL);
    assert_ne!(provider.space(), MODEL, "texts with a prefix have other vectors");
}

/// How often the index over the vectors was used; nothing where there is none.
async fn used(db: &TestDb) -> Option<i64> {
    let uses = "SELECT s.idx_scan FROM pg_stat_user_indexes s JOIN pg_index i USING (indexrelid)
                WHERE s.relname = 'knowledge_vectors' AND i.indisvalid AND pg_get_indexdef(indexrelid) LIKE '%hnsw%'";
    db.client().await.query_opt(uses, &[]).await.unwrap().map(|row| row.get(0))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs pgvector: make test-pgvector"]
async fn where_the_server_has_pgvector_postgres_compares_by_an_index() {
    let db = TestDb::new().await;
    // So few are compared faster without it.
    let name = db.url().rsplit('/').next().unwrap();
    db.client().await.batch_execute(&format!("ALTER DATABASE {name} SET enable_seqscan = off")).await.unwrap();
    let repository = repository(&db).await;
    let bench = Bench { db, repository, embedder: Embedder::start().await };
    let mut cats = HashSet::new();
    for number in 0..20 {
        cats.insert(bench.know(&format!("a text about cats, number {number}")).await);
        bench.know(&format!("a text about gardens, number {number}")).await;
    }
    assert_eq!(used(&bench.db).await, None);
    drain(&mut bench.queue()).await;
    assert_eq!(used(&bench.db).await, Some(0));
    let found = bench.near("кошки").await;
    assert_eq!(found.len(), 10);
    assert!(found.iter().all(|text| cats.contains(text)));
    let other = self::repository(&bench.db).await;
    other.vectors_refresh(MODEL).await.unwrap();
    assert_eq!(near(&other, &bench.provider(MODEL), "кошки").await, found, "the index is there for all servers");
    drop((bench.repository, other));
    while used(&bench.db).await == Some(0) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs pgvector: make test-pgvector"]
async fn each_model_has_its_index_and_none_is_left_of_the_one_before() {
    let bench = Bench::new().await;
    let bread = bench.know("All about bread").await;
    drain(&mut bench.queue()).await;
    bench.embedder.lengthen(8);
    let next = provider(&bench.embedder, "o'reilly \\ \"next\"");
    drain(&mut Queue::new(bench.repository.clone(), next.clone())).await;
    assert_eq!(near(&bench.repository, &next, "хлеб").await, [bread]);
    assert_eq!(used(&bench.db).await, Some(0), "one, and no more");
    bench.embedder.lengthen(2_100);
    bench.know("Bread and more bread").await;
    let mut queue = Queue::new(bench.repository.clone(), next.clone());
    while drain(&mut queue).await > 0 {}
    assert_eq!(near(&bench.repository, &next, "хлеб").await.len(), 2, "what is too long for the index is in memory");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs pgvector: make test-pgvector"]
async fn who_may_not_install_pgvector_compares_in_memory() {
    let db = TestDb::new().await;
    let (client, role) = (db.client().await, format!("visitor_{}", std::process::id()));
    let rights = format!(
        "DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN PASSWORD 'visitor';
         GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}"
    );
    client.batch_execute(&rights).await.unwrap();
    let mut url: url::Url = db.url().parse().unwrap();
    url.set_username(&role).unwrap();
    url.set_password(Some("visitor")).unwrap();
    let repository = Repository::new(url.as_str(), 8, KeyRing::new(&[vec![1; 32]]).unwrap()).await.unwrap();
    let bench = Bench { db, repository, embedder: Embedder::start().await };
    let bread = bench.know("All about bread").await;
    drain(&mut bench.queue()).await;
    let found = bench.near("хлеб").await;
    assert_eq!((found, used(&bench.db).await), (vec![bread], None));
    drop(bench.repository);
    client.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
}
