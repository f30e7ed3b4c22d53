//! A map of pictures, with the last run on it as a trail.

use leptos::prelude::*;

use super::controls::DrawOne;
use super::film::{Film, Pair, Play, Travel};
use super::shared::Intro;
use crate::learning::trail;
use crate::map::{dots, from_middle, line};
use crate::page::components::{ViewHeading, heading_id};
use crate::page::controller::Controller;
use crate::page::lang::words;
use crate::page::state::PageState;
use crate::text::fill;

/// The map, and the moments of the run.
#[component]
pub(super) fn Map(controller: Controller, state: PageState) -> impl IntoView {
    let (all, session) = (words(), controller.session);
    let words = &all.story;
    let travel = Travel::new(controller, state);
    // It has one trail: of several images, that of the one that is opened.
    state.opened.set(true);
    let trail = travel.of_panel(|panel, image| Some(trail(panel, image)));
    let trail = move || trail.get().unwrap_or_default();
    let here = Signal::derive(move || {
        let trail = trail();
        let (Some(first), Some(here)) = (trail.first(), trail.last()) else { return String::new() };
        let [first, here] = [first, here].map(|place| all.lang.decimal(from_middle(*place), 1));
        fill(words.map_here, &[("first", &first), ("here", &here)])
    });
    view! {
        <section class="view learning" aria-labelledby=heading_id()>
            <ViewHeading text=words.map />
            <Intro paragraphs=vec![words.map_intro] />
            <div class="card columns even">
                <div class="stack">
                    <svg
                        class="map"
                        role="img"
                        aria-label=words.map
                        aria-describedby="map-here"
                        viewBox="0 0 10 6"
                        data-testid="map"
                    >
                        <path class="map-drawn" d=move || session.with(|session| dots(&session.drawn)) />
                        <path d=move || line(&trail()) />
                    </svg>
                    <p id="map-here" data-testid="map-here">{here}</p>
                    <p class="hint">{words.map_legend}</p>
                </div>
                <div class="stack">
                    <Pair travel />
                    <Film travel />
                    <div class="buttons">
                        <DrawOne travel testid="map-draw" />
                        <Play travel />
                    </div>
                </div>
            </div>
        </section>
    }
}
