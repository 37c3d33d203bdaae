//! The log: what is put into it is found again, whatever happens in between.

mod log {
    pub mod made;

    mod crash;
    mod damage;
    mod faults;
    mod filters;
    mod rows;
    mod versions;
}
