//! Every state that the page can be in, and what leads from one to the next.
//!
//! [`Session::apply`] takes an [`Event`] and answers with [`Command`]s, which `page::controller` carries out.

mod connection;
mod event;
mod jobs;
mod parts;
mod state;
#[cfg(test)]
mod tests;

pub use self::event::{Command, Event, PATIENCE_SECONDS};
pub use self::parts::{Choice, DiffusedAt, Job, Keep, Loading, Measured, Notice, Panel, Phase, Plan, Purpose, Slot};
pub use self::state::Session;
use crate::protocol::{PROTOCOL_VERSION, Problem, Response};

impl Session {
    /// Goes on to the next state.
    pub fn apply(&mut self, event: Event) -> Vec<Command> {
        match event {
            Event::Open => self.restart(),
            Event::Manifest(generation, _) | Event::Worker(generation, _) if generation != self.generation => {
                Vec::new()
            }
            Event::Manifest(_, Ok(manifest)) => {
                self.manifest = Some(manifest);
                self.load()
            }
            Event::Manifest(_, Err(problem)) => self.fail(problem),
            Event::Worker(_, response) => self.hear(response),
            Event::Overdue(job) => self.give_up(job),
            Event::Recover => self.recover(),
            Event::Refuse(problem) => {
                self.notice = Some(Notice::Failed(problem));
                Vec::new()
            }
            Event::CloseNotice => {
                self.notice = None;
                Vec::new()
            }
            Event::Use(choice) if self.model.is_none() => {
                // Nothing to fall back to: what cannot be used is told as a failure, with a way on.
                self.choice = choice;
                self.restart()
            }
            wish => self.heed(wish),
        }
    }

    fn hear(&mut self, response: Response) -> Vec<Command> {
        match response {
            Response::Hello { protocol } => {
                self.greeted = true;
                if protocol != PROTOCOL_VERSION {
                    return self.fail(Problem::VersionMismatch);
                }
                // Late, but there: the request to load waits for it.
                if matches!(self.phase, Phase::Failed(Problem::WorkerSilent { .. })) {
                    self.phase = Phase::Loading(Loading::Starting);
                }
                Vec::new()
            }
            Response::Progress { received, total } => {
                match &mut self.job {
                    Some(job) if self.phase == Phase::Ready => job.fetching = Some((received, total)),
                    _ => self.phase = Phase::Loading(Loading::Weights { received, total }),
                }
                Vec::new()
            }
            Response::Preparing => {
                match &mut self.job {
                    Some(job) if self.phase == Phase::Ready => job.fetching = None,
                    _ => self.phase = Phase::Loading(Loading::Preparing),
                }
                Vec::new()
            }
            Response::Loaded(model) => {
                self.adopt(*model);
                self.fresh = false;
                self.phase = Phase::Ready;
                // What a failure of the GPU interrupted stands first among the plans.
                self.start_next()
            }
            Response::Failed { job: None, problem } => self.fail(problem),
            answer => self.hear_of_job(answer),
        }
    }
}
