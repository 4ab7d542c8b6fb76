//! Knowledge moves from one service to another as a file.

use std::fs;

use kos_test_support::TestDb;
use kos_test_support::process::run;
use serde_json::json;

use crate::world::{World, complained, said};

#[tokio::test(flavor = "multi_thread")]
async fn what_one_service_exports_another_imports_and_exports_again() {
    let (from, to) = (TestDb::new().await, TestDb::new().await);
    let here = World::new().with("DATABASE_URL", from.url());
    let there = World::new().with("DATABASE_URL", to.url());
    let server = here.serve();
    for number in 0..5 {
        let knowledge = json!({"content": format!("Знание {number}"), "domain": "d", "tags": ["t"]});
        assert_eq!(here.client().post("/knowledge", &knowledge).await.0, 201);
    }
    let (first, second) = (here.dir.path().join("first.ndjson"), there.dir.path().join("second.ndjson"));
    let (first, second) = (first.to_str().unwrap(), second.to_str().unwrap());
    let exported = run("api-server", &["export", first], &here.settings());
    assert!(complained(&exported).contains("5 items and 0 links exported"), "{}", complained(&exported));
    assert_eq!(run("api-server", &["export", "-"], &here.settings()).stdout, fs::read(first).unwrap());
    assert!(server.terminate().0.success());

    for told in ["5 imported, 0 updated, 0 there already, 0 failed", "0 imported, 0 updated, 5 there already, 0 failed"]
    {
        let imported = run("api-server", &["import", first], &there.settings());
        assert!(imported.status.success() && said(&imported).contains(told), "{}", said(&imported));
    }
    assert!(run("api-server", &["export", second], &there.settings()).status.success());
    assert_eq!(fs::read(first).unwrap(), fs::read(second).unwrap());

    fs::write(first, "{\"content\": \"good\"}\n{\"content\": 1}\n").unwrap();
    let half = run("api-server", &["import", first], &there.settings());
    assert!(!half.status.success() && said(&half).starts_with("1 imported"), "{}", said(&half));
    assert!(complained(&half).contains("line 2: content: must be a string"), "{}", complained(&half));
}
