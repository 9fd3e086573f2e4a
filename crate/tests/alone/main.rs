//! Tests that limit or measure the whole process: each has it to itself.

#[path = "../support/mod.rs"]
mod support;

mod descriptors;
mod half_close;
mod memory;

use std::sync::{Mutex, MutexGuard, PoisonError};

static PROCESS: Mutex<()> = Mutex::new(());

/// Keeps the other tests waiting until the guard is dropped.
fn alone() -> MutexGuard<'static, ()> {
    // One that has failed says so itself.
    PROCESS.lock().unwrap_or_else(PoisonError::into_inner)
}
