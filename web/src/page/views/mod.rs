//! The views, one file each, and their parts.

pub(super) mod about;
mod between;
mod bound;
mod card;
mod conditions;
mod controls;
mod diagnostics;
mod film;
mod formulas;
mod forward;
pub(super) mod game;
pub(super) mod generate;
mod learn;
mod map;
mod own_picture;
mod plot;
mod race;
mod save;
mod schedule;
mod shared;
mod storage;
pub(super) mod story;
mod subject;
mod verify;
pub(super) mod weights;
