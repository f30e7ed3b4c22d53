//! What the five views that one learns from share: what they keep while another view is shown, and small parts.

use leptos::prelude::*;
use vdm::sampler::Sampler;

use crate::learn::Figure;
use crate::page::lang::words;
use crate::plot::power_of_ten;
use crate::protocol::{Picture, Subject};
use crate::session::{Session, Slot};

/// Signals of the learning views.
#[derive(Clone, Copy)]
pub(in crate::page) struct LearnState {
    /// The image that is taken to noise, or measured; none before one is chosen.
    pub(super) subject: RwSignal<Option<Subject>>,
    /// The time that it is taken to.
    pub(super) t: RwSignal<f64>,
    /// The seed of its noise, as typed.
    pub(super) noise_seed: RwSignal<String>,
    /// The time that the schedule is read at.
    pub(super) schedule_t: RwSignal<f64>,
    /// The seed to start from, as typed.
    pub(super) from: RwSignal<String>,
    /// The seed to end at, as typed.
    pub(super) to: RwSignal<String>,
    /// Pictures on the way, with both ends.
    pub(super) frames: RwSignal<u32>,
    /// The seed of a race, as typed.
    pub(super) race_seed: RwSignal<String>,
    /// The race's first run.
    pub(super) left: RwSignal<Lane>,
    /// The race's second run.
    pub(super) right: RwSignal<Lane>,
}

/// How one run of a race goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lane {
    /// The sampler.
    pub(super) sampler: Sampler,
    /// The steps, as typed.
    pub(super) steps: String,
}

impl LearnState {
    /// As the page opens.
    pub(in crate::page) fn new() -> Self {
        let lane = |sampler, steps: &str| RwSignal::new(Lane { sampler, steps: steps.to_owned() });
        Self {
            subject: RwSignal::new(None),
            t: RwSignal::new(0.4),
            noise_seed: RwSignal::new("1".to_owned()),
            schedule_t: RwSignal::new(0.5),
            from: RwSignal::new("1".to_owned()),
            to: RwSignal::new("2".to_owned()),
            frames: RwSignal::new(8),
            race_seed: RwSignal::new("1".to_owned()),
            left: lane(Sampler::DpmSolver2M, "10"),
            right: lane(Sampler::Ddim, "100"),
        }
    }
}

/// Plain sentences at the head of a view.
#[component]
pub(super) fn Intro(paragraphs: Vec<String>) -> impl IntoView {
    let paragraphs = paragraphs.into_iter().map(|text| view! { <p>{text}</p> }).collect_view();
    view! { <div class="learn-intro">{paragraphs}</div> }
}

/// A number as the language in use writes it.
pub(super) fn figure(value: f64, decimals: usize) -> String {
    let figure = Figure::new(value, decimals);
    let digits = words().lang.decimal(figure.mantissa, figure.decimals).replace('-', "−");
    match figure.exponent {
        Some(exponent) => format!("{digits}\u{a0}×\u{a0}{}", power_of_ten(exponent)),
        None => digits,
    }
}

/// The pictures of a slot; none before its first run.
pub(super) fn pictures(session: RwSignal<Session>, slot: Slot) -> Memo<Vec<Picture>> {
    Memo::new(move |_| {
        session.with(|session| session.panel(slot).map(|panel| panel.pictures.clone()).unwrap_or_default())
    })
}

/// Whether something can be asked for.
pub(super) fn idle(session: RwSignal<Session>) -> Memo<bool> {
    Memo::new(move |_| session.with(Session::is_idle))
}

/// Each sampler's key and name, to choose from.
pub(super) fn samplers() -> Vec<(String, String)> {
    Sampler::ALL.into_iter().map(|sampler| (sampler.name().to_owned(), sampler_name(sampler).to_owned())).collect()
}

/// A sampler in the language in use, without what is said of it after a comma.
pub(super) fn sampler_name(sampler: Sampler) -> &'static str {
    let common = &words().common;
    let name = match sampler {
        Sampler::DpmSolver2M => common.dpm_solver,
        Sampler::Ddim => common.ddim,
        Sampler::Ancestral => common.ancestral,
    };
    name.split(',').next().unwrap_or(name)
}

/// What a picture of the model's shows, for those who cannot see it.
pub(super) fn synthetic(what: &str) -> String {
    format!("{what}. {}", words().common.picture)
}
