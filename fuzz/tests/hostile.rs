//! The bodies that the crates' own tests do not run, on random changes of what they read.

use fuzz::{checkpoint, messages, mutations, settings};

#[test]
fn checkpoints() {
    mutations::each("checkpoint", checkpoint::seeds, 3000, checkpoint::run);
}

#[test]
fn messages_between_page_and_worker() {
    mutations::each("messages", messages::seeds, 3000, messages::run);
}

#[test]
fn settings_of_runs() {
    mutations::each("settings", settings::seeds, 3000, settings::run);
}
