//! The bound of an image, measured and explained.

use leptos::prelude::*;

use super::learn::{Intro, figure, idle};
use super::subject::{SubjectPicker, subject_name};
use crate::learn::{Bits, percent};
use crate::page::controller::Controller;
use crate::page::kit::{Action, ViewHeading};
use crate::page::lang::words;
use crate::page::state::PageState;
use crate::protocol::Subject;
use crate::session::{Event, JobKind, Measured, Session};
use crate::text::fill;

/// Decimals of bits a pixel: the last one is about what the noise moves.
const DECIMALS: usize = 4;

/// Measures an image, and says what each term means.
#[component]
pub(in crate::page) fn Bound(controller: Controller, state: PageState) -> impl IntoView {
    let session = controller.session;
    let words = &words().learn.bound;
    let idle = idle(session);
    let has_encoder =
        Memo::new(move |_| session.with(|session| session.model.as_ref().is_none_or(|model| model.has_encoder)));
    let measures = Memo::new(move |_| session.with(is_measuring));
    let possible = move || idle.get() && has_encoder.get() && state.learn.subject.with(Option::is_some);
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
        })
    };
    view! {
        <section class="view learning" aria-labelledby="view-heading">
            <ViewHeading text=words.title />
            <Intro paragraphs=[words.intro, words.intro_more, words.intro_last].map(str::to_owned).to_vec() />
            <SubjectPicker controller state />
            <div class="card">
                <div class="buttons">
                    <Action
                        label=words.measure
                        testid="measure"
                        primary=true
                        possible=Signal::derive(possible)
                        on_click=move |()| {
                            if let Some(subject) = state.learn.subject.get_untracked() {
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

/// Each term with its number, its share of the total and what it means; then what lies above the floor, larger.
#[component]
fn Terms(bits: Bits) -> impl IntoView {
    let words = &words().learn.bound;
    let share = move |part: f64| percent(part, bits.total);
    let magnified = [
        (words.excess, "bar-excess", bits.excess()),
        (words.diffusion, "bar-diffusion", bits.diffusion),
        (words.latent, "bar-latent", bits.latent),
    ];
    let segments = magnified.map(|(_, class, value)| (class, percent(value, bits.above_floor())));
    let legend = magnified.map(|(name, class, value)| {
        view! {
            <li>
                <span class=format!("swatch {class}") aria-hidden="true"></span>
                {format!("{name}, {}", figure(value, DECIMALS))}
            </li>
        }
    });
    view! {
        <h3>{words.terms}</h3>
        <dl class="terms">
            <Term
                name=words.reconstruction
                meaning=words.reconstruction_meaning
                testid="bound-reconstruction"
                value=bits.reconstruction
                segments=vec![("bar-floor", share(bits.floor)), ("bar-excess", share(bits.excess()))]
            />
            <Term
                name=words.floor
                meaning=words.floor_meaning
                testid="bound-floor"
                value=bits.floor
                segments=vec![("bar-floor", share(bits.floor))]
            />
            <Term
                name=words.latent
                meaning=words.latent_meaning
                testid="bound-latent"
                value=bits.latent
                segments=vec![("bar-latent", share(bits.latent))]
            />
            <Term
                name=words.diffusion
                meaning=words.diffusion_meaning
                testid="bound-diffusion"
                value=bits.diffusion
                segments=vec![("bar-diffusion", share(bits.diffusion))]
            />
            <Term
                name=words.total
                meaning=words.total_meaning
                testid="bound-total"
                value=bits.total
                segments=vec![
                    ("bar-floor", share(bits.floor)),
                    ("bar-excess", share(bits.excess())),
                    ("bar-diffusion", share(bits.diffusion)),
                    ("bar-latent", share(bits.latent)),
                ]
            />
        </dl>
        <h3>{words.magnified}</h3>
        <Bar segments=segments.to_vec() />
        <ul class="legend">{legend.collect_view()}</ul>
        <p class="hint">{fill(words.magnified_hint, &[("share", &one_decimal(share(bits.above_floor())))])}</p>
    }
}

fn one_decimal(value: f64) -> String {
    words().lang.decimal(value, 1)
}

#[component]
fn Term(
    name: &'static str,
    meaning: &'static str,
    testid: &'static str,
    value: f64,
    segments: Vec<(&'static str, f64)>,
) -> impl IntoView {
    view! {
        <div class="term">
            <dt>{name}</dt>
            <dd class="term-value">
                <span data-testid=testid>{figure(value, DECIMALS)}</span>
                " "
                <small>{words().learn.bound.unit}</small>
            </dd>
            <dd class="term-bar">
                <Bar segments />
            </dd>
            <dd class="hint">{meaning}</dd>
        </div>
    }
}

/// Parts side by side, each with its colour and its width in per cent. The numbers stand beside it.
#[component]
fn Bar(segments: Vec<(&'static str, f64)>) -> impl IntoView {
    let segments = segments.into_iter().map(|(class, width)| {
        view! { <span class=class style:width=format!("{width:.3}%")></span> }
    });
    view! { <div class="bar" aria-hidden="true">{segments.collect_view()}</div> }
}
