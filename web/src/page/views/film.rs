//! Time travel: the strip of moments of a run, the slider over it, the pair of pictures that it moves, and its button.

use gloo_timers::future::TimeoutFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;

use super::shared::{idle, whole};
use crate::page::components::{Action, Captioned, PictureCanvas};
use crate::page::controller::Controller;
use crate::page::lang::words;
use crate::page::state::{PageState, Pinned};
use crate::protocol::{Moment, Picture, Run};
use crate::session::{Event, FRAMES, Panel, Session, Slot};
use crate::text::{Words, fill, messages};

/// Minimum time of a moment while it plays.
const FRAME_MS: u32 = 50;
/// Maximum number of moments while it plays, so that a thousand steps do not take a minute.
const MOMENTS: u32 = 120;

/// The state of time travel.
#[derive(Clone, Copy)]
pub(super) struct Travel {
    pub(super) controller: Controller,
    pub(super) state: PageState,
    pub(super) playing: RwSignal<bool>,
    /// Counts the loops, so that only the last one goes on.
    turn: StoredValue<u32>,
}

impl Travel {
    pub(super) fn new(controller: Controller, state: PageState) -> Self {
        let travel = Self { controller, state, playing: RwSignal::new(false), turn: StoredValue::new(0) };
        travel.open();
        travel
    }

    fn session(self) -> RwSignal<Session> {
        self.controller.session
    }

    /// A part of the panel, with the image that is looked at.
    pub(super) fn of_panel<T: Send + Sync + PartialEq + 'static>(
        self,
        read: impl Fn(&Panel, usize) -> Option<T> + Send + Sync + 'static,
    ) -> Memo<Option<T>> {
        Memo::new(move |_| {
            let image = self.state.image.get() as usize;
            self.session().with(|session| session.panel(Slot::Generate).and_then(|panel| read(panel, image)))
        })
    }

    /// The number of images.
    pub(super) fn count(self) -> Memo<usize> {
        Memo::new(move |_| {
            self.session().with(|session| session.panel(Slot::Generate).map_or(1, |panel| panel.run.count()))
        })
    }

    /// Whether there are moments to go to.
    pub(super) fn possible(self) -> Memo<bool> {
        let (session, count) = (self.session(), self.count());
        Memo::new(move |_| {
            let alone = count.get() == 1 || self.state.opened.get();
            alone && session.with(|session| session.is_idle() && session.is_of_model(Slot::Generate))
        })
    }

    /// Starts at the end of each new run, and of each image that is opened.
    fn open(self) {
        let possible = self.possible();
        let session = self.session();
        let new = Memo::new(move |_| {
            let image = self.state.image.get();
            let there = session.with(|session| moment(session, image).is_some());
            (possible.get() && !there).then(|| session.with(|session| run(session).map_or(0, Run::steps)))
        });
        Effect::new(move |_| {
            if let Some(steps) = new.get() {
                self.playing.set(false);
                self.go(steps);
            }
        });
    }

    pub(super) fn go(self, index: u32) {
        self.state.moment.set(index);
        let image = self.state.image.get_untracked();
        self.controller.dispatch(Event::Moment { slot: Slot::Generate, image, index });
    }

    /// Pauses or resumes the run that is being made, or plays the one that is complete.
    pub(super) fn play(self) {
        let session = self.session();
        let paused = session.with_untracked(|session| session.filling(Slot::Generate).map(|job| job.paused));
        match paused {
            Some(true) => self.controller.dispatch(Event::Resume),
            Some(false) => self.controller.dispatch(Event::Pause),
            None if self.playing.get_untracked() => self.playing.set(false),
            None if self.possible().get_untracked() => {
                self.playing.set(true);
                self.turn.update_value(|turn| *turn += 1);
                spawn_local(self.run_on(self.turn.get_value()));
            }
            None => {}
        }
    }

    /// Requests the next moment once the last one is there. Ends with the component, which disposes of the signals.
    async fn run_on(self, turn: u32) {
        let session = self.session();
        let steps = session.with_untracked(|session| run(session).map_or(0, Run::steps));
        let stride = steps.div_ceil(MOMENTS).max(1);
        if self.state.moment.get_untracked() == steps {
            self.go(0);
        }
        loop {
            TimeoutFuture::new(FRAME_MS).await;
            if self.playing.try_get_untracked() != Some(true) || self.turn.try_get_value() != Some(turn) {
                return;
            }
            let (image, index) = (self.state.image.get_untracked(), self.state.moment.get_untracked());
            let there = session.with_untracked(|session| moment(session, image)).map(|moment| moment.index);
            if index == steps || !session.with_untracked(Session::is_idle) {
                return self.playing.set(false);
            }
            if there == Some(index) {
                self.go((index + stride).min(steps));
            }
        }
    }

    /// The moment that is looked at, of complete images.
    pub(super) fn moment(self) -> Memo<Option<Moment>> {
        Memo::new(move |_| {
            let image = self.state.image.get();
            self.session().with(|session| moment(session, image))
        })
    }
}

fn run(session: &Session) -> Option<&Run> {
    session.panel(Slot::Generate).filter(|panel| panel.origin.is_some()).map(|panel| &panel.run)
}

fn moment(session: &Session, image: u32) -> Option<Moment> {
    let (of, moment) = session.panel(Slot::Generate)?.moment.as_ref()?;
    (*of == image).then(|| moment.clone())
}

/// The name of a picture that is pinned.
fn name(words: &Words, pinned: &Pinned) -> String {
    let name = fill(words.generate.pinned, &[("seed", &pinned.seed.to_string())]);
    if pinned.class.is_empty() { name } else { [&name, ", ", &pinned.class].concat() }
}

/// Pins the finished picture in the place of the noisy state, or takes it away.
#[component]
pub(super) fn Pin(travel: Travel) -> impl IntoView {
    let (words, session, pinned) = (words(), travel.session(), travel.state.pinned);
    let possible = travel.possible();
    let is_pinned = Memo::new(move |_| pinned.with(Option::is_some));
    let finished = move || {
        let image = travel.state.image.get_untracked() as usize;
        session.with_untracked(|session| {
            let panel = session.panel(Slot::Generate)?;
            let class = panel.run.settings.class.zip(session.model.as_ref());
            let class = class.map(|(class, model)| messages::class(words, model, class)).unwrap_or_default();
            Some(Pinned { picture: panel.pictures.get(image)?.clone(), seed: *panel.run.seeds.get(image)?, class })
        })
    };
    view! {
        <Action
            label=words.generate.pin.to_owned()
            testid="pin"
            possible=Signal::derive(move || possible.get() || is_pinned.get())
            pressed=is_pinned
            on_click=move |()| pinned.set(if is_pinned.get_untracked() { None } else { finished() })
        />
    }
}

/// The noisy state, or what is pinned in its place, and the prediction, side by side.
#[component]
pub(super) fn Pair(travel: Travel) -> impl IntoView {
    let words = words();
    let whole = whole(travel.session(), Slot::Generate);
    let steps = travel.of_panel(|panel, _| Some(panel.run.steps()));
    let at_end = Memo::new(move |_| whole.get() && steps.get() == Some(travel.state.moment.get()));
    let moment = travel.moment();
    let noisy = travel.of_panel(|panel, _| panel.noisy.clone());
    let noisy = Memo::new(move |_| {
        let of_moment = moment.with(|moment| moment.as_ref().map(|moment| moment.noisy.clone()));
        if whole.get() { of_moment } else { noisy.get() }
    });
    let pinned = travel.state.pinned;
    let beside = Memo::new(move |_| pinned.with(|pinned| pinned.as_ref().map(|pinned| pinned.picture.clone())));
    let beside = Memo::new(move |_| beside.get().or_else(|| noisy.get()));
    let caption =
        move || pinned.with(|pinned| pinned.as_ref().map_or(words.common.noisy.to_owned(), |of| name(words, of)));
    let caption = Signal::derive(caption);
    let picture = travel.of_panel(|panel, image| panel.pictures.get(image).cloned());
    let picture = Memo::new(move |_| {
        let of_moment = || moment.with(|moment| moment.as_ref().map(|moment| moment.predicted.clone()));
        if !whole.get() || at_end.get() { picture.get() } else { of_moment().or_else(|| picture.get()) }
    });
    let label = travel.of_panel(move |panel, image| Some(messages::picture(words, &panel.run, image)));
    let label = Signal::derive(move || label.get().unwrap_or_else(|| words.common.picture.to_owned()));
    view! {
        <div class="pair">
            <Captioned caption>
                <PictureCanvas picture=beside label=caption testid="noisy" />
            </Captioned>
            <Captioned caption=words.common.predicted.to_owned()>
                <PictureCanvas picture label testid="canvas" finished=at_end />
            </Captioned>
        </div>
    }
}

/// The strip, which fills while the run is made, and the slider over it.
#[component]
pub(super) fn Film(travel: Travel) -> impl IntoView {
    let (words, state) = (words(), travel.state);
    let possible = travel.possible();
    let steps = travel.of_panel(|panel, _| Some(panel.run.steps()));
    let whole = whole(travel.session(), Slot::Generate);
    let taken = travel.of_panel(|panel, _| Some((panel.step, panel.t)));
    let moment = travel.moment();
    let index =
        Memo::new(move |_| if whole.get() { state.moment.get() } else { taken.get().map_or(0, |(step, _)| step) });
    let value_text = move || {
        let t = if whole.get() { moment.with(|moment| moment.as_ref().map(|moment| moment.t)) } else { None };
        let t = words.lang.decimal(t.or(taken.get().map(|(_, t)| t)).unwrap_or(1.0), 3);
        let (index, of) = (index.get().to_string(), steps.get().unwrap_or_default().to_string());
        fill(words.generate.moment_value, &[("index", &index), ("of", &of), ("t", &t)])
    };
    let place = |place: u32| {
        let picture: Memo<Option<Picture>> = travel.of_panel(move |panel, image| {
            let frame = panel.frame(place)?;
            frame.noisy.clone().or_else(|| frame.pictures.get(image).cloned())
        });
        view! {
            <li>
                <PictureCanvas picture label=words.common.picture.to_owned() testid=format!("film-{place}") />
            </li>
        }
    };
    view! {
        <div class="film">
            <ol aria-hidden="true">{(0..FRAMES).map(place).collect_view()}</ol>
            <input
                id="timeline"
                data-testid="timeline"
                type="range"
                aria-label=words.generate.moment
                // The limits come first, because they clamp the value.
                min="0"
                prop:max=move || steps.get().unwrap_or(1).to_string()
                prop:value=move || {
                    steps.track();
                    index.get().to_string()
                }
                aria-disabled=move || (!possible.get()).to_string()
                aria-valuetext=value_text
                on:input=move |event| {
                    if let Ok(index) = event_target_value(&event).parse()
                        && possible.get_untracked()
                    {
                        travel.playing.set(false);
                        travel.go(index);
                    }
                }
            />
        </div>
    }
}

/// Plays the run, or pauses it or its replay.
#[component]
pub(super) fn Play(travel: Travel) -> impl IntoView {
    let (words, possible) = (words(), travel.possible());
    let filling =
        Memo::new(move |_| travel.session().with(|session| session.filling(Slot::Generate).map(|job| !job.paused)));
    let goes_on = move || filling.get().unwrap_or_else(|| travel.playing.get());
    let label = move || if goes_on() { words.generate.pause } else { words.common.play }.to_owned();
    view! {
        <Action
            label=Signal::derive(label)
            testid="play"
            possible=Signal::derive(move || filling.get().is_some() || possible.get())
            on_click=move |()| travel.play()
        />
    }
}

/// Whether the user can start something.
pub(super) fn can_draw(travel: Travel) -> Signal<bool> {
    let idle = idle(travel.session());
    Signal::derive(move || idle.get() || travel.state.held.get())
}
