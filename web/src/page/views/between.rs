//! Images between two seeds, as a strip and as an animation.

use gloo_timers::callback::Interval;
use leptos::prelude::*;

use super::shared::{Intro, idle, pictures, sampler_name, synthetic, whole, wrong_seed};
use crate::form::seed;
use crate::page::browser;
use crate::page::components::{
    Action, Captioned, PictureCanvas, Slider, TextField, ViewHeading, heading_id, random_seed,
};
use crate::page::controller::Controller;
use crate::page::lang::words;
use crate::page::state::PageState;
use crate::plot::there_and_back;
use crate::protocol::{Film, Picture, Run, Start};
use crate::session::{Event, Export, Slot};
use crate::settings::Settings;
use crate::text::fill;

/// Minimum number of pictures, with both ends.
const MIN_FRAMES: u32 = 3;
/// Maximum number of pictures: more would be too small to see.
const MAX_FRAMES: u32 = 16;
/// How long the animation shows each picture.
const FRAME_MS: u32 = 180;

/// From one seed to another.
#[component]
pub(super) fn Between(controller: Controller, state: PageState) -> impl IntoView {
    let session = controller.session;
    let words = &words().learning.between;
    let learning = state.learning;
    let idle = idle(session);
    let ends = Memo::new(move |_| (learning.from.with(|text| seed(text)), learning.to.with(|text| seed(text))));
    let settings = Memo::new(move |_| {
        session.with(|session| state.form.with(|form| form.read(session.model.as_ref())).unwrap_or_default())
    });
    let possible = move || idle.get() && matches!(ends.get(), (Some(_), Some(_)));
    let generate = move |()| {
        let (Some(from), Some(to)) = ends.get_untracked() else { return };
        let settings = Settings { seed: from, ..settings.get_untracked() };
        let start = Start::Between { to, frames: learning.frames.get_untracked() };
        let run = Run { start, seeds: vec![from], settings };
        controller.dispatch(Event::Run { slot: Slot::Between, run, stepwise: false });
    };
    let note = move || {
        settings.with(|settings| {
            let steps = settings.steps.to_string();
            fill(words.settings, &[("sampler", sampler_name(settings.sampler)), ("steps", &steps)])
        })
    };
    view! {
        <section class="view learning" aria-labelledby=heading_id()>
            <ViewHeading text=words.title />
            <Intro paragraphs=vec![words.intro, words.intro_more] />
            <div class="card">
                <div class="knobs">
                    <TextField
                        id="between-from"
                        label=words.from
                        hint=words.seed_hint
                        wrong=Signal::derive(move || ends.get().0.is_none().then(wrong_seed))
                        value=learning.from
                        on_input=move |text| learning.from.set(text)
                    />
                    <TextField
                        id="between-to"
                        label=words.to
                        hint=words.seed_hint
                        wrong=Signal::derive(move || ends.get().1.is_none().then(wrong_seed))
                        value=learning.to
                        on_input=move |text| learning.to.set(text)
                    />
                    <Slider
                        id="between-frames"
                        label=words.frames
                        min=f64::from(MIN_FRAMES)
                        max=f64::from(MAX_FRAMES)
                        value=Signal::derive(move || f64::from(learning.frames.get()))
                        value_text=Signal::derive(move || learning.frames.get().to_string())
                        on_input=move |frames: f64| {
                            learning.frames.set((frames as u32).clamp(MIN_FRAMES, MAX_FRAMES));
                        }
                    />
                </div>
                <div class="buttons">
                    <Action
                        label=words.generate
                        testid="between-generate"
                        primary=true
                        possible=Signal::derive(possible)
                        on_click=generate
                    />
                    <Action
                        label=words.new_seeds
                        testid="between-new-seeds"
                        on_click=move |()| {
                            learning.from.set(random_seed().to_string());
                            learning.to.set(random_seed().to_string());
                        }
                    />
                </div>
                <p class="hint">{note}</p>
            </div>
            <Way controller />
        </section>
    }
}

/// The pictures, the animation and saving.
#[component]
fn Way(controller: Controller) -> impl IntoView {
    let session = controller.session;
    let words = &words().learning.between;
    let pictures = pictures(session, Slot::Between);
    let count = Memo::new(move |_| pictures.with(Vec::len));
    let can_save = Memo::new(move |_| session.with(|session| session.can_save(Slot::Between)));
    let whole = whole(session, Slot::Between);
    let keep = move |keep: Export| move |()| controller.dispatch(Event::Save(Slot::Between, keep));
    let strip = move || {
        let count = count.get();
        let frame = move |i: usize| {
            let picture = Memo::new(move |_| pictures.with(|pictures| pictures.get(i).cloned()));
            let values = [("number", (i + 1).to_string()), ("count", count.to_string())];
            let label = fill(words.frame, &values.each_ref().map(|(name, value)| (*name, value.as_str())));
            view! {
                <li>
                    <PictureCanvas picture label testid=format!("between-{i}") finished=whole />
                </li>
            }
        };
        (0..count).map(frame).collect_view()
    };
    view! {
        <div class="card">
            <Show
                when=move || count.get() != 0
                fallback=move || view! { <p class="empty-hint">{words.empty}</p> }
            >
                <div class="way">
                    <Animation pictures />
                    <div>
                        <h3>{words.strip}</h3>
                        <ol class="strip">{strip}</ol>
                        <div class="buttons">
                            <Action
                                label=words.save
                                testid="between-save"
                                possible=can_save
                                on_click=keep(Export::Pictures { image: None })
                            />
                            <Action
                                label=words.save_animation
                                testid="between-save-animation"
                                possible=can_save
                                on_click=keep(Export::Flipbook { format: Film::Png })
                            />
                            <Action
                                label=words.save_gif
                                testid="between-save-gif"
                                possible=can_save
                                on_click=keep(Export::Flipbook { format: Film::Gif })
                            />
                        </div>
                    </div>
                </div>
            </Show>
        </div>
    }
}

/// The pictures forth and back; paused at first for users who prefer reduced motion.
#[component]
fn Animation(pictures: Memo<Vec<Picture>>) -> impl IntoView {
    let words = &words().learning.between;
    let changes = RwSignal::new(0);
    let plays = RwSignal::new(!browser::reduced_motion());
    let timer = StoredValue::new_local(None);
    Effect::new(move |_| {
        // A new interval replaces the old one, which stops when it is dropped.
        timer.set_value(plays.get().then(|| {
            Interval::new(FRAME_MS, move || {
                changes.try_update(|changes: &mut u32| *changes = changes.wrapping_add(1));
            })
        }));
    });
    on_cleanup(move || timer.set_value(None));
    let picture = Memo::new(move |_| {
        let changes = changes.get();
        pictures.with(|pictures| pictures.get(there_and_back(changes, pictures.len())).cloned())
    });
    view! {
        <div>
            <Captioned caption=words.animation>
                <PictureCanvas picture label=synthetic(words.animation) testid="between-animation" />
            </Captioned>
            <div class="buttons">
                <Action
                    label=Signal::derive(move || (if plays.get() { words.pause } else { words.play }).to_owned())
                    testid="between-play"
                    on_click=move |()| plays.update(|plays| *plays = !*plays)
                />
            </div>
        </div>
    }
}
