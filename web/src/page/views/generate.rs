//! The first view: images from noise.

use leptos::prelude::*;

use super::controls::{Actions, SettingsForm};
use super::save::SaveAndShare;
use super::shared::whole;
use super::timeline::Timeline;
use crate::page::components::{Captioned, Fact, LatentTiles, PictureCanvas, ViewHeading};
use crate::page::controller::Controller;
use crate::page::lang::words;
use crate::page::state::PageState;
use crate::session::{Panel, Session, Slot};
use crate::text::messages;

/// The images and the form; below a complete run, time travel and saving.
#[component]
pub(in crate::page) fn Generate(controller: Controller, state: PageState) -> impl IntoView {
    let (words, session) = (words(), controller.session);
    let whole = whole(session, Slot::Generate);
    view! {
        <section class="view" aria-labelledby="view-heading">
            <ViewHeading text=words.generate.heading />
            <p class="lead">{words.common.lead}</p>
            <div class="columns workbench">
                <Actions controller state />
                <div class="card stage">
                    <Images session />
                    <Figures session />
                </div>
                <SettingsForm controller state />
            </div>
            <Show when=move || whole.get()>
                <Timeline controller state />
                <SaveAndShare controller state />
            </Show>
        </section>
    }
}

/// A part of the slot's content.
fn of_panel<T: Send + Sync + PartialEq + 'static>(
    session: RwSignal<Session>,
    read: impl Fn(&Panel) -> Option<T> + Send + Sync + 'static,
) -> Memo<Option<T>> {
    Memo::new(move |_| session.with(|session| session.panel(Slot::Generate).and_then(&read)))
}

/// One large image with its noisy state beside it, or several images.
#[component]
fn Images(session: RwSignal<Session>) -> impl IntoView {
    let count = of_panel(session, |panel| Some(panel.run.count()));
    move || match count.get() {
        None | Some(1) => view! { <One session /> }.into_any(),
        Some(count) => view! { <Several session count /> }.into_any(),
    }
}

#[component]
fn One(session: RwSignal<Session>) -> impl IntoView {
    let words = words();
    let picture = of_panel(session, |panel| panel.pictures.first().cloned());
    let whole = whole(session, Slot::Generate);
    // Beside a complete image is the moment of time travel.
    let noisy = of_panel(session, |panel| {
        panel.noisy.clone().or_else(|| panel.moment.as_ref().map(|(_, moment)| moment.noisy.clone()))
    });
    let latent = of_panel(session, |panel| panel.moment.as_ref().map(|(_, moment)| moment.latent.clone()));
    let label = of_panel(session, |panel| Some(messages::picture(words, &panel.run, 0)));
    let label = Signal::derive(move || label.get().unwrap_or_else(|| words.common.picture.to_owned()));
    let nothing_yet = Memo::new(move |_| picture.with(Option::is_none));
    view! {
        <div class="one">
            <div class="main-picture">
                <PictureCanvas picture label testid="canvas" finished=whole />
                <p class="placeholder" hidden=move || !nothing_yet.get()>{words.common.empty}</p>
            </div>
            <div class="behind">
                <Captioned caption=words.common.noisy.to_owned()>
                    <PictureCanvas picture=noisy label=words.common.noisy.to_owned() testid="noisy" />
                </Captioned>
                <Captioned caption=words.common.latent.to_owned()>
                    <LatentTiles latent label=words.common.latent_hint.to_owned() testid="latent" />
                </Captioned>
            </div>
        </div>
    }
}

#[component]
fn Several(session: RwSignal<Session>, count: usize) -> impl IntoView {
    let words = words();
    let whole = whole(session, Slot::Generate);
    let columns = (count as f64).sqrt().ceil();
    let one = move |i: usize| {
        let picture = of_panel(session, move |panel| panel.pictures.get(i).cloned());
        let label = of_panel(session, move |panel| Some(messages::picture(words, &panel.run, i)));
        let label = Signal::derive(move || label.get().unwrap_or_else(|| words.common.picture.to_owned()));
        view! {
            <li>
                <PictureCanvas picture label testid=format!("canvas-{i}") finished=whole />
            </li>
        }
    };
    view! { <ul class="grid" style:--columns=columns.to_string()>{(0..count).map(one).collect_view()}</ul> }
}

/// Step, time, speed and t.
#[component]
fn Figures(session: RwSignal<Session>) -> impl IntoView {
    let words = words();
    let lang = words.lang;
    let or_nothing = move |text: Memo<Option<String>>| {
        Signal::derive(move || text.get().unwrap_or_else(|| words.common.nothing.to_owned()))
    };
    let step = of_panel(session, |panel| Some(format!("{} / {}", panel.step, panel.run.steps())));
    let time = of_panel(session, move |panel| Some(lang.seconds(panel.elapsed_ms)));
    let speed = of_panel(session, move |panel| lang.speed(panel.step, panel.elapsed_ms));
    let t = of_panel(session, move |panel| Some(lang.decimal(panel.t, 3)));
    view! {
        <dl class="figures">
            <Fact label=words.common.step value=or_nothing(step) testid="step" />
            <Fact label=words.common.time value=or_nothing(time) testid="elapsed" />
            <Fact label=words.common.speed value=or_nothing(speed) testid="speed" />
            <Fact label="t" value=or_nothing(t) testid="t" />
        </dl>
    }
}
