//! Where the platforms' servers are, and the server-wide Telegram bot. Knows nothing of the
//! environment these settings come from.

use secrecy::SecretString;
use url::Url;

/// Settings shared by all destinations of a platform. The default is the platforms' own servers and
/// no bot.
///
/// A base URL replaces the platform's origin (`https://hooks.slack.com`) whenever a message is sent;
/// its path, if it has one, is put before the platform's. Plain `http` works only inside the
/// addresses that [`EgressPolicy::allow`](crate::EgressPolicy) names.
#[derive(Clone, Debug, Default)]
pub struct Platforms {
    /// Instead of `https://hooks.slack.com`.
    pub slack_api_url: Option<Url>,
    /// Instead of `https://discord.com`.
    pub discord_api_url: Option<Url>,
    /// Instead of `https://api.telegram.org`: a Bot API server of one's own.
    pub telegram_api_url: Option<Url>,
    /// The bot of every Telegram destination that brings none.
    pub telegram_bot_token: Option<SecretString>,
    /// The chat of a Telegram destination that names none.
    pub telegram_chat_id: Option<String>,
}

/// `base` with `path` (which starts with a slash) after its own.
#[cfg(any(feature = "slack", feature = "discord", feature = "telegram"))]
pub(crate) fn under(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url.set_query(None);
    url.set_fragment(None);
    url
}

/// The path of `url` below `base`, when it lies there.
#[cfg(any(feature = "slack", feature = "discord"))]
pub(crate) fn path_below<'u>(url: &'u Url, base: &Url) -> Option<&'u str> {
    let inside = url.origin() == base.origin();
    let path = url.path().strip_prefix(base.path().trim_end_matches('/'))?;
    (inside && path.starts_with('/')).then_some(path)
}
