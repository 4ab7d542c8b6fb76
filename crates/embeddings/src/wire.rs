//! What goes over the wire.

use reqwest::{RequestBuilder, Response, StatusCode};
use serde::{Deserialize, Serialize};

/// Most bytes of an answer: a batch of large vectors, written as decimals, is a few MiB.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
const TOO_LONG: &str = "it is longer than 16 MiB";
/// Most numbers in a vector.
const MAX_DIMENSION: usize = 16_384;

/// Why there are no vectors. The text holds neither the address nor a secret.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No answer came.
    #[error("the provider cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// It cannot answer now, or does not let us in.
    #[error("the provider answers with status {0}")]
    Status(u16),
    /// These texts it will never take.
    #[error("the provider refuses the texts with status {0}")]
    Texts(u16),
    /// What it answers are no vectors for these texts.
    #[error("the provider's answer cannot be used: {0}")]
    Answer(&'static str),
}

impl Refusal {
    /// Whether the provider says that it will not take these texts.
    #[must_use]
    pub const fn is_about_texts(&self) -> bool {
        matches!(self, Self::Texts(_))
    }

    /// Whether the texts may be to blame, so that others may fare better: some break the provider, which then answers
    /// that it failed, or what cannot be used, or nothing.
    #[must_use]
    pub fn may_be_about_texts(&self) -> bool {
        match self {
            Self::Texts(_) | Self::Answer(_) => true,
            Self::Status(status) => matches!(status, 500 | 502 | 504),
            Self::Unreachable(error) => !error.is_connect(),
        }
    }

    /// Whether it was too much at once: the time was over, or the answer grew too long.
    #[must_use]
    pub fn is_about_size(&self) -> bool {
        match self {
            Self::Unreachable(error) => error.is_timeout(),
            Self::Answer(fault) => *fault == TOO_LONG,
            Self::Status(_) | Self::Texts(_) => false,
        }
    }
}

#[derive(Serialize)]
pub(crate) struct Request<'a> {
    pub(crate) model: &'a str,
    pub(crate) input: &'a [String],
    pub(crate) encoding_format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) input_type: Option<&'static str>,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Embedded>,
}

#[derive(Deserialize)]
struct Embedded {
    index: usize,
    embedding: Vec<f32>,
}

/// Sends the request; the vectors of so many texts, in their order.
pub(crate) async fn read(request: RequestBuilder, texts: usize) -> Result<Vec<Vec<f32>>, Refusal> {
    let response = request.send().await.map_err(unreachable)?;
    match response.status() {
        StatusCode::OK => {}
        status @ (StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY) => {
            return Err(Refusal::Texts(status.as_u16()));
        }
        status => return Err(Refusal::Status(status.as_u16())),
    }
    let bytes = whole(response).await?;
    let answer: Answer =
        serde_json::from_slice(&bytes).map_err(|_error| Refusal::Answer("it is no list of vectors"))?;
    vectors(answer, texts)
}

async fn whole(mut response: Response) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if bytes.len() + chunk.len() > MAX_ANSWER {
            return Err(Refusal::Answer(TOO_LONG));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// An address may hold a key.
fn unreachable(error: reqwest::Error) -> Refusal {
    Refusal::Unreachable(error.without_url())
}

fn vectors(answer: Answer, texts: usize) -> Result<Vec<Vec<f32>>, Refusal> {
    let mut data = answer.data;
    data.sort_by_key(|embedded| embedded.index);
    if data.len() != texts || data.iter().enumerate().any(|(place, embedded)| embedded.index != place) {
        return Err(Refusal::Answer("it has not one vector for each text"));
    }
    let dimension = data.first().map_or(0, |embedded| embedded.embedding.len());
    if dimension == 0 || dimension > MAX_DIMENSION {
        return Err(Refusal::Answer("its vectors are empty or too long"));
    }
    if data.iter().any(|embedded| embedded.embedding.len() != dimension) {
        return Err(Refusal::Answer("its vectors differ in length"));
    }
    let of_length_one = data.into_iter().map(|embedded| normalised(embedded.embedding)).collect::<Option<_>>();
    of_length_one.ok_or(Refusal::Answer("a vector points nowhere"))
}

fn normalised(mut vector: Vec<f32>) -> Option<Vec<f32>> {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if !length.is_normal() {
        return None;
    }
    vector.iter_mut().for_each(|value| *value /= length);
    Some(vector)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(answer: &str, texts: usize) -> Result<Vec<Vec<f32>>, String> {
        vectors(serde_json::from_str(answer).unwrap(), texts).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn vectors_come_in_the_order_of_their_texts_and_of_length_one() {
        let answer = r#"{"data": [{"index": 1, "embedding": [0, 2]}, {"index": 0, "embedding": [3, 4]}]}"#;
        assert_eq!(read(answer, 2).unwrap(), [vec![0.6, 0.8], vec![0.0, 1.0]]);
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        for (answer, part) in [
            (r#"{"data": []}"#, "one vector for each"),
            (r#"{"data": [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1]}]}"#, "one vector for each"),
            (r#"{"data": [{"index": 0, "embedding": []}, {"index": 1, "embedding": []}]}"#, "empty"),
            (r#"{"data": [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [1, 2]}]}"#, "differ"),
            (r#"{"data": [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [0]}]}"#, "nowhere"),
            (r#"{"data": [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": [3e38]}]}"#, "nowhere"),
        ] {
            let refusal = read(answer, 2).unwrap_err();
            assert!(refusal.contains(part), "{answer}: {refusal}");
        }
    }
}
