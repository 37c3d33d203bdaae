//! The screens, as a person sees them, driven by keys.
//!
//! `screens/*.txt` are compared exactly; `TOLLGATE_WRITE_SCREENS=1 cargo test -p cli tui` writes them again, and the
//! pictures in `docs/tui.md` with them. Read the difference before you commit it.

mod desk;
mod fuzz;
mod hostile;
mod link;
mod person;
mod screens;
mod storm;
