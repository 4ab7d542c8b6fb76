//! The examples that need nobody's account.

use kos_test_support::process::run;

use crate::world::{complained, said};

#[test]
fn send_event_reaches_its_own_receiver_on_every_platform() {
    let output = run("examples/send_event", &[], &[]);
    assert!(output.status.success(), "{}", complained(&output));
    let said = said(&output);
    for platform in ["slack", "discord", "telegram", "custom"] {
        assert!(said.contains(&format!("{platform}: delivered in ")), "{said}");
    }
    for shown in ["│ 📚 Новое знание", "│ ID знания: uuid-123", "\"knowledge_id\": \"uuid-123\""]
    {
        assert!(said.contains(shown), "{said}");
    }
}

#[test]
fn embed_webhooks_tries_again_until_its_receiver_is_well() {
    let output = run("examples/embed_webhooks", &[], &[]);
    assert!(output.status.success(), "{}", complained(&output));
    assert!(said(&output).contains("delivered"), "{}", said(&output));
}
