//! The first view: images from noise.

use leptos::prelude::*;

use super::controls::{Actions, SettingsForm};
use super::film::{Film, Pair, Travel};
use super::save::SaveAndShare;
use super::shared::whole;
use crate::page::components::{Fact, PictureCanvas, ViewHeading};
use crate::page::controller::Controller;
use crate::page::draw;
use crate::page::job::JobBar;
use crate::page::lang::words;
use crate::page::state::PageState;
use crate::session::Slot;
use crate::text::{fill, messages};

/// The pictures with the strip of moments below, and the desk with its buttons beside.
#[component]
pub(in crate::page) fn Generate(controller: Controller, state: PageState) -> impl IntoView {
    let (words, session) = (words(), controller.session);
    let whole = whole(session, Slot::Generate);
    let travel = Travel::new(controller, state);
    draw::listen_to_keys(controller, state, move || travel.play());
    let nothing_yet = Memo::new(move |_| {
        session.with(|session| session.panel(Slot::Generate).is_none_or(|panel| panel.pictures.is_empty()))
    });
    view! {
        <section class="view" aria-labelledby="view-heading">
            <div class="visually-hidden">
                <ViewHeading text=words.generate.heading />
            </div>
            <div class="studio">
                <div class="stage">
                    <Images travel />
                    <div class="curtain" hidden=move || !nothing_yet.get()>
                        <Show when=move || nothing_yet.get()>
                            <div class="curtain-words">
                                <Show
                                    when=move || state.held.get()
                                    fallback=move || view! { <JobBar controller state /> }
                                >
                                    <p data-testid="held">{words.generate.held}</p>
                                </Show>
                            </div>
                        </Show>
                    </div>
                    <Show when=move || travel.count().get() == 1 || state.opened.get()>
                        <Film travel />
                    </Show>
                </div>
                <div class="desk">
                    <Actions travel />
                    <Show when=move || !nothing_yet.get()>
                        <JobBar controller state />
                    </Show>
                    <Figures travel />
                    <Show when=move || whole.get()>
                        <SaveAndShare controller state />
                    </Show>
                    <SettingsForm controller state />
                </div>
            </div>
        </section>
    }
}

/// The pair of one image, or several images.
#[component]
fn Images(travel: Travel) -> impl IntoView {
    let count = travel.count();
    let alone = Memo::new(move |_| count.get() == 1 || travel.state.opened.get());
    move || {
        if alone.get() {
            view! { <Pair travel /> }.into_any()
        } else {
            view! { <Several travel count=count.get() /> }.into_any()
        }
    }
}

/// A grid of images, each of which opens.
#[component]
fn Several(travel: Travel, count: usize) -> impl IntoView {
    let (words, session, state) = (words(), travel.controller.session, travel.state);
    let whole = whole(session, Slot::Generate);
    let columns = (count as f64).sqrt().ceil();
    let one = move |i: usize| {
        let picture = travel.of_panel(move |panel, _| panel.pictures.get(i).cloned());
        let label = travel.of_panel(move |panel, _| Some(messages::picture(words, &panel.run, i)));
        let label = Signal::derive(move || label.get().unwrap_or_else(|| words.common.picture.to_owned()));
        let name = travel.of_panel(move |panel, _| {
            let seed = panel.run.seeds.get(i)?.to_string();
            Some(fill(words.generate.open_one, &[("number", &(i + 1).to_string()), ("seed", &seed)]))
        });
        view! {
            <li>
                <button
                    type="button"
                    class="tile"
                    data-testid=format!("open-{i}")
                    aria-label=move || name.get()
                    aria-disabled=move || (!whole.get()).to_string()
                    on:click=move |_| {
                        if whole.get_untracked() {
                            state.image.set(i as u32);
                            state.opened.set(true);
                        }
                    }
                >
                    <PictureCanvas picture label testid=format!("canvas-{i}") finished=whole />
                </button>
            </li>
        }
    };
    view! { <ul class="grid" style:--columns=columns.to_string()>{(0..count).map(one).collect_view()}</ul> }
}

/// Step, t, time and speed.
#[component]
fn Figures(travel: Travel) -> impl IntoView {
    let words = words();
    let lang = words.lang;
    let or_nothing = move |text: Memo<Option<String>>| {
        Signal::derive(move || text.get().unwrap_or_else(|| words.common.nothing.to_owned()))
    };
    let step = travel.of_panel(|panel, _| Some(format!("{} / {}", panel.step, panel.run.steps())));
    let time = travel.of_panel(move |panel, _| Some(lang.seconds(panel.elapsed_ms)));
    let speed = travel.of_panel(move |panel, _| lang.speed(panel.step, panel.elapsed_ms));
    let (moment, t) = (travel.moment(), travel.of_panel(|panel, _| Some(panel.t)));
    let t = Memo::new(move |_| {
        let of_moment = moment.with(|moment| moment.as_ref().map(|moment| moment.t));
        of_moment.or(t.get()).map(|t| lang.decimal(t, 3))
    });
    view! {
        <dl class="figures">
            <Fact label=words.common.step value=or_nothing(step) testid="step" />
            <Fact label="t" value=or_nothing(t) testid="t" />
            <Fact label=words.common.time value=or_nothing(time) testid="elapsed" />
            <Fact label=words.common.speed value=or_nothing(speed) testid="speed" />
        </dl>
    }
}
