//! Two samplers from one seed, side by side.

use leptos::prelude::*;
use vdm::sampler::Sampler;

use super::shared::{Intro, idle, pictures, samplers, synthetic, whole, wrong_seed};
use crate::form::{Field, seed, steps};
use crate::learning::faster;
use crate::page::components::{Action, Fact, PictureCanvas, Select, TextField, ViewHeading, heading_id, random_seed};
use crate::page::controller::Controller;
use crate::page::lang::words;
use crate::page::state::{Lane, PageState};
use crate::protocol::Run;
use crate::session::{Event, Panel, Session, Slot};
use crate::settings::Settings;
use crate::text::{Words, fill, messages};

/// Two lanes and the result.
#[component]
pub(super) fn Race(controller: Controller, state: PageState) -> impl IntoView {
    let session = controller.session;
    let words = &words().learning.race;
    let learning = state.learning;
    let idle = idle(session);
    let seed = Memo::new(move |_| learning.race_seed.with(|text| seed(text)));
    let run = move |lane: RwSignal<Lane>| {
        let steps = lane.with(|lane| steps(&lane.steps))?;
        let sampler = lane.with(|lane| lane.sampler);
        Some(Run::from_noise(Settings { seed: seed.get()?, steps, sampler, ..Settings::default() }, 1))
    };
    let runs = Memo::new(move |_| Some((run(learning.left)?, run(learning.right)?)));
    view! {
        <section class="view learning" aria-labelledby=heading_id()>
            <ViewHeading text=words.title />
            <Intro paragraphs=vec![words.intro, words.intro_more, words.intro_last] />
            <div class="card">
                <div class="knobs">
                    <TextField
                        id="race-seed"
                        label=words.seed
                        hint=words.seed_hint
                        wrong=Signal::derive(move || seed.get().is_none().then(wrong_seed))
                        value=learning.race_seed
                        on_input=move |text| learning.race_seed.set(text)
                    />
                    <Action
                        label=words.new_seed
                        testid="race-new-seed"
                        on_click=move |()| learning.race_seed.set(random_seed().to_string())
                    />
                </div>
                <div class="buttons">
                    <Action
                        label=words.start
                        testid="race-start"
                        primary=true
                        possible=Signal::derive(move || idle.get() && runs.with(Option::is_some))
                        on_click=move |()| {
                            if let Some((left, right)) = runs.get_untracked() {
                                controller.dispatch(Event::Race { left, right });
                            }
                        }
                    />
                </div>
            </div>
            <div class="lanes">
                <LaneCard session lane=learning.left runner=Slot::RaceLeft title=words.left id="race-left" />
                <LaneCard session lane=learning.right runner=Slot::RaceRight title=words.right id="race-right" />
            </div>
            <Outcome session />
        </section>
    }
}

/// One lane: its settings, its picture and its clock.
#[component]
fn LaneCard(
    session: RwSignal<Session>,
    lane: RwSignal<Lane>,
    /// The slot of its images; Leptos reserves the name `slot`.
    runner: Slot,
    title: &'static str,
    /// The prefix of its ids.
    id: &'static str,
) -> impl IntoView {
    let Words { lang, common, learning, .. } = words();
    let words = &learning.race;
    let pictures = pictures(session, runner);
    let whole = whole(session, runner);
    let panel = move |of: &dyn Fn(&Panel) -> Option<String>| {
        session.with(|session| session.panel(runner).and_then(of)).unwrap_or_else(|| common.nothing.to_owned())
    };
    let time = move || panel(&|panel| (panel.step > 0).then(|| lang.seconds(panel.elapsed_ms)));
    let speed = move || panel(&|panel| lang.speed(panel.step, panel.elapsed_ms));
    let step = move || panel(&|panel| Some(format!("{} / {}", panel.step, panel.run.steps())));
    let state = move || {
        session.with(|session| match session.panel(runner) {
            None if session.filling(Slot::RaceLeft).is_some() => words.waiting,
            None => words.empty,
            Some(_) => "",
        })
    };
    view! {
        <div class="card lane" role="group" aria-label=title>
            <h3>{title}</h3>
            <Select
                id=format!("{id}-sampler")
                label=words.sampler
                options=Signal::derive(samplers)
                value=Signal::derive(move || lane.with(|lane| lane.sampler.name().to_owned()))
                on_change=move |name: String| {
                    if let Ok(sampler) = name.parse::<Sampler>() {
                        lane.update(|lane| lane.sampler = sampler);
                    }
                }
            />
            <TextField
                id=format!("{id}-steps")
                label=words.steps
                wrong=Signal::derive(move || {
                    lane.with(|lane| steps(&lane.steps)).is_none().then(wrong_steps)
                })
                value=Signal::derive(move || lane.with(|lane| lane.steps.clone()))
                on_input=move |steps| lane.update(|lane| lane.steps = steps)
            />
            <PictureCanvas
                picture=Signal::derive(move || pictures.with(|pictures| pictures.first().cloned()))
                label=synthetic(title)
                testid=id
                finished=whole
            />
            <p class="hint lane-state">{state}</p>
            <dl class="figures">
                <Fact label=common.step value=Signal::derive(step) testid=format!("{id}-step") />
                <Fact label=common.time value=Signal::derive(time) testid=format!("{id}-time") />
                <Fact label=common.speed value=Signal::derive(speed) testid=format!("{id}-speed") />
            </dl>
        </div>
    }
}

/// The accepted numbers of steps.
fn wrong_steps() -> String {
    messages::accepted(words(), Field::Steps)
}

/// The faster lane, and the difference between the images.
#[component]
fn Outcome(session: RwSignal<Session>) -> impl IntoView {
    let Words { lang, learning, .. } = words();
    let words = &learning.race;
    let sentences = Memo::new(move |_| {
        session.with(|session| {
            let whole = |slot| session.panel(slot).filter(|panel| panel.origin.is_some());
            let (left, right) = (whole(Slot::RaceLeft)?, whole(Slot::RaceRight)?);
            let difference = left.pictures.first()?.rms_difference(right.pictures.first()?)?;
            let won = match faster(left.elapsed_ms, right.elapsed_ms) {
                Some((lane, times)) => {
                    let name = if lane == Slot::RaceLeft { words.left } else { words.right };
                    fill(words.faster, &[("lane", name), ("times", &lang.decimal(times, 1))])
                }
                None => words.as_fast.to_owned(),
            };
            let differs = fill(words.difference, &[("levels", &lang.decimal(difference, 1))]);
            let draws = |panel: &Panel| panel.run.settings.sampler == Sampler::Ancestral;
            let hint = if draws(left) || draws(right) { words.ancestral } else { words.difference_hint };
            Some((won, differs, hint))
        })
    });
    view! {
        <div class="card" role="status" hidden=move || sentences.with(Option::is_none)>
            <h3>{words.result}</h3>
            {move || {
                sentences.get().map(|(won, differs, hint)| {
                    view! {
                        <p>{won}</p>
                        <p data-testid="race-difference">{differs}</p>
                        <p class="hint">{hint}</p>
                    }
                })
            }}
        </div>
    }
}
