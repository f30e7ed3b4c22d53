//! Time travel: every moment of a run.

use gloo_timers::future::TimeoutFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;

use super::shared::idle;
use crate::page::components::{Action, Captioned, LatentTiles, PictureCanvas, Select, Slider};
use crate::page::controller::Controller;
use crate::page::lang::words;
use crate::page::state::PageState;
use crate::protocol::{Moment, Picture, Run};
use crate::session::{Event, Session, Slot};
use crate::text::fill;

/// Minimum time of a moment while it plays.
const FRAME_MS: u32 = 50;
/// Maximum number of moments while it plays, so that a thousand steps do not take a minute.
const FRAMES: u32 = 120;

/// A slider over all moments, with the noisy picture, the prediction and the latent.
#[component]
pub(super) fn Timeline(controller: Controller, state: PageState) -> impl IntoView {
    let (words, session) = (words(), controller.session);
    let lang = words.lang;
    let travel = Travel { controller, state, playing: RwSignal::new(None), turn: StoredValue::new(0) };
    let steps = Memo::new(move |_| session.with(|session| run(session).map_or(0, Run::steps)));
    let idle = idle(session);
    travel.open();

    let moment = Memo::new(move |_| session.with(|session| moment(session, state.image.get())));
    let of_moment =
        move |read: fn(&Moment) -> Picture| Signal::derive(move || moment.with(|moment| moment.as_ref().map(read)));
    let latent = Signal::derive(move || moment.with(|moment| moment.as_ref().map(|moment| moment.latent.clone())));
    let t = move || {
        let t = moment.with(|moment| moment.as_ref().map(|moment| lang.decimal(moment.t, 3)));
        fill(words.generate.moment_time, &[("t", t.as_deref().unwrap_or(words.common.nothing))])
    };
    let value_text = move || {
        let (index, of) = (state.moment.get().to_string(), steps.get().to_string());
        fill(words.generate.moment_value, &[("index", &index), ("of", &of)])
    };
    view! {
        <section class="card timeline" aria-labelledby="timeline-heading">
            <h3 id="timeline-heading">{words.generate.timeline}</h3>
            <p class="soft">{words.generate.timeline_intro}</p>
            <WhichImage travel />
            <div class="transport">
                <Slider
                    id="timeline"
                    label=words.generate.moment.to_owned()
                    max=Signal::derive(move || f64::from(steps.get()))
                    value=Signal::derive(move || f64::from(state.moment.get()))
                    value_text=Signal::derive(value_text)
                    possible=idle
                    on_input=move |index| {
                        travel.playing.set(None);
                        travel.go(index as u32);
                    }
                />
                <div class="buttons">
                    <Action
                        label=words.common.play_back.to_owned()
                        testid="timeline-back"
                        possible=idle
                        pressed=Signal::derive(move || travel.playing.get() == Some(Direction::Back))
                        on_click=move |()| travel.toggle(Direction::Back)
                    />
                    <Action
                        label=words.common.play.to_owned()
                        testid="timeline-play"
                        possible=idle
                        pressed=Signal::derive(move || travel.playing.get() == Some(Direction::On))
                        on_click=move |()| travel.toggle(Direction::On)
                    />
                    <p class="time" data-testid="timeline-t">{t}</p>
                </div>
            </div>
            <div class="three">
                <Captioned caption=words.common.noisy.to_owned()>
                    <PictureCanvas
                        picture=of_moment(|moment| moment.noisy.clone())
                        label=words.common.noisy.to_owned()
                        testid="timeline-noisy"
                    />
                </Captioned>
                <Captioned caption=words.common.predicted.to_owned()>
                    <PictureCanvas
                        picture=of_moment(|moment| moment.predicted.clone())
                        label=words.common.predicted.to_owned()
                        testid="timeline-predicted"
                    />
                </Captioned>
                <Captioned caption=words.common.latent.to_owned()>
                    <LatentTiles latent label=words.common.latent_hint.to_owned() testid="timeline-latent" />
                </Captioned>
            </div>
        </section>
    }
}

/// The choice among several images.
#[component]
fn WhichImage(travel: Travel) -> impl IntoView {
    let (words, session, state) = (words(), travel.controller.session, travel.state);
    let count = Memo::new(move |_| session.with(|session| run(session).map_or(0, Run::count)));
    let options = move || {
        let name = |i: usize| fill(words.common.image_value, &[("number", &(i + 1).to_string())]);
        (0..count.get()).map(|i| (i.to_string(), name(i))).collect::<Vec<_>>()
    };
    view! {
        <Show when=move || { count.get() > 1 }>
            <Select
                id="timeline-image"
                label=words.common.image
                options=Signal::derive(options)
                value=Signal::derive(move || state.image.get().to_string())
                on_change=move |image: String| {
                    if let Ok(image) = image.parse() {
                        state.image.set(image);
                        travel.go(state.moment.get_untracked());
                    }
                }
            />
        </Show>
    }
}

fn run(session: &Session) -> Option<&Run> {
    session.panel(Slot::Generate).filter(|panel| panel.origin.is_some()).map(|panel| &panel.run)
}

fn moment(session: &Session, image: u32) -> Option<Moment> {
    let (of, moment) = session.panel(Slot::Generate)?.moment.as_ref()?;
    (*of == image).then(|| moment.clone())
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    On,
    Back,
}

/// The state of time travel.
#[derive(Clone, Copy)]
struct Travel {
    controller: Controller,
    state: PageState,
    playing: RwSignal<Option<Direction>>,
    /// Counts the loops, so that only the last one goes on.
    turn: StoredValue<u32>,
}

impl Travel {
    /// Starts at the end of each new run.
    fn open(self) {
        let session = self.controller.session;
        let new = Memo::new(move |_| {
            session.with(|session| {
                let panel = session.panel(Slot::Generate).filter(|panel| panel.origin.is_some())?;
                panel.moment.is_none().then(|| panel.run.steps())
            })
        });
        Effect::new(move |_| {
            if let Some(steps) = new.get() {
                self.playing.set(None);
                let count = session.with_untracked(|session| run(session).map_or(0, Run::count));
                if self.state.image.get_untracked() as usize >= count {
                    self.state.image.set(0);
                }
                self.go(steps);
            }
        });
    }

    fn go(self, index: u32) {
        self.state.moment.set(index);
        let image = self.state.image.get_untracked();
        self.controller.dispatch(Event::Moment { slot: Slot::Generate, image, index });
    }

    fn toggle(self, direction: Direction) {
        if self.playing.get_untracked() == Some(direction) {
            return self.playing.set(None);
        }
        self.playing.set(Some(direction));
        self.turn.update_value(|turn| *turn += 1);
        spawn_local(self.play(direction, self.turn.get_value()));
    }

    /// Requests the next moment once the last one is there. Ends with the component, which disposes of the signals.
    async fn play(self, direction: Direction, turn: u32) {
        let session = self.controller.session;
        let steps = session.with_untracked(|session| run(session).map_or(0, Run::steps));
        let stride = steps.div_ceil(FRAMES).max(1);
        let (first, last) = if direction == Direction::On { (0, steps) } else { (steps, 0) };
        if self.state.moment.get_untracked() == last {
            self.go(first);
        }
        loop {
            TimeoutFuture::new(FRAME_MS).await;
            if self.playing.try_get_untracked().flatten().is_none() || self.turn.try_get_value() != Some(turn) {
                return;
            }
            let (image, index) = (self.state.image.get_untracked(), self.state.moment.get_untracked());
            let there = session.with_untracked(|session| moment(session, image)).map(|moment| moment.index);
            if index == last || !session.with_untracked(Session::is_idle) {
                return self.playing.set(None);
            }
            if there == Some(index) {
                self.go(match direction {
                    Direction::On => (index + stride).min(steps),
                    Direction::Back => index.saturating_sub(stride),
                });
            }
        }
    }
}
