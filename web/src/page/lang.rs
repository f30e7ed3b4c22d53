//! The language in use, which components find in their context.

use gloo_net::http::Request;
use leptos::prelude::*;

use super::browser;
use crate::protocol::Problem;
use crate::text::{FRENCH_FILE, Lang, Words, install_french};

/// The key of the stored choice.
const STORED_AS: &str = "medical-vdm-lang";

/// The texts of the language in use. Call it while a component is made: it is made again when the language
/// changes.
pub(super) fn words() -> &'static Words {
    use_context::<RwSignal<Lang>>().map(|lang| lang.get_untracked()).unwrap_or_default().words()
}

/// The first language: that of the address, of the last visit, or of the browser.
pub(super) fn preferred(of_address: Option<Lang>) -> Lang {
    let stored = || Lang::from_tag(&browser::stored(STORED_AS)?);
    let spoken = || window().navigator().languages().iter().find_map(|tag| Lang::from_tag(&tag.as_string()?));
    of_address.or_else(stored).or_else(spoken).unwrap_or_default()
}

/// Fetches the texts of the language where they are not part of the program.
///
/// # Errors
///
/// [`Problem::Network`] where the file cannot be fetched or is not this version's.
pub(super) async fn load(lang: Lang) -> Result<(), Problem> {
    if lang.words().lang == lang {
        return Ok(());
    }
    let refuse = |detail: String| Problem::Network { file: FRENCH_FILE.to_owned(), detail };
    let response = Request::get(FRENCH_FILE).send().await.map_err(|error| refuse(error.to_string()))?;
    let text = response.text().await.map_err(|error| refuse(error.to_string()))?;
    let installed = response.ok() && install_french(text);
    installed.then_some(()).ok_or_else(|| refuse(format!("HTTP {}", response.status())))
}

/// Stores the choice for the next visit.
pub(super) fn remember(lang: Lang) {
    browser::store(STORED_AS, lang.tag());
}
