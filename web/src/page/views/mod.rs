//! The views, one file each, and their parts.

pub(super) mod about;
pub(super) mod between;
pub(super) mod bound;
mod card;
mod controls;
mod diagnostics;
mod film;
mod formulas;
pub(super) mod forward;
pub(super) mod game;
pub(super) mod generate;
pub(super) mod learn;
mod own_picture;
mod plot;
pub(super) mod race;
mod save;
pub(super) mod schedule;
mod shared;
mod storage;
pub(super) mod story;
mod subject;
mod verify;
pub(super) mod weights;
