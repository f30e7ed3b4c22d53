//! What the page shows beside the session: it outlives the components, so that neither another view nor another
//! language loses anything.

use leptos::prelude::*;

use super::views::learn::LearnState;
use crate::address::{Link, View};
use crate::session::Choice;
use crate::settings::{Field, Form};
use crate::text::Lang;

/// Signals that outlive the components.
#[derive(Clone, Copy)]
pub(super) struct PageState {
    /// The language.
    pub(super) lang: RwSignal<Lang>,
    /// The view.
    pub(super) view: RwSignal<View>,
    /// Whether the page runs by itself, for a stand.
    pub(super) kiosk: RwSignal<bool>,
    /// What to make.
    pub(super) form: RwSignal<Form>,
    /// Whether each image gets a seed of its own.
    pub(super) new_seed: RwSignal<bool>,
    /// The fields of the form that cannot be used.
    pub(super) wrong: RwSignal<Vec<Field>>,
    /// The image of several that time travel is at.
    pub(super) image: RwSignal<u32>,
    /// The moment that time travel asks for.
    pub(super) moment: RwSignal<u32>,
    /// The image that the page's address names, until it is made.
    pub(super) link: RwSignal<Option<Link>>,
    /// Weights to use as soon as nothing else runs.
    pub(super) waiting: RwSignal<Option<Choice>>,
    /// Whether files hover above the page.
    pub(super) dragging: RwSignal<bool>,
    /// Whether a newer version of the site is there.
    pub(super) update: RwSignal<bool>,
    /// What else may explain a fault, for diagnostics.
    pub(super) remarks: RwSignal<Vec<String>>,
    /// What the five views that one learns from keep.
    pub(super) learn: LearnState,
}

impl PageState {
    /// The page as it opens.
    pub(super) fn new(lang: Lang, view: View, kiosk: bool, link: Option<Link>) -> Self {
        let form = link.as_ref().map(Link::form).unwrap_or_default();
        Self {
            lang: RwSignal::new(lang),
            view: RwSignal::new(view),
            kiosk: RwSignal::new(kiosk),
            new_seed: RwSignal::new(link.is_none()),
            form: RwSignal::new(form),
            wrong: RwSignal::new(Vec::new()),
            image: RwSignal::new(0),
            moment: RwSignal::new(0),
            link: RwSignal::new(link),
            waiting: RwSignal::new(None),
            dragging: RwSignal::new(false),
            update: RwSignal::new(false),
            remarks: RwSignal::new(Vec::new()),
            learn: LearnState::new(),
        }
    }
}
