//! The forward process from an image to noise, and the model's way back.

use leptos::prelude::*;
use web_sys::PointerEvent;

use super::shared::{Intro, figure, figure_of_time, idle, synthetic, wrong_seed};
use super::subject::SubjectPicker;
use crate::form::seed;
use crate::learning::{NoiseAt, percent};
use crate::page::components::{
    Action, Captioned, Fact, PictureCanvas, Slider, TextField, ViewHeading, dragged, heading_id, random_seed,
};
use crate::page::controller::Controller;
use crate::page::lang::words;
use crate::page::state::PageState;
use crate::protocol::{Diffused, Picture, Run, Start, Subject};
use crate::session::{Event, Session, Slot};
use crate::text::{Words, fill};

/// From an image to noise, and back.
#[component]
pub(super) fn Forward(controller: Controller, state: PageState) -> impl IntoView {
    let session = controller.session;
    let words = &words().learning.forward;
    let noise_seed = Memo::new(move |_| state.learning.noise_seed.with(|text| seed(text)));
    let wanted = Memo::new(move |_| Some((state.learning.subject.get()?, state.learning.t.get(), noise_seed.get()?)));
    follow_the_slider(controller, wanted);
    view! {
        <section class="view learning" aria-labelledby=heading_id()>
            <ViewHeading text=words.title />
            <Intro paragraphs=vec![words.intro, words.intro_more] />
            <SubjectPicker controller state />
            <div class="card">
                <div class="knobs">
                    <Slider
                        id="forward-t"
                        label=words.time
                        max=1.0
                        step=0.01
                        value=state.learning.t
                        value_text=Signal::derive(move || figure_of_time(state.learning.t.get()))
                        on_input=move |t| state.learning.t.set(t)
                    />
                    <TextField
                        id="forward-seed"
                        label=words.seed
                        hint=words.seed_hint
                        wrong=Signal::derive(move || noise_seed.get().is_none().then(wrong_seed))
                        value=state.learning.noise_seed
                        on_input=move |text| state.learning.noise_seed.set(text)
                    />
                    <Action
                        label=words.new_noise
                        testid="forward-new-seed"
                        on_click=move |()| state.learning.noise_seed.set(random_seed().to_string())
                    />
                </div>
                <Pictures session t=state.learning.t />
                <Numbers session state />
            </div>
            <WayBack controller state noise_seed />
        </section>
    }
}

/// Requests the place of the slider: once for each place, and again after other jobs.
fn follow_the_slider(controller: Controller, wanted: Memo<Option<(Subject, f64, u64)>>) {
    let session = controller.session;
    let idle = idle(session);
    // Not a memo of both: an effect that depends on `wanted` twice, once through a memo, misses changes.
    let shown = Memo::new(move |_| {
        session.with(|session| session.diffused.as_ref().map(|at| (at.subject.clone(), at.t, at.seed)))
    });
    // A request that fails is not repeated.
    let requested = StoredValue::new(None);
    Effect::new(move |_| {
        let (idle, shown, wanted) = (idle.get(), shown.get(), wanted.get());
        if !idle {
            requested.set_value(None);
        } else if shown != wanted && wanted.is_some() && requested.with_value(|requested| *requested != wanted) {
            requested.set_value(wanted.clone());
            if let Some((subject, t, seed)) = wanted {
                controller.dispatch(Event::Diffuse { subject, t, seed });
            }
        }
    });
}

/// The image, the image with noise on which t is dragged, what the model makes of it in one look, and what is wrong there.
#[component]
fn Pictures(session: RwSignal<Session>, t: RwSignal<f64>) -> impl IntoView {
    let Words { lang, learning, .. } = words();
    let words = &learning.forward;
    let part = move |of: fn(&Diffused) -> Option<Picture>| {
        Memo::new(move |_| session.with(|session| session.diffused.as_ref().and_then(|at| of(&at.diffused))))
    };
    // A user's own picture has passed encoder and decoder here.
    let is_own = Memo::new(move |_| {
        session.with(|session| session.diffused.as_ref().is_some_and(|at| at.subject.needs_encoder()))
    });
    let clean = Signal::derive(move || if is_own.get() { words.kept } else { words.clean }.to_owned());
    let off = move || {
        let off = session.with(|session| {
            let Diffused { clean, guess, .. } = &session.diffused.as_ref()?.diffused;
            clean.rms_difference(guess)
        });
        off.map_or_else(
            || words.error.to_owned(),
            |off| {
                fill(words.error_of, &[("levels", &lang.decimal(off, 1)), ("times", &Picture::MAGNIFIED.to_string())])
            },
        )
    };
    let picture = move |caption: Signal<String>, testid: &'static str, of: fn(&Diffused) -> Option<Picture>| {
        let label = Signal::derive(move || synthetic(&caption.get()));
        view! {
            <Captioned caption>
                <PictureCanvas picture=part(of) label testid />
            </Captioned>
        }
    };
    let named = |words: &'static str| Signal::stored(words.to_owned());
    let drag = move |event: PointerEvent| {
        if let Some(across) = dragged(&event) {
            t.set((across * 100.0).round() / 100.0);
        }
    };
    view! {
        <div class="pair four">
            {picture(clean, "forward-clean", |at| Some(at.clean.clone()))}
            <div class="drag" on:pointerdown=drag on:pointermove=drag>
                {picture(named(words.noisy), "forward-noisy", |at| Some(at.noisy.clone()))}
            </div>
            {picture(named(words.guess), "forward-guess", |at| Some(at.guess.clone()))}
            {picture(Signal::derive(off), "forward-error", |at| at.clean.difference(&at.guess))}
        </div>
    }
}

/// α², σ², SNR and γ at the time of the slider.
#[component]
fn Numbers(session: RwSignal<Session>, state: PageState) -> impl IntoView {
    let Words { lang, common, learning, .. } = words();
    let words = &learning.forward;
    let at = Memo::new(move |_| {
        let t = state.learning.t.get();
        session.with(|session| session.model.as_ref().map(|model| NoiseAt::new(&model.schedule, t)))
    });
    let value =
        move |of: fn(NoiseAt) -> String| Signal::derive(move || at.get().map_or_else(|| common.nothing.to_owned(), of));
    let width = move || at.get().map(|at| format!("{:.1}%", percent(at.signal, 1.0)));
    let share = move |of: fn(NoiseAt) -> f64| {
        Signal::derive(move || at.get().map_or_else(|| common.nothing.to_owned(), |at| lang.decimal(of(at), 3)))
    };
    view! {
        <h3>{words.shares}</h3>
        <div class="shares" aria-hidden="true">
            <span class="share-signal" style:width=width></span>
        </div>
        <dl class="figures">
            <Fact label=words.signal value=share(|at| at.signal) testid="forward-alpha2" />
            <Fact label=words.noise value=share(|at| at.noise) testid="forward-sigma2" />
            <Fact label=words.snr value=value(|at| figure(at.snr, 2)) testid="forward-snr" />
            <Fact label=words.gamma value=value(|at| figure(at.gamma, 2)) testid="forward-gamma" />
        </dl>
    }
}

/// Removes the noise again.
#[component]
fn WayBack(controller: Controller, state: PageState, noise_seed: Memo<Option<u64>>) -> impl IntoView {
    let session = controller.session;
    let words = &words().learning.forward;
    let idle = idle(session);
    let at_zero = Memo::new(move |_| state.learning.t.get() <= 0.0);
    let possible = move || {
        idle.get() && !at_zero.get() && noise_seed.get().is_some() && state.learning.subject.with(Option::is_some)
    };
    let denoise = move |()| {
        let (Some(subject), Some(seed)) = (state.learning.subject.get_untracked(), noise_seed.get_untracked()) else {
            return;
        };
        let read =
            session.with_untracked(|session| state.form.with_untracked(|form| form.read(session.model.as_ref())));
        let mut settings = read.unwrap_or_default();
        settings.seed = seed;
        let start = Start::Subject { subject, t: state.learning.t.get_untracked() };
        controller.dispatch(Event::Run {
            slot: Slot::Denoise,
            run: Run { start, seeds: vec![seed], settings },
            stepwise: false,
        });
    };
    // For this subject, the time at which denoising began, and its picture.
    let back = Memo::new(move |_| {
        session.with(|session| {
            let panel = session.panel(Slot::Denoise)?;
            let Start::Subject { subject, t } = &panel.run.start else { return None };
            let is_of_this = state.learning.subject.with(|chosen| chosen.as_ref() == Some(subject));
            is_of_this.then(|| (*t, panel.pictures.first().cloned(), panel.origin.is_some()))
        })
    });
    let caption = move || match back.get() {
        Some((t, Some(_), _)) => fill(words.denoised_from, &[("t", &figure_of_time(t))]),
        _ => words.not_denoised.to_owned(),
    };
    view! {
        <div class="card way-back">
            <div>
                <h3>{words.back}</h3>
                <p>{words.back_intro}</p>
                <div class="buttons">
                    <Action
                        label=words.denoise
                        testid="denoise"
                        primary=true
                        possible=Signal::derive(possible)
                        on_click=denoise
                    />
                </div>
                <p class="hint" role="status">{move || at_zero.get().then_some(words.at_zero)}</p>
            </div>
            <Captioned caption=Signal::derive(caption)>
                <PictureCanvas
                    picture=Signal::derive(move || back.get().and_then(|(_, picture, _)| picture))
                    label=synthetic(words.denoised)
                    testid="denoised"
                    finished=Signal::derive(move || back.get().is_some_and(|(_, _, whole)| whole))
                />
            </Captioned>
        </div>
    }
}
