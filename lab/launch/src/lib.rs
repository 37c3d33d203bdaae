//! Lab image; see docs/lab.md.
