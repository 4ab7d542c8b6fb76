//! Migrations go up, down and up again, and the compiled schema is what they make.

use std::collections::BTreeMap;

use kos_repository::{migrate, revert};
use kos_test_support::TestDb;
use tokio_postgres::Client;

/// Every table, column, type, default, constraint, index and function, as text.
const SHAPE: &str = "
SELECT concat_ws(' ', 'column', table_name, column_name, udt_name, is_nullable, column_default) FROM information_schema.columns
WHERE table_schema = 'public'
UNION ALL SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL SELECT concat_ws(' ', 'sequence', sequencename) FROM pg_sequences WHERE schemaname = 'public'
ORDER BY 1";

async fn shape(client: &Client) -> Vec<String> {
    let rows = client.query(SHAPE, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).filter(|line: &String| !line.contains("__diesel_schema_migrations")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn up_down_and_up_again_leave_the_same_tables() {
    let db = TestDb::empty().await;
    let client = db.client().await;
    assert!(!migrate(db.url()).await.unwrap().is_empty());
    let first = shape(&client).await;
    revert(db.url()).await.unwrap();
    assert_eq!(shape(&client).await, Vec::<String>::new());
    migrate(db.url()).await.unwrap();
    assert_eq!(shape(&client).await, first);
    assert!(migrate(db.url()).await.unwrap().is_empty(), "nothing is left to do");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_migrate_at_the_same_time_take_turns() {
    let db = TestDb::empty().await;
    // Tasks of their own: a migration blocks its thread, and would block the others within one task.
    let servers: Vec<_> =
        (0..3).map(|_| db.url().to_owned()).map(|url| tokio::spawn(async move { migrate(&url).await })).collect();
    let mut applied = Vec::new();
    for server in servers {
        applied.push(server.await.unwrap().unwrap().len());
    }
    assert_eq!(applied.iter().filter(|applied| **applied > 0).count(), 1, "{applied:?}");
}

/// `schema.rs`, read as text: table, column, type.
fn compiled() -> BTreeMap<(String, String), String> {
    let mut columns = BTreeMap::new();
    let mut table = String::new();
    let lines = include_str!("../../src/schema.rs").lines().map(str::trim);
    for line in lines.filter(|line| !line.contains("!(")) {
        if let Some((name, _)) = line.split_once(" (").filter(|_| line.ends_with('{')) {
            name.clone_into(&mut table);
        } else if let Some((column, kind)) = line.split_once(" -> ") {
            columns.insert((table.clone(), column.to_owned()), kind.trim_end_matches(',').to_owned());
        }
    }
    columns
}

#[tokio::test(flavor = "multi_thread")]
async fn the_compiled_schema_is_what_the_migrations_make() {
    let db = TestDb::new().await;
    let rows = db
        .client()
        .await
        .query(
            "SELECT table_name::text, column_name::text, udt_name::text, is_nullable::text FROM information_schema.columns
             WHERE table_schema = 'public' AND table_name <> '__diesel_schema_migrations' AND udt_name <> 'xid8'
               AND NOT (SELECT relispartition FROM pg_class WHERE oid = to_regclass(table_name))
               AND (table_name, column_name) NOT IN (('knowledge', 'search'), ('knowledge', 'has_lost_places'))",
            &[],
        )
        .await
        .unwrap();
    let kind = |udt: &str, nullable: bool| {
        let kind = match udt {
            "uuid" => "Uuid",
            "text" => "Text",
            "_text" => "Array<Text>",
            "_float4" => "Array<Float>",
            "bool" => "Bool",
            "int4" => "Integer",
            "int8" => "BigInt",
            "float8" => "Double",
            "bytea" => "Bytea",
            "json" => "Json",
            "jsonb" => "Jsonb",
            "int2" => "SmallInt",
            "date" => "Date",
            "timestamptz" => "Timestamptz",
            other => panic!("schema.rs has no name for {other}"),
        };
        if nullable { format!("Nullable<{kind}>") } else { kind.to_owned() }
    };
    let stored: BTreeMap<_, _> =
        rows.iter().map(|row| ((row.get(0), row.get(1)), kind(row.get(2), row.get::<_, String>(3) == "YES"))).collect();
    let compiled = compiled();
    let only_in = |a: &BTreeMap<_, String>, b: &BTreeMap<_, String>| -> Vec<_> {
        a.iter().filter(|(column, kind)| b.get(*column) != Some(*kind)).map(|entry| format!("{entry:?}")).collect()
    };
    assert_eq!(only_in(&compiled, &stored), only_in(&stored, &compiled));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_index_says_what_every_statement_says() {
    let db = TestDb::new().await;
    let rows = db
        .client()
        .await
        .query(
            "SELECT indexname::text FROM pg_indexes
             WHERE tablename = 'knowledge' AND indexdef LIKE '%WHERE (deleted_at IS NULL)'",
            &[],
        )
        .await
        .unwrap();
    let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert!(names.is_empty(), "before the first ANALYZE they make every search twice as slow: {names:?}");
}
