//! The provider of vectors that the settings name, if they do.

use kos_boot::settings::Embeddings;
use kos_embeddings::{Provider, Settings};

use crate::Error;

/// A client of the provider; none where none is set.
///
/// # Errors
/// The system's certificates cannot be read.
pub fn embeddings(settings: Option<&Embeddings>) -> Result<Option<Provider>, Error> {
    let Some(settings) = settings.cloned() else { return Ok(None) };
    let provider = Provider::new(Settings {
        url: settings.url,
        model: settings.model,
        api_key: settings.api_key,
        query_prefix: settings.query_prefix,
        passage_prefix: settings.passage_prefix,
        input_type: settings.input_type,
    })?;
    Ok(Some(provider))
}
