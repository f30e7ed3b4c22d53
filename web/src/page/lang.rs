//! The language in use, which components find in their context.

use leptos::prelude::*;

use super::browser;
use crate::text::{Lang, Words};

/// Where the choice is kept between visits.
const STORED_AS: &str = "medical-vdm-lang";

/// The words of the language in use. To be called while a component is made: it is made again when the language
/// changes.
pub(super) fn words() -> &'static Words {
    use_context::<RwSignal<Lang>>().map(|lang| lang.get_untracked()).unwrap_or_default().words()
}

/// The language to open with: the address's, else the one chosen before, else the browser's.
pub(super) fn preferred(asked: Option<Lang>) -> Lang {
    let stored = || Lang::from_tag(&browser::stored(STORED_AS)?);
    let spoken = || window().navigator().languages().iter().find_map(|tag| Lang::from_tag(&tag.as_string()?));
    asked.or_else(stored).or_else(spoken).unwrap_or_default()
}

/// Keeps the choice for the next visit.
pub(super) fn remember(lang: Lang) {
    browser::store(STORED_AS, lang.tag());
}
