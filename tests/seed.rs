//! The commands of the README, as they stand there, against a service with the settings they assume.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::world::World;

/// The README's commands, led to this port.
fn commands(port: u16) -> Vec<String> {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let block = readme.split("```bash\n").nth(1).unwrap().split("```").next().unwrap();
    block
        .replace("localhost:8002", &format!("127.0.0.1:{port}"))
        .split("\n\n")
        .map(|command| command.trim().to_owned())
        .collect()
}

#[tokio::test]
async fn the_commands_of_the_readme_work_as_they_stand() {
    let world = World::new();
    let _server = world.serve();
    let mut answers = Vec::new();
    for command in commands(world.port) {
        let output =
            Command::new("bash").args(["-c", &format!("{command} --silent --fail-with-body")]).output().unwrap();
        let answer = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{command}\n{answer}");
        answers.push(serde_json::from_str::<Value>(&answer).unwrap());
    }
    let [knowledge, webhook, search] = answers.as_slice() else { panic!("three commands: {answers:?}") };
    assert_eq!(knowledge["domain"], "python");
    assert_eq!(webhook["webhook_type"], "slack");
    assert_eq!(search["results"][0]["id"], knowledge["id"], "{search}");
}
