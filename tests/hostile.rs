//! Receivers that mean harm: they get a place for as long as an attempt may take, and nothing else.

use std::fs;

use kos_test_support::Process;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Duration, sleep};

use crate::world::World;

/// How long an attempt may take, in seconds; the shortest there is.
const DEADLINE: u64 = 5;
/// Messages at the same time for each of them: as many as one webhook has places.
const EACH: usize = 10;
/// What the server may need for all of them together, in KiB.
const MEMORY: u64 = 32 * 1024;

/// What is done to the caller, by the path that it calls.
const HARMS: [&str; 10] = [
    "silence",
    "a_byte_a_second_of_the_head",
    "a_byte_a_second_of_the_body",
    "endless_body",
    "endless_chunks",
    "a_million_headers",
    "gzip_bomb",
    "reset",
    "redirect_inside",
    "late",
];

struct Villain {
    port: u16,
    /// What a redirect leads to: nobody may come here.
    inside: TcpListener,
}

impl Villain {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inside = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, inside_port) = (listener.local_addr().unwrap().port(), inside.local_addr().unwrap().port());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // The caller hangs up in the middle; that is the point.
                tokio::spawn(async move { harm(stream, inside_port).await.unwrap_or_default() });
            }
        });
        Self { port, inside }
    }

    fn url(&self, harm: &str) -> String {
        let scheme = if harm == "plain_text_for_tls" { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}/{harm}", self.port)
    }
}

async fn harm(mut stream: TcpStream, inside: u16) -> std::io::Result<()> {
    let mut start = vec![0; 16 * 1024];
    let read = stream.read(&mut start).await?;
    let request = String::from_utf8_lossy(&start[..read]).into_owned();
    let harm = request.split(['/', ' ']).nth(2).unwrap_or_default();
    match harm {
        "silence" => sleep(Duration::from_secs(3600)).await,
        "a_byte_a_second_of_the_head" => trickle(&mut stream, b"HTTP/1.1 200 OK\r\n").await?,
        "a_byte_a_second_of_the_body" => {
            stream.write_all(b"HTTP/1.1 500 X\r\ncontent-length: 1000\r\n\r\n").await?;
            trickle(&mut stream, &[b'x'; 1000]).await?;
        }
        "endless_body" => {
            stream.write_all(b"HTTP/1.1 500 X\r\n\r\n").await?;
            forever(&mut stream, &[b'x'; 65_536]).await?;
        }
        "endless_chunks" => {
            stream.write_all(b"HTTP/1.1 500 X\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            forever(&mut stream, b"1\r\nx\r\n").await?;
        }
        "a_million_headers" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
            forever(&mut stream, &b"x-header: and another one\r\n".repeat(1000)).await?;
        }
        "gzip_bomb" => {
            // A thousand bytes of this are a megabyte, for those who unpack them.
            stream.write_all(b"HTTP/1.1 500 X\r\ncontent-encoding: gzip\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\0\x03").await?;
            forever(&mut stream, &[0; 65_536]).await?;
        }
        "reset" => stream.set_zero_linger()?,
        "redirect_inside" => {
            let to = format!(
                "HTTP/1.1 307 X\r\nlocation: http://127.0.0.1:{inside}/latest/meta-data\r\ncontent-length: 0\r\n\r\n"
            );
            stream.write_all(to.as_bytes()).await?;
        }
        "late" => {
            sleep(Duration::from_secs(DEADLINE - 1)).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
        }
        // The start of TLS, answered in plain text.
        _ => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?,
    }
    Ok(())
}

async fn trickle(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    for byte in bytes {
        stream.write_all(&[*byte]).await?;
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

async fn forever(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    loop {
        stream.write_all(bytes).await?;
    }
}

/// The most memory that a process has had so far, in KiB.
fn peak_memory(process: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_that_mean_harm_hold_a_place_no_longer_than_an_attempt_and_take_no_memory() {
    let villain = Villain::start().await;
    let world = World::new();
    let server = world.serve();
    let client = world.client();
    let mut webhooks = Vec::new();
    for harm in HARMS.into_iter().chain(["plain_text_for_tls"]) {
        let webhook = json!({"webhook_type": "custom", "url": villain.url(harm), "name": harm, "events": ["x"],
                             "policy": {"timeout_seconds": DEADLINE, "retry_schedule": []}});
        let (status, created) = client.post("/webhooks", &webhook).await;
        assert_eq!(status, 201, "{created}");
        webhooks.push((harm, created["id"].as_str().unwrap().to_owned()));
    }
    let before = peak_memory(&server);
    let events: Vec<Value> =
        (0..EACH).map(|number| json!({"event_type": "x", "payload": {"number": number}})).collect();
    assert_eq!(client.post("/events/batch", &json!({ "events": events })).await.0, 202);
    world.settled().await;
    let more = peak_memory(&server) - before;
    println!("{} attempts at once needed {more} KiB", webhooks.len() * EACH);
    assert!(more <= MEMORY, "{more} KiB");

    for (harm, webhook) in webhooks {
        let logs = client.get(&format!("/webhooks/{webhook}/logs")).await.1;
        let logs = logs["data"].as_array().unwrap();
        assert_eq!(logs.len(), EACH, "{harm}: one attempt each");
        for log in logs {
            assert_eq!(log["success"] == true, harm == "late", "{harm}: {log}");
            assert!(log["duration_ms"].as_u64().unwrap() <= (DEADLINE + 1) * 1000, "{harm}: {log}");
        }
    }
    let nobody = tokio::time::timeout(Duration::ZERO, villain.inside.accept()).await;
    assert!(nobody.is_err(), "no redirect was followed");
    assert!(server.terminate().0.success());
}
