//! Real or drawn? A real X-ray and one drawn this moment, side by side.

use gloo_net::http::Request;
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, HtmlElement, PointerEvent};

use super::own_picture;
use super::verify::Verify;
use crate::address::Link;
use crate::game::Side;
use crate::page::components::{Action, PictureCanvas, Slider, ViewHeading};
use crate::page::controller::Controller;
use crate::page::lang::words;
use crate::page::share;
use crate::page::state::PageState;
use crate::protocol::{Picture, Problem, Run};
use crate::session::{Event, Session, Slot};
use crate::settings::Settings;
use crate::text::{Words, fill};

/// How much the loupe magnifies.
const LOUPE: &str = "scale(3)";

/// The two pictures of a round.
#[derive(Clone, Debug, PartialEq)]
struct Round {
    number: u32,
    real: Picture,
    drawn: Picture,
}

/// The game.
#[component]
pub(in crate::page) fn Game(controller: Controller, state: PageState) -> impl IntoView {
    let (words, session, game) = (&words().game, controller.session, state.game);
    let real = RwSignal::new(None::<(u32, Picture)>);
    let drawn = draw_ahead(controller, state);
    fetch_real(controller, state, real);
    let round = Memo::new(move |_| {
        let number = game.with(crate::game::Game::round);
        let real = real.get().filter(|(of, _)| *of == number).map(|(_, picture)| picture)?;
        let drawn = drawn.get().filter(|(of, _)| *of == number).map(|(_, picture)| picture)?;
        Some(Round { number, real, drawn })
    });
    let loupe = Loupe { on: RwSignal::new(false), across: RwSignal::new(50.0), down: RwSignal::new(50.0) };
    let verdict = move || {
        let game = game.get();
        let right = game.answer? == game.drawn_side();
        Some(if right { words.right } else { words.wrong })
    };
    let score = move || {
        let (right, of) = game.with(|game| (game.right.to_string(), game.answered().to_string()));
        fill(words.score, &[("right", &right), ("of", &of)])
    };
    let waits = Memo::new(move |_| round.with(Option::is_none));
    let stopped = Memo::new(move |_| waits.get() && session.with(Session::is_idle) && state.game_asked.get().is_some());
    view! {
        <section class="view game" aria-labelledby="view-heading">
            <div class="studio">
                <div class="stage pair">
                    {Side::BOTH.map(|side| view! { <Half controller state side round loupe /> }).into_iter().collect_view()}
                </div>
                <div class="desk">
                    <div class="game-head">
                        <ViewHeading text=words.title />
                        <p class="score" data-testid="game-score">{score}</p>
                    </div>
                    <p class="soft">{words.question}</p>
                    <p class="verdict" role="status" data-testid="game-verdict">
                        {move || if waits.get() { Some(words.drawing) } else { verdict() }}
                    </p>
                    <div class="buttons">
                        <Show when=move || verdict().is_some()>
                            <Action
                                label=words.next.to_owned()
                                testid="game-next"
                                primary=true
                                on_click=move |()| game.update(crate::game::Game::next)
                            />
                        </Show>
                        <Show when=move || stopped.get()>
                            <Action
                                label=words.again.to_owned()
                                testid="game-again"
                                primary=true
                                on_click=move |()| {
                                    state.game_asked.set(None);
                                    real.set(None);
                                }
                            />
                        </Show>
                        <Action
                            label=words.loupe.to_owned()
                            testid="game-loupe"
                            pressed=loupe.on
                            possible=Signal::derive(move || !waits.get())
                            on_click=move |()| loupe.on.update(|on| *on = !*on)
                        />
                    </div>
                    <Show when=move || loupe.on.get()>
                        <div class="knobs">
                            <Slider
                                id="loupe-across"
                                label=words.across.to_owned()
                                max=100.0
                                value=loupe.across
                                value_text=Signal::derive(move || format!("{:.0} %", loupe.across.get()))
                                on_input=move |place| loupe.across.set(place)
                            />
                            <Slider
                                id="loupe-down"
                                label=words.down.to_owned()
                                max=100.0
                                value=loupe.down
                                value_text=Signal::derive(move || format!("{:.0} %", loupe.down.get()))
                                on_input=move |place| loupe.down.set(place)
                            />
                        </div>
                    </Show>
                    <p class="soft">{words.hint}</p>
                    <p class="hint">{words.source}</p>
                </div>
            </div>
            <Verify controller />
        </section>
    }
}

/// Where both pictures are magnified, in percent.
#[derive(Clone, Copy)]
struct Loupe {
    on: RwSignal<bool>,
    across: RwSignal<f64>,
    down: RwSignal<f64>,
}

impl Loupe {
    /// The loupe follows a mouse, or a finger.
    fn follow(self, event: &PointerEvent) {
        let Some(target) = event.current_target().and_then(|target| target.dyn_into::<HtmlElement>().ok()) else {
            return;
        };
        let (width, height) = (f64::from(target.client_width()), f64::from(target.client_height()));
        if self.on.get_untracked() && width > 0.0 && height > 0.0 {
            let percent = |place: f64, size: f64| (place / size * 100.0).clamp(0.0, 100.0);
            self.across.set(percent(f64::from(event.page_x() - target.offset_left()), width));
            self.down.set(percent(f64::from(event.page_y() - target.offset_top()), height));
        }
    }
}

/// A picture, the button that takes it for drawn, and after the answer what it is.
#[component]
fn Half(
    controller: Controller,
    state: PageState,
    side: Side,
    round: Memo<Option<Round>>,
    loupe: Loupe,
) -> impl IntoView {
    let (all, game) = (words(), state.game);
    let words = &all.game;
    let name = which(all, side);
    let is_drawn = Memo::new(move |_| game.with(|game| game.drawn_side() == side));
    let picture = Memo::new(move |_| round.get().map(|round| if is_drawn.get() { round.drawn } else { round.real }));
    let answered = Memo::new(move |_| game.with(|game| game.answer.is_some()));
    // Its label would give it away.
    let canvas = move || {
        let synthetic = answered.get() && is_drawn.get();
        let label = if synthetic { all.common.picture } else { name };
        view! { <PictureCanvas picture label=label.to_owned() testid=format!("game-{}", side.name()) synthetic /> }
    };
    let truth = move || {
        let (game, drawn) = (game.get(), is_drawn.get());
        game.answer?;
        Some(if drawn {
            let (seed, link) = (game.drawn_seed(0), drawn_link(controller, &game));
            let says = fill(words.drawn, &[("seed", &seed.to_string())]);
            view! {
                <span>{says} " " {link.map(|link| view! { <a href=share::url(link)>{words.open}</a> })}</span>
            }
            .into_any()
        } else {
            view! { <span>{fill(words.real, &[("file", game.real())])}</span> }.into_any()
        })
    };
    let scale = move || if loupe.on.get() { LOUPE } else { "none" };
    let origin = move || format!("{:.1}% {:.1}%", loupe.across.get(), loupe.down.get());
    view! {
        <div class="half">
            <div
                class="lens"
                class:on=move || loupe.on.get()
                style:--scale=scale
                style:--origin=origin
                on:pointermove=move |event| loupe.follow(&event)
                on:pointerdown=move |event| loupe.follow(&event)
            >
                {canvas}
            </div>
            <Show
                when=move || !answered.get()
                fallback=move || view! { <p data-testid=format!("game-truth-{}", side.name())>{truth}</p> }
            >
                <Action
                    label=fill(words.pick, &[("which", name)])
                    testid=format!("game-pick-{}", side.name())
                    possible=Signal::derive(move || round.with(Option::is_some))
                    on_click=move |()| game.update(|game| game.take(side))
                />
            </Show>
        </div>
    }
}

/// A side in words.
pub(in crate::page) fn which(words: &Words, side: Side) -> &'static str {
    match side {
        Side::Left => words.game.left,
        Side::Right => words.game.right_one,
    }
}

fn settings(seed: u64) -> Settings {
    Settings { seed, ..Settings::default() }
}

/// A link to the drawn picture of this round.
fn drawn_link(controller: Controller, game: &crate::game::Game) -> Option<Link> {
    let sha256 = controller.session.with(|session| session.model.as_ref().map(|model| model.sha256.clone()))?;
    Some(Link::new(settings(game.drawn_seed(0)), 1, &sha256))
}

/// Draws the picture of this round, and after the answer already that of the next one. Gives the last complete one that
/// this round can show, with the number of its round.
fn draw_ahead(controller: Controller, state: PageState) -> Memo<Option<(u32, Picture)>> {
    let (session, game) = (controller.session, state.game);
    let complete = Memo::new(move |_| {
        session.with(|session| {
            let panel = session.panel(Slot::Game).filter(|panel| panel.origin.is_some())?;
            Some((panel.run.settings.seed, panel.pictures.first()?.clone()))
        })
    });
    // The picture of this round stays while the next one is drawn.
    let shown = Memo::new(move |old: Option<&Option<(u32, Picture)>>| {
        let game = game.get();
        let new =
            complete.get().filter(|(seed, _)| *seed == game.drawn_seed(0)).map(|(_, picture)| (game.round(), picture));
        new.or_else(|| old.cloned().flatten().filter(|(round, _)| *round == game.round()))
    });
    Effect::new(move |_| {
        let there = shown.with(Option::is_some);
        let answered = game.with(|game| game.answer.is_some());
        let wanted = game.with(|game| game.drawn_seed(u32::from(there)));
        if (!there || answered) && session.with(Session::is_idle) && state.game_asked.get() != Some(wanted) {
            state.game_asked.set(Some(wanted));
            let run = Run::from_noise(settings(wanted), 1);
            controller.dispatch(Event::Run { slot: Slot::Game, run, stepwise: false });
        }
    });
    shown
}

/// Fetches the real picture of each round, in the size of the model's.
fn fetch_real(controller: Controller, state: PageState, real: RwSignal<Option<(u32, Picture)>>) {
    let size = Memo::new(move |_| {
        controller
            .session
            .with(|session| session.model.as_ref().map(|model| (model.config.width as u32, model.config.height as u32)))
    });
    let wanted = Memo::new(move |_| {
        let (round, file) = state.game.with(|game| (game.round(), game.real()));
        let there = real.with(|real| real.as_ref().is_some_and(|(of, _)| *of == round));
        (!there).then_some((round, file))
    });
    Effect::new(move |_| {
        let (Some(size), Some((round, file))) = (size.get(), wanted.get()) else { return };
        // With a failed fetch, "again" asks anew.
        state.game_asked.track();
        spawn_local(async move {
            let url = format!("real/{file}.jpg");
            match read(&url, size).await {
                Ok(picture) => {
                    real.try_set(Some((round, picture)));
                }
                Err(error) => {
                    let detail = error.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message()));
                    let detail = detail.or(error.as_string()).unwrap_or_default();
                    controller.dispatch(Event::Refuse(Problem::Network { file: url, detail }));
                }
            }
        });
    });
}

/// A real X-ray of the site, in a size.
pub(in crate::page) async fn read(url: &str, size: (u32, u32)) -> Result<Picture, JsValue> {
    let response = Request::get(url).send().await.map_err(|error| JsValue::from(error.to_string()))?;
    if !response.ok() {
        return Err(format!("the server answers {}", response.status()).into());
    }
    let response: web_sys::Response = response.into();
    let blob: Blob = JsFuture::from(response.blob()?).await?.dyn_into()?;
    own_picture::decode(&blob, size).await
}
