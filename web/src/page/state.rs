//! What the page shows beside the session: it outlives the components, so that neither another view nor another
//! language loses anything.

use leptos::prelude::*;
use vdm::sampler::Sampler;

use super::components::random_seed;
use crate::address::{Address, Link, View};
use crate::form::{Field, Form};
use crate::game::Game;
use crate::protocol::{Picture, Subject};
use crate::session::Choice;
use crate::text::Lang;
use crate::toy::{Point, Shape};

/// Signals that outlive the components.
#[derive(Clone, Copy)]
pub(super) struct PageState {
    /// The language.
    pub(super) lang: RwSignal<Lang>,
    /// The view.
    pub(super) view: RwSignal<View>,
    /// Whether the page is in kiosk mode.
    pub(super) kiosk: RwSignal<bool>,
    /// The form of the first view.
    pub(super) form: RwSignal<Form>,
    /// Whether the next image gets a new seed: no setting has changed since the last one.
    pub(super) new_seed: RwSignal<bool>,
    /// The fields of the form with an unacceptable text.
    pub(super) wrong: RwSignal<Vec<Field>>,
    /// Whether the settings that few need are unfolded.
    pub(super) unfolded: RwSignal<bool>,
    /// Whether the first image is drawn without being asked.
    pub(super) unasked: RwSignal<bool>,
    /// Whether the model is not fetched before the user wants it.
    pub(super) held: RwSignal<bool>,
    /// Whether one of several images is looked at alone.
    pub(super) opened: RwSignal<bool>,
    /// The image of time travel, among several.
    pub(super) image: RwSignal<u32>,
    /// The moment of time travel.
    pub(super) moment: RwSignal<u32>,
    /// A picture that stays beside the next ones.
    pub(super) pinned: RwSignal<Option<Pinned>>,
    /// The image of the page's address, until it is made.
    pub(super) link: RwSignal<Option<Link>>,
    /// Weights to switch to as soon as nothing else runs.
    pub(super) waiting: RwSignal<Option<Choice>>,
    /// Whether files are being dragged over the page.
    pub(super) dragging: RwSignal<bool>,
    /// Whether a newer version of the site is available.
    pub(super) update: RwSignal<bool>,
    /// Remarks for diagnostics that may explain a failure.
    pub(super) remarks: RwSignal<Vec<String>>,
    /// The game.
    pub(super) game: RwSignal<Game>,
    /// The seed that the game has asked for last.
    pub(super) game_asked: RwSignal<Option<u64>>,
    /// The points that a small model learns.
    pub(super) points: RwSignal<Vec<Point>>,
    /// The state of the learning views.
    pub(super) learning: LearningState,
}

impl PageState {
    /// The state when the page opens.
    pub(super) fn new(lang: Lang, view: View, address: &Address, saves_data: bool) -> Self {
        let Address { kiosk, waits, ref link, ref faults, .. } = *address;
        let asks = link.is_some() || !faults.is_empty();
        let form = link.as_ref().map(Link::form).unwrap_or_default();
        Self {
            lang: RwSignal::new(lang),
            view: RwSignal::new(view),
            kiosk: RwSignal::new(kiosk),
            new_seed: RwSignal::new(link.is_none()),
            unfolded: RwSignal::new(false),
            unasked: RwSignal::new(!asks && !waits),
            held: RwSignal::new(saves_data && !asks && !kiosk),
            opened: RwSignal::new(false),
            form: RwSignal::new(form),
            wrong: RwSignal::new(Vec::new()),
            image: RwSignal::new(0),
            moment: RwSignal::new(0),
            pinned: RwSignal::new(None),
            link: RwSignal::new(link.clone()),
            waiting: RwSignal::new(None),
            dragging: RwSignal::new(false),
            update: RwSignal::new(false),
            remarks: RwSignal::new(Vec::new()),
            game: RwSignal::new(Game::new(random_seed())),
            game_asked: RwSignal::new(None),
            points: RwSignal::new(Shape::Ring.points()),
            learning: LearningState::new(),
        }
    }
}

/// A picture that stays beside the next ones.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pinned {
    pub(super) picture: Picture,
    /// Its seed.
    pub(super) seed: u64,
    /// The name of its class, in the language of then; empty for none.
    pub(super) class: String,
}

/// Signals of the learning views.
#[derive(Clone, Copy)]
pub(super) struct LearningState {
    /// The image that is noised or measured; none before one is chosen.
    pub(super) subject: RwSignal<Option<Subject>>,
    /// The time to which it is noised.
    pub(super) t: RwSignal<f64>,
    /// The seed of its noise, as typed.
    pub(super) noise_seed: RwSignal<String>,
    /// The time of the schedule's mark.
    pub(super) schedule_t: RwSignal<f64>,
    /// The seed to start from, as typed.
    pub(super) from: RwSignal<String>,
    /// The seed to end at, as typed.
    pub(super) to: RwSignal<String>,
    /// Minimum number of pictures, with both ends.
    pub(super) frames: RwSignal<u32>,
    /// The seed of a race, as typed.
    pub(super) race_seed: RwSignal<String>,
    /// The race's first run.
    pub(super) left: RwSignal<Lane>,
    /// The race's second run.
    pub(super) right: RwSignal<Lane>,
}

/// The settings of one run of a race.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lane {
    /// The sampler.
    pub(super) sampler: Sampler,
    /// The steps, as typed.
    pub(super) steps: String,
}

impl LearningState {
    /// The state when the page opens.
    pub(super) fn new() -> Self {
        let lane = |sampler, steps: &str| RwSignal::new(Lane { sampler, steps: steps.to_owned() });
        Self {
            subject: RwSignal::new(None),
            t: RwSignal::new(0.4),
            noise_seed: RwSignal::new("1".to_owned()),
            schedule_t: RwSignal::new(0.5),
            from: RwSignal::new("1".to_owned()),
            to: RwSignal::new("2".to_owned()),
            frames: RwSignal::new(8),
            race_seed: RwSignal::new("1".to_owned()),
            left: lane(Sampler::DpmSolver2M, "10"),
            right: lane(Sampler::Ddim, "100"),
        }
    }
}
