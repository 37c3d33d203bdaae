//! Entries for other programs: their forms, and how they get there.

mod export {
    pub mod made;

    mod forms;
    mod sending;
}
