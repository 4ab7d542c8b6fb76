//! Where the search gets vectors from, if it does.

use clap::Args;
use secrecy::SecretString;
use url::Url;

use super::{Faults, url};

/// Where the search gets vectors from.
#[derive(Args, Clone, Debug)]
pub struct EmbeddingArgs {
    /// The embeddings endpoint to search by meaning with, as OpenAI's: http://127.0.0.1:8000/v1/embeddings; off without
    #[arg(long, env = "EMBEDDINGS_URL", hide_env_values = true)]
    embeddings_url: Option<String>,
    /// The model's name; another one has every text embedded anew
    #[arg(long, env = "EMBEDDINGS_MODEL")]
    embeddings_model: Option<String>,
    /// The key that the endpoint wants as a bearer token
    #[arg(long, env = "EMBEDDINGS_API_KEY", hide_env_values = true)]
    embeddings_api_key: Option<String>,
    /// What the model wants before a query, such as "query: "
    #[arg(long, env = "EMBEDDINGS_QUERY_PREFIX", default_value = "")]
    embeddings_query_prefix: String,
    /// What the model wants before a text, such as "passage: "
    #[arg(long, env = "EMBEDDINGS_PASSAGE_PREFIX", default_value = "")]
    embeddings_passage_prefix: String,
    /// Whether the endpoint is told query or passage as input_type: true or false
    #[arg(long, env = "EMBEDDINGS_INPUT_TYPE", default_value = "false")]
    embeddings_input_type: String,
}

/// Where the search gets vectors from, understood.
#[derive(Clone, Debug)]
pub struct Embeddings {
    /// The whole address of the endpoint.
    pub url: Url,
    /// The model's name.
    pub model: String,
    /// The endpoint's key.
    pub api_key: Option<SecretString>,
    /// What is put before a query.
    pub query_prefix: String,
    /// What is put before a text.
    pub passage_prefix: String,
    /// Whether `input_type` is sent.
    pub input_type: bool,
}

impl EmbeddingArgs {
    /// Understands these settings, or notes what is wrong with them. Without an address there are none.
    pub fn check(self, faults: &mut Faults) -> Option<Option<Embeddings>> {
        let address = faults.take("EMBEDDINGS_URL", endpoint(self.embeddings_url));
        let model = self.embeddings_model.filter(|model| !model.trim().is_empty());
        let model = match (&address, model) {
            (Some(Some(_)), None) => Err("is needed with EMBEDDINGS_URL"),
            (_, model) => Ok(model.unwrap_or_default()),
        };
        let model = faults.take("EMBEDDINGS_MODEL", model);
        let api_key = self.embeddings_api_key.filter(|key| !key.is_empty());
        let is_sendable = api_key.as_ref().is_none_or(|key| key.bytes().all(|byte| byte.is_ascii_graphic()));
        let key = is_sendable.then_some(api_key).ok_or("must be printable ASCII without spaces");
        let key = faults.take("EMBEDDINGS_API_KEY", key);
        let input_type = self.embeddings_input_type.parse().map_err(|_error| "must be true or false");
        let input_type = faults.take("EMBEDDINGS_INPUT_TYPE", input_type);
        let (address, model, key, input_type) = (address?, model?, key?, input_type?);
        Some(address.map(|url| Embeddings {
            url,
            model,
            api_key: key.map(SecretString::from),
            query_prefix: self.embeddings_query_prefix,
            passage_prefix: self.embeddings_passage_prefix,
            input_type,
        }))
    }
}

fn endpoint(text: Option<String>) -> Result<Option<Url>, &'static str> {
    match url(text).map_err(|_error| "must be an address such as http://127.0.0.1:8000/v1/embeddings")? {
        Some(url) if !url.username().is_empty() || url.password().is_some() => {
            Err("must hold neither a user name nor a password: EMBEDDINGS_API_KEY is for keys")
        }
        other => Ok(other),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        embeddings: EmbeddingArgs,
    }

    fn check(args: &[&str]) -> Result<Option<Embeddings>, String> {
        let program = Program::parse_from(["x"].iter().chain(args));
        let mut faults = Faults::default();
        let embeddings = program.embeddings.check(&mut faults);
        faults.finish().map_err(|faults| faults.to_string())?;
        Ok(embeddings.unwrap())
    }

    #[test]
    fn without_an_address_there_are_no_embeddings_whatever_else_is_set() {
        assert!(check(&[]).unwrap().is_none());
        assert!(check(&["--embeddings-url=", "--embeddings-model=m"]).unwrap().is_none());
    }

    #[test]
    fn an_address_needs_a_model_and_holds_no_password() {
        let url = "--embeddings-url=http://127.0.0.1:1/v1/embeddings?version=2";
        assert!(check(&[url]).unwrap_err().contains("EMBEDDINGS_MODEL"));
        let found = check(&[url, "--embeddings-model=m", "--embeddings-query-prefix=query: "]).unwrap().unwrap();
        assert_eq!((found.query_prefix.as_str(), found.input_type), ("query: ", false));
        for (args, name) in [
            (["--embeddings-url=http://u:p@example.org/", "--embeddings-model=m"], "EMBEDDINGS_URL"),
            (["--embeddings-url=ftp://example.org/", "--embeddings-model=m"], "EMBEDDINGS_URL"),
            (["--embeddings-api-key=a b", "--embeddings-model=m"], "EMBEDDINGS_API_KEY"),
            (["--embeddings-input-type=maybe", "--embeddings-model=m"], "EMBEDDINGS_INPUT_TYPE"),
        ] {
            let faults = check(&args).unwrap_err();
            assert!(faults.contains(name), "{faults}");
        }
    }
}
