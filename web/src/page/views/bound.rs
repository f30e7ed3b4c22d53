//! The bound of an image, measured and explained.

use leptos::prelude::*;

use super::shared::{Intro, figure, figure_of_time, has_encoder, idle};
use super::subject::{SubjectPicker, subject_name};
use crate::learning::{Bits, percent};
use crate::page::components::{Action, Slider, ViewHeading, heading_id};
use crate::page::controller::Controller;
use crate::page::lang::words;
use crate::page::state::PageState;
use crate::protocol::Subject;
use crate::session::{Event, JobKind, Measured, Session};
use crate::text::fill;

/// Bits per pixel of 100 held-out X-rays as files without loss; `docs/evaluation.md` has the command.
const JPEG_XL: f64 = 2.89;
const PNG: f64 = 3.51;
const DECIMALS_OF_FILES: usize = 2;

/// Decimals of bits per pixel: the noise changes about the last one.
const DECIMALS: usize = 4;

/// Measures an image, and explains each term.
#[component]
pub(super) fn Bound(controller: Controller, state: PageState) -> impl IntoView {
    let session = controller.session;
    let words = &words().learning.bound;
    let idle = idle(session);
    let has_encoder = has_encoder(session);
    let measures = Memo::new(move |_| session.with(is_measuring));
    let possible = move || idle.get() && has_encoder.get() && state.learning.subject.with(Option::is_some);
    let measured = Memo::new(move |_| session.with(|session| Some((session.measured.clone()?, pixels(session)?))));
    let said = move || match measured.get() {
        _ if !has_encoder.get() => words.needs_encoder.to_owned(),
        _ if measures.get() => words.measuring.to_owned(),
        Some((Measured { subject, times, .. }, _)) => {
            fill(words.measured, &[("name", &subject_name(Some(&subject))), ("times", &times.to_string())])
        }
        None => words.not_measured.to_owned(),
    };
    let result = move || {
        let (measured, pixels) = measured.get()?;
        let of_what = match &measured.subject {
            Subject::Sample(_) => words.of_a_sample,
            Subject::Image { .. } => words.of_a_picture,
        };
        Some(view! {
            <p class="hint">{of_what}</p>
            <Terms bits=Bits::new(&measured.elbo, pixels) />
            <Told bits=Bits::new(&measured.elbo, pixels) t=state.learning.t />
        })
    };
    view! {
        <section class="view learning" aria-labelledby=heading_id()>
            <ViewHeading text=words.title />
            <Intro paragraphs=vec![words.intro, words.intro_more, words.intro_last] />
            <SubjectPicker controller state />
            <div class="card">
                <div class="buttons">
                    <Action
                        label=words.measure
                        testid="measure"
                        primary=true
                        possible=Signal::derive(possible)
                        on_click=move |()| {
                            if let Some(subject) = state.learning.subject.get_untracked() {
                                controller.dispatch(Event::Measure(subject));
                            }
                        }
                    />
                </div>
                <p class="subject-name" data-testid="bound-subject">{said}</p>
                {result}
            </div>
        </section>
    }
}

fn is_measuring(session: &Session) -> bool {
    session.job.as_ref().is_some_and(|job| job.plan.kind == JobKind::Measure)
}

fn pixels(session: &Session) -> Option<usize> {
    session.model.as_ref().map(|model| model.config.width * model.config.height)
}

/// Each term with its value, its share of the total and its meaning; then all above the floor, magnified.
#[component]
fn Terms(bits: Bits) -> impl IntoView {
    let (lang, words) = (words().lang, &words().learning.bound);
    let (terms, total) = (bits.terms, bits.terms.total());
    // The discretised decoder of a model of bands has no floor.
    let has_floor = bits.floor > 0.0;
    let floor = ("bar-floor", bits.floor);
    let excess = ("bar-excess", bits.excess());
    let diffusion = ("bar-diffusion", terms.diffusion);
    let latent = ("bar-latent", terms.latent);
    let (always, with_floor) = (Some(DECIMALS), has_floor.then_some(DECIMALS));
    // Without a floor the bound is of the 8-bit image itself, as files without loss are.
    let without_floor = (!has_floor).then_some(DECIMALS_OF_FILES);
    let file = |size: f64| vec![("bar-file", size)];
    // The decimals of those that are shown.
    let rows = [
        (
            always,
            "bound-reconstruction",
            words.reconstruction,
            words.reconstruction_meaning,
            terms.reconstruction,
            vec![floor, excess],
        ),
        (with_floor, "bound-floor", words.floor, words.floor_meaning, bits.floor, vec![floor]),
        (always, "bound-latent", words.latent, words.latent_meaning, terms.latent, vec![latent]),
        (always, "bound-diffusion", words.diffusion, words.diffusion_meaning, terms.diffusion, vec![diffusion]),
        (always, "bound-total", words.total, words.total_meaning, total, vec![floor, excess, diffusion, latent]),
        (without_floor, "bound-jxl", "JPEG XL", words.lossless_meaning, JPEG_XL, file(JPEG_XL)),
        (without_floor, "bound-png", "PNG", words.lossless_meaning, PNG, file(PNG)),
    ];
    let longest = if has_floor { total } else { total.max(PNG) };
    let row = |(decimals, testid, name, meaning, value, parts)| {
        let value = figure(value, decimals?);
        Some(view! {
            <div class="term">
                <dt>{name}</dt>
                <dd class="term-value">
                    <span data-testid=testid>{value}</span>
                    " "
                    <small>{words.unit}</small>
                </dd>
                <dd class="term-bar">
                    <Bar parts whole=longest />
                </dd>
                <dd class="hint">{meaning}</dd>
            </div>
        })
    };
    let above = if has_floor { words.excess } else { words.reconstruction };
    let magnified = [(above, excess), (words.diffusion, diffusion), (words.latent, latent)];
    let legend = magnified.map(|(name, (class, value))| {
        view! {
            <li>
                <span class=format!("swatch {class}") aria-hidden="true"></span>
                {format!("{name}, {}", figure(value, DECIMALS))}
            </li>
        }
    });
    let share = lang.decimal(percent(bits.above_floor(), total), 1);
    view! {
        <h3>{words.terms}</h3>
        <dl class="terms">{rows.into_iter().filter_map(row).collect_view()}</dl>
        {has_floor.then(|| view! { <h3>{words.magnified}</h3> })}
        <Bar parts=magnified.map(|(_, part)| part).to_vec() whole=bits.above_floor() />
        <ul class="legend">{legend.collect_view()}</ul>
        {has_floor.then(|| view! { <p class="hint">{fill(words.magnified_hint, &[("share", &share)])}</p> })}
    }
}

/// How much of the diffusion term is told before the time that is dragged, here or on the picture.
#[component]
fn Told(bits: Bits, t: RwSignal<f64>) -> impl IntoView {
    let learning = &words().learning;
    let words = &learning.bound;
    let total = bits.terms.diffusion;
    let told = Memo::new(move |_| bits.diffusion_above(t.get()));
    let says = move || {
        let (t, told) = (figure_of_time(t.get()), figure(told.get(), DECIMALS));
        fill(words.told_at, &[("t", &t), ("bits", &told), ("total", &figure(total, DECIMALS))])
    };
    view! {
        <h3>{words.told}</h3>
        <Slider
            id="bound-t"
            label=learning.forward.time
            max=1.0
            step=0.01
            value=t
            value_text=Signal::derive(move || figure_of_time(t.get()))
            on_input=move |to| t.set(to)
        />
        {move || view! { <Bar parts=vec![("bar-diffusion", told.get())] whole=total /> }}
        <p class="hint" data-testid="bound-told">{says}</p>
    }
}

/// Parts of a whole side by side, in their colours. The text beside it has the numbers.
#[component]
fn Bar(parts: Vec<(&'static str, f64)>, whole: f64) -> impl IntoView {
    let parts = parts.into_iter().map(|(class, part)| {
        view! { <span class=class style:width=format!("{:.3}%", percent(part, whole))></span> }
    });
    view! { <div class="bar" aria-hidden="true">{parts.collect_view()}</div> }
}
