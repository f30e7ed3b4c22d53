//! Small parts that the learning views share.

use leptos::prelude::*;
use vdm::axis::Axis;
use vdm::sampler::Sampler;

use crate::form::Field;
use crate::learning::Figure;
use crate::page::lang::words;
use crate::plot::power_of_ten;
use crate::protocol::Picture;
use crate::session::{Session, Slot};
use crate::text::messages;

/// The introduction of a view.
#[component]
pub(super) fn Intro(paragraphs: Vec<&'static str>) -> impl IntoView {
    let paragraphs = paragraphs.into_iter().map(|text| view! { <p>{text}</p> }).collect_view();
    view! { <div class="learning-intro">{paragraphs}</div> }
}

/// A number in the language in use.
pub(super) fn figure(value: f64, decimals: usize) -> String {
    let figure = Figure::new(value, decimals);
    let digits = words().lang.decimal(figure.mantissa, figure.decimals).replace('-', "−");
    match figure.exponent {
        Some(exponent) => format!("{digits}\u{a0}×\u{a0}{}", power_of_ten(exponent)),
        None => digits,
    }
}

/// The text of a tick.
pub(super) fn plain(axis: &Axis, tick: f64) -> String {
    words().lang.decimal(tick, axis.decimals).replace('-', "−")
}

/// The accepted seeds.
pub(super) fn wrong_seed() -> String {
    messages::accepted(words(), Field::Seed)
}

/// A time, with the decimals of a slider.
pub(super) fn figure_of_time(t: f64) -> String {
    words().lang.decimal(t, 2)
}

/// The pictures of a slot; none before its first run.
pub(super) fn pictures(session: RwSignal<Session>, slot: Slot) -> Memo<Vec<Picture>> {
    Memo::new(move |_| {
        session.with(|session| session.panel(slot).map(|panel| panel.pictures.clone()).unwrap_or_default())
    })
}

/// Whether the images of a slot are complete.
pub(super) fn whole(session: RwSignal<Session>, slot: Slot) -> Memo<bool> {
    Memo::new(move |_| session.with(|session| session.is_whole(slot)))
}

/// Whether the weights in use have an encoder; they are assumed to while none are loaded.
pub(super) fn has_encoder(session: RwSignal<Session>) -> Memo<bool> {
    Memo::new(move |_| session.with(|session| session.model.as_ref().is_none_or(|model| model.has_encoder)))
}

/// Whether the user can start something.
pub(super) fn idle(session: RwSignal<Session>) -> Memo<bool> {
    Memo::new(move |_| session.with(Session::is_idle))
}

/// Each sampler's key and name, to choose from.
pub(super) fn samplers() -> Vec<(String, String)> {
    Sampler::ALL.iter().map(|&sampler| (sampler.name().to_owned(), sampler_name(sampler).to_owned())).collect()
}

/// The name of a sampler in the language in use, without the explanation after its comma.
pub(super) fn sampler_name(sampler: Sampler) -> &'static str {
    let name = messages::sampler(words(), sampler);
    name.split(',').next().unwrap_or(name)
}

/// The accessible name of a picture that the model makes.
pub(super) fn synthetic(what: &str) -> String {
    format!("{what}. {}", words().common.picture)
}
