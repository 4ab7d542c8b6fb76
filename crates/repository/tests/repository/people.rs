//! What the database sees to by itself about domains, experts, tasks and interactions, whoever writes.

use kos_model::domain::DomainDraft;
use kos_model::expert::{ExpertDraft, ExpertEdit};
use kos_model::interaction::{FeedbackDraft, InteractionDraft};
use kos_model::knowledge::KnowledgeDraft;
use kos_model::task::{TaskDraft, TaskEdit};
use kos_model::{DomainId, TaskStatus};
use kos_repository::{Error, Repository};
use kos_test_support::TestDb;

use crate::builders::{free, repository, until_one_waits};

async fn domain(repository: &Repository, name: &str) -> DomainId {
    let draft = DomainDraft { name: name.to_owned(), ..DomainDraft::default() };
    repository.domain_create(&draft.check().unwrap(), &free()).await.unwrap().0.id
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_and_the_model_agree_where_a_task_may_go() {
    let db = TestDb::new().await;
    let client = db.client().await;
    for from in TaskStatus::ALL {
        for to in TaskStatus::ALL {
            let sql = "INSERT INTO tasks (title, status) VALUES ('x', $1) RETURNING id::text, completed_at IS NOT NULL";
            let row = client.query_one(sql, &[&from.as_str()]).await.unwrap();
            assert_eq!(row.get::<_, bool>(1), *from == TaskStatus::Completed, "{from}");
            let sql = "UPDATE tasks SET status = $2 WHERE id::text = $1 RETURNING completed_at IS NOT NULL";
            let moved = client.query_one(sql, &[&row.get::<_, String>(0), &to.as_str()]).await;
            assert_eq!(moved.is_ok(), from.may_become(*to), "{from} to {to}: {moved:?}");
            if let Ok(row) = moved {
                assert_eq!(row.get::<_, bool>(0), *to == TaskStatus::Completed, "{from} to {to}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sets_by_hand_when_a_task_was_completed() {
    let db = TestDb::new().await;
    let client = db.client().await;
    let sql = "INSERT INTO tasks (title, status, completed_at) VALUES
                   ('brought in', 'completed', '2020-01-01Z'), ('open', 'pending', '2020-01-01Z');
               UPDATE tasks SET completed_at = now(), title = title || '!'";
    client.batch_execute(sql).await.unwrap();
    let sql = "SELECT title FROM tasks WHERE completed_at = '2020-01-01Z'";
    let kept: Vec<String> = client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(kept, ["brought in!"]);
    let sql = "SELECT title FROM tasks WHERE completed_at IS NULL";
    assert_eq!(client.query_one(sql, &[]).await.unwrap().get::<_, String>(0), "open!");
}

#[tokio::test(flavor = "multi_thread")]
async fn feedback_follows_its_interaction_to_other_knowledge_and_vanishes_with_it() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let mut known = Vec::new();
    for content in ["a", "b"] {
        let draft = KnowledgeDraft { content: content.to_owned(), ..KnowledgeDraft::default() };
        known.push(repository.knowledge_create(&draft.check().unwrap(), "api", &free()).await.unwrap().record.id);
    }
    let draft = InteractionDraft {
        query: "q".to_owned(),
        knowledge_id: Some(known[0].to_string()),
        feedback_score: Some(5),
        ..InteractionDraft::default()
    };
    let (talk, _) = repository.interaction_create(&draft.check().unwrap(), &free()).await.unwrap();
    let client = db.client().await;
    let counted = async |expected: [(f64, i32); 2]| {
        let sql = "SELECT feedback_sum, feedback_count FROM knowledge ORDER BY content";
        let rows = client.query(sql, &[]).await.unwrap();
        assert_eq!(rows.iter().map(|row| (row.get(0), row.get(1))).collect::<Vec<(f64, i32)>>(), expected);
    };
    counted([(1.0, 1), (0.0, 0)]).await;
    client.batch_execute(&format!("UPDATE interactions SET knowledge_id = '{}'", known[1])).await.unwrap();
    counted([(0.0, 0), (1.0, 1)]).await;
    client.batch_execute("UPDATE interactions SET feedback_score = NULL").await.unwrap();
    counted([(0.0, 0), (0.0, 0)]).await;
    let feedback = FeedbackDraft { score: 2, comment: None }.check().unwrap();
    repository.interaction_rate(talk.id, &feedback, &free()).await.unwrap();
    counted([(0.0, 0), (-0.5, 1)]).await;
    client.batch_execute(&format!("DELETE FROM knowledge WHERE id = '{}'", known[1])).await.unwrap();
    let left = repository.interaction_get(talk.id).await.unwrap().unwrap();
    assert_eq!((left.knowledge_id, left.feedback_score), (None, Some(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_while_others_point_at_it_is_a_fault_of_theirs_and_never_a_hole() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    for round in 0..20 {
        let id = domain(&repository, &format!("round {round}")).await;
        let draft = TaskDraft { title: "x".to_owned(), domain_id: Some(id.to_string()), ..TaskDraft::default() }
            .check()
            .unwrap();
        let known = KnowledgeDraft {
            content: "x".to_owned(),
            domain: Some(format!("round {round}")),
            ..KnowledgeDraft::default()
        };
        let (known, terms) = (known.check().unwrap(), free());
        let (removed, task, known) = tokio::join!(
            repository.domain_delete(id, None, None, &terms),
            repository.task_create(&draft, &terms),
            repository.knowledge_create(&known, "api", &terms),
        );
        assert!(known.is_ok(), "a domain that is named is there or made anew: {known:?}");
        match (removed, task) {
            (Ok(Some(_)), Err(Error::Dangling(faults))) => assert_eq!(faults.as_slice()[0].pointer, "/domain_id"),
            (Err(Error::InUse(_)), Ok(_) | Err(Error::Dangling(_))) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn domains_that_are_moved_into_each_other_at_once_lose_nothing() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    for round in 0..10 {
        let one = domain(&repository, &format!("one {round}")).await;
        let two = domain(&repository, &format!("two {round}")).await;
        for id in [one, two] {
            let draft = TaskDraft { title: "x".to_owned(), domain_id: Some(id.to_string()), ..TaskDraft::default() };
            repository.task_create(&draft.check().unwrap(), &free()).await.unwrap();
        }
        let terms = free();
        let (there, back) = tokio::join!(
            repository.domain_delete(one, Some(two), None, &terms),
            repository.domain_delete(two, Some(one), None, &terms),
        );
        let done = [&there, &back].iter().filter(|moved| matches!(moved, Ok(Some(_)))).count();
        assert_eq!(done, 1, "{there:?} {back:?}");
        let left = [one, two].map(|id| repository.domain_get(id));
        let left = futures_util::future::join_all(left).await;
        let tasks: Vec<i64> = left.into_iter().filter_map(|domain| domain.unwrap().map(|it| it.tasks)).collect();
        assert_eq!(tasks, [2]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn experts_who_take_over_from_each_other_at_once_lose_no_task() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    for _ in 0..10 {
        let mut ids = Vec::new();
        for name in ["one", "two"] {
            let draft = ExpertDraft { name: name.to_owned(), ..ExpertDraft::default() };
            let id = repository.expert_create(&draft.check().unwrap(), &free()).await.unwrap().0.id;
            let assignee_id = Some(id.to_string());
            let draft = TaskDraft { title: "x".to_owned(), assignee_id, ..TaskDraft::default() };
            repository.task_create(&draft.check().unwrap(), &free()).await.unwrap();
            ids.push(id);
        }
        let terms = free();
        let (there, back) = tokio::join!(
            repository.expert_delete(ids[0], Some(ids[1]), None, &terms),
            repository.expert_delete(ids[1], Some(ids[0]), None, &terms),
        );
        let done = [&there, &back].iter().filter(|moved| matches!(moved, Ok(Some(_)))).count();
        assert_eq!(done, 1, "{there:?} {back:?}");
    }
    let sql = "SELECT count(*) FROM tasks t JOIN experts e ON e.id = t.assignee_id";
    assert_eq!(db.client().await.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_is_moved_while_its_experts_and_tasks_change_and_nobody_has_to_give_way() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let (old, new) = (domain(&repository, "first").await, domain(&repository, "other").await);
    let draft = ExpertDraft { name: "x".to_owned(), domain_ids: vec![old.to_string()], ..ExpertDraft::default() };
    let expert = repository.expert_create(&draft.check().unwrap(), &free()).await.unwrap().0.id;
    let (domain_id, assignee_id) = (Some(old.to_string()), Some(expert.to_string()));
    let draft = TaskDraft { title: "x".to_owned(), domain_id, assignee_id, ..TaskDraft::default() };
    let task = repository.task_create(&draft.check().unwrap(), &free()).await.unwrap().0.id;
    let mut present = old;
    for round in 0..20 {
        let heir = domain(&repository, &format!("heir {round}")).await;
        let known = if round % 2 == 0 { vec![] } else { vec![new.to_string()] };
        let edit = ExpertEdit { domain_ids: Some(known), ..ExpertEdit::default() }.check().unwrap();
        let title = TaskEdit {
            title: Some(format!("x {round}")),
            assignee_id: Some(Some(expert.to_string())),
            domain_id: Some(Some(heir.to_string())),
            ..TaskEdit::default()
        };
        let (title, terms) = (title.check().unwrap(), free());
        let (moved, edited, titled) = tokio::join!(
            repository.domain_delete(present, Some(heir), None, &terms),
            repository.expert_update(expert, &edit, None, &terms),
            repository.task_update(task, &title, None, &terms),
        );
        assert!(moved.unwrap().is_some());
        assert!(edited.unwrap().is_some() && titled.unwrap().is_some());
        let again = ExpertEdit { domain_ids: Some(vec![heir.to_string()]), ..ExpertEdit::default() };
        repository.expert_update(expert, &again.check().unwrap(), None, &terms).await.unwrap();
        present = heir;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_take_away_while_a_domain_goes_stays_where_they_put_it() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let (other, watcher) = (db.client().await, db.client().await);
    let [to, elsewhere] = [domain(&repository, "to").await, domain(&repository, "elsewhere").await];
    let draft = TaskDraft { title: "x".to_owned(), ..TaskDraft::default() };
    let task = repository.task_create(&draft.check().unwrap(), &free()).await.unwrap().0.id;
    let draft = ExpertDraft { name: "x".to_owned(), ..ExpertDraft::default() };
    let expert = repository.expert_create(&draft.check().unwrap(), &free()).await.unwrap().0.id;
    for (name, put, take) in [
        ("of a task", "UPDATE tasks SET domain_id = FROM", "UPDATE tasks SET domain_id = ELSEWHERE"),
        (
            "of an expert",
            "INSERT INTO expert_domains SELECT id, FROM FROM experts",
            "UPDATE experts SET version = version + 1; UPDATE expert_domains SET domain_id = ELSEWHERE",
        ),
    ] {
        let from = domain(&repository, name).await;
        let named =
            |sql: &str| sql.replacen("FROM", &format!("'{from}'"), 1).replace("ELSEWHERE", &format!("'{elsewhere}'"));
        other.batch_execute(&named(put)).await.unwrap();
        other.batch_execute(&format!("BEGIN; {}", named(take))).await.unwrap();
        let terms = free();
        let waiting = async {
            until_one_waits(&watcher).await;
            other.batch_execute("COMMIT").await.unwrap();
        };
        let (deleted, ()) = tokio::join!(repository.domain_delete(from, Some(to), None, &terms), waiting);
        assert!(deleted.unwrap().is_some());
    }
    assert_eq!(repository.task_get(task).await.unwrap().unwrap().domain_id, Some(elsewhere));
    let domains = repository.expert_get(expert).await.unwrap().unwrap().domains;
    assert_eq!(domains.iter().map(|domain| domain.id).collect::<Vec<_>>(), [elsewhere]);
}

#[tokio::test(flavor = "multi_thread")]
async fn knowledge_that_moves_is_locked_in_the_order_of_ids_however_old_it_is() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let (other, watcher) = (db.client().await, db.client().await);
    let [from, to] = [domain(&repository, "from").await, domain(&repository, "to").await];
    let items = format!(
        "INSERT INTO knowledge (id, content, content_hash, domain_id, created_at)
         SELECT ('00000000-0000-7000-8000-00000000000' || n)::uuid, n, n::text::bytea, '{from}', now() - n * interval '1 day'
         FROM generate_series(1, 2) AS n"
    );
    other.batch_execute(&items).await.unwrap();
    let lock = |number: u8| {
        format!("SELECT FROM knowledge WHERE id = '00000000-0000-7000-8000-00000000000{number}' FOR UPDATE")
    };
    other.batch_execute(&format!("BEGIN; {}", lock(1))).await.unwrap();
    let terms = free();
    let waiting = async {
        until_one_waits(&watcher).await;
        other.batch_execute(&format!("{} NOWAIT; COMMIT", lock(2))).await
    };
    let (deleted, locked) = tokio::join!(repository.domain_delete(from, Some(to), None, &terms), waiting);
    locked.expect("who waits for the first holds nothing of what comes after it");
    assert!(deleted.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_of_more_than_one_piece_moves_whole() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let [from, to] = [domain(&repository, "a").await, domain(&repository, "b").await];
    let many = format!(
        "INSERT INTO knowledge (content, content_hash, domain_id) SELECT n, n::text::bytea, '{from}' FROM generate_series(1, 250) AS n;
         INSERT INTO tasks (title, domain_id) SELECT n, '{from}' FROM generate_series(1, 1200) AS n"
    );
    db.client().await.batch_execute(&many).await.unwrap();
    assert!(repository.domain_delete(from, Some(to), Some(1), &free()).await.unwrap().is_some());
    let moved = repository.domain_get(to).await.unwrap().unwrap();
    assert_eq!((moved.knowledge, moved.tasks), (250, 1_200));
    assert!(repository.domain_get(from).await.unwrap().is_none());
    let count = "SELECT (SELECT count(*) FROM events) - 3, (SELECT count(*) FROM knowledge_history WHERE version = 2)";
    let row = db.client().await.query_one(count, &[]).await.unwrap();
    assert_eq!(
        (row.get::<_, i64>(0), row.get::<_, i64>(1)),
        (1_450, 250),
        "each has its event, and knowledge its history"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_names_a_domain_without_a_pause_does_not_keep_what_is_in_it_from_moving() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let other = db.client().await;
    let [from, to] = [domain(&repository, "a").await, domain(&repository, "b").await];
    let items = |numbers: &str| {
        format!(
            "INSERT INTO knowledge (content, content_hash, domain_id)
             SELECT n, n::text::bytea, '{from}' FROM generate_series({numbers}) AS n"
        )
    };
    other.batch_execute(&items("1, 250")).await.unwrap();
    other.batch_execute(&format!("BEGIN; SELECT FROM domains WHERE id = '{from}' FOR KEY SHARE")).await.unwrap();
    let held = repository.domain_delete(from, Some(to), None, &free()).await;
    assert!(matches!(held, Err(Error::Held)), "{held:?}");
    let [left, moved] = [from, to].map(|id| repository.domain_get(id));
    assert_eq!((left.await.unwrap().unwrap().knowledge, moved.await.unwrap().unwrap().knowledge), (0, 250));
    other.batch_execute(&format!("{}; COMMIT", items("251, 252"))).await.unwrap();
    assert!(repository.domain_delete(from, Some(to), None, &free()).await.unwrap().is_some());
    assert_eq!(repository.domain_get(to).await.unwrap().unwrap().knowledge, 252, "the same request goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_does_not_wait_for_ever_for_another() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let other = db.client().await;
    let [from, to] = [domain(&repository, "a").await, domain(&repository, "b").await];
    other.batch_execute(&format!("SELECT pg_advisory_lock(hashtextextended('move {from}', 0))")).await.unwrap();
    let held = repository.domain_delete(from, Some(to), None, &free()).await;
    assert!(matches!(held, Err(Error::Held)), "{held:?}");
    other.batch_execute("SELECT pg_advisory_unlock_all()").await.unwrap();
    assert!(repository.domain_delete(from, Some(to), None, &free()).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_moves_in_opposite_directions_one_comes_to_its_end() {
    let db = TestDb::new().await;
    let repository = repository(&db).await;
    let [a, b] = [domain(&repository, "a").await, domain(&repository, "b").await];
    let many = format!(
        "INSERT INTO knowledge (content, content_hash, domain_id)
         SELECT n, n::text::bytea, CASE WHEN n % 2 = 0 THEN '{a}'::uuid ELSE '{b}' END FROM generate_series(1, 500) AS n"
    );
    db.client().await.batch_execute(&many).await.unwrap();
    let terms = free();
    let (there, back) = tokio::join!(
        repository.domain_delete(a, Some(b), None, &terms),
        repository.domain_delete(b, Some(a), None, &terms)
    );
    let (moved, refused) = if there.is_ok() { (there, back) } else { (back, there) };
    assert!(moved.unwrap().is_some());
    assert!(matches!(refused, Err(Error::Dangling(_))), "{refused:?}");
    let count = "SELECT (SELECT count(*) FROM domains), (SELECT count(*) FROM knowledge_history)";
    let row = db.client().await.query_one(count, &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (1, 250), "each item was moved once at the most");
}
