//! The language in use, which components find in their context.

use leptos::prelude::*;

use super::browser;
use crate::text::{Lang, Words};

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

/// Stores the choice for the next visit.
pub(super) fn remember(lang: Lang) {
    browser::store(STORED_AS, lang.tag());
}
